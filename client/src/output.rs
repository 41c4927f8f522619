//! Output of commands: JSON lines for programs on stdout, sentences for people on stderr.

use std::io::{IsTerminal, Write};

use serde::Serialize;

use crate::outcome::CommandError;

/// Destination of the output.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
    /// Whether stderr ends with a status line that lacks its line end.
    status_open: bool,
    stderr_is_terminal: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, status_open: false, stderr_is_terminal: std::io::stderr().is_terminal() }
    }

    /// Whether the output is for programs.
    pub(crate) const fn is_json(&self) -> bool {
        self.json
    }

    /// One JSON line, if programs read this. A reader that is gone is no reason to stop.
    pub(crate) fn json(&self, value: &impl Serialize) {
        let _ = self.try_json(value);
    }

    /// The same for a command that is of no use once its reader is gone.
    pub(crate) fn try_json(&self, value: &impl Serialize) -> std::io::Result<()> {
        if !self.json {
            return Ok(());
        }
        let line = serde_json::to_string(value)?;
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{line}").and_then(|()| stdout.flush())
    }

    /// A result for people, on stdout.
    pub(crate) fn result(&self, text: &str) {
        if !self.json {
            let mut stdout = std::io::stdout().lock();
            let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
        }
    }

    /// Something that happens, for people.
    pub(crate) fn note(&mut self, text: &str) {
        if !self.json {
            self.warn(text);
        }
    }

    /// Something that people should know even if programs read stdout.
    pub(crate) fn warn(&mut self, text: &str) {
        self.end_status();
        let _ = writeln!(std::io::stderr(), "{text}");
    }

    /// Status line for people: overwrites the previous one on a terminal.
    pub(crate) fn status(&mut self, text: &str) {
        if self.json {
            return;
        }
        let mut stderr = std::io::stderr();
        if self.stderr_is_terminal {
            let _ = write!(stderr, "\r\x1b[K{text}").and_then(|()| stderr.flush());
            self.status_open = true;
        } else {
            let _ = writeln!(stderr, "{text}");
        }
    }

    /// Error that ends the command.
    pub(crate) fn error(&mut self, error: &CommandError) {
        #[derive(Serialize)]
        struct Line<'a> {
            error: &'a CommandError,
        }
        self.json(&Line { error });
        self.warn(&format!("tribune: {error}"));
        if let Some(needs) = error.needs {
            self.warn(&format!("         {needs}"));
        }
    }

    fn end_status(&mut self) {
        if std::mem::take(&mut self.status_open) {
            let _ = writeln!(std::io::stderr());
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.end_status();
    }
}
