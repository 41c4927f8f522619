//! Pace of questions at this relay: a few a second reach the origin, however many ask.

use std::time::{Duration, Instant};

use tribune_protocol::codes::ErrorCode;
use tribune_protocol::limits::QUESTIONS_A_SECOND;

use super::refusal::Refusal;

/// Time that a question stands for.
const PACE: Duration = Duration::from_millis(1_000 / QUESTIONS_A_SECOND as u64);

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct QuestionPace {
    /// When the allowance is whole.
    whole_at: Option<Instant>,
}

impl QuestionPace {
    /// Takes a place for a question.
    ///
    /// # Errors
    /// [`ErrorCode::SlowMode`], if too many have been asked in the last second.
    pub(crate) fn take(&mut self, now: Instant) -> Result<(), Refusal> {
        let from = self.whole_at.map_or(now, |at| at.max(now));
        if from.saturating_duration_since(now) > PACE * (QUESTIONS_A_SECOND - 1) {
            let text = "Many are asking at the moment; try again in a few seconds.";
            return Err(Refusal::new(ErrorCode::SlowMode, text));
        }
        self.whole_at = Some(from + PACE);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_a_second_pass() {
        let mut pace = QuestionPace::default();
        let start = Instant::now();
        let passed = (0..100_u64)
            .filter(|step| pace.take(start + Duration::from_millis(step * 100)).is_ok());
        assert_eq!(passed.count(), 21);
    }
}
