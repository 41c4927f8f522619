//! Measurements of the demo, as a table or JSON, and their verdict.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use crate::process::Statistics;

/// The slowest that 99 of 100 frames may be, in ms: what still feels like a conversation.
const P99_MS_MAX: f64 = 250.0;
/// Concealed frames among a thousand received that a busy machine excuses.
const CONCEALED_PER_MILLE_MAX: u64 = 5;
/// A packet can be with a listener's kernel before an acknowledgement and be read after it.
pub(super) const READ_LATE_MS: u64 = 50;
/// The longest that a silence may take to be confirmed by every relay, in ms.
const SILENCE_MS_MAX: u64 = 1_000;
/// Tolerated difference between a recording and the time listened, in seconds.
const RECORDING_TOLERANCE_S: f64 = 0.5;
/// Seconds of speech required in a recording: the conversation and the question.
const SPEECH_S_MIN: usize = 24;
/// Listeners that there have to be.
const LISTENERS: usize = 40;

/// All of it.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// From the origin down.
    pub depths: Vec<Depth>,
    /// Effect of the silencing.
    pub silence: Silence,
    /// Whether the heckler was removed.
    pub kicked: bool,
    /// Whether the raised hand was granted and every listener has heard its owner.
    pub granted: bool,
    /// The recording.
    pub recording: Recording,
    /// Duration of the demo.
    pub seconds: f64,
}

/// The listeners at one depth of the tree.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Depth {
    /// Relays from the origin to theirs, both counted.
    pub depth: u8,
    /// Their number.
    pub listeners: usize,
    /// The median of their medians, in ms.
    pub p50_ms: Option<f64>,
    /// The worst of their 99th percentiles, in ms.
    pub p99_ms: Option<f64>,
    /// Frames received.
    pub received: u64,
    /// Frames that never came, or that a client had no room for.
    pub lost: u64,
    /// Frames made up.
    pub concealed: u64,
    /// The fewest frames that one of them has received.
    pub fewest: u64,
}

/// Effect of a silencing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Silence {
    /// Time of the request, in Unix milliseconds.
    pub asked_unix_ms: u64,
    /// Until it was acknowledged, which is when every relay has confirmed it, in ms.
    pub took_ms: u64,
    /// The silenced one's frames that the farthest leaf had received before.
    pub heard_before: u64,
    /// Arrival of the last frame at the farthest leaf, after the request, in ms.
    pub last_heard_ms: Option<i64>,
    /// Listeners who heard anything after the acknowledgement.
    pub heard_after: usize,
}

/// The recording.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Recording {
    /// Its path.
    pub path: PathBuf,
    /// Its length.
    pub seconds: f64,
    /// Seconds of speech in it.
    pub speech_s: usize,
    /// Time its listener spent in the room.
    pub listened_s: f64,
}

impl Depth {
    /// Adds up the listeners at `depth`.
    pub(super) fn of(depth: u8, all: &[Statistics]) -> Self {
        let here: Vec<&Statistics> = all.iter().filter(|s| s.depth == depth).collect();
        let sum = |count: fn(&Statistics) -> u64| here.iter().map(|&s| count(s)).sum();
        let mut medians: Vec<f64> = here.iter().filter_map(|s| s.e2e_ms.p50).collect();
        medians.sort_by(f64::total_cmp);
        Self {
            depth,
            listeners: here.len(),
            p50_ms: medians.get(medians.len() / 2).copied(),
            p99_ms: here.iter().filter_map(|s| s.e2e_ms.p99).max_by(f64::total_cmp),
            received: sum(|s| s.received),
            lost: sum(|s| s.lost + s.dropped),
            concealed: sum(|s| s.concealed),
            fewest: here.iter().map(|s| s.received).min().unwrap_or(0),
        }
    }

    fn place(&self) -> &'static str {
        match self.depth {
            1 => "origin",
            2 => "between",
            _ => "leaf",
        }
    }

    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut check = |is_wrong: bool, fault: String| {
            if is_wrong {
                faults.push(format!("{} ({}): {fault}", self.depth, self.place()));
            }
        };
        check(self.fewest == 0, "a listener has heard nothing".to_owned());
        check(self.lost > 0, format!("{} frames lost", self.lost));
        let allowed = self.received * CONCEALED_PER_MILLE_MAX / 1_000;
        check(self.concealed > allowed, format!("{} frames concealed", self.concealed));
        let p99 = self.p99_ms.unwrap_or(f64::INFINITY);
        check(p99 > P99_MS_MAX, format!("a p99 of {p99:.0} ms, over {P99_MS_MAX} ms"));
        faults
    }
}

impl Report {
    /// Deviations, a sentence each.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let mut faults: Vec<String> = self.depths.iter().flat_map(Depth::faults).collect();
        let mut check = |is_wrong: bool, fault: String| {
            if is_wrong {
                faults.push(fault);
            }
        };
        let listeners: usize = self.depths.iter().map(|depth| depth.listeners).sum();
        check(listeners != LISTENERS, format!("{listeners} listeners instead of {LISTENERS}"));
        let Silence { took_ms, heard_before, heard_after, .. } = self.silence;
        check(heard_before == 0, "the heckler was not heard before he was silenced".to_owned());
        check(
            heard_after > 0,
            format!("{heard_after} listeners heard the heckler after his silence was acknowledged"),
        );
        check(took_ms > SILENCE_MS_MAX, format!("the silence took {took_ms} ms"));
        check(!self.kicked, "the heckler was not removed".to_owned());
        check(
            !self.granted,
            "the raised hand did not lead to speech that everybody heard".to_owned(),
        );
        let Recording { seconds, speech_s, listened_s, .. } = self.recording;
        check(
            (seconds - listened_s).abs() > RECORDING_TOLERANCE_S,
            format!("the recording is {seconds:.1} s long, of {listened_s:.1} s listened"),
        );
        check(
            speech_s < SPEECH_S_MIN,
            format!("in only {speech_s} s of the recording somebody speaks"),
        );
        faults
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "depth        listeners   latency p50    p99   frames received   lost   concealed"
        )?;
        for depth in &self.depths {
            let ms = |value: Option<f64>| {
                value.map_or_else(|| "-".to_owned(), |value| format!("{value:.0} ms"))
            };
            writeln!(
                f,
                "{} {:10} {:>9} {:>13} {:>7} {:>17} {:>6} {:>11}",
                depth.depth,
                depth.place(),
                depth.listeners,
                ms(depth.p50_ms),
                ms(depth.p99_ms),
                depth.received,
                depth.lost,
                depth.concealed,
            )?;
        }
        writeln!(
            f,
            "(from capture to playout; p50 of the median listener, p99 of the worst one)\n"
        )?;
        let silence = &self.silence;
        writeln!(
            f,
            "Silence      acknowledged by every relay {} ms after the request",
            silence.took_ms
        )?;
        match silence.last_heard_ms {
            Some(ms) if ms >= 0 => {
                writeln!(
                    f,
                    "             last frame at the farthest leaf {ms} ms after the request"
                )?;
            }
            Some(ms) => writeln!(
                f,
                "             last frame at the farthest leaf {} ms before the request",
                -ms
            )?,
            None => writeln!(f, "             nothing was ever heard at the farthest leaf")?,
        }
        let Recording { path, seconds, .. } = &self.recording;
        let path = path.display();
        writeln!(f, "Recording    {path}, {seconds:.1} s, made at the farthest leaf")?;
        write!(
            f,
            "             play it: ffplay -nodisp -autoexit {path}, mpv {path}, or any browser"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Report {
        let depth = |depth, listeners| Depth {
            depth,
            listeners,
            p50_ms: Some(60.0),
            p99_ms: Some(80.0),
            received: 1_000,
            lost: 0,
            concealed: 5,
            fewest: 100,
        };
        Report {
            depths: vec![depth(1, 4), depth(2, 8), depth(3, 28)],
            silence: Silence {
                asked_unix_ms: 1_000,
                took_ms: 5,
                heard_before: 100,
                last_heard_ms: Some(3),
                heard_after: 0,
            },
            kicked: true,
            granted: true,
            recording: Recording {
                path: "heard.ogg".into(),
                seconds: 35.0,
                speech_s: 30,
                listened_s: 35.1,
            },
            seconds: 40.0,
        }
    }

    #[test]
    fn nothing_is_wrong_with_a_good_report() {
        assert_eq!(good().faults(), Vec::<String>::new());
    }

    #[test]
    fn every_fault_is_found_and_named() {
        type Spoil = fn(&mut Report);
        let spoilt: [(Spoil, &str); 12] = [
            (|r| r.depths[2].lost = 1, "3 (leaf): 1 frames lost"),
            (|r| r.depths[1].concealed = 6, "2 (between): 6 frames concealed"),
            (|r| r.depths[0].p99_ms = Some(251.0), "1 (origin): a p99 of 251 ms"),
            (|r| r.depths[0].p99_ms = None, "1 (origin): a p99 of inf"),
            (|r| r.depths[0].fewest = 0, "heard nothing"),
            (|r| r.depths[0].listeners = 3, "39 listeners"),
            (|r| r.silence.heard_after = 2, "2 listeners heard the heckler after"),
            (|r| r.silence.heard_before = 0, "not heard before"),
            (|r| r.silence.took_ms = 1_001, "the silence took"),
            (|r| r.kicked = false, "not removed"),
            (|r| r.granted = false, "raised hand"),
            (|r| r.recording.seconds = 30.0, "30.0 s long"),
        ];
        for (spoil, named) in spoilt {
            let mut report = good();
            spoil(&mut report);
            let faults = report.faults();
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert!(faults[0].contains(named), "{faults:?}");
        }
    }
}
