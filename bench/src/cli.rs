//! The command line: commands, their reports on standard output, exit codes.

use std::fmt::Display;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use serde::Serialize;

use crate::ceiling::{self, CeilingPlan};
use crate::contend::{self, ContendPlan};
use crate::handshake::{self, HandshakePlan};
use crate::load::{self, plan::LoadPlan};
use crate::peers::{self, PeersPlan};
use crate::plan::{self, TreePlan};
use crate::report::{self, LoadReport, Verdict};
use crate::sound::{self, SoundPlan};
use crate::suite::{self, SuitePlan};

/// Load, latency and ceilings of a relay on this machine.
#[derive(Debug, Parser)]
#[command(name = "tribune-bench", version, max_term_width = 100)]
struct Cli {
    /// One JSON object a line on standard output instead of tables.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Listeners and speakers on a relay or a chain of them: frames lost, latency, CPU per frame, memory per listener.
    Load(LoadPlan),
    /// Ceiling of the machine: seal, mask and send, without QUIC and without a relay.
    Ceiling(CeilingPlan),
    /// Tribune, the ceiling and other systems under the same schedule, in turn.
    Peers(PeersPlan),
    /// How a listener hears a speaker over lossy paths: frames playable, gaps, PESQ, delay, bytes.
    ///
    /// Exits with 0 when all runs were made: a figure that falls short of its bound is marked, and is no failure.
    Sound(SoundPlan),
    /// A tree for an audience from measured costs: relays, traffic, delay, cost.
    Plan(TreePlan),
    /// Everything that is judged, and the table with its verdicts; what `make bench` runs.
    Suite(SuitePlan),
    /// Tribune or the ceiling as one of several systems that are measured in turn: JSON lines on
    /// standard input ask for windows, those on standard output answer.
    Contend(ContendPlan),
    /// Cost of a join on the relay, beside the server's side of a bare TLS handshake.
    Handshakes(HandshakePlan),
}

/// Parses the command line and runs the command. Exit code 0: every run was good; 1: one was not; 2: an error.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("tribune-bench: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Returns whether every run was good.
fn run(cli: &Cli) -> Result<bool> {
    match &cli.command {
        Some(Command::Load(plan)) => run_load(plan, cli.json),
        Some(Command::Ceiling(plan)) => run_ceiling(plan, cli.json),
        Some(Command::Peers(plan)) => {
            print(&peers::run(plan)?, cli.json)?;
            Ok(true)
        }
        Some(Command::Sound(plan)) => run_sound(plan, cli.json),
        Some(Command::Plan(plan)) => {
            print(&plan::run(plan)?, cli.json)?;
            Ok(true)
        }
        Some(Command::Suite(plan)) => run_suite(plan, cli.json),
        Some(Command::Contend(plan)) => contend::run(plan).map(|()| true),
        Some(Command::Handshakes(plan)) => run_handshakes(plan, cli.json),
        None => run_suite(&SuitePlan::default(), cli.json),
    }
}

fn run_suite(plan: &SuitePlan, json: bool) -> Result<bool> {
    let report = suite::run(plan)?;
    print(&report, json)?;
    Ok(report.complete())
}

fn run_load(plan: &LoadPlan, json: bool) -> Result<bool> {
    let metrics = load::run(plan)?;
    let latency_us = metrics.latency_us.clone();
    let report = LoadReport::new(plan, metrics);
    if let Some(path) = &plan.plot {
        report::plot::write(path, &report, latency_us.as_ref())?;
    }
    print(&report, json)?;
    Ok(report.verdict == Verdict::Good)
}

fn run_sound(plan: &SoundPlan, json: bool) -> Result<bool> {
    let report = sound::run(plan)?;
    if json {
        print!("{}", report.lines()?);
    } else {
        println!("{report}");
    }
    Ok(true)
}

fn run_ceiling(plan: &CeilingPlan, json: bool) -> Result<bool> {
    print(&ceiling::run(plan)?, json)?;
    Ok(true)
}

fn run_handshakes(plan: &HandshakePlan, json: bool) -> Result<bool> {
    print(&handshake::run(plan)?, json)?;
    Ok(true)
}

fn print(report: &(impl Display + Serialize), json: bool) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string(report)?);
    } else {
        println!("{report}");
    }
    Ok(())
}
