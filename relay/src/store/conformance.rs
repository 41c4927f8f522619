//! Conformance suite of stores: the same tests for each, by `conformance!` in the store's own file.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tribune_protocol::ids::RoomName;
use tribune_relay_core::store::{
    Batch, LogPage, LogRow, MAX_BATCH_ENTRIES, MAX_ENTRY_BYTES, MAX_PAGE_BYTES, MAX_PAGE_ENTRIES,
    MAX_RECORD_BYTES, Store, StoreError, StoredRoom,
};

pub(super) use super::case::{Case, batch, room};
use super::case::{row, statistics};

/// A test function for each of the checks, for this [`Case`].
macro_rules! conformance {
    ($case:ty) => {
        $crate::store::conformance::conformance!($case:
            a_fresh_store_is_empty, what_is_written_is_found_again, entries_follow_without_gaps,
            a_write_is_stored_whole_or_not_at_all, rooms_do_not_mix, a_log_is_read_in_pages,
            what_is_too_large_is_refused, the_largest_batch_fits, a_full_store_refuses_and_goes_on,
            statistics_are_replaced_and_forgotten, any_sequence_of_writes_is_as_the_model_says);
    };
    ($case:ty: $($check:ident),*) => {
        $(
            #[test]
            fn $check() {
                $crate::store::conformance::$check::<$case>();
            }
        )*
    };
}
pub(super) use conformance;

pub(super) use super::statistics_conformance::statistics_are_replaced_and_forgotten;

fn numbers(page: &LogPage) -> Vec<u64> {
    page.rows.iter().map(|row| row.number).collect()
}

/// Everything that a store holds, as it says itself.
pub(super) fn contents(store: &mut dyn Store) -> Vec<(StoredRoom, Vec<LogRow>)> {
    let rooms = store.load().unwrap();
    let with_log = rooms.into_iter().map(|stored| {
        let mut log = Vec::new();
        loop {
            let page = store.read_log(&stored.room, log.len() as u64 + 1, 7).unwrap();
            if page.rows.is_empty() {
                assert_eq!(page.total, log.len() as u64);
                break;
            }
            log.extend(page.rows);
        }
        assert_eq!(stored.last.as_ref(), log.last());
        (stored, log)
    });
    with_log.collect()
}

pub(super) fn a_fresh_store_is_empty<C: Case>() {
    let mut case = C::fresh();
    for _ in 0..2 {
        assert_eq!(case.store().load().unwrap(), []);
        let page = case.store().read_log(&room("nobody"), 1, 10).unwrap();
        assert_eq!(page, LogPage::default());
        case.store().write(&[]).unwrap();
        case.store().write(&[batch("nobody", None, 1, 0)]).unwrap();
        case.reopen();
    }
}

pub(super) fn what_is_written_is_found_again<C: Case>() {
    let mut case = C::fresh();
    let binary = Bytes::from((0..=255).collect::<Vec<u8>>());
    let first = Batch {
        room: room("forum"),
        record: Some(binary.clone()),
        entries: vec![row(1, binary.clone()), row(2, Bytes::new())],
        statistics: Some(statistics(1, 0, "so far")),
    };
    case.store().write(std::slice::from_ref(&first)).unwrap();
    case.reopen();
    let found = StoredRoom {
        room: room("forum"),
        record: Some(binary),
        last: Some(row(2, Bytes::new())),
        statistics: first.statistics.clone(),
    };
    assert_eq!(contents(case.store()), [(found, first.entries)]);
    // A batch without a record leaves it; an empty record is one.
    case.store().write(&[batch("forum", None, 3, 1)]).unwrap();
    case.store().write(&[batch("quiet", Some(""), 1, 0)]).unwrap();
    case.reopen();
    let rooms = case.store().load().unwrap();
    assert_eq!(rooms[0].record.as_ref().map(Bytes::len), Some(256));
    assert_eq!(rooms[0].last, Some(row(3, "forum 3")));
    assert_eq!(rooms[1].record, Some(Bytes::new()));
    assert_eq!(rooms[1].last, None);
    case.store().write(&[batch("forum", Some("later"), 4, 0)]).unwrap();
    case.reopen();
    assert_eq!(case.store().load().unwrap()[0].record, Some(Bytes::from("later")));
}

pub(super) fn entries_follow_without_gaps<C: Case>() {
    let mut case = C::fresh();
    let refused = |case: &mut C, batches: &[Batch], next, found| {
        let gap = StoreError::Gap { room: room("forum"), next, found };
        assert_eq!(case.store().write(batches), Err(gap));
    };
    refused(&mut case, &[batch("forum", None, 0, 1)], 1, 0);
    refused(&mut case, &[batch("forum", None, 2, 1)], 1, 2);
    case.store().write(&[batch("forum", None, 1, 2)]).unwrap();
    case.reopen();
    refused(&mut case, &[batch("forum", None, 2, 2)], 3, 2);
    refused(&mut case, &[batch("forum", None, 4, 1)], 3, 4);
    refused(&mut case, &[batch("forum", None, u64::MAX, 1)], 3, u64::MAX);
    // Within a batch, and from one batch to the next.
    let mut torn = batch("forum", None, 3, 3);
    torn.entries.remove(1);
    refused(&mut case, &[torn], 4, 5);
    refused(&mut case, &[batch("forum", None, 3, 1), batch("forum", None, 3, 1)], 4, 3);
    case.store().write(&[batch("forum", None, 3, 1), batch("forum", None, 4, 1)]).unwrap();
    let page = case.store().read_log(&room("forum"), 1, 10).unwrap();
    assert_eq!(numbers(&page), [1, 2, 3, 4]);
}

pub(super) fn a_write_is_stored_whole_or_not_at_all<C: Case>() {
    let mut case = C::fresh();
    case.store().write(&[batch("a", Some("before"), 1, 2)]).unwrap();
    let before = contents(case.store());
    // The first two are good, also the record of the third.
    let batches = [
        batch("a", Some("after"), 3, 2),
        batch("b", Some("new"), 1, 1),
        batch("c", Some("half"), 2, 1),
    ];
    case.store().write(&batches).unwrap_err();
    assert_eq!(contents(case.store()), before);
    case.reopen();
    assert_eq!(contents(case.store()), before);
    case.store().write(&batches[..2]).unwrap();
    assert_eq!(case.store().load().unwrap().len(), 2);
}

pub(super) fn rooms_do_not_mix<C: Case>() {
    let mut case = C::fresh();
    let write = [
        batch("b", Some("B"), 1, 1),
        batch("a", Some("A"), 1, 2),
        batch("b", None, 2, 2),
        batch("a.b", None, 1, 1),
    ];
    case.store().write(&write).unwrap();
    case.reopen();
    let found = contents(case.store());
    let names: Vec<_> = found.iter().map(|(stored, _)| stored.room.as_str()).collect();
    assert_eq!(names, ["a", "a.b", "b"]);
    let texts = |log: &[LogRow]| log.iter().map(|row| row.bytes.clone()).collect::<Vec<_>>();
    assert_eq!(texts(&found[0].1), ["a 1", "a 2"]);
    assert_eq!(texts(&found[2].1), ["b 1", "b 2", "b 3"]);
}

pub(super) fn a_log_is_read_in_pages<C: Case>() {
    let mut case = C::fresh();
    let last = MAX_PAGE_ENTRIES as u64 + 20;
    case.store().write(&[batch("forum", None, 1, last - 30)]).unwrap();
    case.store().write(&[batch("forum", None, last - 29, 30)]).unwrap();
    let mut page = |from, limit| {
        let page = case.store().read_log(&room("forum"), from, limit).unwrap();
        assert_eq!(page.total, last);
        numbers(&page)
    };
    assert_eq!(page(1, 3), [1, 2, 3]);
    assert_eq!(page(0, 3), [1, 2, 3]);
    assert_eq!(page(17, 2), [17, 18]);
    assert_eq!(page(last - 1, 3), [last - 1, last]);
    assert_eq!(page(last, usize::MAX), [last]);
    assert_eq!(page(last + 1, 3), [0; 0]);
    assert_eq!(page(u64::MAX, 3), [0; 0]);
    assert_eq!(page(1, 0), [0; 0]);
    assert_eq!(page(2, usize::MAX).len(), MAX_PAGE_ENTRIES);

    // Large entries make shorter pages.
    let large = Bytes::from(vec![7; MAX_ENTRY_BYTES]);
    let entries = (1..=40).map(|number| row(number, large.clone())).collect();
    case.store().write(&[Batch { entries, ..Batch::new(room("large")) }]).unwrap();
    let page = case.store().read_log(&room("large"), 1, 40).unwrap();
    assert_eq!(page.rows.len(), MAX_PAGE_BYTES / MAX_ENTRY_BYTES);
    assert_eq!(page.total, 40);
}

pub(super) fn what_is_too_large_is_refused<C: Case>() {
    let mut case = C::fresh();
    let mut refused = |batch: Batch, text: &str| {
        let error = case.store().write(&[batch]).unwrap_err();
        assert!(matches!(error, StoreError::TooLarge { .. }), "{error}");
        assert!(error.to_string().contains(text), "{error}");
    };
    let over = |bytes: usize| Bytes::from(vec![0; bytes + 1]);
    let record = Some(over(MAX_RECORD_BYTES));
    refused(Batch { record, ..Batch::new(room("a")) }, "state in bytes of room a");
    let entries = vec![row(1, over(MAX_ENTRY_BYTES))];
    refused(Batch { entries, ..Batch::new(room("a")) }, "65537, at most 65536");
    refused(batch("a", None, 1, MAX_BATCH_ENTRIES as u64 + 1), "1025, at most 1024");
    assert_eq!(contents(case.store()), []);
}

pub(super) fn the_largest_batch_fits<C: Case>() {
    let mut case = C::fresh();
    let entry = Bytes::from(vec![3; 1000]);
    let largest = Batch {
        room: room("forum"),
        record: Some(Bytes::from(vec![9; MAX_RECORD_BYTES])),
        entries: (1..=MAX_BATCH_ENTRIES as u64).map(|n| row(n, entry.clone())).collect(),
        statistics: None,
    };
    case.store().write(std::slice::from_ref(&largest)).unwrap();
    case.reopen();
    let found = contents(case.store()).remove(0);
    assert_eq!((found.0.record, found.1), (largest.record, largest.entries));
}

pub(super) fn a_full_store_refuses_and_goes_on<C: Case>() {
    let mut case = C::fresh();
    case.store().write(&[batch("forum", Some("state"), 1, 3)]).unwrap();
    case.tighten();
    let before = contents(case.store());
    let mut large = batch("forum", Some(&"x".repeat(1 << 20)), 4, 1);
    for _ in 0..3 {
        let error = case.store().write(&[batch("new", None, 1, 1), large.clone()]).unwrap_err();
        assert!(matches!(error, StoreError::Full(_)), "{error:?}");
        assert_eq!(contents(case.store()), before);
    }
    // A small one still fits, and follows the entries before.
    case.store().write(&[batch("forum", None, 4, 1)]).unwrap();
    case.relax();
    large.entries[0].number = 5;
    case.store().write(&[large]).unwrap();
    case.reopen();
    assert_eq!(contents(case.store())[0].1.len(), 5);
}

/// One step of a random history.
#[derive(Debug, Clone)]
enum Step {
    Write(Vec<Draft>),
    Read { room: u8, from: u64, limit: usize },
    Reopen,
}

/// A batch whose numbers are relative to the next one.
#[derive(Debug, Clone)]
struct Draft {
    room: u8,
    record: Option<Vec<u8>>,
    /// Added to the first number that would follow; mostly 0.
    skip: u64,
    entries: Vec<Vec<u8>>,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..20);
    let skip = prop_oneof![12 => Just(0), 1 => 1..3_u64, 1 => Just(u64::MAX)];
    let draft = (0..3_u8, prop::option::of(bytes()), skip, prop::collection::vec(bytes(), 0..4))
        .prop_map(|(room, record, skip, entries)| Draft { room, record, skip, entries });
    let read = (0..3_u8, 0..9_u64, 0..5_usize).prop_map(|(room, from, limit)| Step::Read {
        room,
        from,
        limit,
    });
    prop::collection::vec(
        prop_oneof![
            6 => prop::collection::vec(draft, 0..4).prop_map(Step::Write),
            2 => read,
            1 => Just(Step::Reopen),
        ],
        1..20,
    )
}

#[derive(Debug, Clone, Default)]
struct Model(BTreeMap<RoomName, (Option<Bytes>, Vec<LogRow>)>);

impl Model {
    fn next(&self, room: &RoomName) -> u64 {
        self.0.get(room).map_or(1, |(_, log)| log.len() as u64 + 1)
    }

    /// The contents after one batch; `None` if it does not follow.
    fn with(mut self, batch: &Batch) -> Option<Self> {
        if batch.record.is_none() && batch.entries.is_empty() {
            return Some(self);
        }
        let (record, log) = self.0.entry(batch.room.clone()).or_default();
        if batch.record.is_some() {
            record.clone_from(&batch.record);
        }
        for row in &batch.entries {
            if row.number != log.len() as u64 + 1 {
                return None;
            }
            log.push(row.clone());
        }
        Some(self)
    }

    fn contents(&self) -> Vec<(StoredRoom, Vec<LogRow>)> {
        let stored = |(room, (record, log)): (&RoomName, &(Option<Bytes>, Vec<LogRow>))| {
            let (room, record, last) = (room.clone(), record.clone(), log.last().cloned());
            (StoredRoom { room, record, last, statistics: None }, log.clone())
        };
        self.0.iter().map(stored).collect()
    }
}

pub(super) fn any_sequence_of_writes_is_as_the_model_says<C: Case>() {
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 48,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    runner.run(&steps(), |steps| run_steps::<C>(&steps)).unwrap();
}

fn run_steps<C: Case>(steps: &[Step]) -> Result<(), TestCaseError> {
    let mut case = C::fresh();
    let mut model = Model::default();
    let name = |number: u8| room(&format!("room-{number}"));
    for step in steps {
        match step {
            Step::Write(drafts) => {
                let mut after = Some(model.clone());
                let mut batches = Vec::new();
                for draft in drafts {
                    let room = name(draft.room);
                    let follows = after.as_ref().unwrap_or(&model).next(&room);
                    let first = follows.wrapping_add(draft.skip);
                    let entries = (first..).zip(&draft.entries).map(|(n, e)| row(n, e.clone()));
                    let (record, entries) =
                        (draft.record.clone().map(Bytes::from), entries.collect());
                    let batch = Batch { record, entries, ..Batch::new(room) };
                    after = after.and_then(|model| model.with(&batch));
                    batches.push(batch);
                }
                let result = case.store().write(&batches);
                prop_assert_eq!(result.is_ok(), after.is_some(), "{:?}", result);
                model = after.unwrap_or(model);
            }
            Step::Read { room, from, limit } => {
                let page = case.store().read_log(&name(*room), *from, *limit).unwrap();
                let log = model.0.get(&name(*room)).map_or(&[][..], |(_, log)| log);
                let rows = log.iter().filter(|row| row.number >= *from).take(*limit).cloned();
                let rows = rows.collect();
                prop_assert_eq!(page, LogPage { rows, total: log.len() as u64 });
            }
            Step::Reopen => case.reopen(),
        }
    }
    prop_assert_eq!(contents(case.store()), model.contents());
    Ok(())
}
