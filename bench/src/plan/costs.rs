//! Costs of a relay, the input of a plan: from flags, else from the last suite on this machine, else built
//! in from bench/RESULTS.md.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// Costs of a relay as a suite writes them in its JSON; `None` if not measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct MeasuredCosts {
    /// Relay CPU per frame that a listener received, one speaker, in microseconds.
    pub(crate) cpu_us_per_frame: Option<f64>,
    /// Relay CPU per further frame in the same datagram, in microseconds.
    pub(crate) cpu_us_per_further_frame: Option<f64>,
    /// Resident memory of a relay per listener, after speech, in KiB.
    pub(crate) memory_kib_per_listener: Option<f64>,
    /// Relay CPU of a listener's handshake and join, in microseconds.
    pub(crate) join_cpu_us: Option<f64>,
    /// Delay of one more relay on the way, median, in milliseconds.
    pub(crate) hop_p50_ms: Option<f64>,
    /// Delay of one more relay on the way, 99th percentile, in milliseconds.
    pub(crate) hop_p99_ms: Option<f64>,
    /// Relay CPU of a listener in a browser, as a multiple of another one's in the same profile.
    pub(crate) web_cpu_factor: Option<f64>,
}

/// Cost with its source.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Sourced {
    pub(crate) value: f64,
    pub(crate) source: Source,
}

/// Source of a cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Source {
    /// The command line.
    Flag,
    /// The results of a suite.
    Suite,
    /// A constant of this file, from bench/RESULTS.md.
    BuiltIn,
}

impl Source {
    /// In words.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Suite => "measured by the suite",
            Self::BuiltIn => "built in",
        }
    }
}

/// Costs to plan with, each with its source.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Costs {
    /// See [`MeasuredCosts::cpu_us_per_frame`].
    pub(crate) cpu_us_per_frame: Sourced,
    /// See [`MeasuredCosts::cpu_us_per_further_frame`].
    pub(crate) cpu_us_per_further_frame: Sourced,
    /// See [`MeasuredCosts::memory_kib_per_listener`].
    pub(crate) memory_kib_per_listener: Sourced,
    /// See [`MeasuredCosts::join_cpu_us`].
    pub(crate) join_cpu_us: Sourced,
    /// See [`MeasuredCosts::hop_p50_ms`].
    pub(crate) hop_p50_ms: Sourced,
    /// See [`MeasuredCosts::hop_p99_ms`].
    pub(crate) hop_p99_ms: Sourced,
    /// See [`MeasuredCosts::web_cpu_factor`].
    pub(crate) web_cpu_factor: Sourced,
}

/// Relay CPU of a listener in a browser ÷ another one's in the same profile: bench/RESULTS.md, "Browsers".
const WEB_CPU_FACTOR: f64 = 1.06;

impl Costs {
    /// Takes each cost from the first of flags, suite and built-in values that has it.
    pub(crate) fn choose(flags: &MeasuredCosts, suite: &MeasuredCosts) -> Self {
        let choose = |cost: fn(&MeasuredCosts) -> Option<f64>, otherwise| {
            let flag = cost(flags).map(|value| Sourced { value, source: Source::Flag });
            let suite = cost(suite).map(|value| Sourced { value, source: Source::Suite });
            let page = Sourced { value: otherwise, source: Source::BuiltIn };
            flag.or(suite).unwrap_or(page)
        };
        Self {
            // The run of `make bench` in bench/RESULTS.md, as the suite puts it into its JSON.
            cpu_us_per_frame: choose(|costs| costs.cpu_us_per_frame, 8.0),
            // 7.9 µs a datagram of one frame, 2.0 µs each of four in one.
            cpu_us_per_further_frame: choose(|costs| costs.cpu_us_per_further_frame, 0.02),
            memory_kib_per_listener: choose(|costs| costs.memory_kib_per_listener, 19.8),
            join_cpu_us: choose(|costs| costs.join_cpu_us, 480.0),
            // Half of the delay that two more relays add.
            hop_p50_ms: choose(|costs| costs.hop_p50_ms, 0.1),
            hop_p99_ms: choose(|costs| costs.hop_p99_ms, 0.1),
            web_cpu_factor: choose(|costs| costs.web_cpu_factor, WEB_CPU_FACTOR),
        }
    }

    /// Relay CPU per datagram with one frame of each speaker, in microseconds.
    pub(crate) fn cpu_us_per_datagram(&self, speakers: u16) -> f64 {
        let further = f64::from(speakers.saturating_sub(1));
        self.cpu_us_per_frame.value + further * self.cpu_us_per_further_frame.value
    }
}

/// Reads the costs in a suite's JSON.
///
/// # Errors
/// The file cannot be read, or does not hold results of a suite.
pub(crate) fn read(path: &Path) -> Result<MeasuredCosts> {
    #[derive(Deserialize)]
    struct Results {
        costs: MeasuredCosts,
    }
    let text = fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let results: Results = serde_json::from_slice(&text)
        .with_context(|| format!("{} does not hold the results of a suite", path.display()))?;
    Ok(results.costs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_counts_more_than_a_suite_and_a_suite_more_than_the_page() {
        let flags = MeasuredCosts { cpu_us_per_frame: Some(5.0), ..MeasuredCosts::default() };
        let suite = MeasuredCosts {
            cpu_us_per_frame: Some(6.0),
            join_cpu_us: Some(300.0),
            ..MeasuredCosts::default()
        };
        let costs = Costs::choose(&flags, &suite);
        assert_eq!(costs.cpu_us_per_frame, Sourced { value: 5.0, source: Source::Flag });
        assert_eq!(costs.join_cpu_us, Sourced { value: 300.0, source: Source::Suite });
        assert_eq!(costs.memory_kib_per_listener.source, Source::BuiltIn);
        let four = costs.cpu_us_per_datagram(4);
        assert!((four - (5.0 + 3.0 * costs.cpu_us_per_further_frame.value)).abs() < 1e-9);
    }

    #[test]
    fn only_results_of_a_suite_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("results.json");
        fs::write(&path, r#"{"costs":{"hop_p99_ms":2.5},"more":1}"#).unwrap();
        assert_eq!(read(&path).unwrap().hop_p99_ms, Some(2.5));
        fs::write(&path, "[]").unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("results.json"));
        assert!(read(&directory.path().join("none")).is_err());
    }
}
