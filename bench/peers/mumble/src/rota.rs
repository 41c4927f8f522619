//! Schedule of pings: each client once per period, evenly spread, in order.

use std::time::{Duration, Instant};

/// Turns of a number of clients.
#[derive(Debug)]
pub(crate) struct Rota {
    clients: usize,
    /// Time from one client's turn to the next one's.
    step: Duration,
    next: usize,
    due: Instant,
}

impl Rota {
    /// Clients with one turn each per period.
    pub(crate) fn new(clients: usize, period: Duration, now: Instant) -> Self {
        let clients = clients.max(1);
        let step = period / u32::try_from(clients).unwrap_or(u32::MAX);
        Self { clients, step, next: 0, due: now }
    }

    /// Continues after a pause with the client whose turn it is.
    pub(crate) const fn resume(&mut self, now: Instant) {
        self.due = now;
    }

    /// Client whose turn is due, if any.
    pub(crate) fn take(&mut self, now: Instant) -> Option<usize> {
        if now < self.due {
            return None;
        }
        let client = self.next;
        self.next = (client + 1) % self.clients;
        self.due += self.step;
        Some(client)
    }

    /// Time of the next turn.
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
        // A late caller gets the missed turns.
        assert_eq!((turns(1_000), turns(1_000), turns(1_000)), (Some(1), Some(2), None));
        assert_eq!((turns(1_500), turns(2_000)), (Some(3), Some(0)));
        let later = start + Duration::from_secs(60);
        rota.resume(later);
        assert_eq!((rota.take(later), rota.take(later)), (Some(1), None));
        assert_eq!(rota.due(), later + Duration::from_millis(500));
    }
}
