//! A log as a file: written in one way only, so that each byte of it can be verified. For the client.

use std::fmt;
use std::str::FromStr;

use super::fault::Fault;
use super::signed::{Head, SignedEntry};
use super::verify::{Verified, verify_links, verify_signatures};
use crate::domain::invalid_text::InvalidText;
use crate::domain::key::LogPublicKey;
use page::{Lines, Page};

mod csv;
mod html;
mod json;
mod page;
mod report;

/// A log and how far it goes. The room and the key are those of the head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// All entries, from the first.
    pub entries: Vec<SignedEntry>,
    /// The signed head, as of the time of fetching.
    pub head: Head,
}

/// Format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// One document, for programs.
    Json,
    /// A table, for spreadsheets.
    Csv,
    /// A transparency report, for people; the JSON is in it.
    Html,
}

impl Export {
    /// The file's text. Whether the log is in order is for [`super::verify()`] to say before.
    #[must_use]
    pub fn render(&self, format: Format) -> String {
        self.page(format).into_text()
    }

    /// Reads a file of any of the three formats, and says which it is. Only the entries and the head are
    /// read; for the rest of the file, and for whether the log is whole, see [`verify_bytes`].
    ///
    /// # Errors
    /// The entry, the head or the line that cannot be read.
    pub fn parse(bytes: &[u8]) -> Result<(Format, Self), Fault> {
        let mut lines = Lines::of(bytes);
        let (format, export) = match bytes.first() {
            Some(b'{') => (Format::Json, json::read(&mut lines)),
            Some(b'<') => (Format::Html, html::read(&mut lines)),
            Some(b'n') => (Format::Csv, csv::read(bytes)),
            Some(_) | None => {
                let why = "it begins none of the three forms that a log is exported in";
                return Err(Fault::Line { line: 1, why });
            }
        };
        export.map(|export| (format, export))
    }

    fn page(&self, format: Format) -> Page {
        let mut page = Page::default();
        match format {
            Format::Json => json::write(&mut page, self),
            Format::Csv => csv::write(&mut page, self),
            Format::Html => html::write(&mut page, self),
        }
        page
    }
}

/// Verifies a file: that its log is whole, unchanged and signed, and that every other byte is as it is
/// written for this log. With a `pinned` key only that one may have signed it.
///
/// # Errors
/// The first fault found: by its entry, or as one of the head, or by its line. The cheap part is
/// looked at first; the signatures of the entries come last.
pub fn verify_bytes(
    bytes: &[u8],
    pinned: Option<&LogPublicKey>,
) -> Result<(Export, Verified), Fault> {
    let (format, export) = Export::parse(bytes)?;
    let Export { entries, head } = &export;
    verify_links(&head.room, pinned, entries, head)?;
    export.page(format).compare(bytes)?;
    verify_signatures(entries, head)?;
    let verified = Verified::of(head, pinned.is_some());
    Ok((export, verified))
}

impl Format {
    /// The format's name; also the ending of its files' names, without the dot.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Html => "html",
        }
    }
}

impl FromStr for Format {
    type Err = InvalidText;

    fn from_str(name: &str) -> Result<Self, InvalidText> {
        match name {
            "json" => Ok(Self::Json),
            "csv" => Ok(Self::Csv),
            "html" => Ok(Self::Html),
            _ => Err(InvalidText::new("format", name, "is none of json, csv and html")),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
