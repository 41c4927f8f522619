//! Reports of reception: a listener's own, and those of single listeners for moderators and operators.
//! SPEC.md section 8.20.

use serde::{Deserialize, Serialize};

use crate::domain::profile::Profile;
use crate::domain::role::Role;
use crate::ids::{DisplayName, ParticipantId};
use crate::limits::{MAX_REPORTED_FRAMES, MAX_REPORTED_US};
use crate::quality::{MILLION, QualitySummary, ppm};

/// Reception of a participant since its last report, or since it joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Report {
    /// Frames received, late ones included and duplicates not.
    pub received: u32,
    /// Frames that never came.
    pub lost: u32,
    /// Frames that were missing at first, and came after they had been asked for or were had from the
    /// redundant copy in the following one.
    pub repaired: u32,
    /// Of these, those that the edge sent again because it was asked for them.
    #[serde(default)]
    pub answered: u32,
    /// Frame periods that were made up.
    pub concealed: u32,
    /// Frames that came after their turn.
    pub late: u32,
    /// Runs of frames that were not there in their turn; a single one is a run too.
    #[serde(default)]
    pub runs: u32,
    /// Sound that waits to be played, in microseconds, of the track that waits longest.
    pub buffer_us: u32,
    /// Interarrival jitter (RFC 3550 section 6.4.1), in microseconds, of the track with the most.
    pub jitter_us: u32,
    /// Round trip to the edge, in microseconds; 0 while it is not known.
    pub rtt_us: u32,
    /// From capture to playout, in microseconds: the mean of the frames played that carried a capture
    /// time. Absent if none did, or without an estimate of the origin's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_us: Option<u32>,
    /// The longest of these, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_max_us: Option<u32>,
    /// Error bound of these, in microseconds, by the errors of both clocks' estimates as
    /// far as they are known here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_error_us: Option<u32>,
    /// The listener hears later on purpose. The edge's own note: its delay, jitter and buffer are no measure of
    /// the network, and are not folded.
    #[serde(skip)]
    pub is_delayed: bool,
}

impl Report {
    /// Frames that should have come.
    #[must_use]
    pub const fn expected(&self) -> u32 {
        self.received.saturating_add(self.lost)
    }

    /// Frames that never came, of those that should have, in millionths.
    #[must_use]
    pub const fn loss_ppm(&self) -> u32 {
        ppm(self.lost as u64, self.expected() as u64)
    }

    /// Frame periods that were made up, of those in which somebody spoke, in millionths.
    #[must_use]
    pub const fn concealed_ppm(&self) -> u32 {
        ppm(self.concealed as u64, self.expected() as u64)
    }

    /// Mean length of the runs of lost frames, in millionths of a frame; `None` without any, or from a
    /// version that does not count them.
    #[must_use]
    pub const fn run_length(&self) -> Option<u32> {
        if self.lost == 0 {
            return None;
        }
        match (self.lost as u64 * MILLION).checked_div(self.runs as u64) {
            // A frame that comes late after all leaves the run, which is still counted.
            Some(mean) if mean < MILLION => Some(MILLION as u32),
            Some(mean) if mean < u32::MAX as u64 => Some(mean as u32),
            Some(_) => Some(u32::MAX),
            None => None,
        }
    }

    /// The same with no count above what a listener can have heard in the time of a report, and no time above 60 s.
    #[must_use]
    pub fn bounded(self) -> Self {
        let bounded = |frames: u32| frames.min(MAX_REPORTED_FRAMES);
        let bounded_us = |us: u32| us.min(MAX_REPORTED_US);
        Self {
            received: bounded(self.received),
            lost: bounded(self.lost),
            repaired: bounded(self.repaired),
            answered: bounded(self.answered),
            concealed: bounded(self.concealed),
            late: bounded(self.late),
            runs: bounded(self.runs),
            buffer_us: bounded_us(self.buffer_us),
            jitter_us: bounded_us(self.jitter_us),
            rtt_us: bounded_us(self.rtt_us),
            latency_us: self.latency_us.map(bounded_us),
            latency_max_us: self.latency_max_us.map(bounded_us),
            latency_error_us: self.latency_error_us.map(bounded_us),
            is_delayed: self.is_delayed,
        }
    }
}

/// A participant's last report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerReport {
    /// The participant.
    pub participant: ParticipantId,
    /// Their name.
    pub name: DisplayName,
    /// Their role.
    pub role: Role,
    /// The edge's name.
    pub relay: DisplayName,
    /// Profile by which it is sent frames.
    #[serde(default, skip_serializing_if = "Profile::is_live")]
    pub profile: Profile,
    /// Age of the report, in milliseconds.
    pub age_ms: u32,
    /// The report.
    pub report: Report,
}

/// Reception quality of a room: a summary, and the listeners asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerReports {
    /// The whole room over the last minute; absent if nobody has reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<QualitySummary>,
    /// Single ones, the worst first; at most 30. Empty if the one asked for is not there, or has not
    /// reported.
    pub listeners: Vec<ListenerReport>,
    /// Relays that did not answer in time: listeners there are left out.
    #[serde(default)]
    pub missing: u32,
}

/// Ranking of listeners, the worst off first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ranking {
    /// Frame periods made up, as a share.
    #[default]
    Concealed,
    /// Frames that never came, as a share.
    Lost,
    /// Frames that came too late.
    Late,
    /// From capture to playout.
    Latency,
    /// Interarrival jitter.
    Jitter,
    /// Sound that waits to be played.
    Buffer,
    /// Round trip to the edge.
    RoundTrip,
    /// One of a later version. Answered by `bad_request`.
    #[serde(other)]
    Unknown,
}

impl Ranking {
    /// Those of this version.
    pub const ALL: [Self; 7] = [
        Self::Concealed,
        Self::Lost,
        Self::Late,
        Self::Latency,
        Self::Jitter,
        Self::Buffer,
        Self::RoundTrip,
    ];

    /// The word on the wire and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Concealed => "concealed",
            Self::Lost => "lost",
            Self::Late => "late",
            Self::Latency => "latency",
            Self::Jitter => "jitter",
            Self::Buffer => "buffer",
            Self::RoundTrip => "round_trip",
            Self::Unknown => "unknown",
        }
    }

    /// Value that reports are ordered by, the highest being the worst off.
    #[must_use]
    pub fn of(self, report: &Report) -> u32 {
        match self {
            Self::Concealed | Self::Unknown => report.concealed_ppm(),
            Self::Lost => report.loss_ppm(),
            Self::Late => report.late,
            Self::Latency => report.latency_us.unwrap_or(0),
            Self::Jitter => report.jitter_us,
            Self::Buffer => report.buffer_us,
            Self::RoundTrip => report.rtt_us,
        }
    }
}

impl std::str::FromStr for Ranking {
    type Err = UnknownRanking;

    fn from_str(text: &str) -> Result<Self, UnknownRanking> {
        let known = Self::ALL.into_iter().find(|ranking| ranking.as_str() == text);
        known.ok_or_else(|| UnknownRanking(text.chars().take(40).collect()))
    }
}

/// A word that listeners cannot be ordered by.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not one of concealed, lost, late, latency, jitter, buffer, round_trip")]
pub struct UnknownRanking(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_what_they_print() {
        for ranking in Ranking::ALL {
            assert_eq!(ranking.as_str().parse::<Ranking>().unwrap(), ranking);
            let wire = ciborium::Value::serialized(&ranking).unwrap();
            assert_eq!(wire.as_text(), Some(ranking.as_str()));
        }
        let error = "loudness".parse::<Ranking>().unwrap_err().to_string();
        assert!(error.contains("\"loudness\" is not one of concealed"), "{error}");
    }

    #[test]
    fn runs_have_a_mean_length() {
        let report = |lost, runs| Report { received: 250, lost, runs, ..Report::default() };
        assert_eq!(report(9, 3).run_length(), Some(3_000_000));
        assert_eq!(report(4, 3).run_length(), Some(1_333_333));
        assert_eq!(report(1, 3).run_length(), Some(1_000_000), "the others came late");
        assert_eq!(report(0, 3).run_length(), None);
        assert_eq!(report(9, 0).run_length(), None, "an older client");
        assert_eq!(report(u32::MAX, 1).run_length(), Some(u32::MAX));
    }

    #[test]
    fn nobody_reports_more_than_can_be_heard() {
        let boast = Report { received: u32::MAX, lost: 7, ..Report::default() };
        assert_eq!(boast.expected(), u32::MAX);
        let bounded = boast.bounded();
        assert_eq!((bounded.received, bounded.lost), (MAX_REPORTED_FRAMES, 7));
        let late = Report { latency_us: Some(u32::MAX), rtt_us: 5, ..Report::default() }.bounded();
        assert_eq!((late.latency_us, late.rtt_us), (Some(MAX_REPORTED_US), 5));
    }
}
