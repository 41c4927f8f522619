//! Measurement of this program run as a child process, so that no memory, thread or socket is left for the
//! next one.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Report of a measurement, by the names in its JSON.
#[derive(Debug, Clone)]
pub(crate) struct ChildRun {
    command: String,
    report: Value,
}

impl ChildRun {
    /// Runs `tribune-bench ARGUMENTS --json` to its end. Its progress goes to standard error.
    ///
    /// # Errors
    /// It cannot be run, or prints no report.
    pub(crate) fn run(arguments: &[String]) -> Result<Self> {
        let program = std::env::current_exe().context("this program's path")?;
        let command = format!("tribune-bench {}", arguments.join(" "));
        let output = Command::new(program)
            .args(arguments)
            .arg("--json")
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("{command} cannot be run"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let Some(report) = text.lines().last().and_then(|line| serde_json::from_str(line).ok())
        else {
            bail!("{command} has ended with {} and no report", output.status);
        };
        Ok(Self { command, report })
    }

    /// Runs a load, and repeats it if it says nothing about the relay: the kernel dropped too much, frames are
    /// missing, or the generator was the bottleneck. Three runs at most.
    ///
    /// # Errors
    /// No run could be used; the reason of the last one.
    pub(crate) fn run_load(arguments: &[String]) -> Result<Self> {
        let mut last = None;
        for _ in 0..3 {
            let part = Self::run(arguments)?;
            match part.flaw() {
                None => return Ok(part),
                Some(flaw) => {
                    eprintln!("{}: {flaw}", part.command);
                    last = Some(format!("{}: {flaw}, three times", part.command));
                }
            }
        }
        bail!(last.unwrap_or_default())
    }

    /// Number in the report at a JSON pointer.
    ///
    /// # Errors
    /// The report has none there.
    pub(crate) fn number(&self, path: &str) -> Result<f64> {
        self.report
            .pointer(path)
            .and_then(Value::as_f64)
            .with_context(|| format!("{} does not report {path}", self.command))
    }

    /// List of numbers in the report at a JSON pointer.
    ///
    /// # Errors
    /// The report has none there, or something else among them.
    pub(crate) fn numbers(&self, path: &str) -> Result<Vec<f64>> {
        let numbers = self.report.pointer(path).and_then(Value::as_array);
        let numbers = numbers.map(|numbers| numbers.iter().map(Value::as_f64).collect());
        numbers.flatten().with_context(|| format!("{} does not report {path}", self.command))
    }

    fn flaw(&self) -> Option<&'static str> {
        let limited = self.report["generator_was_the_limit"].as_bool().unwrap_or(false);
        match self.report["verdict"].as_str() {
            Some("void") => Some("the kernel dropped too much"),
            Some("lost") => Some("frames are missing"),
            _ if limited => Some("the generator was the limit, not the relay"),
            _ => None,
        }
    }
}

/// Arguments of a command line without quotes.
pub(crate) fn split_words(words: &str) -> Vec<String> {
    words.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_their_path() {
        let report =
            serde_json::json!({"a": {"b": 2.5}, "c": [1, 2.5], "d": ["x"], "verdict": "good"});
        let part = ChildRun { command: "x".to_owned(), report };
        assert_eq!(part.number("/a/b").unwrap(), 2.5);
        let error = part.number("/a/c").unwrap_err().to_string();
        assert!(error.contains("/a/c"), "{error}");
        assert_eq!(part.numbers("/c").unwrap(), [1.0, 2.5]);
        assert!(part.numbers("/d").is_err() && part.numbers("/a").is_err());
        assert_eq!(part.flaw(), None);
    }

    #[test]
    fn a_load_that_says_nothing_is_known() {
        let flaw = |report| ChildRun { command: "x".to_owned(), report }.flaw();
        assert!(flaw(serde_json::json!({"verdict": "void"})).is_some());
        assert!(flaw(serde_json::json!({"verdict": "lost"})).is_some());
        let limited = serde_json::json!({"verdict": "good", "generator_was_the_limit": true});
        assert!(flaw(limited).is_some());
    }
}
