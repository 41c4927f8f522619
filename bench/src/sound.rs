//! `tribune-bench sound`: how a listener hears a speaker over lossy paths, measured in one process in virtual
//! time. Relays, participants, jitter buffer and codec are the production ones; the network is simulated, and
//! a seed gives the same run again.
//!
//! * [`condition`] is the matrix: which hop, what is wrong with it, how far its ends are apart
//! * [`profile`] is how one listens, [`speech`] the voices and the speakers that say them
//! * [`trial`] makes one run on a [`chain`] of relays; [`runner`] makes all of them on all cores
//! * [`score`] counts what was played, [`pcm`] and [`pesq`] judge how it sounds
//! * [`setup`] is what a run was made with, [`cell`] is one line of the results, [`bounds`] judges them,
//!   [`against`] compares them with another build's, [`report`] prints and [`picture`] draws them

mod against;
mod bounds;
mod cell;
mod chain;
mod condition;
mod pcm;
mod pesq;
mod picture;
mod profile;
pub(crate) mod report;
mod runner;
mod score;
mod setup;
mod speech;
mod trial;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use tribune_bench::accounting::machine;
use tribune_client::audio::encode::{BITRATE_MAX_BPS, BITRATE_MIN_BPS};

use self::against::Baseline;
use self::cell::{Cell, Finished};
use self::condition::Condition;
use self::profile::Profile;
use self::report::SoundReport;
use self::setup::Setup;
use self::speech::Speech;
use self::trial::Trial;
use crate::paths;

/// Seeds of a cell without `--seeds`, and with `--quick`.
const SEEDS: (u32, u32) = (4, 1);

/// How much to measure, and beside what.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct SoundPlan {
    /// A few conditions of each kind with one seed, within a minute.
    #[arg(long)]
    quick: bool,
    /// Profile to listen with; may be given again [default: all]
    #[arg(long, value_enum, value_name = "NAME")]
    profile: Vec<Profile>,
    /// Runs of each condition, with the seeds from 1 on [default: 4, with --quick 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    seeds: Option<u32>,
    /// This seed alone, to make a run again.
    #[arg(long, value_name = "SEED", conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Conditions whose names contain all of these words, separated by commas, such as "trunk,RTT 60".
    #[arg(long, value_name = "WORDS", value_delimiter = ',')]
    only: Vec<String>,
    /// Bitrate of the speakers in b/s.
    #[arg(long, value_name = "BPS", default_value_t = 24_000,
        value_parser = clap::value_parser!(u32).range(i64::from(BITRATE_MIN_BPS)..=i64::from(BITRATE_MAX_BPS)))]
    bitrate: u32,
    /// Recorded voices: WAV, FLAC, MP3 or Ogg Vorbis [default: bench/voices/voices.flac of the workspace]
    #[arg(long, value_name = "FILE")]
    voices: Option<PathBuf>,
    /// Seconds of the voices that are spoken, 1 to 600 [default: all of them]
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: Option<u32>,
    /// JSON lines of another build, which this one is compared with.
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Directory for sound.json, sound.md and sound.svg [default: target/bench of the workspace]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Makes all runs and writes the results.
///
/// # Errors
/// Voices or a baseline cannot be read, nothing is left to measure or to compare, a run or PESQ fails, or the
/// results cannot be written.
pub(crate) fn run(plan: &SoundPlan) -> Result<SoundReport> {
    let (began, date) = (Instant::now(), SystemTime::now());
    let baseline = plan.against.as_deref().map(Baseline::read).transpose()?;
    let out = plan.out.clone().unwrap_or_else(paths::output);
    check_writable(&out)?;
    let mut conditions = plan.conditions()?;
    let voices = plan.voices.clone().unwrap_or_else(paths::voices);
    let speech = Speech::read(&voices, plan.seconds)?;
    leave_out_unheard(&mut conditions, speech.duration())?;
    let is_in = |then: &Baseline| {
        conditions.iter().any(|(profile, condition)| then.has(&condition.name_in(*profile)))
    };
    if let (Some(then), Some(path)) = (&baseline, &plan.against)
        && !is_in(then)
    {
        bail!("{} has none of the conditions that are measured", path.display());
    }
    let python = pesq::python();
    if let Err(why) = &python {
        eprintln!("sound: {why}");
    }
    let cells = measure(plan, &speech, &conditions, python.as_deref().ok())?;
    let seconds = speech.duration().as_secs_f64();
    let name = voices.file_name().map_or_else(String::new, |name| name.to_string_lossy().into());
    let setup = Setup {
        machine: machine(),
        date: humantime::format_rfc3339_seconds(date).to_string(),
        commit: paths::commit(),
        command: paths::command(),
        seeds: plan.seeds(),
        bitrate_bps: plan.bitrate,
        voices: name,
        speech_seconds: seconds,
        no_pesq: python.err(),
        took_seconds: began.elapsed().as_secs_f64(),
    };
    let caveats = baseline.as_ref().map(|then| then.caveats(&setup));
    let differences = baseline.as_ref().map(|then| then.differences(&cells));
    let (caveats, differences) = (caveats.unwrap_or_default(), differences.unwrap_or_default());
    let report = SoundReport { setup, cells, caveats, differences };
    write(&report, &out)?;
    Ok(report)
}

impl SoundPlan {
    fn profiles(&self) -> BTreeSet<Profile> {
        let all = <Profile as clap::ValueEnum>::value_variants();
        let chosen = if self.profile.is_empty() { all } else { &self.profile };
        chosen.iter().copied().collect()
    }

    fn seeds(&self) -> Vec<u64> {
        let (usual, quick) = SEEDS;
        let count = self.seeds.unwrap_or(if self.quick { quick } else { usual });
        self.seed.map_or_else(|| (1..=count.into()).collect(), |seed| vec![seed])
    }

    /// Profiles and conditions that are measured.
    fn conditions(&self) -> Result<Vec<(Profile, Condition)>> {
        let is_named = |profile: Profile, condition: Condition| {
            let name = condition.name_in(profile);
            self.only.iter().all(|words| name.contains(words.trim()))
        };
        let of = if self.quick { Condition::quick } else { Condition::matrix };
        let all = self
            .profiles()
            .into_iter()
            .flat_map(|profile| of(profile).into_iter().map(move |condition| (profile, condition)));
        let all: Vec<_> =
            all.filter(|(profile, condition)| is_named(*profile, *condition)).collect();
        if all.is_empty() {
            let words = self.only.join(",");
            bail!(
                "of the chosen profiles, no condition that is measured has {words:?} in its name"
            );
        }
        Ok(all)
    }
}

/// A run takes minutes; that its results cannot be written is said before.
fn check_writable(directory: &Path) -> Result<()> {
    std::fs::create_dir_all(directory)
        .with_context(|| format!("{} cannot be made", directory.display()))?;
    tempfile::tempfile_in(directory)
        .map(drop)
        .with_context(|| format!("nothing can be written in {}", directory.display()))
}

/// Takes out the conditions whose fault would come after the speech, and says so.
fn leave_out_unheard(conditions: &mut Vec<(Profile, Condition)>, speech: Duration) -> Result<()> {
    conditions.retain(|(profile, condition)| {
        let is_heard = trial::speech_needed(condition.fault) <= speech;
        if !is_heard {
            eprintln!(
                "sound: {} is left out: the speech is too short",
                condition.name_in(*profile)
            );
        }
        is_heard
    });
    if conditions.is_empty() {
        bail!("the speech is too short for all conditions that are chosen");
    }
    Ok(())
}

/// The cells of all profiles and conditions, each with what its sound is compared with.
fn measure(
    plan: &SoundPlan,
    speech: &Speech,
    conditions: &[(Profile, Condition)],
    python: Option<&Path>,
) -> Result<Vec<Cell>> {
    let (seeds, bitrate_bps) = (plan.seeds(), plan.bitrate);
    let of = |&(profile, condition)| {
        seeds.iter().map(move |&seed| Trial { speech, profile, condition, bitrate_bps, seed })
    };
    let trials: Vec<Trial<'_>> = conditions.iter().flat_map(of).collect();
    let finished = runner::run(&trials, python)?;
    let runs: Vec<(&[Trial<'_>], &[Finished])> =
        trials.chunks(seeds.len()).zip(finished.chunks(seeds.len())).collect();
    let mut cells: Vec<Cell> = Vec::new();
    for (trials, finished) in &runs {
        let Trial { profile, condition, .. } = trials[0];
        let mut cell = Cell::new(profile, condition, finished);
        let clean = runs.iter().find(|(other, _)| {
            let other = other[0];
            (other.profile, other.condition) == (profile, condition.clean())
        });
        if let Some((_, clean)) = clean.filter(|_| condition != condition.clean()) {
            cell.compare_with(&Cell::new(profile, condition.clean(), clean));
        }
        cells.push(cell);
    }
    Ok(cells)
}

fn write(report: &SoundReport, directory: &Path) -> Result<()> {
    let files = [
        ("sound.json", report.lines()?),
        ("sound.md", report.markdown()),
        ("sound.svg", picture::draw(&report.cells)),
    ];
    for (name, text) in files {
        let path = directory.join(name);
        std::fs::write(&path, text)
            .with_context(|| format!("{} cannot be written", path.display()))?;
        eprintln!("written: {}", path.display());
    }
    Ok(())
}
