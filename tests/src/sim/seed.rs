//! Seeds of a test.

/// Runs a test for several seeds: `TRIBUNE_SIM_SEED` names the only one, `TRIBUNE_SIM_SEEDS` says how
/// many; else as many as the test asks for, from 1.
///
/// # Panics
/// If a variable is set to something that is not a number, and where the test does.
pub fn for_seeds(usual: u64, test: impl Fn(u64)) {
    let number = |name: &str| {
        let text = std::env::var(name).ok()?;
        Some(text.parse::<u64>().unwrap_or_else(|_| panic!("{name} is {text:?}, no number")))
    };
    if let Some(seed) = number("TRIBUNE_SIM_SEED") {
        return test(seed);
    }
    (1..=number("TRIBUNE_SIM_SEEDS").unwrap_or(usual)).for_each(test);
}
