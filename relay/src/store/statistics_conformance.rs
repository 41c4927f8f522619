//! Conformance of stores about statistics.

use bytes::Bytes;
use tribune_relay_core::store::{
    Batch, MAX_FORGOTTEN, MAX_STATISTICS_BYTES, StatisticsRow, StoreError,
};

use super::case::{Case, room, row, statistics};

pub(super) fn statistics_are_replaced_and_forgotten<C: Case>() {
    let mut case = C::fresh();
    let of =
        |row: &StatisticsRow| Batch { statistics: Some(row.clone()), ..Batch::new(room("forum")) };
    let [first, second] = [statistics(1, 5_000, "over"), statistics(2, 0, "on")];
    case.store().write(&[of(&statistics(1, 0, "so far")), of(&first)]).unwrap();
    case.store().write(&[of(&second)]).unwrap();
    case.reopen();
    assert_eq!(case.store().load().unwrap()[0].statistics, Some(second.clone()));
    let read = |case: &mut C, run| case.store().read_statistics(&room("forum"), run).unwrap();
    assert_eq!(read(&mut case, Some(1)), Some(first.clone()));
    assert_eq!((read(&mut case, None), read(&mut case, Some(3))), (Some(second.clone()), None));
    assert_eq!(case.store().read_statistics(&room("nobody"), None).unwrap(), None);
    // A write that is refused leaves them.
    let refused = Batch { entries: vec![row(7, "a gap")], ..of(&statistics(2, 9_000, "wrong")) };
    assert!(case.store().write(&[refused]).is_err());
    assert_eq!(read(&mut case, None), Some(second.clone()));
    let large = Bytes::from(vec![0; MAX_STATISTICS_BYTES + 1]);
    let large = StatisticsRow { bytes: large, ..second.clone() };
    assert!(matches!(case.store().write(&[of(&large)]), Err(StoreError::TooLarge { .. })));
    // What ended before that time is forgotten; what is on never is.
    assert!(!case.store().forget_statistics(5_000).unwrap());
    assert_eq!(read(&mut case, Some(1)), Some(first));
    assert!(!case.store().forget_statistics(5_001).unwrap());
    case.reopen();
    assert_eq!((read(&mut case, Some(1)), read(&mut case, None)), (None, Some(second)));
    let many: Vec<Batch> =
        (0..=MAX_FORGOTTEN as u32).map(|run| of(&statistics(run + 10, 2_000, ""))).collect();
    case.store().write(&many).unwrap();
    assert!(case.store().forget_statistics(3_000).unwrap(), "a bite at a time");
    assert!(!case.store().forget_statistics(3_000).unwrap());
}
