//! Losses further up: frames that the neighbour itself lacked, and passed on when it had them. Asking it for them
//! earlier is in vain, and a thousand listeners would.

use std::time::Duration;

use super::{MAX_WAIT, with_margin};

/// Share of the missing frames that were lost on the way here from which on nothing is waited for, in 256ths: an eighth.
/// They should be asked for at once, and most questions are not in vain any more.
const OWN_SHARE: u8 = 32;

/// See the module's documentation.
#[derive(Debug, Clone)]
pub(super) struct Above {
    /// Wait within which such frames come.
    wait: Duration,
    /// Share of the missing frames that were lost on the way here, in 256ths.
    own_share: u8,
}

impl Above {
    pub(super) const fn new() -> Self {
        Self { wait: Duration::ZERO, own_share: 0 }
    }

    /// Time for which to wait before a question.
    pub(super) const fn wait(&self) -> Duration {
        if self.own_share < OWN_SHARE { self.wait } else { Duration::ZERO }
    }

    /// A frame came so long after it was found missing, as the neighbour lacked it.
    pub(super) fn handle_late(&mut self, lateness: Duration) {
        self.handle_needless();
        self.wait = (self.wait - self.wait / 128).max(with_margin(lateness)).min(MAX_WAIT);
    }

    /// A frame that came as an answer was not lost on the way here after all.
    pub(super) const fn handle_needless(&mut self) {
        self.own_share -= self.own_share.div_ceil(16);
    }

    /// A frame came as an answer: it was lost on the way here.
    pub(super) const fn handle_own(&mut self) {
        self.own_share += (u8::MAX - self.own_share).div_ceil(16);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATENESS: Duration = Duration::from_millis(80);

    #[test]
    fn losses_further_up_are_waited_for_where_hardly_any_are_on_the_way_here() {
        let mut above = Above::new();
        assert_eq!(above.wait(), Duration::ZERO, "nothing is known");
        for _ in 0..50 {
            above.handle_late(LATENESS);
        }
        assert_eq!(above.wait(), Duration::from_millis(90));
        above.handle_own();
        assert_eq!(above.wait(), Duration::from_millis(90), "one is hardly any");
        // One in three.
        for _ in 0..20 {
            above.handle_own();
            above.handle_late(LATENESS);
            above.handle_late(LATENESS);
        }
        assert_eq!(above.wait(), Duration::ZERO);
        for _ in 0..50 {
            above.handle_late(LATENESS);
        }
        assert_eq!(above.wait(), Duration::from_millis(90), "it has been mended");
        above.handle_late(Duration::from_secs(1));
        assert_eq!(above.wait(), MAX_WAIT);
    }

    #[test]
    fn shares_stay_in_range() {
        let mut above = Above::new();
        (0..1_000).for_each(|_| above.handle_own());
        assert_eq!(above.own_share, u8::MAX);
        (0..1_000).for_each(|_| above.handle_late(LATENESS));
        assert_eq!(above.own_share, 0);
    }
}
