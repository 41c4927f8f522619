//! Sketch of distinct persons: how many there are, within its error, in 2 KiB however many they are. Sketches of
//! relays merge in any order, as often as one likes. Shared by edge, replica and authority.

use std::fmt;

use datasketches::common::NumStdDev;
use datasketches::hash::value::raw_bytes;
use datasketches::hll::{HllSketch, HllType, HllUnion};
use tribune_protocol::ids::Subject;
use tribune_protocol::limits::MAX_SKETCH_BYTES;
use tribune_protocol::statistics::Estimate;

/// Binary logarithm of the registers: 4,096 of them, a standard error of 1.04 / 64, which is 1.6 %.
const LG_K: u8 = 12;

/// See the module's documentation.
pub(crate) struct Persons(HllUnion);

/// Bytes that are no sketch of persons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("these bytes are no sketch of persons")]
pub(crate) struct NoSketch;

impl Persons {
    /// Adds a person.
    pub(crate) fn add(&mut self, subject: &Subject) {
        self.0.update_value(raw_bytes::from_str(subject.as_str()));
    }

    /// Adds all persons of another sketch. Whether it may hold others than were known.
    ///
    /// # Errors
    /// [`NoSketch`]
    pub(crate) fn merge(&mut self, bytes: &[u8]) -> Result<bool, NoSketch> {
        if bytes.len() > MAX_SKETCH_BYTES {
            return Err(NoSketch);
        }
        let sketch = HllSketch::deserialize(bytes).map_err(|_| NoSketch)?;
        if sketch.lg_config_k() != LG_K {
            return Err(NoSketch);
        }
        let before = self.to_bytes();
        self.0.update(&sketch);
        Ok(self.to_bytes() != before)
    }

    /// The sketch as it travels and is stored.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.0.to_sketch(HllType::Hll4).serialize()
    }

    /// Number of distinct persons.
    pub(crate) fn estimate(&self) -> Estimate {
        let estimate = self.0.estimate();
        let above = self.0.upper_bound(NumStdDev::One) - estimate;
        let error_ppm = if estimate > 0.0 { above / estimate * 1e6 } else { 0.0 };
        Estimate { value: estimate.round() as u64, error_ppm: error_ppm.ceil() as u32 }
    }

    /// Whether nobody is in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Default for Persons {
    fn default() -> Self {
        match HllUnion::new(LG_K) {
            Ok(union) => Self(union),
            Err(error) => unreachable!("a size within the bounds of sketches: {error}"),
        }
    }
}

impl fmt::Debug for Persons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Persons({})", self.estimate().value)
    }
}

#[cfg(test)]
mod tests {
    use tribune_protocol::ids::ParticipantId;

    use super::*;

    fn of(range: std::ops::Range<u64>) -> Persons {
        let mut persons = Persons::default();
        range.for_each(|who| persons.add(&Subject::guest(ParticipantId(who))));
        persons
    }

    #[test]
    fn merged_sketches_count_each_person_once() {
        for (relays, each) in [(4_u64, 2_500_u64), (100, 10_000)] {
            let mut all = Persons::default();
            for relay in 0..relays {
                // Half of each relay's persons are at the next one too.
                let from = relay * each / 2;
                all.merge(&of(from..from + each).to_bytes()).unwrap();
            }
            let truth = (relays + 1) * each / 2;
            let estimate = all.estimate();
            assert!(estimate.error_ppm <= 17_000, "{estimate:?}");
            assert!(estimate.covers(truth, 2), "{estimate:?} of {truth}");
        }
    }

    #[test]
    fn few_are_exact_and_a_repeated_merge_changes_nothing() {
        let mut some = of(0..50);
        assert_eq!(some.estimate().value, 50);
        let bytes = of(20..70).to_bytes();
        assert_eq!(some.merge(&bytes), Ok(true));
        assert_eq!(some.merge(&bytes), Ok(false));
        assert_eq!(some.estimate().value, 70);
    }

    #[test]
    fn foreign_bytes_are_refused() {
        let mut persons = of(0..1_000);
        let bytes = persons.to_bytes();
        for cut in 0..bytes.len().min(200) {
            assert_eq!(persons.merge(&bytes[..cut]), Err(NoSketch), "cut at {cut}");
        }
        let other = HllSketch::new(4, HllType::Hll8).unwrap();
        assert_eq!(persons.merge(&other.serialize()), Err(NoSketch));
        assert_eq!(persons.merge(&vec![0xff; 100_000]), Err(NoSketch));
    }
}
