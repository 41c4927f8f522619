//! Who pings when: each client once a period, evenly spread, one after the other.

use std::time::{Duration, Instant};

/// The turns of a number of clients.
#[derive(Debug)]
pub(crate) struct Rota {
    clients: usize,
    /// From one client's turn to the next one's.
    step: Duration,
    next: usize,
    due: Instant,
}

impl Rota {
    /// Clients who have a turn each in every period.
    pub(crate) fn new(clients: usize, period: Duration, now: Instant) -> Self {
        let clients = clients.max(1);
        let step = period / u32::try_from(clients).unwrap_or(u32::MAX);
        Self { clients, step, next: 0, due: now }
    }

    /// Goes on after a pause, with the one whose turn it is.
    pub(crate) const fn resume(&mut self, now: Instant) {
        self.due = now;
    }

    /// Whose turn has come.
    pub(crate) fn take(&mut self, now: Instant) -> Option<usize> {
        if now < self.due {
            return None;
        }
        let client = self.next;
        self.next = (client + 1) % self.clients;
        self.due += self.step;
        Some(client)
    }

    /// When the next turn comes.
    pub(crate) const fn due(&self) -> Instant {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_turn_in_a_period() {
        let start = Instant::now();
        let mut rota = Rota::new(4, Duration::from_secs(2), start);
        let mut turns = |after_ms| rota.take(start + Duration::from_millis(after_ms));
        assert_eq!((turns(0), turns(0), turns(499)), (Some(0), None, None));
        // One who comes late gets what has been missed.
        assert_eq!((turns(1_000), turns(1_000), turns(1_000)), (Some(1), Some(2), None));
        assert_eq!((turns(1_500), turns(2_000)), (Some(3), Some(0)));
        let later = start + Duration::from_secs(60);
        rota.resume(later);
        assert_eq!((rota.take(later), rota.take(later)), (Some(1), None));
        assert_eq!(rota.due(), later + Duration::from_millis(500));
    }
}
