//! How a daemon stops: one token that everything waits on, and tasks that are joined.
//!
//! The one place that starts tasks. Who spawns here owns the [`Tasks`] and joins them with a
//! deadline; what has not ended then is aborted and named. Read next: the `lib.rs` of a daemon for
//! its order of phases.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fairground_seam::watch;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

/// How long aborted tasks get to run their destructors.
const ABORT_WAIT: Duration = Duration::from_secs(1);

/// Says when to stop. Clones share one state; it never goes back.
#[derive(Clone)]
pub struct Shutdown(Arc<watch::Sender<bool>>);

impl Shutdown {
    /// A token that stops only by [`Shutdown::trigger`].
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    /// A token that SIGTERM and SIGINT trigger too. Must be called inside a runtime.
    ///
    /// # Errors
    /// When the signals cannot be listened to.
    pub fn on_signals() -> io::Result<Self> {
        let shutdown = Self::new();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let token = shutdown.clone();
        // Lives as long as the runtime and holds nothing that would need closing.
        Handle::current().spawn(async move {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
                () = token.wait() => return,
            };
            tracing::info!(signal = name, "stopping");
            token.trigger();
        });
        Ok(shutdown)
    }

    /// Asks everything to stop.
    pub fn trigger(&self) {
        self.0.send_replace(true);
    }

    /// Whether stopping was asked for.
    #[must_use]
    pub fn is_triggered(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until stopping is asked for.
    pub async fn wait(&self) {
        let mut receiver = self.0.subscribe();
        // The sender lives in `self`, so waiting ends only by the value.
        let _ = receiver.wait_for(|triggered| *triggered).await;
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Shutdown").field(&self.is_triggered()).finish()
    }
}

/// Named tasks with one owner. Clones share the tasks; dropping the last one aborts them.
#[derive(Clone)]
pub struct Tasks {
    shutdown: Shutdown,
    shared: Arc<Shared>,
    /// Where they run, whoever starts them; the starter's own runtime when this was made outside of one.
    home: Option<Handle>,
}

#[derive(Default)]
struct Shared {
    set: Mutex<JoinSet<()>>,
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    next: u64,
    names: BTreeMap<u64, &'static str>,
}

impl Tasks {
    /// No tasks yet. `shutdown` is triggered when a vital task panics.
    #[must_use]
    pub fn new(shutdown: Shutdown) -> Self {
        Self { shutdown, shared: Arc::default(), home: Handle::try_current().ok() }
    }

    /// The token that the tasks stop by.
    #[must_use]
    pub const fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }

    /// Starts a vital task: when it panics the daemon stops, rather than limping on without it.
    pub fn spawn<F>(&self, name: &'static str, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.start(self.home.as_ref(), name, true, future);
    }

    /// Starts one of many alike tasks (a connection, a request): a panic ends only itself.
    pub fn spawn_one<F>(&self, name: &'static str, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.start(self.home.as_ref(), name, false, future);
    }

    /// The same on another runtime, which outlives it or ends it.
    pub fn spawn_one_on<F>(&self, runtime: &Handle, name: &'static str, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.start(Some(runtime), name, false, future);
    }

    /// Names of the tasks that run, sorted by start.
    #[must_use]
    pub fn running(&self) -> Vec<&'static str> {
        lock(&self.shared.running).names.values().copied().collect()
    }

    /// Waits until all tasks have ended, for at most `deadline`; aborts and names the rest.
    pub async fn join(&self, deadline: Duration) -> Vec<&'static str> {
        let end = tokio::time::Instant::now() + deadline;
        let mut set = std::mem::take(&mut *lock(&self.shared.set));
        loop {
            match tokio::time::timeout_at(end, set.join_next()).await {
                Ok(Some(_)) => {}
                Ok(None) => {
                    // Tasks may have started others meanwhile.
                    set = std::mem::take(&mut *lock(&self.shared.set));
                    if set.is_empty() {
                        return Vec::new();
                    }
                }
                Err(_) => break,
            }
        }
        let late = self.running();
        tracing::warn!(tasks = ?late, "tasks did not end in time and were aborted");
        let mut newer = std::mem::take(&mut *lock(&self.shared.set));
        let aborted = async { tokio::join!(set.shutdown(), newer.shutdown()) };
        // A task that blocks its thread cannot be aborted; the process ends without it.
        let _ = tokio::time::timeout(ABORT_WAIT, aborted).await;
        late
    }

    fn start<F>(&self, runtime: Option<&Handle>, name: &'static str, vital: bool, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let key = {
            let mut running = lock(&self.shared.running);
            let key = running.next;
            running.next += 1;
            running.names.insert(key, name);
            key
        };
        let guard = Ended {
            shared: Arc::downgrade(&self.shared),
            shutdown: self.shutdown.clone(),
            key,
            name,
            vital,
        };
        let mut set = lock(&self.shared.set);
        // Ended tasks keep their result until taken; many short tasks must not pile up.
        while set.try_join_next().is_some() {}
        let task = async move {
            let _guard = guard;
            future.await;
        };
        match runtime {
            Some(runtime) => set.spawn_on(task, runtime),
            None => set.spawn(task),
        };
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks").field("running", &self.running()).finish_non_exhaustive()
    }
}

/// Notices the end of a task, however it comes.
struct Ended {
    shared: std::sync::Weak<Shared>,
    shutdown: Shutdown,
    key: u64,
    name: &'static str,
    vital: bool,
}

impl Drop for Ended {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            lock(&shared.running).names.remove(&self.key);
        }
        if std::thread::panicking() {
            tracing::error!(task = self.name, vital = self.vital, "task panicked");
            if self.vital {
                self.shutdown.trigger();
            }
        }
    }
}

/// A poisoned lock here guards only counts and handles, which stay usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_clone_wakes_and_stays_woken() {
        let shutdown = Shutdown::new();
        let waiter = shutdown.clone();
        shutdown.trigger();
        waiter.wait().await;
        waiter.wait().await;
        assert!(waiter.is_triggered());
    }

    #[tokio::test]
    async fn tasks_are_joined_and_the_late_ones_named() {
        let shutdown = Shutdown::new();
        let tasks = Tasks::new(shutdown.clone());
        let token = shutdown.clone();
        tasks.spawn("polite", async move { token.wait().await });
        tasks.spawn("stubborn", std::future::pending());
        assert_eq!(tasks.running(), ["polite", "stubborn"]);
        shutdown.trigger();
        assert_eq!(tasks.join(Duration::from_millis(50)).await, ["stubborn"]);
        assert_eq!(tasks.join(Duration::from_secs(5)).await, Vec::<&str>::new());
    }

    #[tokio::test]
    async fn a_panic_of_a_vital_task_stops_the_daemon_and_of_another_does_not() {
        let shutdown = Shutdown::new();
        let tasks = Tasks::new(shutdown.clone());
        tasks.spawn_one("request", async { panic!("planted") });
        tasks.join(Duration::from_secs(5)).await;
        assert!(!shutdown.is_triggered());
        tasks.spawn("loop", async { panic!("planted") });
        tokio::time::timeout(Duration::from_secs(5), shutdown.wait()).await.expect("triggered");
    }

    #[tokio::test]
    async fn sigterm_asks_everything_to_stop() {
        use rustix::process::{Signal, getpid, kill_process};

        let shutdown = Shutdown::on_signals().expect("handlers");
        assert!(!shutdown.is_triggered());
        kill_process(getpid(), Signal::TERM).expect("sent");
        tokio::time::timeout(Duration::from_secs(5), shutdown.wait()).await.expect("triggered");
    }
}
