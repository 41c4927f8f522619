//! Text of an export, line by line, with the entry of each line.

use crate::log::fault::{EntryFault, Fault};

/// The text so far.
#[derive(Debug, Default)]
pub(super) struct Page {
    text: String,
    /// Lines so far.
    lines: usize,
    /// Of each entry that is on the page, first line, last line and number; in the order of lines.
    entries: Vec<(usize, usize, u64)>,
}

/// The lines of a file that is read.
#[derive(Debug)]
pub(super) struct Lines<'a> {
    rest: &'a [u8],
    /// The number of the line that was read last, from 1.
    pub(super) line: usize,
}

impl Page {
    /// Adds a line, which must have no line end in it.
    pub(super) fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
        self.lines += 1;
    }

    /// Adds a text of many lines that ends with a line end.
    pub(super) fn lines(&mut self, text: &str) {
        self.text.push_str(text);
        self.lines += text.bytes().filter(|byte| *byte == b'\n').count();
    }

    /// Adds lines that belong to an entry.
    pub(super) fn entry(&mut self, number: u64, write: impl FnOnce(&mut Self)) {
        let first = self.lines + 1;
        write(self);
        self.entries.push((first, self.lines, number));
    }

    /// The text.
    pub(super) fn into_text(self) -> String {
        self.text
    }

    /// Whether `bytes` are this page, byte for byte.
    ///
    /// # Errors
    /// Place of the first differing byte: its entry, or its line if it is in none.
    pub(super) fn compare(&self, bytes: &[u8]) -> Result<(), Fault> {
        let wanted = self.text.as_bytes();
        if bytes == wanted {
            return Ok(());
        }
        let same = bytes.iter().zip(wanted).take_while(|(found, wanted)| found == wanted).count();
        let line = 1 + wanted[..same].iter().filter(|byte| **byte == b'\n').count();
        let within = |(first, last, _): &&(usize, usize, u64)| (*first..=*last).contains(&line);
        Err(match self.entries.iter().find(within) {
            Some((_, _, number)) => {
                Fault::Entry { number: *number, fault: EntryFault::Altered { line } }
            }
            None => Fault::Line { line, why: "it is not what is written here for this log" },
        })
    }
}

impl<'a> Lines<'a> {
    /// All lines of `bytes`.
    pub(super) const fn of(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, line: 0 }
    }

    /// The next line, without its end. A text without a line end is no line.
    pub(super) fn next_line(&mut self) -> Option<&'a [u8]> {
        let end = self.rest.iter().position(|byte| *byte == b'\n')?;
        let line = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        self.line += 1;
        Some(line)
    }

    /// The next `count` lines as one text, with their ends.
    pub(super) fn next_lines(&mut self, count: usize) -> Option<&'a [u8]> {
        let start = self.rest;
        for _ in 0..count {
            self.next_line()?;
        }
        Some(&start[..start.len() - self.rest.len()])
    }

    /// The next line, which must be this one.
    pub(super) fn expect(&mut self, wanted: &str) -> Result<(), Fault> {
        let found = self.next_line();
        if found == Some(wanted.as_bytes()) { Ok(()) } else { Err(self.fault(found)) }
    }

    /// That the line that was read last is none that an export has here.
    pub(super) const fn fault(&self, found: Option<&[u8]>) -> Fault {
        match found {
            Some(_) => {
                Fault::Line { line: self.line, why: "it is not what an export of a log has here" }
            }
            None => Fault::Line { line: self.line + 1, why: "the export ends too early" },
        }
    }
}
