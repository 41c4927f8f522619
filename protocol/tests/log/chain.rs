//! The chain, its signatures, the stored form.

use tribune_protocol::limits::{MAX_LOG_ENTRY_BYTES, MAX_MESSAGE_BYTES};
use tribune_protocol::log::{
    Chain, Draft, EntryFault, Fault, Hash, Head, HeadFault, LogAction, LogKey, LogPublicKey, Party,
    SignedEntry, Verifier, verify,
};

use crate::sample::{ENTRIES, key, largest, log, room};

#[test]
fn a_log_is_verified() {
    let (entries, head) = log();
    let verified = verify(&room(), Some(&key().public()), &entries, &head).unwrap();
    assert_eq!(verified.entries, ENTRIES as u64);
    assert!(verified.pinned);
    assert!(!verify(&room(), None, &entries, &head).unwrap().pinned);

    let empty = Chain::new(room()).head(&key(), 5);
    assert_eq!(verify(&room(), None, &[], &empty).unwrap().entries, 0);
}

#[test]
fn every_action_is_in_the_sample() {
    let (entries, _) = log();
    for action in LogAction::ALL {
        assert!(entries.iter().any(|entry| entry.entry.action == *action), "{action}");
    }
}

#[test]
fn a_chain_goes_on_where_it_ended() {
    let (mut entries, _) = log();
    let mut chain = Chain::resume(entries.last().unwrap());
    assert_eq!(chain.entries(), ENTRIES as u64);
    entries.push(chain.append(&key(), Draft::new(7, Party::relay(), LogAction::RoomEnded)));
    let head = chain.head(&key(), 8);
    assert_eq!(verify(&room(), None, &entries, &head).unwrap().entries, ENTRIES as u64 + 1);
}

#[test]
fn entries_are_stored_and_read_back() {
    for entry in log().0.iter().chain([&largest()]) {
        let bytes = entry.to_bytes();
        assert!(bytes.len() <= MAX_LOG_ENTRY_BYTES, "{} bytes", bytes.len());
        assert_eq!(SignedEntry::from_bytes(&bytes).unwrap(), *entry);
    }
    // The number is the one part of the largest that a chain gives: 8 bytes more at most.
    assert!(largest().to_bytes().len() + 8 <= MAX_LOG_ENTRY_BYTES);
    const { assert!(7 * MAX_LOG_ENTRY_BYTES < MAX_MESSAGE_BYTES) };
}

#[test]
fn the_stored_form_is_the_only_one() {
    let bytes = log().0[0].to_bytes();
    let read = |bytes: &[u8]| SignedEntry::from_bytes(bytes).unwrap_err();
    assert!(matches!(read(&[&bytes[..], &[0]].concat()), EntryFault::Unreadable(_)));
    assert!(matches!(read(&bytes[..bytes.len() - 1]), EntryFault::Unreadable(_)));
    assert!(matches!(read(&vec![0; 2_049]), EntryFault::TooLong { bytes: 2_049 }));
    // One more key, which a reader passes over.
    let mut longer = bytes.clone();
    longer[0] += 1;
    longer.extend_from_slice(&[0x61, b'x', 0x01]);
    assert_eq!(read(&longer), EntryFault::NotCanonical);
}

/// Each byte of the stored log, under each of eight masks. The entries before the changed one are as
/// they were, so a verifier that has taken them stands for all of them.
#[test]
fn every_changed_byte_of_the_stored_log_is_found_in_its_entry() {
    let (entries, _) = log();
    let mut verifier = Verifier::new(room(), key().public());
    let mut bytes = 0;
    for (entry, number) in entries.iter().zip(1..) {
        let stored = entry.to_bytes();
        for at in 0..stored.len() {
            for bit in 0..8 {
                let mut changed = stored.clone();
                changed[at] ^= 1 << bit;
                let found = SignedEntry::from_bytes(&changed)
                    .map_err(|fault| Fault::Entry { number, fault })
                    .and_then(|entry| verifier.clone().handle_entry(&entry));
                assert!(
                    matches!(found, Err(Fault::Entry { number: named, .. }) if named == number),
                    "byte {at} of entry {number} ^ {:#04x}: {found:?}",
                    1 << bit
                );
            }
        }
        bytes += stored.len();
        verifier.handle_entry(entry).unwrap();
    }
    assert!(bytes > 15_000, "{bytes} bytes are too few for 50 entries");
}

#[test]
fn what_is_missing_moved_or_put_in_is_named() {
    let (entries, head) = log();
    let fault = |entries: &[SignedEntry]| verify(&room(), None, entries, &head).unwrap_err();

    let mut without = entries.clone();
    without.remove(16);
    assert_eq!(
        fault(&without).to_string(),
        "entry 17: its place is taken by number 18: entries are missing or out of order"
    );
    let mut swapped = entries.clone();
    swapped.swap(3, 4);
    assert_eq!(fault(&swapped), at(4, EntryFault::OutOfOrder { found: 5 }));
    let mut doubled = entries.clone();
    doubled.insert(9, entries[8].clone());
    assert_eq!(fault(&doubled), at(10, EntryFault::OutOfOrder { found: 9 }));
    let cut = Fault::Head(HeadFault::OtherCount { stated: 50, found: 49 });
    assert_eq!(fault(&entries[..49]), cut);
    assert_eq!(cut.to_string(), "the head of the log: it counts 50 entries, and there are 49");
}

#[test]
fn changed_content_is_named() {
    let (entries, head) = log();
    let with = |number: usize, change: fn(&mut SignedEntry)| {
        let mut entries = entries.clone();
        change(&mut entries[number - 1]);
        verify(&room(), None, &entries, &head).unwrap_err()
    };
    let found = with(12, |entry| entry.entry.reason = "a kinder one".parse().unwrap());
    assert_eq!(found, at(12, EntryFault::WrongHash));
    let found = with(12, |entry| entry.entry.room = "other".parse().unwrap());
    assert!(matches!(found, Fault::Entry { number: 12, fault: EntryFault::OtherRoom { .. } }));
    let found = with(12, |entry| entry.previous = Hash::ZERO);
    assert!(matches!(found, Fault::Entry { number: 12, fault: EntryFault::BrokenLink { .. } }));
    let found = with(12, |entry| entry.signature.0[0] ^= 1);
    assert!(matches!(found, Fault::Entry { number: 12, fault: EntryFault::WrongSignature { .. } }));
}

/// Every entry from the changed one on is hashed anew, but by another key.
#[test]
fn a_log_written_anew_by_somebody_else_is_not_the_origins() {
    let (entries, head) = log();
    let forger = LogKey::from_seed(&[43; 32]);
    let mut forged = entries[..30].to_vec();
    let mut chain = Chain::resume(&forged[29]);
    for _ in 30..ENTRIES {
        forged.push(chain.append(&forger, Draft::new(9, Party::relay(), LogAction::Locked)));
    }
    let key = key().public();
    let by_forger = chain.head(&forger, head.at_ms);
    let found = verify(&room(), None, &forged, &by_forger).unwrap_err();
    assert_eq!(found, at(1, EntryFault::WrongSignature { key: forger.public() }));
    let found = verify(&room(), Some(&key), &forged, &by_forger).unwrap_err();
    assert_eq!(found, Fault::Head(HeadFault::OtherKey { wanted: key, found: forger.public() }));
    let mut own_key = by_forger.clone();
    own_key.key = key;
    let found = verify(&room(), Some(&key), &forged, &own_key).unwrap_err();
    assert_eq!(found, Fault::Head(HeadFault::WrongSignature { key }));
    let mut verifier = Verifier::new(room(), key);
    let taken = forged.iter().map_while(|entry| verifier.handle_entry(entry).ok()).count();
    assert_eq!((taken, verifier.entries()), (30, 30));
}

#[test]
fn every_field_of_a_head_counts() {
    let (entries, head) = log();
    let with = |change: fn(&mut Head)| {
        let mut head = head.clone();
        change(&mut head);
        match verify(&room(), None, &entries, &head).unwrap_err() {
            Fault::Head(fault) => fault,
            other @ (Fault::Entry { .. } | Fault::Line { .. }) => panic!("{other}"),
        }
    };
    let wrong = |fault| matches!(fault, HeadFault::WrongSignature { .. });
    assert!(wrong(with(|head| head.entries -= 1)));
    assert!(wrong(with(|head| head.at_ms += 1)));
    assert!(wrong(with(|head| head.hash.0[31] ^= 0x80)));
    assert!(wrong(with(|head| head.key = LogPublicKey([9; 32]))));
    assert!(wrong(with(|head| head.signature.0[63] ^= 1)));
    assert!(matches!(
        with(|head| head.room = "other".parse().unwrap()),
        HeadFault::OtherRoom { .. }
    ));
    // Signed by the right key, but of another log of as many entries.
    let mut other = Chain::new(room());
    for _ in 0..ENTRIES {
        other.append(&key(), Draft::new(9, Party::relay(), LogAction::Locked));
    }
    let found = verify(&room(), None, &entries, &other.head(&key(), 1)).unwrap_err();
    assert!(matches!(found, Fault::Head(HeadFault::OtherHash { .. })));
}

#[test]
fn a_log_is_followed_page_by_page() {
    let (entries, head) = log();
    let mut verifier = Verifier::new(room(), key().public());
    for page in entries.chunks(7) {
        for entry in page {
            assert!(verifier.check_head(&head).is_err(), "there is more to come");
            verifier.handle_entry(entry).unwrap();
        }
    }
    assert_eq!(verifier.check_head(&head).unwrap().entries, ENTRIES as u64);
    // An entry that is refused does not count.
    let mut chain = Chain::resume(entries.last().unwrap());
    let next = chain.append(&key(), Draft::new(9, Party::relay(), LogAction::Locked));
    let mut unsigned = next.clone();
    unsigned.signature.0[5] ^= 4;
    assert!(verifier.handle_entry(&unsigned).is_err());
    assert_eq!(verifier.entries(), ENTRIES as u64);
    verifier.handle_entry(&next).unwrap();
}

/// Entries travel in messages whose fields are read by way of a buffer of unknown type.
#[test]
fn entries_travel_in_messages() {
    #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
    #[serde(tag = "type", rename_all = "snake_case")]
    enum Message {
        Page { entries: Vec<SignedEntry>, head: Head },
    }
    let (entries, head) = log();
    let message = Message::Page { entries: entries[..7].to_vec(), head };
    let bytes = tribune_protocol::control::encode(None, &message).unwrap();
    let mut reader = tribune_protocol::control::ControlReader::default();
    reader.handle_bytes(&bytes);
    let body = reader.poll_message().unwrap().unwrap();
    let read = tribune_protocol::control::decode::<Message>(&body).unwrap();
    assert_eq!(read.message, message);
}

fn at(number: u64, fault: EntryFault) -> Fault {
    Fault::Entry { number, fault }
}
