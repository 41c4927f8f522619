//! A log as JSON: one document, each field of an entry on a line of its own. `<` is written as
//! `\u003c`, so that the document can stand in a page as it is. SPEC.md section 12.6.

use std::fmt::Display;

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::Export;
use super::page::{Lines, Page};
use crate::domain::action::LogAction;
use crate::domain::role::Role;
use crate::ids::{DisplayName, Note, ParticipantId, RoomName, Subject};
use crate::log::entry::{Address, Detail, Entry, Party};
use crate::log::fault::{EntryFault, Fault, HeadFault};
use crate::log::signed::{Head, SignedEntry};
use crate::log::time::utc;

/// Lines of an entry between its braces.
const FIELDS: usize = 14;
const OPEN: &str = "    {";
const CLOSE_LIST: &str = "  ]";

/// Writes the document.
pub(super) fn write(page: &mut Page, export: &Export) {
    let Head { room, entries, hash, at_ms, key, signature } = &export.head;
    page.line("{");
    page.line("  \"tribune_log\": 1,");
    page.line(&format!("  \"room\": {},", text(room)));
    page.line(&format!("  \"key\": {},", text(key)));
    page.line(&format!(
        "  \"head\": {{\"entries\": {entries}, \"time\": {}, \"at_ms\": {at_ms}, \"hash\": {}, \
         \"signature\": {}}},",
        text(utc(*at_ms)),
        text(hash),
        text(signature),
    ));
    page.line("  \"entries\": [");
    for (at, entry) in export.entries.iter().enumerate() {
        let last = at + 1 == export.entries.len();
        page.entry(entry.entry.number, |page| write_entry(page, entry, last));
    }
    page.line(CLOSE_LIST);
    page.line("}");
}

fn write_entry(page: &mut Page, signed: &SignedEntry, last: bool) {
    let SignedEntry { entry, previous, hash, signature } = signed;
    let fields = [
        ("number", entry.number.to_string()),
        ("time", text(utc(entry.at_ms))),
        ("text", text(entry.statement())),
        ("at_ms", entry.at_ms.to_string()),
        ("actor", party(&entry.actor)),
        ("action", text(entry.action)),
        ("target", entry.target.as_ref().map_or_else(null, party)),
        ("reason", text(&entry.reason)),
        ("duration_s", entry.duration_s.map_or_else(null, |seconds| seconds.to_string())),
        ("about", entry.about.map_or_else(null, |number| number.to_string())),
        ("detail", text(&entry.detail)),
        ("previous", text(previous)),
        ("hash", text(hash)),
        ("signature", text(signature)),
    ];
    let count = fields.len();
    page.line(OPEN);
    for (at, (key, value)) in fields.into_iter().enumerate() {
        let comma = if at + 1 < count { "," } else { "" };
        page.line(&format!("      \"{key}\": {value}{comma}"));
    }
    page.line(if last { "    }" } else { "    }," });
}

fn party(party: &Party) -> String {
    let Party { subject, name, role, participant, address } = party;
    format!(
        "{{\"subject\": {}, \"name\": {}, \"role\": {}, \"participant\": {}, \"address\": {}}}",
        subject.as_ref().map_or_else(null, text),
        name.as_ref().map_or_else(null, text),
        role.as_ref().map_or_else(null, text),
        participant.map_or_else(null, text),
        address.as_ref().map_or_else(null, text),
    )
}

fn null() -> String {
    "null".to_owned()
}

fn text(value: impl Display) -> String {
    serde_json::Value::String(value.to_string()).to_string().replace('<', "\\u003c")
}

/// Reads the document off `lines`. The parts for people are passed over: a comparison with the text that is
/// written for the log finds changes there.
pub(super) fn read(lines: &mut Lines<'_>) -> Result<Export, Fault> {
    lines.expect("{")?;
    lines.expect("  \"tribune_log\": 1,")?;
    let room = field::<RoomName>(lines, "room")?;
    let key = field::<String>(lines, "key")?;
    let head = field::<HeadRecord>(lines, "head")?;
    let head = head.parse(room, &key).map_err(unreadable_head)?;
    lines.expect("  \"entries\": [")?;
    let mut entries = Vec::new();
    for number in 1..=head.entries {
        entries.push(read_entry(lines, &head, number)?);
    }
    match lines.next_line() {
        Some(line) if line == CLOSE_LIST.as_bytes() => (),
        Some(line) if line == OPEN.as_bytes() => {
            let mut found = head.entries + 1;
            while let Some(line) = lines.next_line() {
                found += u64::from(line == OPEN.as_bytes());
            }
            return Err(Fault::Head(HeadFault::OtherCount { stated: head.entries, found }));
        }
        other => return Err(lines.fault(other)),
    }
    lines.expect("}")?;
    Ok(Export { entries, head })
}

fn read_entry(lines: &mut Lines<'_>, head: &Head, number: u64) -> Result<SignedEntry, Fault> {
    let fault = |fault| Fault::Entry { number, fault };
    match lines.next_line() {
        Some(line) if line == OPEN.as_bytes() => (),
        Some(line) if line == CLOSE_LIST.as_bytes() => {
            let (stated, found) = (head.entries, number - 1);
            return Err(Fault::Head(HeadFault::OtherCount { stated, found }));
        }
        Some(_) => {
            let why = format!("line {} should begin it", lines.line);
            return Err(fault(EntryFault::Unreadable(why)));
        }
        None => return Err(fault(EntryFault::Missing)),
    }
    let first = lines.line + 1;
    let fields = lines.next_lines(FIELDS).ok_or_else(|| fault(EntryFault::Missing))?;
    let end = lines.next_line().ok_or_else(|| fault(EntryFault::Missing))?;
    if end != b"    }" && end != b"    }," {
        let why = format!("line {} should end it", lines.line);
        return Err(fault(EntryFault::Unreadable(why)));
    }
    let record: EntryRecord = serde_json::from_slice(&[b"{", fields, b"}"].concat())
        .map_err(|error| fault(EntryFault::Unreadable(located(&error, first))))?;
    record.parse(head.room.clone()).map_err(|why| fault(EntryFault::Unreadable(why)))
}

/// The reader's message, with lines of the file instead of lines of the entry.
fn located(error: &serde_json::Error, first: usize) -> String {
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default();
    format!("{message}, in line {}", first + error.line().saturating_sub(1))
}

/// A line with one field of the document.
fn field<T: DeserializeOwned>(lines: &mut Lines<'_>, key: &str) -> Result<T, Fault> {
    let line = lines.next_line().ok_or_else(|| lines.fault(None))?;
    let value = line
        .strip_prefix(format!("  \"{key}\": ").as_bytes())
        .and_then(|rest| rest.strip_suffix(b","))
        .ok_or_else(|| lines.fault(Some(line)))?;
    serde_json::from_slice(value).map_err(|error| unreadable_head(located(&error, lines.line)))
}

const fn unreadable_head(why: String) -> Fault {
    Fault::Head(HeadFault::Unreadable(why))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HeadRecord {
    entries: u64,
    #[serde(rename = "time")]
    _time: IgnoredAny,
    at_ms: u64,
    hash: String,
    signature: String,
}

impl HeadRecord {
    fn parse(self, room: RoomName, key: &str) -> Result<Head, String> {
        Ok(Head {
            room,
            entries: self.entries,
            hash: parse(&self.hash)?,
            at_ms: self.at_ms,
            key: parse(key)?,
            signature: parse(&self.signature)?,
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryRecord {
    number: u64,
    #[serde(rename = "time")]
    _time: IgnoredAny,
    #[serde(rename = "text")]
    _text: IgnoredAny,
    at_ms: u64,
    actor: PartyRecord,
    action: LogAction,
    target: Option<PartyRecord>,
    reason: Note,
    duration_s: Option<u64>,
    about: Option<u64>,
    detail: Detail,
    previous: String,
    hash: String,
    signature: String,
}

impl EntryRecord {
    fn parse(self, room: RoomName) -> Result<SignedEntry, String> {
        let Self { number, at_ms, action, reason, duration_s, about, detail, .. } = self;
        let actor = self.actor.parse()?;
        let target = self.target.map(PartyRecord::parse).transpose()?;
        Ok(SignedEntry {
            entry: Entry {
                number,
                room,
                at_ms,
                actor,
                action,
                target,
                reason,
                duration_s,
                about,
                detail,
            },
            previous: parse(&self.previous)?,
            hash: parse(&self.hash)?,
            signature: parse(&self.signature)?,
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PartyRecord {
    subject: Option<Subject>,
    name: Option<DisplayName>,
    role: Option<Role>,
    participant: Option<String>,
    address: Option<Address>,
}

impl PartyRecord {
    fn parse(self) -> Result<Party, String> {
        let Self { subject, name, role, participant, address } = self;
        let participant = participant.as_deref().map(parse::<ParticipantId>).transpose()?;
        Ok(Party { subject, name, role, participant, address })
    }
}

fn parse<T: std::str::FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}
