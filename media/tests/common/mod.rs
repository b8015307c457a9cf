//! What the tests against real tools share: the tools, blobs in memory, a generated clip.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use fairground_media::{Beginning, BlobSink, Launcher, MediaError, Tools};
use fairground_types::BlobHash;

/// Blobs by hash, and beginnings in order.
#[derive(Default)]
pub(crate) struct MemorySink(pub(crate) BTreeMap<BlobHash, Bytes>, pub(crate) Vec<Beginning>);

impl BlobSink for MemorySink {
    fn put(&mut self, bytes: Bytes) -> Result<BlobHash, MediaError> {
        let hash = BlobHash::of(&bytes);
        self.0.insert(hash, bytes);
        Ok(hash)
    }

    fn grown(&mut self, beginning: &Beginning) -> Result<(), MediaError> {
        self.1.push(beginning.clone());
        Ok(())
    }
}

/// The launcher that cargo builds as an example beside the tests.
fn launcher() -> Option<Launcher> {
    let test = std::env::current_exe().ok()?;
    let program = test.parent()?.parent()?.join("examples/jail_launcher");
    program.is_file().then(|| Launcher { program, verb: "transcode-jail".to_owned() })
}

/// The tools, or `None` with a clear line where there is no ffmpeg.
pub(crate) fn tools() -> Option<Tools> {
    match Tools::find(launcher()) {
        Ok(tools) => Some(tools),
        Err(error) => {
            note(&format!("skipped: {error}"));
            None
        }
    }
}

/// Tells something beside the verdict.
pub(crate) fn note(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Runs ffmpeg on input that the test made.
pub(crate) fn ffmpeg(tools: &Tools, args: &[&str], output: &Path) {
    let mut command = Command::new(&tools.ffmpeg);
    command.args(["-nostdin", "-v", "error", "-y"]).args(args).arg(output);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
