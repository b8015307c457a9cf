//! One thread that writes: jobs in order, as many as wait in one durable commit.
//!
//! In a simulated world it is a task, and a commit takes as long as that world's disk says.

use std::thread::{Builder, JoinHandle};

use tokio::sync::mpsc;

use crate::error::StorageError;

/// A bounded queue into a named thread. Dropping it finishes the queue and waits for the thread.
pub(crate) struct Writer<J> {
    queue: Option<mpsc::Sender<J>>,
    thread: Option<JoinHandle<()>>,
}

impl<J> std::fmt::Debug for Writer<J> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Writer")
    }
}

/// Bounds of a writer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WriterLimits {
    /// Jobs that wait.
    pub(crate) queue: usize,
    /// Jobs in one commit.
    pub(crate) batch: usize,
}

impl<J: Send + 'static> Writer<J> {
    /// Starts the thread; `write` gets one batch after the other, and an empty one at the end.
    pub(crate) fn spawn(
        name: &str,
        limits: WriterLimits,
        mut write: impl FnMut(Vec<J>) + Send + 'static,
    ) -> Result<Self, StorageError> {
        let (queue, mut jobs) = mpsc::channel(limits.queue);
        #[cfg(feature = "sim")]
        if fairground_seam::sim::is_simulated() {
            let pace = fairground_seam::sim::pace();
            // Ends with its queue, as the thread does.
            tokio::runtime::Handle::current().spawn(async move {
                let mut batch = Vec::new();
                while jobs.recv_many(&mut batch, limits.batch).await > 0 {
                    let room = limits.batch.saturating_sub(batch.len());
                    tokio::time::sleep(pace.commit()).await;
                    for _ in 0..room {
                        let Ok(job) = jobs.try_recv() else { break };
                        batch.push(job);
                    }
                    write(std::mem::take(&mut batch));
                }
                write(Vec::new());
            });
            return Ok(Self { queue: Some(queue), thread: None });
        }
        let body = move || {
            let mut batch = Vec::new();
            while jobs.blocking_recv_many(&mut batch, limits.batch) > 0 {
                write(std::mem::take(&mut batch));
            }
            write(Vec::new());
        };
        let thread = Builder::new()
            .name(name.to_owned())
            .spawn(body)
            .map_err(StorageError::io(name.as_ref()))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// A place in the queue, now.
    #[cfg(feature = "edge")]
    pub(crate) fn try_reserve(&self) -> Result<mpsc::Permit<'_, J>, StorageError> {
        let queue = self.queue.as_ref().ok_or(StorageError::Closed)?;
        queue.try_reserve().map_err(|error| match error {
            mpsc::error::TrySendError::Full(()) => StorageError::Busy,
            mpsc::error::TrySendError::Closed(()) => StorageError::Closed,
        })
    }

    /// A place in the queue, when there is one.
    pub(crate) async fn reserve(&self) -> Result<mpsc::Permit<'_, J>, StorageError> {
        let queue = self.queue.as_ref().ok_or(StorageError::Closed)?;
        queue.reserve().await.map_err(|_| StorageError::Closed)
    }
}

impl<J> Drop for Writer<J> {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("a storage writer panicked");
        }
    }
}
