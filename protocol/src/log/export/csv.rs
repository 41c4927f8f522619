//! A log as CSV (RFC 4180, lines ended by LF): a row for each entry, columns for people in front, then
//! those that are verified; a last row with the head. SPEC.md section 12.6.

use std::fmt::Display;
use std::str::FromStr;

use csv::{ByteRecord, ReaderBuilder, WriterBuilder};

use super::Export;
use super::page::Page;
use crate::ids::RoomName;
use crate::log::entry::{Entry, Party};
use crate::log::fault::{EntryFault, Fault, HeadFault};
use crate::log::signed::{Head, SignedEntry};
use crate::log::time::{span, utc};

/// The columns. Of an entry those up to `signature` are filled in, of the head the others too.
const COLUMNS: [&str; 27] = [
    "number",
    "time",
    "actor",
    "action",
    "target",
    "reason",
    "duration",
    "about",
    "detail",
    "at_ms",
    "actor_subject",
    "actor_name",
    "actor_role",
    "actor_participant",
    "actor_address",
    "target_subject",
    "target_name",
    "target_role",
    "target_participant",
    "target_address",
    "duration_s",
    "previous",
    "hash",
    "signature",
    "room",
    "entries",
    "key",
];
/// Columns of the actor.
const ACTOR: [&str; 5] =
    ["actor_subject", "actor_name", "actor_role", "actor_participant", "actor_address"];
/// Columns of the target.
const TARGET: [&str; 5] =
    ["target_subject", "target_name", "target_role", "target_participant", "target_address"];
/// The first cell of the last row.
const HEAD: &str = "head";

/// Writes the rows.
pub(super) fn write(page: &mut Page, export: &Export) {
    page.line(&row(&COLUMNS.map(str::to_owned)));
    for entry in &export.entries {
        let row = row(&entry_cells(entry));
        page.entry(entry.entry.number, |page| page.line(&row));
    }
    page.line(&row(&head_cells(&export.head)));
}

/// A row without its line end. No text of a log has a line end in it.
fn row(cells: &[String]) -> String {
    let mut out = Vec::with_capacity(1_024);
    let mut writer = WriterBuilder::new().buffer_capacity(1_024).from_writer(&mut out);
    let written = writer.write_record(cells).is_ok() && writer.flush().is_ok();
    drop(writer);
    match String::from_utf8(out) {
        Ok(row) if written => row.trim_end_matches('\n').to_owned(),
        Ok(_) | Err(_) => unreachable!("a vector takes every row of text"),
    }
}

fn entry_cells(signed: &SignedEntry) -> [String; 27] {
    let SignedEntry { entry, previous, hash, signature } = signed;
    let [actor_subject, actor_name, actor_role, actor_participant, actor_address] =
        party_cells(Some(&entry.actor));
    let [target_subject, target_name, target_role, target_participant, target_address] =
        party_cells(entry.target.as_ref());
    [
        entry.number.to_string(),
        utc(entry.at_ms),
        guarded(&entry.actor),
        entry.action.to_string(),
        optional(entry.target.as_ref()),
        guarded(&entry.reason),
        optional(entry.duration_s.map(span)),
        optional(entry.about),
        guarded(&entry.detail),
        entry.at_ms.to_string(),
        actor_subject,
        actor_name,
        actor_role,
        actor_participant,
        actor_address,
        target_subject,
        target_name,
        target_role,
        target_participant,
        target_address,
        optional(entry.duration_s),
        previous.to_string(),
        hash.to_string(),
        signature.to_string(),
        String::new(),
        String::new(),
        String::new(),
    ]
}

fn party_cells(party: Option<&Party>) -> [String; 5] {
    [
        optional(party.and_then(|party| party.subject.as_ref())),
        optional(party.and_then(|party| party.name.as_ref())),
        optional(party.and_then(|party| party.role.as_ref())),
        optional(party.and_then(|party| party.participant)),
        optional(party.and_then(|party| party.address.as_ref())),
    ]
}

fn head_cells(head: &Head) -> [String; 27] {
    COLUMNS.map(|column| match column {
        "number" => HEAD.to_owned(),
        "time" => utc(head.at_ms),
        "at_ms" => head.at_ms.to_string(),
        "hash" => head.hash.to_string(),
        "signature" => head.signature.to_string(),
        "room" => guarded(&head.room),
        "entries" => head.entries.to_string(),
        "key" => head.key.to_string(),
        _ => String::new(),
    })
}

fn optional(value: Option<impl Display>) -> String {
    value.map_or_else(String::new, guarded)
}

/// A text that a spreadsheet takes as text: one that looks like a formula, or has a guard already, gets an
/// apostrophe in front.
fn guarded(text: impl Display) -> String {
    let text = text.to_string();
    let formula = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];
    let looks_like_one = text.trim_start().starts_with(formula) || text.starts_with('\'');
    if looks_like_one { format!("'{text}") } else { text }
}

/// Reads the rows. The columns for people are passed over: a comparison with the text written for the
/// log finds changes there.
pub(super) fn read(bytes: &[u8]) -> Result<Export, Fault> {
    let lines = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
    let mut record = ByteRecord::new();
    let mut next = |record: &mut ByteRecord| match reader.read_byte_record(record) {
        Ok(more) => more,
        Err(error) => unreachable!("bytes in memory are read: {error}"),
    };
    if !next(&mut record) || !record.iter().eq(COLUMNS.iter().map(|column| column.as_bytes())) {
        return Err(Fault::Line { line: 1, why: "it does not name the columns of a log" });
    }
    let (mut rows, mut head) = (Vec::new(), None);
    while next(&mut record) {
        let first = record.get(0).unwrap_or_default();
        let is_last = record.position().is_some_and(|position| position.line() == lines);
        if is_last && !first.iter().all(u8::is_ascii_digit) {
            head = Some(read_head(&record).map_err(HeadFault::Unreadable).map_err(Fault::Head)?);
        } else {
            rows.push(std::mem::take(&mut record));
        }
    }
    let Some(head) = head else { return Err(without_head(&rows)) };
    let entries = rows.iter().zip(1..).map(|(row, number)| {
        let fault = |why| Fault::Entry { number, fault: EntryFault::Unreadable(why) };
        entry(row, &head.room).map_err(fault)
    });
    Ok(Export { entries: entries.collect::<Result<_, _>>()?, head })
}

/// The last row is missing, or the row before goes on into it.
fn without_head(rows: &[ByteRecord]) -> Fault {
    match rows.last().map(Cells::of) {
        Some(Err(why)) => {
            Fault::Entry { number: rows.len() as u64, fault: EntryFault::Unreadable(why) }
        }
        Some(Ok(_)) | None => {
            Fault::Head(HeadFault::Unreadable("the last row is not there".to_owned()))
        }
    }
}

fn entry(record: &ByteRecord, room: &RoomName) -> Result<SignedEntry, String> {
    let cells = Cells::of(record)?;
    let has_target = !cells.text("target")?.is_empty();
    let target = if has_target { Some(party(&cells, TARGET)?) } else { None };
    Ok(SignedEntry {
        entry: Entry {
            number: cells.value("number")?,
            room: room.clone(),
            at_ms: cells.value("at_ms")?,
            actor: party(&cells, ACTOR)?,
            action: cells.value("action")?,
            target,
            reason: cells.value("reason")?,
            duration_s: cells.optional("duration_s")?,
            about: cells.optional("about")?,
            detail: cells.value("detail")?,
        },
        previous: cells.value("previous")?,
        hash: cells.value("hash")?,
        signature: cells.value("signature")?,
    })
}

fn party(cells: &Cells<'_>, columns: [&str; 5]) -> Result<Party, String> {
    let [subject, name, role, participant, address] = columns;
    Ok(Party {
        subject: cells.optional(subject)?,
        name: cells.optional(name)?,
        role: cells.optional(role)?,
        participant: cells.optional(participant)?,
        address: cells.optional(address)?,
    })
}

fn read_head(record: &ByteRecord) -> Result<Head, String> {
    let cells = Cells::of(record)?;
    if cells.text("number")? != HEAD {
        return Err(format!("the last row does not begin with {HEAD}"));
    }
    Ok(Head {
        room: cells.value("room")?,
        entries: cells.value("entries")?,
        hash: cells.value("hash")?,
        at_ms: cells.value("at_ms")?,
        key: cells.value("key")?,
        signature: cells.value("signature")?,
    })
}

/// The cells of a row, by the names of their columns.
struct Cells<'a>(&'a ByteRecord);

impl<'a> Cells<'a> {
    fn of(record: &'a ByteRecord) -> Result<Self, String> {
        match record.len() == COLUMNS.len() {
            true => Ok(Self(record)),
            false => Err(format!("its row has {} cells, not {}", record.len(), COLUMNS.len())),
        }
    }

    /// A cell without its guard.
    fn text(&self, column: &str) -> Result<&'a str, String> {
        let cell = COLUMNS.iter().position(|name| *name == column).and_then(|at| self.0.get(at));
        let text = str::from_utf8(cell.unwrap_or_default())
            .map_err(|_| format!("its {column} is not UTF-8"))?;
        Ok(text.strip_prefix('\'').unwrap_or(text))
    }

    fn value<T: FromStr<Err: Display>>(&self, column: &str) -> Result<T, String> {
        let text = self.text(column)?;
        text.parse().map_err(|error| format!("its {column} cannot be read: {error}"))
    }

    fn optional<T: FromStr<Err: Display>>(&self, column: &str) -> Result<Option<T>, String> {
        if self.text(column)?.is_empty() { Ok(None) } else { self.value(column).map(Some) }
    }
}
