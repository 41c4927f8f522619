//! `tribune-bench`: what a relay carries on this machine, and at what price. Without a command it runs
//! the [`suite`], as `make bench` does.
//!
//! * [`load`] starts relays and a [`crew`]: the threads of [`crowd`] and [`speech`], and [`guests`] that
//!   come and go. Participants are [`members`] of a [`swarm`], on [`sockets`] and at the end of a [`delay`]
//! * [`tally`] and [`gaps`] are what they hear, [`reporting`] what they report by their [`clocks`] and
//!   [`origin`] what becomes of that; [`report`], [`samples`] and [`plot`] are what came of it all
//! * [`ceiling`] is what the machine allows
//! * [`peers`] has other systems do the same, in turn
//! * [`suite`] runs all of it, a [`part`] at a time; [`figures`] and [`verdict`] judge, [`grid`] prints
//! * [`plan`] makes a tree of what was measured
//! * [`home`] knows where things are
//! * [`contend`] is either of them measured next to other systems
//! * [`handshake`] is what a join costs beside a bare TLS handshake; [`joiner`] is who joins
//! * [`process`] is the relay as a process; the operating system's side is in the library, which the
//!   load clients of other systems share

mod ceiling;
mod clocks;
mod contend;
mod crew;
mod crowd;
mod delay;
mod figures;
mod gaps;
mod grid;
mod guests;
mod handshake;
mod home;
mod joiner;
mod load;
mod members;
mod origin;
mod part;
mod peers;
mod plan;
mod plot;
mod process;
mod report;
mod reporting;
mod samples;
mod sockets;
mod speech;
mod suite;
mod swarm;
mod table;
mod tally;
mod verdict;

use std::fmt::Display;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use serde::Serialize;

use crate::ceiling::CeilingPlan;
use crate::contend::ContendPlan;
use crate::handshake::HandshakePlan;
use crate::load::LoadPlan;
use crate::peers::PeersPlan;
use crate::plan::TreePlan;
use crate::report::Verdict;
use crate::suite::SuitePlan;

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
    /// What the machine allows: seal, mask and send, without QUIC and without a relay.
    Ceiling(CeilingPlan),
    /// Tribune, the ceiling and other systems under the same schedule, in turn.
    Peers(PeersPlan),
    /// A tree for an audience from measured costs: relays, traffic, delay, cost.
    Plan(TreePlan),
    /// Everything that is judged, and the table with its verdicts; what `make bench` runs.
    Suite(SuitePlan),
    /// Tribune or the ceiling as one of several systems that are measured in turn: JSON lines on
    /// standard input ask for windows, those on standard output answer.
    Contend(ContendPlan),
    /// What a join costs the relay, beside the server's side of a bare TLS handshake.
    Handshakes(HandshakePlan),
}

fn main() -> ExitCode {
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
    let report = load::run(plan)?;
    print(&report, json)?;
    Ok(report.verdict == Verdict::Good)
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
