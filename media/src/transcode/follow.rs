//! The mezzanine while it is being written: renditions are made of it from its first group on.
//!
//! ```text
//!  normalise --writes--> mezz.mp4 --read along--> tools that make renditions
//!                           |
//!                          end: frames, or broken        stop: nobody needs it any more
//! ```
//!
//! The file is in fragments and only grows, so a tool that is fed with it as it comes sees what it
//! would read later. Its frame count is known at its end alone. Read next: `super::first`.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::normalise::Outline;
use crate::error::MediaError;
use crate::jail::Inlet;

/// How often the file is looked at again when all of it has been read.
const LOOK: Duration = Duration::from_millis(20);
/// Bytes that are read and handed on at a time.
const CHUNK: usize = 256 << 10;

/// How writing ended.
#[derive(Debug, Clone, Copy)]
enum End {
    /// With so many frames.
    Whole(u64),
    /// With an error, which its writer tells.
    Broken,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Following<'a> {
    pub(super) outline: &'a Outline,
    end: Mutex<Option<End>>,
    ended: Condvar,
    is_stopped: AtomicBool,
}

impl<'a> Following<'a> {
    /// Nothing is written yet.
    pub(super) const fn new(outline: &'a Outline) -> Self {
        let (end, ended) = (Mutex::new(None), Condvar::new());
        Self { outline, end, ended, is_stopped: AtomicBool::new(false) }
    }

    /// Runs the writer, which returns the frames; whatever it does, who waits for the end gets one.
    pub(super) fn written_by<T>(
        &self,
        write: impl FnOnce() -> Result<(T, u64), MediaError>,
    ) -> Result<T, MediaError> {
        let ending = Ending(self);
        let (made, frames) = write()?;
        ending.0.finish(End::Whole(frames));
        Ok(made)
    }

    /// Says that a part failed, so that nobody needs the rest.
    pub(super) fn stop(&self) {
        self.is_stopped.store(true, Ordering::Release);
    }

    /// Whether nobody needs the rest.
    pub(super) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Acquire)
    }

    /// Frames of the whole, once it is whole; waits for that as long as the writer may take.
    pub(super) fn frames(&self) -> Result<u64, MediaError> {
        let mut end = self.lock();
        loop {
            match *end {
                Some(End::Whole(frames)) => return Ok(frames),
                Some(End::Broken) => {
                    return Err(MediaError::Stream("the mezzanine ended early".to_owned()));
                }
                None => end = self.ended.wait(end).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// Frames of the whole, if it is whole already.
    pub(super) fn frames_now(&self) -> Option<u64> {
        match *self.lock() {
            Some(End::Whole(frames)) => Some(frames),
            Some(End::Broken) | None => None,
        }
    }

    /// Hands the file to a tool as it grows, up to its end.
    pub(super) fn feed(&self, mut inlet: Inlet) {
        let mut file = None;
        let mut chunk = vec![0; CHUNK];
        while !inlet.is_over() && !self.is_stopped() {
            // In this order: what is not there when the writer has ended does not come.
            let is_ended = self.lock().is_some();
            match self.read(&mut file, &mut chunk) {
                Ok([]) if is_ended => return,
                Ok([]) => self.rest(),
                Ok(bytes) => {
                    if !inlet.put(bytes) {
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "mezzanine not read");
                    return;
                }
            }
        }
    }

    fn read<'b>(
        &self,
        file: &mut Option<File>,
        chunk: &'b mut [u8],
    ) -> Result<&'b [u8], std::io::Error> {
        let opened = match file.take() {
            Some(opened) => Ok(opened),
            None => File::open(&self.outline.video),
        };
        let opened = match opened {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(&[]),
            opened => file.insert(opened?),
        };
        let count = opened.read(chunk)?;
        Ok(chunk.get(..count).unwrap_or_default())
    }

    fn rest(&self) {
        // Woken early or late, the file is looked at again.
        drop(self.ended.wait_timeout(self.lock(), LOOK));
    }

    fn finish(&self, how: End) {
        self.lock().get_or_insert(how);
        self.ended.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Option<End>> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the writing as broken, unless it has ended otherwise.
struct Ending<'a, 'b>(&'a Following<'b>);

impl Drop for Ending<'_, '_> {
    fn drop(&mut self) {
        self.0.finish(End::Broken);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::jail::{Invocation, JailLimits, Tools, run_fed, words};
    use crate::ladder::Size;
    use crate::manifest::FrameRate;

    fn outline(folder: &Path) -> Outline {
        Outline {
            video: folder.join("mezz.mp4"),
            size: Size { width: 640, height: 360 },
            rate: FrameRate { num: 25, den: 1 },
            expected: 100,
        }
    }

    fn echo(following: &Following<'_>) -> Result<Vec<u8>, MediaError> {
        let shell = || PathBuf::from("/bin/sh");
        let tools = Tools { ffmpeg: shell(), ffprobe: shell(), launcher: None };
        let invocation = Invocation {
            tools: &tools,
            tool: "sh",
            program: Path::new("/bin/sh"),
            args: words(["-c", "cat"]),
            read: Vec::new(),
            write: None,
            limits: JailLimits { wall: Duration::from_secs(60), ..JailLimits::default() },
            report: false,
        };
        let feed = |inlet: Inlet| following.feed(inlet);
        run_fed(&invocation, feed, |stdout| {
            let mut all = Vec::new();
            stdout.read_to_end(&mut all).map_err(MediaError::io("read"))?;
            Ok(all)
        })
    }

    #[test]
    fn whole_file_is_fed_while_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let outline = outline(folder.path());
        let following = Following::new(&outline);
        let fed = std::thread::scope(|scope| {
            let reading = scope.spawn(|| echo(&following));
            let written = following.written_by(|| {
                let mut file = File::create(&outline.video).map_err(MediaError::io("create"))?;
                for part in ["to ", "be ", "continued"] {
                    file.write_all(part.as_bytes()).map_err(MediaError::io("write"))?;
                    std::thread::sleep(LOOK * 2);
                }
                Ok(((), 7))
            });
            written.unwrap();
            reading.join().unwrap()
        });
        assert_eq!(fed.unwrap(), b"to be continued");
        assert_eq!((following.frames().unwrap(), following.frames_now()), (7, Some(7)));
    }

    #[test]
    fn writer_that_fails_ends_the_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let outline = outline(folder.path());
        let following = Following::new(&outline);
        let written: Result<(), _> =
            following.written_by(|| Err(MediaError::Stream("no".to_owned())));
        assert!(written.is_err());
        assert!(following.frames().is_err() && following.frames_now().is_none());
        // A file that never came is an empty input.
        assert_eq!(echo(&following).unwrap(), b"");
    }
}
