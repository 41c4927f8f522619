//! The store in memory, held to the conformance suite and to its limits.

use tribune_relay_core::store::{MemoryLimits, MemoryStore, Store, StoreError};

use super::conformance::{Case, batch, conformance, room};

/// It survives nothing, so there is nothing to reopen.
impl Case for MemoryStore {
    fn fresh() -> Self {
        Self::default()
    }

    fn store(&mut self) -> &mut dyn Store {
        self
    }

    fn reopen(&mut self) {}

    fn tighten(&mut self) {
        let bytes = self.bytes() + 64 * 1024;
        self.set_limits(MemoryLimits { bytes, ..MemoryLimits::default() });
    }

    fn relax(&mut self) {
        self.set_limits(MemoryLimits::default());
    }
}

conformance!(MemoryStore);

#[test]
fn each_limit_is_kept_and_named() {
    let full = |result: Result<(), StoreError>| match result {
        Err(StoreError::Full(why)) => why,
        other => panic!("{other:?}"),
    };
    let mut store = MemoryStore::new(MemoryLimits { rooms: 2, entries_per_room: 3, bytes: 100 });
    store.write(&[batch("a", Some("state"), 1, 3), batch("b", None, 1, 1)]).unwrap();
    assert!(full(store.write(&[batch("c", Some(""), 1, 0)])).contains("2 rooms"));
    assert!(full(store.write(&[batch("a", None, 4, 1)])).contains("room a has its 3 entries"));
    let large = "x".repeat(100);
    assert!(full(store.write(&[batch("a", Some(&large), 4, 0)])).contains("100 bytes"));
    // Of three batches one is too many, so none is kept; and nothing is counted for them.
    let two = [batch("b", Some("kept?"), 2, 1), batch("c", None, 1, 1)];
    full(store.write(&two));
    assert_eq!(store.read_log(&room("b"), 1, 9).unwrap().total, 1);
    let bytes = store.bytes();
    store.write(&two[..1]).unwrap();
    store.write(&[batch("b", Some(""), 3, 0)]).unwrap();
    assert_eq!(store.bytes(), bytes + two[0].entries[0].bytes.len());
}
