//! A bar on the terminal for work that takes seconds; lines where there is no terminal.

use std::io::{self, IsTerminal, Write};

/// Tells how far something is, on standard error.
#[derive(Debug)]
pub(crate) struct Progress {
    label: String,
    is_terminal: bool,
    last: Option<u64>,
}

impl Progress {
    pub(crate) fn new(label: &str) -> Self {
        let mut progress =
            Self { label: label.to_owned(), is_terminal: io::stderr().is_terminal(), last: None };
        progress.draw(0, "");
        progress
    }

    /// Shows `percent` (0 to 100) and what is going on.
    pub(crate) fn set(&mut self, percent: u64, what: &str) {
        if self.is_terminal && self.last != Some(percent) {
            self.draw(percent, what);
        }
    }

    /// Ends the bar.
    pub(crate) fn done(mut self, what: &str) {
        self.draw(100, what);
        if self.is_terminal {
            // Nobody is harmed by a missing line break on a terminal that went away.
            let _ = writeln!(io::stderr());
        }
    }

    fn draw(&mut self, percent: u64, what: &str) {
        self.last = Some(percent);
        let mut stderr = io::stderr().lock();
        // A bar that cannot be drawn must not end the demo.
        let _ = if self.is_terminal {
            let filled = usize::try_from(percent.min(100) / 5).unwrap_or(20);
            let (full, empty) = ("#".repeat(filled), ".".repeat(20 - filled));
            write!(stderr, "\r\x1b[K{:24} [{full}{empty}] {percent:3} % {what}", self.label)
                .and_then(|()| stderr.flush())
        } else if percent == 0 || percent == 100 {
            writeln!(stderr, "{}: {percent} % {what}", self.label)
        } else {
            Ok(())
        };
    }
}
