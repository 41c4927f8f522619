//! Formats of exports, and their round trip.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use tribune_protocol::domain::role::Role;
use tribune_protocol::ids::{DisplayName, Note, ParticipantId, RoomName, Subject};
use tribune_protocol::log::{
    Address, Chain, Detail, Draft, EntryFault, Export, Fault, Format, HeadFault, LogAction, LogKey,
    Party, verify_bytes,
};

use crate::sample::{key, log, text};

const FORMATS: [Format; 3] = [Format::Json, Format::Csv, Format::Html];

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None, cases: 64, ..ProptestConfig::default()
    })]

    #[test]
    fn any_export_is_read_back(room in room(), drafts in vec(draft(), 0..12), at_ms in any::<u64>()) {
        let mut chain = Chain::new(room);
        let entries = drafts.into_iter().map(|draft| chain.append(&key(), draft)).collect();
        let export = Export { entries, head: chain.head(&key(), at_ms) };
        for format in FORMATS {
            let text = export.render(format);
            let (read, verified) = verify_bytes(text.as_bytes(), Some(&key().public()))
                .map_err(|fault| TestCaseError::fail(format!("{format}: {fault}")))?;
            prop_assert_eq!(&read, &export);
            prop_assert_eq!(verified.entries, export.entries.len() as u64);
            prop_assert_eq!(Export::parse(text.as_bytes()), Ok((format, read)));
        }
    }
}

#[test]
fn the_json_is_json() {
    let export = sample();
    let json: serde_json::Value = serde_json::from_str(&export.render(Format::Json)).unwrap();
    assert_eq!(json["room"], "stage");
    assert_eq!(json["entries"].as_array().unwrap().len(), 50);
    let fourth = &json["entries"][3];
    assert_eq!(fourth["reason"], "<script>alert(1)</script><!-- </script <b>&amp;");
    assert_eq!(fourth["hash"], export.entries[3].hash.to_string());
}

#[test]
fn the_page_runs_and_loads_nothing() {
    let page = sample().render(Format::Html);
    assert_eq!(page.matches("<script").count(), 1);
    assert_eq!(page.matches("</script>").count(), 1);
    for loader in ["<!--", "src=", "href=", "url(", "@import", "<img", "<link", "<b>", "onload"] {
        assert!(!page.contains(loader), "{loader}");
    }
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    let start = page.find("tribune-log\">\n").unwrap() + "tribune-log\">\n".len();
    let end = page.find("</script>").unwrap();
    assert_eq!(page[start..end], sample().render(Format::Json));
}

#[test]
fn the_page_sums_the_log_up() {
    let page = sample().render(Format::Html);
    let has = |text: &str| assert!(page.contains(text), "{text}");
    has("<p>50 entries, from 2026-11-22 20:15:03 UTC to 2026-11-22 21:05:03 UTC.");
    has("<tr><td><bdi>banned</bdi></td><td class=\"n\">2</td></tr>");
    has("<p>1 appeals: 1 upheld, 0 rejected, 0 not answered. Time to answer: median 1 min 1 s,");
}

#[test]
fn a_spreadsheet_takes_no_text_for_a_formula() {
    let table = sample().render(Format::Csv);
    let mut rows = csv::ReaderBuilder::new().has_headers(false).from_reader(table.as_bytes());
    let mut guarded = 0;
    for row in rows.records() {
        for cell in &row.unwrap() {
            assert!(!cell.trim_start().starts_with(['=', '+', '-', '@']), "{cell}");
            guarded += usize::from(cell.starts_with('\''));
        }
    }
    assert!(guarded > 10, "{guarded} cells");
}

#[test]
fn what_is_cut_off_is_missed() {
    for format in FORMATS {
        let text = sample().render(format);
        for end in (0..text.len()).step_by(97).chain([text.len() - 1]) {
            assert!(verify_bytes(&text.as_bytes()[..end], None).is_err(), "{format}: {end} bytes");
        }
        let longer = format!("{text}\n");
        assert!(verify_bytes(longer.as_bytes(), None).is_err(), "{format} with a line more");
    }
}

#[test]
fn faults_are_named() {
    let json = sample().render(Format::Json);
    let fault = |text: &str| verify_bytes(text.as_bytes(), None).unwrap_err();
    assert_eq!(
        fault(&json.replace("\"number\": 17,", "\"number\":  17,")).to_string(),
        "entry 17: line 264 is not what is written for this entry"
    );
    assert_eq!(
        fault(&json.replace("\"entries\": 50,", "\"entries\": 49,")),
        Fault::Head(HeadFault::OtherCount { stated: 49, found: 50 })
    );
    let other = LogKey::from_seed(&[1; 32]).public();
    let found = verify_bytes(json.as_bytes(), Some(&other)).unwrap_err();
    assert!(matches!(found, Fault::Head(HeadFault::OtherKey { .. })));
    let dropped: String = json.lines().filter(|line| !line.contains("\"number\": 9,")).collect();
    assert!(matches!(fault(&dropped), Fault::Line { line: 1, .. }));
    assert_eq!(fault("a log").to_string().split(':').next(), Some("line 1"));
    let export = Export { entries: sample().entries[..20].to_vec(), ..sample() };
    assert_eq!(
        fault(&export.render(Format::Csv)),
        Fault::Head(HeadFault::OtherCount { stated: 50, found: 20 })
    );
    let mut export = sample();
    export.entries[30].signature.0[0] ^= 1;
    assert!(matches!(
        fault(&export.render(Format::Html)),
        Fault::Entry { number: 31, fault: EntryFault::WrongSignature { .. } }
    ));
}

fn sample() -> Export {
    let (entries, head) = log();
    Export { entries, head }
}

fn draft() -> impl Strategy<Value = Draft> {
    let numbers = (any::<u64>(), option::of(any::<u64>()), option::of(1..20_u64));
    let words = (note(), detail());
    (numbers, party(), proptest::sample::select(LogAction::ALL), option::of(party()), words)
        .prop_map(|((at_ms, duration_s, about), actor, action, target, (reason, detail))| Draft {
            at_ms,
            actor,
            action,
            target,
            reason,
            duration_s,
            about,
            detail,
        })
}

fn party() -> impl Strategy<Value = Party> {
    (
        option::of(
            "[^\\pC\\pZ]{1,12}".prop_filter_map("valid", |text| text.parse::<Subject>().ok()),
        ),
        option::of(
            " ?[^\\pC\\pZ]{1,12}".prop_filter_map("valid", |text| text.parse::<DisplayName>().ok()),
        ),
        option::of("[a-z][a-z0-9_-]{0,9}".prop_map(|role| text::<Role>(&role))),
        option::of(any::<u64>().prop_map(ParticipantId)),
        option::of("[!-~]{1,20}".prop_map(|address| text::<Address>(&address))),
    )
        .prop_map(|(subject, name, role, participant, address)| Party {
            subject,
            name,
            role,
            participant,
            address,
        })
}

fn room() -> impl Strategy<Value = RoomName> {
    "[a-z0-9][a-z0-9_.-]{0,20}".prop_map(|name| text(&name))
}

fn note() -> impl Strategy<Value = Note> {
    "[^\\p{Cc}]{0,40}".prop_filter_map("valid", |note| note.parse().ok())
}

fn detail() -> impl Strategy<Value = Detail> {
    "[-+=@'\"<>&, a-z\\\\]{0,40}".prop_map(|detail| text(&detail))
}
