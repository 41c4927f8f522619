//! Runs on all cores, up to 16: each thread takes the next run, and has a process of its own for PESQ.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::cell::Finished;
use super::pesq::Pesq;
use super::trial::Trial;
use crate::load::progress::Progress;

/// Threads at most: each holds the sound of one run.
const THREADS_MAX: usize = 16;

/// Results so far, and what shows them.
struct Board {
    finished: Vec<Option<Finished>>,
    count: usize,
    progress: Progress,
    failure: Option<anyhow::Error>,
}

/// Makes all runs, and gives their results in the same order. Without `python`, there is no PESQ.
///
/// # Errors
/// The first failure; runs that have not begun by then are left out.
pub(crate) fn run(trials: &[Trial<'_>], python: Option<&Path>) -> Result<Vec<Finished>> {
    let board = Mutex::new(Board {
        finished: trials.iter().map(|_| None).collect(),
        count: 0,
        progress: Progress::new(),
        failure: None,
    });
    let (next, failed, began) = (AtomicUsize::new(0), AtomicBool::new(false), Instant::now());
    let work = || -> Result<()> {
        let mut pesq = python.map(Pesq::start).transpose()?;
        while !failed.load(Ordering::Relaxed) {
            let n = next.fetch_add(1, Ordering::Relaxed);
            let Some(trial) = trials.get(n) else { return Ok(()) };
            let finished = finish(*trial, pesq.as_mut())?;
            let Ok(mut board) = board.lock() else { return Ok(()) };
            board.finished[n] = Some(finished);
            board.count += 1;
            let (count, seconds) = (board.count, began.elapsed().as_secs());
            board.progress.show(&format!("sound: {count} of {} runs, {seconds} s", trials.len()));
        }
        Ok(())
    };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    let has_panicked = thread::scope(|scope| {
        let workers = (0..threads.min(trials.len())).map(|_| {
            scope.spawn(|| {
                if let Err(error) = work() {
                    failed.store(true, Ordering::Relaxed);
                    if let Ok(mut board) = board.lock() {
                        board.failure.get_or_insert(error);
                    }
                }
            })
        });
        let workers: Vec<_> = workers.collect();
        workers.into_iter().filter_map(|worker| worker.join().err()).count() > 0
    });
    ensure!(!has_panicked, "a run has panicked; what it said is above");
    let mut board = board.into_inner().ok().context("a run has panicked")?;
    board.progress.end();
    if let Some(failure) = board.failure {
        return Err(failure);
    }
    board.finished.into_iter().collect::<Option<Vec<_>>>().context("a run was left out")
}

fn finish(trial: Trial<'_>, pesq: Option<&mut Pesq>) -> Result<Finished> {
    let what = || format!("{} with seed {}", trial.condition.name(), trial.seed);
    let mut outcome = trial.run().with_context(what)?;
    // Megabytes that nothing else needs.
    let passages = std::mem::take(&mut outcome.passages);
    let pesq = match pesq {
        Some(pesq) if !passages.is_empty() => pesq.score(&passages).with_context(what)?,
        Some(_) | None => None,
    };
    Ok(Finished { seed: trial.seed, outcome, pesq })
}
