//! Raft's runtime inside a simulator: tokio's, with chance from the world's sequence and a watch
//! that wakes its waiters in order.
//!
//! Compiled with the feature `sim` only; on threads outside a simulated world it does what tokio's
//! does. It must not know what Raft is run for. Read next: `fairground_seam`.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use fairground_seam::{sim, watch as ordered};
use openraft::OptionalSend;
use openraft::impls::TokioRuntime as Tokio;
use openraft::rt::deterministic_rng::DeterministicRng;
use openraft::rt::{AsyncRuntime, OptionalSync, watch};

type Seeded = DeterministicRng<Tokio>;

/// See the module.
#[derive(Debug)]
pub struct SteadyRuntime(());

/// The watch of a [`SteadyRuntime`].
#[derive(Debug)]
pub struct SteadyWatch(());

/// See [`SteadyWatch`].
pub struct SteadySender<T>(ordered::Sender<T>);

/// See [`SteadyWatch`].
pub struct SteadyReceiver<T>(ordered::Receiver<T>);

impl<T> Clone for SteadySender<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Clone for SteadyReceiver<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl watch::Watch for SteadyWatch {
    type Sender<T: OptionalSend + OptionalSync> = SteadySender<T>;
    type Receiver<T: OptionalSend + OptionalSync> = SteadyReceiver<T>;
    type Ref<'a, T: OptionalSend + 'a> = ordered::Ref<'a, T>;

    fn channel<T: OptionalSend + OptionalSync>(init: T) -> (Self::Sender<T>, Self::Receiver<T>) {
        let (sender, receiver) = ordered::channel(init);
        (SteadySender(sender), SteadyReceiver(receiver))
    }
}

impl<T: OptionalSend + OptionalSync> watch::WatchSender<SteadyWatch, T> for SteadySender<T> {
    fn send(&self, value: T) -> Result<(), watch::SendError<T>> {
        self.0.send(value).map_err(|error| watch::SendError(error.0))
    }

    fn send_if_modified<F: FnOnce(&mut T) -> bool>(&self, modify: F) -> bool {
        self.0.send_if_modified(modify)
    }

    fn borrow_watched(&self) -> ordered::Ref<'_, T> {
        self.0.borrow()
    }

    fn subscribe(&self) -> SteadyReceiver<T> {
        SteadyReceiver(self.0.subscribe())
    }
}

impl<T: OptionalSend + OptionalSync> watch::WatchReceiver<SteadyWatch, T> for SteadyReceiver<T> {
    async fn changed(&mut self) -> Result<(), watch::RecvError> {
        self.0.changed().await.map_err(|_| watch::RecvError(()))
    }

    fn borrow_watched(&self) -> ordered::Ref<'_, T> {
        self.0.borrow()
    }

    fn borrow_and_update(&mut self) -> ordered::Ref<'_, T> {
        self.0.borrow_and_update()
    }
}

/// A generator of the library's own kind.
fn generator(seed: u64) -> <Seeded as AsyncRuntime>::ThreadLocalRng {
    let making = Seeded::scope(seed, async { Seeded::thread_rng() });
    let mut making = pin!(making);
    loop {
        // Nothing in it waits.
        if let Poll::Ready(made) = making.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return made;
        }
    }
}

/// A seed for threads outside a world.
fn entropy() -> u64 {
    let mut bytes = [0_u8; 8];
    // A generator that fails leaves zeros, which is still a seed.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

impl AsyncRuntime for SteadyRuntime {
    type JoinError = <Tokio as AsyncRuntime>::JoinError;
    type JoinHandle<T: OptionalSend + 'static> = <Tokio as AsyncRuntime>::JoinHandle<T>;
    type Sleep = <Tokio as AsyncRuntime>::Sleep;
    type Instant = <Tokio as AsyncRuntime>::Instant;
    type TimeoutError = <Tokio as AsyncRuntime>::TimeoutError;
    type Timeout<R, T: Future<Output = R> + OptionalSend> = <Tokio as AsyncRuntime>::Timeout<R, T>;
    type ThreadLocalRng = <Seeded as AsyncRuntime>::ThreadLocalRng;
    type Mpsc = <Tokio as AsyncRuntime>::Mpsc;
    type Watch = SteadyWatch;
    type Oneshot = <Tokio as AsyncRuntime>::Oneshot;
    type Mutex<T: OptionalSend + 'static> = <Tokio as AsyncRuntime>::Mutex<T>;

    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        Tokio::spawn(future)
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        Tokio::sleep(duration)
    }

    fn sleep_until(deadline: Self::Instant) -> Self::Sleep {
        Tokio::sleep_until(deadline)
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(
        duration: Duration,
        future: F,
    ) -> Self::Timeout<R, F> {
        Tokio::timeout(duration, future)
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(
        deadline: Self::Instant,
        future: F,
    ) -> Self::Timeout<R, F> {
        Tokio::timeout_at(deadline, future)
    }

    fn is_panic(join_error: &Self::JoinError) -> bool {
        Tokio::is_panic(join_error)
    }

    fn thread_rng() -> Self::ThreadLocalRng {
        generator(sim::number().unwrap_or_else(entropy))
    }

    fn new(_: usize) -> Self {
        Self(())
    }

    fn block_on<F: Future<Output = T>, T>(&mut self, future: F) -> T {
        // For the library's own tests, which run no simulator.
        Tokio::new(1).block_on(future)
    }
}
