//! `tribune-bench peers`: Tribune, the ceiling and other systems under the same schedule, in turn.
//!
//! * [`contenders`] lists the systems, and how each is started and asked
//! * [`process`] runs a contender as a process
//! * [`rounds`] has each measure a window in turn, and repeats flawed ones
//! * [`results`] has medians and ratios of the windows

pub(crate) mod contenders;
mod process;
pub(crate) mod results;
mod rounds;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tribune_bench::accounting::machine;
use tribune_bench::contender::{Ask, Ready, Window};

use self::contenders::{CEILING, CONTENDERS, Contender, ProgramPaths, TRIBUNE, by_name};
use self::process::Running;
use self::results::{Entry, Missing, PeersReport};
use self::rounds::{Turn, flaws, round};

/// Time of a window beyond its length: speech before and after it, and the exchange of its messages.
const AROUND_WINDOW: Duration = Duration::from_millis(900);
/// Time to start a contender, without its joins.
const START: Duration = Duration::from_secs(2);

/// Contenders to measure, sizes and rounds.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct PeersPlan {
    /// Listeners of each contender; several sizes may be named.
    #[arg(long, value_name = "N", num_args = 1.., default_values_t = [200, 500, 1_000], value_parser = clap::value_parser!(u32).range(1..=5_000))]
    pub(crate) sizes: Vec<u32>,
    /// Windows of each contender at each size.
    #[arg(long, value_name = "R", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// Length of a window, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=60))]
    pub(crate) seconds: u32,
    /// Time for everything, in minutes: towards its end nothing is repeated, then rounds are left out.
    #[arg(long, value_name = "MINUTES", default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=600))]
    pub(crate) minutes: u32,
    /// Only these: ceiling, tribune, tribune-rtt50, mumble, mumble-silent, stock-quinn, icecast-20,
    /// icecast-100, moq-1, moq-10, moq-datagrams, janus.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Where the load clients of other systems are [default: bench/peers/target/release of the workspace]
    #[arg(long, value_name = "DIR")]
    pub(crate) peers_dir: Option<PathBuf>,
}

/// Measures all contenders at all sizes.
///
/// # Errors
/// A name that no contender has. A contender that cannot be measured is named in the report instead.
pub(crate) fn run(plan: &PeersPlan) -> Result<PeersReport> {
    let names = plan.only.iter().map(|name| by_name(name));
    let only = names.collect::<Result<Vec<_>>>()?;
    let wanted = |contender: &&Contender| {
        only.is_empty() || only.iter().any(|named| named.name == contender.name)
    };
    ensure!(!plan.sizes.is_empty(), "--sizes names no size");
    let mut contest = Contest {
        plan,
        field: CONTENDERS.iter().filter(wanted).collect(),
        paths: ProgramPaths::new(plan.peers_dir.clone()),
        largest: plan.sizes.iter().copied().max().unwrap_or_default(),
        began: Instant::now(),
        report: PeersReport {
            machine: machine(),
            sizes: plan.sizes.clone(),
            rounds: plan.rounds,
            window_seconds: plan.seconds,
            took_seconds: 0.0,
            cut_short: Vec::new(),
            entries: Vec::new(),
            missing: Vec::new(),
        },
    };
    let all: Duration = plan.sizes.iter().map(|size| contest.estimate(*size)).sum();
    eprintln!(
        "{} contenders at {:?} listeners, {} rounds of {} s: about {} min",
        contest.field.len(),
        plan.sizes,
        plan.rounds,
        plan.seconds,
        minutes(all)
    );
    for place in 0..plan.sizes.len() {
        contest.measure(place);
    }
    contest.report.took_seconds = contest.began.elapsed().as_secs_f64();
    Ok(contest.report)
}

/// State of a run over all contenders and sizes.
struct Contest<'a> {
    plan: &'a PeersPlan,
    field: Vec<&'static Contender>,
    paths: ProgramPaths,
    largest: u32,
    began: Instant,
    report: PeersReport,
}

/// Contender that is running.
struct Player {
    contender: &'static Contender,
    running: Running,
}

impl Contest<'_> {
    /// Estimated duration of one size.
    fn estimate(&self, size: u32) -> Duration {
        let windows: usize = self.asked(size).map(|(_, speakers)| speakers.len()).sum();
        let joins = self.asked(size).map(|(contender, _)| {
            START + Duration::from_secs_f64(contender.join_ms / 1e3 * f64::from(size))
        });
        joins.sum::<Duration>() + self.window() * windows as u32 * self.plan.rounds
    }

    fn window(&self) -> Duration {
        Duration::from_secs(self.plan.seconds.into()) + AROUND_WINDOW
    }

    fn asked(&self, size: u32) -> impl Iterator<Item = (&'static Contender, Vec<u16>)> {
        let asked = self
            .field
            .iter()
            .map(move |contender| (*contender, contender.speakers(size, self.largest)));
        asked.filter(|(_, speakers)| !speakers.is_empty())
    }

    /// Starts all contenders at one size, measures them, and ends them.
    fn measure(&mut self, place: usize) {
        let size = self.plan.sizes[place];
        let later: Duration =
            self.plan.sizes[place + 1..].iter().map(|size| self.estimate(*size)).sum();
        let budget = Duration::from_secs(u64::from(self.plan.minutes) * 60);
        // The time that later sizes need is reserved.
        let deadline = self.began + budget.saturating_sub(later);
        for contender in self.field.clone() {
            if let Some(why) = contender.not_asked(size) {
                self.missing(contender, size, why);
            }
        }
        let (mut players, mut turns) = self.bring_in(size);
        for number in 1..=self.plan.rounds {
            let open = turns.iter().filter(|turn| turn.out.is_none()).count() as u32;
            if number > 1 && Instant::now() + self.window() * open > deadline {
                let left = self.plan.rounds - number + 1;
                self.report.cut_short.push(format!(
                    "{left} of {} rounds at {size} listeners, for want of time",
                    self.plan.rounds
                ));
                break;
            }
            let rounds_after = self.plan.rounds - number;
            let needed = self.window() * open * (rounds_after + 1);
            let left = later + self.window() * open * rounds_after;
            let ask =
                |turn: &Turn| self.ask(&mut players[turn.contender], turn, number, size, left);
            round(&mut turns, number, ask, || Instant::now() + needed <= deadline);
        }
        self.settle(&players, &turns);
    }

    /// Starts the contenders one after the other.
    fn bring_in(&mut self, size: u32) -> (Vec<Player>, Vec<Turn>) {
        let (mut players, mut turns) = (Vec::new(), Vec::new());
        for (contender, speakers) in self.asked(size).collect::<Vec<_>>() {
            eprintln!("{size} listeners of {} join", contender.label);
            let command = contender.command(&self.paths, size);
            let mut shown = Instant::now();
            let joined = |joined: u32| {
                if shown.elapsed() > Duration::from_secs(10) {
                    shown = Instant::now();
                    eprintln!("{joined} of {size} listeners of {} are in", contender.label);
                }
            };
            match command.and_then(|mut command| start(&mut command, joined)) {
                Ok(running) => {
                    let player = players.len();
                    let new = |speakers| Turn::new(player, speakers, contender.is_reference());
                    turns.extend(speakers.into_iter().map(new));
                    players.push(Player { contender, running });
                }
                Err(error) => {
                    eprintln!("{} is missing: {error:#}", contender.label);
                    self.missing(contender, size, format!("{error:#}"));
                }
            }
        }
        (players, turns)
    }

    fn ask(
        &self,
        player: &mut Player,
        turn: &Turn,
        number: u32,
        size: u32,
        left: Duration,
    ) -> Result<Window, String> {
        let ask = Ask { speakers: turn.speakers, seconds: self.plan.seconds };
        let window = player.running.window(ask).map_err(|error| format!("{error:#}"));
        let label = player.contender.label;
        let status = match &window {
            Ok(window) => {
                let delivered =
                    window.frames_delivered as f64 / window.frames_expected.max(1) as f64;
                let flaws: String =
                    flaws(window).iter().map(|flaw| format!(", {}", flaw.words())).collect();
                let cpu_us = window.cpu_us_per_frame();
                format!("{cpu_us:.1} µs a frame, {:.1} % delivered{flaws}", delivered * 100.0)
            }
            Err(why) => why.clone(),
        };
        eprintln!(
            "{size} listeners, round {number} of {}, {label}, {} speaker(s): {status}; about {} min left after this round",
            self.plan.rounds,
            turn.speakers,
            minutes(left)
        );
        window
    }

    fn missing(&mut self, contender: &Contender, listeners: u32, why: String) {
        let Contender { name: contender, label, .. } = *contender;
        self.report.missing.push(Missing { contender, label, listeners, why });
    }

    fn settle(&mut self, players: &[Player], turns: &[Turn]) {
        let of = |name: &str, speakers: u16| {
            turns.iter().find(|turn| {
                players[turn.contender].contender.name == name && turn.speakers == speakers
            })
        };
        for turn in turns {
            let Player { contender, running } = &players[turn.contender];
            let about: &Ready = running.ready();
            if turn.taken.is_empty() {
                let why = turn.out.clone().unwrap_or_default();
                self.missing(contender, about.listeners, why);
                continue;
            }
            // Tribune's own ratio would be 1, and the cost of RTT is in the ceiling's column.
            let tribune = (!contender.is_reference()).then(|| of(TRIBUNE, turn.speakers)).flatten();
            // The ceiling sends one datagram, however many frames it stands for.
            let ceiling = of(CEILING, 1).filter(|_| contender.name != CEILING);
            let named = (contender.name, contender.label);
            self.report.entries.push(Entry::new(named, about, turn, ceiling, tribune));
        }
    }
}

/// Starts a contender, and once more if that fails: a port that was free may be taken meanwhile.
fn start(command: &mut Command, mut joined: impl FnMut(u32)) -> Result<Running> {
    Running::start(command, &mut joined).or_else(|first| {
        eprintln!("{first:#}; once more");
        Running::start(command, &mut joined)
    })
}

fn minutes(time: Duration) -> u64 {
    time.as_secs().div_ceil(60)
}
