//! Pressure on a shard: whether it has so little time left that listeners are better given several frame periods a
//! packet than a frame too late. Used by [`super::Shard`].

/// Share of time at work, in parts per million, from which on a shard is taken for behind: bursts of joins and
/// turns of other processes need the rest.
const BEHIND_PPM: u64 = 850_000;
/// Shares in a row at or above it: a second of them, since a storm of joins is over sooner.
const BEHIND_FOR: u8 = 5;
/// Share of time under which a shard that packs would not be behind without: packing leaves it two fifths of
/// the work.
const AHEAD_PPM: u64 = 280_000;
/// Shares in a row under it: five seconds.
const AHEAD_FOR: u8 = 25;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Pressure {
    is_packing: bool,
    /// Shares in a row that speak for a change.
    in_a_row: u8,
}

impl Pressure {
    /// Whether listeners are given several frame periods a packet.
    pub(super) const fn is_packing(&self) -> bool {
        self.is_packing
    }

    /// Takes the share of the last fifth of a second that was spent at work. Returns whether that changes
    /// anything.
    pub(super) const fn handle_share(&mut self, busy_ppm: u64) -> bool {
        let (speaks_for_change, needed) = match self.is_packing {
            false => (busy_ppm >= BEHIND_PPM, BEHIND_FOR),
            true => (busy_ppm < AHEAD_PPM, AHEAD_FOR),
        };
        self.in_a_row = if speaks_for_change { self.in_a_row + 1 } else { 0 };
        let changes = self.in_a_row == needed;
        if changes {
            (self.is_packing, self.in_a_row) = (!self.is_packing, 0);
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_of_pressure_packs_and_five_seconds_of_rest_end_it() {
        let mut pressure = Pressure::default();
        let mut after = |busy_ppm, times| {
            (0..times).filter(|_| pressure.handle_share(busy_ppm)).count();
            pressure.is_packing()
        };
        assert!(!after(1_000_000, 4));
        assert!(!after(800_000, 1), "a storm of joins is over");
        assert!(!after(900_000, 4));
        assert!(after(900_000, 1));
        assert!(after(400_000, 100), "without packing that would be too much");
        assert!(after(200_000, 24));
        assert!(!after(200_000, 1));
    }
}
