//! Every byte of every form of export, changed: each change is found, and where it is.

use tribune_protocol::log::{Export, Fault, Format, SignedEntry, Verifier, verify_bytes};

use crate::sample::{ENTRIES, key, log};

/// Threads that share the bytes of a file.
const THREADS: usize = 2;

#[test]
fn json() {
    every_change_is_found(Format::Json, 1);
}

#[test]
fn csv() {
    every_change_is_found(Format::Csv, 1);
}

/// The JSON in the page is that of the JSON export, read by the same code: here each eleventh byte of
/// it, and every byte of what people read.
#[test]
fn html() {
    every_change_is_found(Format::Html, 11);
}

#[test]
#[ignore = "minutes on a busy machine"]
fn html_with_every_byte_of_its_json() {
    every_change_is_found(Format::Html, 1);
}

/// One bit of each byte, another bit from byte to byte. Of the JSON in a page each `step`th byte.
fn every_change_is_found(format: Format, step: usize) {
    let (entries, head) = log();
    let export = Export { entries, head };
    let text = export.render(format);
    let places = places(format, &text);
    let bytes = text.as_bytes();
    verify_bytes(bytes, Some(&key().public())).expect("unchanged, it is verified");
    let json_end = text.find("</script>").unwrap_or(0);
    let verifiers = verifiers(&export);
    let signatures = signatures(&export, &text);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (places, export, verifiers) = (&places, &export, &verifiers);
            let (signatures, mut changed) = (&signatures, bytes.to_vec());
            scope.spawn(move || {
                for at in (thread..changed.len()).step_by(THREADS) {
                    if at < json_end && !at.is_multiple_of(step) {
                        continue;
                    }
                    let mask = 1_u8 << (at % 8);
                    changed[at] ^= mask;
                    let entry = (signatures[at] && !at.is_multiple_of(64))
                        .then(|| in_one_signature(export, &changed));
                    let found = match entry.flatten() {
                        Some(entry) => {
                            let before = &verifiers[entry.entry.number as usize - 1];
                            before.clone().handle_entry(&entry).err()
                        }
                        None => verify_bytes(&changed, None).err(),
                    };
                    changed[at] ^= mask;
                    let wanted = &places[at];
                    assert!(
                        found.as_ref().is_some_and(|fault| wanted.is_named_by(fault)),
                        "{format}: byte {at} ^ {mask:#04x} is in {wanted:?}, not in {found:?}"
                    );
                }
            });
        }
    });
}

/// Whether each byte is a digit of the signature of an entry.
fn signatures(export: &Export, text: &str) -> Vec<bool> {
    let mut digits = vec![false; text.len()];
    for entry in &export.entries {
        let signature = entry.signature.to_string();
        for (at, _) in text.match_indices(&signature) {
            digits[at..at + signature.len()].fill(true);
        }
    }
    digits
}

/// Verifiers that have taken all entries before each.
fn verifiers(export: &Export) -> Vec<Verifier> {
    let mut verifier = Verifier::new(export.head.room.clone(), export.head.key);
    let entries = export.entries.iter();
    let before = |entry| {
        let before = verifier.clone();
        verifier.handle_entry(entry).expect("unchanged, it is verified");
        before
    };
    entries.map(before).collect()
}

/// The entry whose signature is the only thing that was changed. All signatures before it are as they
/// were, and verifying them again for each of 6,400 digits would take minutes: a verifier that has
/// taken them stands for them, but for some of the digits.
fn in_one_signature(export: &Export, changed: &[u8]) -> Option<SignedEntry> {
    let (_, read) = Export::parse(changed).ok()?;
    if read.head != export.head || read.entries.len() != export.entries.len() {
        return None;
    }
    let mut pairs = read.entries.into_iter().zip(&export.entries);
    let (found, wanted) = pairs.find(|(found, wanted)| found != *wanted)?;
    let mended = SignedEntry { signature: wanted.signature, ..found.clone() };
    (mended == *wanted).then_some(found)
}

/// Position of a byte in a file.
#[derive(Debug, Clone, PartialEq)]
enum Place {
    Entry { number: u64, line: usize },
    Head { line: usize },
    Elsewhere { line: usize },
}

impl Place {
    fn is_named_by(&self, fault: &Fault) -> bool {
        match (self, fault) {
            (Self::Entry { number, .. }, Fault::Entry { number: named, .. }) => number == named,
            (Self::Head { .. }, Fault::Head(_)) => true,
            (
                Self::Entry { line, .. } | Self::Head { line } | Self::Elsewhere { line },
                Fault::Line { line: named, .. },
            ) => line == named,
            (_, Fault::Entry { .. } | Fault::Head(_)) => false,
        }
    }
}

/// Position of each byte, derived from the text and not from the code that wrote it.
fn places(format: Format, text: &str) -> Vec<Place> {
    let (mut places, mut number, mut count) = (Vec::new(), None, 0_u64);
    for (line, content) in (1..).zip(text.split_inclusive('\n')) {
        let trimmed = content.trim_end();
        let starts = match format {
            Format::Json => trimmed == "    {",
            Format::Csv => line > 1 && !trimmed.starts_with("head,"),
            Format::Html => trimmed == "    {" || trimmed.contains("<td class=\"t\">"),
        };
        if starts {
            count += 1;
            number = Some((count - 1) % ENTRIES as u64 + 1);
        }
        let is_head = trimmed.starts_with("head,")
            || ["  \"room\"", "  \"key\"", "  \"head\""].iter().any(|key| trimmed.starts_with(key));
        let place = match number {
            Some(number) if !trimmed.starts_with("head,") => Place::Entry { number, line },
            _ if is_head => Place::Head { line },
            _ => Place::Elsewhere { line },
        };
        places.extend(std::iter::repeat_n(place, content.len()));
        let block = format != Format::Csv && trimmed.starts_with(' ');
        if !block || trimmed == "    }" || trimmed == "    }," {
            number = None;
        }
    }
    let rounds = if format == Format::Html { 2 } else { 1 };
    assert_eq!(count, rounds * ENTRIES as u64, "every entry has its lines");
    places
}
