//! Progress on standard error: one line that is rewritten on a terminal, a line every few seconds elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// How often progress is shown on a terminal.
const TERMINAL_PERIOD: Duration = Duration::from_millis(200);
/// How often progress is shown where lines stay.
const LINE_PERIOD: Duration = Duration::from_secs(5);

/// Progress of a run.
pub(crate) struct Progress {
    terminal: bool,
    shown: Option<Instant>,
}

impl Progress {
    /// Nothing shown yet.
    pub(crate) fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), shown: None }
    }

    /// Shows a line, unless the last one is too recent.
    pub(crate) fn show(&mut self, text: &str) {
        let period = if self.terminal { TERMINAL_PERIOD } else { LINE_PERIOD };
        if self.shown.is_some_and(|at| at.elapsed() < period) {
            return;
        }
        self.shown = Some(Instant::now());
        if self.terminal {
            eprint!("\r\x1b[K{text}");
        } else {
            eprintln!("{text}");
        }
    }

    /// Clears the line on a terminal.
    pub(crate) fn end(&mut self) {
        if self.terminal {
            eprint!("\r\x1b[K");
        }
    }
}
