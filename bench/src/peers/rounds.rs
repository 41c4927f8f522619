//! Rounds of windows: each contender once per round, in an order that rotates from round to round, so
//! that a slow minute of the machine affects all. Flawed windows are repeated.

use serde::Serialize;
use tribune_bench::contender::Window;

/// Cores that other processes may use in a window.
const OTHERS_ABOVE: f64 = 0.3;
/// Cores above which a load client may have been the bottleneck.
const BUSY_ABOVE: f64 = 0.9;
/// Bound of the speakers' lateness: 99th percentile, in microseconds.
const LATE_ABOVE_US: u64 = 5_000;
/// Attempts per turn, if the first window is flawed.
const ATTEMPTS: u32 = 2;
/// Windows in which a server may fail to keep up before it is dropped.
const SATURATED_AT_MOST: usize = 2;

/// Reason why a window says little about the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Flaw {
    /// The kernel dropped more than 0.1 % of the datagrams.
    Void,
    /// Other processes used more than 0.3 cores.
    Disturbed,
    /// The load client, not the server, may have been the bottleneck.
    GeneratorLimit,
}

impl Flaw {
    /// In words.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Void => "the kernel dropped too much",
            Self::Disturbed => "others used more than 0.3 cores",
            Self::GeneratorLimit => "the load client may have been the limit",
        }
    }
}

/// Flaws of a window.
pub(crate) fn flaws(window: &Window) -> Vec<Flaw> {
    let generator = window.generator_cpu_us / 1e6 / window.seconds.max(0.001);
    let late = window.speaker_late_p99_us > LATE_ABOVE_US;
    let all = [
        (window.void(), Flaw::Void),
        (window.others_cores > OTHERS_ABOVE, Flaw::Disturbed),
        (late || generator > BUSY_ABOVE, Flaw::GeneratorLimit),
    ];
    all.into_iter().filter_map(|(is, flaw)| is.then_some(flaw)).collect()
}

/// Window that counts for a round.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Taken {
    /// Number of the round, from 1.
    pub(crate) round: u32,
    pub(crate) flaws: Vec<Flaw>,
    pub(crate) window: Window,
}

impl Taken {
    /// Whether frames are missing because of the server, not of the machine.
    pub(crate) fn saturated(&self) -> bool {
        let machine = self.flaws.contains(&Flaw::Void) || self.flaws.contains(&Flaw::Disturbed);
        self.window.saturated() && !machine
    }
}

/// Windows of one contender with one number of speakers, one per round.
#[derive(Debug, Clone)]
pub(crate) struct Turn {
    /// Index among the running contenders.
    pub(crate) contender: usize,
    pub(crate) speakers: u16,
    /// Whether it stays even if it does not keep up, as a reference for others.
    pub(crate) stays: bool,
    pub(crate) taken: Vec<Taken>,
    /// Windows that were repeated.
    pub(crate) repeated: u32,
    /// Reason why it was dropped.
    pub(crate) out: Option<String>,
    /// Repeats did not help before.
    hopeless: bool,
}

impl Turn {
    pub(crate) const fn new(contender: usize, speakers: u16, stays: bool) -> Self {
        let taken = Vec::new();
        Self { contender, speakers, stays, taken, repeated: 0, out: None, hopeless: false }
    }

    /// Measures until a window has no flaw, up to the limit of attempts. `again`: there is time for another.
    fn take(
        &mut self,
        round: u32,
        mut measure: impl FnMut(&Self) -> Result<Window, String>,
        again: impl Fn() -> bool,
    ) {
        for attempt in 1..=ATTEMPTS {
            let window = match measure(self) {
                Ok(window) => window,
                Err(why) => {
                    self.out = Some(format!("gone in round {round}: {why}"));
                    return;
                }
            };
            let taken = Taken { round, flaws: flaws(&window), window };
            let fine = taken.flaws.is_empty() || taken.saturated();
            if fine || attempt == ATTEMPTS || self.hopeless || !again() {
                self.hopeless |= !fine && attempt == ATTEMPTS;
                self.taken.push(taken);
                break;
            }
            self.repeated += 1;
        }
        let saturated = self.taken.iter().filter(|taken| taken.saturated()).count();
        if saturated >= SATURATED_AT_MOST && !self.stays {
            self.out = Some("did not keep up".to_owned());
        }
    }
}

/// One round over all turns that are not dropped, starting with another one each time.
pub(crate) fn round(
    turns: &mut [Turn],
    round: u32,
    mut measure: impl FnMut(&Turn) -> Result<Window, String>,
    again: impl Fn() -> bool,
) {
    let count = turns.len();
    for place in 0..count {
        let turn = &mut turns[(place + round as usize - 1) % count];
        if turn.out.is_none() {
            turn.take(round, &mut measure, &again);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use tribune_bench::contender::Percentiles;

    use super::*;

    pub(crate) fn window(cpu_us_per_frame: f64) -> Window {
        Window {
            speakers: 1,
            seconds: 1.0,
            frames_expected: 10_000,
            frames_delivered: 10_000,
            server_cpu_us: cpu_us_per_frame * 10_000.0,
            generator_cpu_us: 1e5,
            others_cores: 0.0,
            kernel_drops: 0,
            speaker_late_p99_us: 100,
            latency_us: Percentiles::default(),
        }
    }

    fn turns() -> Vec<Turn> {
        (0..3).map(|contender| Turn::new(contender, 1, contender == 0)).collect()
    }

    #[test]
    fn each_is_asked_once_a_round_and_another_one_begins() {
        let (mut turns, mut order) = (turns(), Vec::new());
        for number in 1..=3 {
            let ask = |turn: &Turn| {
                order.push(turn.contender);
                Ok(window(1.0))
            };
            round(&mut turns, number, ask, || true);
        }
        assert_eq!(order, [0, 1, 2, 1, 2, 0, 2, 0, 1]);
        assert!(turns.iter().all(|turn| turn.taken.len() == 3 && turn.repeated == 0));
    }

    #[test]
    fn a_flawed_window_is_measured_at_most_twice() {
        let disturbed = || Ok(Window { others_cores: 0.31, ..window(1.0) });
        let (mut turns, mut asked) = (turns()[..1].to_vec(), 0);
        let mut ask = |_: &Turn| {
            asked += 1;
            if asked == 2 { Ok(window(2.0)) } else { disturbed() }
        };
        round(&mut turns, 1, &mut ask, || true);
        assert_eq!((turns[0].repeated, &turns[0].taken[0].flaws[..]), (1, &[][..]));
        round(&mut turns, 2, &mut ask, || true);
        assert_eq!((turns[0].repeated, &turns[0].taken[1].flaws[..]), (2, &[Flaw::Disturbed][..]));
        // After two attempts in vain, one per round.
        round(&mut turns, 3, &mut ask, || true);
        assert_eq!((turns[0].repeated, turns[0].taken.len(), asked), (2, 3, 5));
    }

    #[test]
    fn without_time_nothing_is_repeated() {
        let mut turns = turns();
        round(&mut turns, 1, |_| Ok(Window { kernel_drops: 11, ..window(1.0) }), || false);
        assert!(turns.iter().all(|turn| turn.taken.len() == 1 && turn.repeated == 0));
    }

    #[test]
    fn who_does_not_keep_up_is_let_go_after_two_windows() {
        let mut turns = turns();
        for number in 1..=3 {
            let slow = Window { frames_delivered: 9_800, ..window(1.0) };
            round(&mut turns, number, |_| Ok(slow.clone()), || true);
        }
        let taken: Vec<usize> = turns.iter().map(|turn| turn.taken.len()).collect();
        assert_eq!(taken, [3, 2, 2], "Tribune and the ceiling stay: others are compared with them");
        assert_eq!(turns[1].out.as_deref(), Some("did not keep up"));
    }

    #[test]
    fn a_disturbed_machine_is_not_held_against_a_server() {
        let slow = Window { frames_delivered: 9_000, others_cores: 1.0, ..window(1.0) };
        let taken = Taken { round: 1, flaws: flaws(&slow), window: slow };
        assert!(!taken.saturated());
    }

    #[test]
    fn whoever_is_gone_is_not_asked_again() {
        let mut turns = turns();
        let ask = |turn: &Turn| {
            if turn.contender == 1 { Err("it fell over".to_owned()) } else { Ok(window(1.0)) }
        };
        round(&mut turns, 1, ask, || true);
        round(&mut turns, 2, |_| Ok(window(1.0)), || true);
        assert_eq!(turns[1].out.as_deref(), Some("gone in round 1: it fell over"));
        assert_eq!((turns[0].taken.len(), turns[1].taken.len()), (2, 0));
    }

    #[test]
    fn a_late_or_busy_load_client_is_the_limit() {
        let late = Window { speaker_late_p99_us: 5_001, ..window(1.0) };
        let busy = Window { generator_cpu_us: 0.91e6, ..window(1.0) };
        assert_eq!(flaws(&late), [Flaw::GeneratorLimit]);
        assert_eq!(flaws(&busy), [Flaw::GeneratorLimit]);
    }
}
