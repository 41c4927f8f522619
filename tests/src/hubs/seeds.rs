//! Seeds of a test, and the threads they run on.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Runs a test for several seeds, on all cores: `TRIBUNE_SEED` names the only one, `TRIBUNE_SEEDS`
/// says how many; else as many as the test asks for, from 1. Gives the results in the order of the
/// seeds.
///
/// # Panics
/// If a variable is set to something that is not a number, and where the test does.
pub fn over_seeds<R: Send>(usual: u64, test: impl Fn(u64) -> R + Sync) -> Vec<R> {
    if let Some(seed) = number("TRIBUNE_SEED") {
        return vec![test(seed)];
    }
    let last = number("TRIBUNE_SEEDS").unwrap_or(usual);
    let next = AtomicU64::new(1);
    let results = Mutex::new(Vec::new());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed > last {
                return;
            }
            let result = test(seed);
            results.lock().expect("no thread has failed while it held this").push((seed, result));
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        (0..threads).for_each(|_| drop(scope.spawn(work)));
    });
    let mut results = results.into_inner().expect("a thread that failed has ended the test");
    results.sort_by_key(|(seed, _)| *seed);
    results.into_iter().map(|(_, result)| result).collect()
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, no number")))
}
