//! A watch channel with the part of tokio's interface that daemons use, which wakes its waiters in
//! the order in which they came.
//!
//! Tokio spreads waiters over eight lists by chance, so who wakes first differs from run to run.
//! Compiled with the feature `sim` only.

use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use tokio::sync::Notify;

struct Shared<T> {
    value: RwLock<T>,
    version: AtomicU64,
    senders: AtomicUsize,
    changed: Notify,
    dropped: Notify,
    receivers: AtomicUsize,
}

/// Sends values. Clones send to the same receivers.
pub struct Sender<T>(Arc<Shared<T>>);

/// Sees the newest value.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    seen: u64,
}

/// A look at the value; nobody changes it meanwhile.
pub struct Ref<'a, T>(RwLockReadGuard<'a, T>);

/// Every sender is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecvError(());

/// Every receiver is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendError<T>(pub T);

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("channel closed")
    }
}

impl std::error::Error for RecvError {}

impl<T> Deref for Ref<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: fmt::Debug> fmt::Debug for Ref<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A channel and its first receiver.
pub fn channel<T>(first: T) -> (Sender<T>, Receiver<T>) {
    let sender = Sender::new(first);
    let receiver = sender.subscribe();
    (sender, receiver)
}

impl<T> Shared<T> {
    fn read(&self) -> RwLockReadGuard<'_, T> {
        self.value.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Sender<T> {
    /// A channel without receivers yet.
    pub fn new(first: T) -> Self {
        Self(Arc::new(Shared {
            value: RwLock::new(first),
            version: AtomicU64::new(0),
            senders: AtomicUsize::new(1),
            changed: Notify::new(),
            dropped: Notify::new(),
            receivers: AtomicUsize::new(0),
        }))
    }

    /// A receiver that has seen the newest value.
    #[must_use]
    pub fn subscribe(&self) -> Receiver<T> {
        self.0.receivers.fetch_add(1, Ordering::SeqCst);
        let seen = self.0.version.load(Ordering::SeqCst);
        Receiver { shared: Arc::clone(&self.0), seen }
    }

    /// The newest value.
    #[must_use]
    pub fn borrow(&self) -> Ref<'_, T> {
        Ref(self.0.read())
    }

    /// Changes the value in place and wakes everybody when `change` says so.
    pub fn send_if_modified(&self, change: impl FnOnce(&mut T) -> bool) -> bool {
        let mut value = self.0.value.write().unwrap_or_else(PoisonError::into_inner);
        let is_changed = change(&mut value);
        if is_changed {
            self.0.version.fetch_add(1, Ordering::SeqCst);
        }
        drop(value);
        if is_changed {
            self.0.changed.notify_waiters();
        }
        is_changed
    }

    /// Changes the value in place and wakes everybody.
    pub fn send_modify(&self, change: impl FnOnce(&mut T)) {
        self.send_if_modified(|value| {
            change(value);
            true
        });
    }

    /// Puts a value in the place of the one before, which it answers.
    pub fn send_replace(&self, mut value: T) -> T {
        self.send_modify(|known| std::mem::swap(known, &mut value));
        value
    }

    /// Sends a value.
    ///
    /// # Errors
    /// When nobody receives.
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        if self.0.receivers.load(Ordering::SeqCst) == 0 {
            return Err(SendError(value));
        }
        self.send_replace(value);
        Ok(())
    }

    /// Waits until nobody receives.
    pub async fn closed(&self) {
        loop {
            let dropped = self.0.dropped.notified();
            if self.0.receivers.load(Ordering::SeqCst) == 0 {
                return;
            }
            dropped.await;
        }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.senders.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if self.0.senders.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.changed.notify_waiters();
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sender").field(&*self.0.read()).finish()
    }
}

impl<T: Default> Default for Sender<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> Receiver<T> {
    /// The newest value.
    #[must_use]
    pub fn borrow(&self) -> Ref<'_, T> {
        Ref(self.shared.read())
    }

    /// The newest value, which counts as seen.
    pub fn borrow_and_update(&mut self) -> Ref<'_, T> {
        let value = self.shared.read();
        self.seen = self.shared.version.load(Ordering::SeqCst);
        Ref(value)
    }

    /// The value counts as seen.
    pub fn mark_unchanged(&mut self) {
        self.seen = self.shared.version.load(Ordering::SeqCst);
    }

    /// The value counts as not seen.
    pub fn mark_changed(&mut self) {
        self.seen = self.shared.version.load(Ordering::SeqCst).wrapping_sub(1);
    }

    /// Waits for a value that was not seen.
    ///
    /// # Errors
    /// When every sender is gone.
    pub async fn changed(&mut self) -> Result<(), RecvError> {
        loop {
            let changed = self.shared.changed.notified();
            let version = self.shared.version.load(Ordering::SeqCst);
            if version != self.seen {
                self.seen = version;
                return Ok(());
            }
            if self.shared.senders.load(Ordering::SeqCst) == 0 {
                return Err(RecvError(()));
            }
            changed.await;
        }
    }

    /// Waits for a value as wanted.
    ///
    /// # Errors
    /// When every sender is gone.
    pub async fn wait_for(
        &mut self,
        mut is_wanted: impl FnMut(&T) -> bool,
    ) -> Result<Ref<'_, T>, RecvError> {
        loop {
            let changed = self.shared.changed.notified();
            {
                let value = self.shared.read();
                self.seen = self.shared.version.load(Ordering::SeqCst);
                if is_wanted(&value) {
                    return Ok(Ref(value));
                }
            }
            if self.shared.senders.load(Ordering::SeqCst) == 0 {
                return Err(RecvError(()));
            }
            changed.await;
        }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.shared.receivers.fetch_add(1, Ordering::SeqCst);
        Self { shared: Arc::clone(&self.shared), seen: self.seen }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        if self.shared.receivers.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.shared.dropped.notify_waiters();
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Receiver").field(&*self.shared.read()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiters_wake_in_the_order_in_which_they_came() {
        let (sender, _receiver) = channel(0_u32);
        let order = Arc::new(RwLock::new(Vec::new()));
        let mut waiting = tokio::task::JoinSet::new();
        for number in 0..20 {
            let mut receiver = sender.subscribe();
            let order = Arc::clone(&order);
            waiting.spawn(async move {
                receiver.changed().await.expect("a sender is there");
                order.write().expect("sound").push(number);
            });
        }
        tokio::task::yield_now().await;
        sender.send_replace(1);
        while waiting.join_next().await.is_some() {}
        let order = order.read().expect("sound").clone();
        assert_eq!(order, (0..20).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_change_before_the_wait_is_seen_and_the_end_is_told() {
        let (sender, mut receiver) = channel(1_u32);
        sender.send_replace(2);
        receiver.changed().await.expect("changed");
        assert_eq!(*receiver.borrow_and_update(), 2);
        assert!(!sender.send_if_modified(|_| false));
        let reached = async { receiver.wait_for(|value| *value == 5).await.map(|value| *value) };
        let (reached, ()) = tokio::join!(reached, async {
            sender.send_modify(|value| *value = 5);
        });
        assert_eq!(reached, Ok(5));
        receiver.mark_changed();
        receiver.changed().await.expect("marked");
        drop(sender);
        assert_eq!(receiver.changed().await, Err(RecvError(())));
        assert!(receiver.wait_for(|value| *value == 9).await.is_err());
        assert!(receiver.wait_for(|value| *value == 5).await.is_ok(), "the last value stays");
    }
}
