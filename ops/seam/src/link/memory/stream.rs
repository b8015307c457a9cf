//! Streams of a connection in memory: parts that come in order, each at its own time.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use quinn::{Chunk, ReadError, ReadExactError, VarInt, WriteError};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Core, Process, Side, WINDOW, at, bit, lock, until};

/// One direction of a stream.
pub(super) struct Pipe {
    core: Arc<Core>,
    /// The side that writes.
    writer: usize,
    state: Mutex<PipeState>,
    changed: Notify,
}

#[derive(Default)]
struct PipeState {
    /// The first byte that was written.
    kind: Option<u8>,
    parts: VecDeque<(Instant, Bytes)>,
    bytes: usize,
    last_due: Option<Instant>,
    finished: Option<Instant>,
    is_reader_gone: bool,
    is_writer_gone: bool,
}

impl Pipe {
    pub(super) fn new(core: &Arc<Core>, writer: usize) -> Self {
        Self { core: Arc::clone(core), writer, state: Mutex::default(), changed: Notify::new() }
    }

    fn ends(&self) -> (Process, Process) {
        (self.core.process(self.writer), self.core.process(1 - self.writer))
    }

    fn due(&self, state: &mut PipeState) -> Instant {
        let (from, to) = self.ends();
        let travel = self.core.net.state().travel(from, to);
        let due = (Instant::now() + travel).max(state.last_due.unwrap_or_else(Instant::now));
        state.last_due = Some(due);
        due
    }
}

/// The sending half of a stream.
pub struct SendStream {
    pub(super) pipe: Arc<Pipe>,
    pub(super) side: Arc<Side>,
}

/// The receiving half of a stream.
pub struct RecvStream {
    pub(super) pipe: Arc<Pipe>,
    pub(super) side: Arc<Side>,
    pub(super) rest: Bytes,
}

impl fmt::Debug for SendStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SendStream({})", self.pipe.core.id)
    }
}

impl fmt::Debug for RecvStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecvStream({})", self.pipe.core.id)
    }
}

impl SendStream {
    pub(crate) async fn write_all(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        let (core, side) = (&self.pipe.core, self.side.side);
        loop {
            let woken = at(&core.wake, side).notified();
            let changed = self.pipe.changed.notified();
            let next = core.fate(side).map_err(WriteError::ConnectionLost)?;
            {
                let mut state = lock(&self.pipe.state);
                if state.is_reader_gone {
                    return Err(WriteError::Stopped(VarInt::from_u32(0)));
                }
                if state.bytes < WINDOW {
                    let due = self.pipe.due(&mut state);
                    state.bytes = state.bytes.saturating_add(bytes.len());
                    if state.kind.is_none() {
                        state.kind = bytes.first().copied();
                    }
                    state.parts.push_back((due, Bytes::copy_from_slice(bytes)));
                    drop(state);
                    self.pipe.changed.notify_waiters();
                    return Ok(());
                }
            }
            tokio::select! {
                biased;
                () = woken => {}
                () = changed => {}
                () = until(next) => {}
            }
        }
    }

    pub(crate) fn finish(&mut self) {
        let mut state = lock(&self.pipe.state);
        if state.finished.is_none() {
            let due = self.pipe.due(&mut state);
            state.finished = Some(due);
        }
        drop(state);
        self.pipe.changed.notify_waiters();
    }
}

impl Drop for SendStream {
    fn drop(&mut self) {
        // As quinn does: a stream that is dropped is finished.
        self.finish();
        lock(&self.pipe.state).is_writer_gone = true;
    }
}

impl Drop for RecvStream {
    fn drop(&mut self) {
        lock(&self.pipe.state).is_reader_gone = true;
        self.pipe.changed.notify_waiters();
    }
}

enum Next {
    Part(Bytes),
    End,
    Wait(Option<Instant>),
}

impl RecvStream {
    fn look(&self) -> Next {
        let (from, to) = self.pipe.ends();
        let now = Instant::now();
        let mut state = lock(&self.pipe.state);
        let due = state.parts.front().map(|(due, _)| *due).or(state.finished);
        let Some(due) = due else { return Next::Wait(None) };
        let mut net = self.pipe.core.net.state();
        if net.way(from, to).held & state.kind.map_or(0, bit) != 0 {
            return Next::Wait(None);
        }
        match net.comes(from, to, due) {
            None => Next::Wait(None),
            Some(when) if when > now => Next::Wait(Some(when)),
            Some(_) => match state.parts.pop_front() {
                Some((_, part)) => {
                    state.bytes = state.bytes.saturating_sub(part.len());
                    net.note(from, to, &part);
                    Next::Part(part)
                }
                None => Next::End,
            },
        }
    }

    /// The next part; nothing at the end.
    async fn part(&mut self) -> Result<Option<Bytes>, ReadError> {
        if !self.rest.is_empty() {
            return Ok(Some(std::mem::take(&mut self.rest)));
        }
        let (core, side) = (&self.pipe.core, self.side.side);
        loop {
            let woken = at(&core.wake, side).notified();
            let changed = self.pipe.changed.notified();
            let fate = core.fate(side);
            let is_dead = *at(&lock(&core.state).dead, side);
            let next = match self.look() {
                Next::Part(part) if !is_dead => {
                    self.pipe.changed.notify_waiters();
                    return Ok(Some(part));
                }
                Next::End if !is_dead => return Ok(None),
                Next::Part(_) | Next::End => None,
                Next::Wait(when) => when,
            };
            let ends = fate.map_err(ReadError::ConnectionLost)?;
            let next = [next, ends].into_iter().flatten().min();
            tokio::select! {
                biased;
                () = woken => {}
                () = changed => {}
                () = until(next) => {}
            }
        }
    }

    pub(crate) async fn read_exact(&mut self, bytes: &mut [u8]) -> Result<(), ReadExactError> {
        let mut filled = 0_usize;
        while filled < bytes.len() {
            let Some(mut part) = self.part().await? else {
                return Err(ReadExactError::FinishedEarly(filled));
            };
            let room = bytes.len().saturating_sub(filled);
            let taken = part.split_to(part.len().min(room));
            let end = filled.saturating_add(taken.len());
            if let Some(place) = bytes.get_mut(filled..end) {
                place.copy_from_slice(&taken);
            }
            filled = end;
            self.rest = part;
        }
        Ok(())
    }

    pub(crate) async fn read_chunk(&mut self, max: usize) -> Result<Option<Chunk>, ReadError> {
        let Some(mut part) = self.part().await? else { return Ok(None) };
        let bytes = part.split_to(part.len().min(max));
        self.rest = part;
        Ok(Some(Chunk { offset: 0, bytes }))
    }
}
