//! PESQ: how a listener would judge what was heard beside what was said, from 1.0 to 4.6. A process of
//! Python, with packages that `scripts/setup sound` installs below target/, scores one pair after the other.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use super::pcm;
use super::trial::Passage;
use crate::paths;

/// Reads pairs and prints scores.
const SCRIPT: &str = include_str!("pesq.py");

/// A process that scores.
#[derive(Debug)]
pub(crate) struct Pesq {
    process: Child,
    pairs: ChildStdin,
    scores: BufReader<ChildStdout>,
    files: TempDir,
}

/// The Python that has PESQ, or why there is none, in a sentence.
pub(crate) fn python() -> Result<PathBuf, String> {
    let python = paths::sound_python();
    let has_it = Command::new(&python)
        .args(["-c", "import numpy, pesq"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if has_it {
        return Ok(python);
    }
    Err(format!(
        "PESQ is not installed ({} is missing or lacks it): run `scripts/setup sound`",
        python.display()
    ))
}

impl Pesq {
    /// Starts the process.
    ///
    /// # Errors
    /// It cannot be started, or files cannot be made for it.
    pub(crate) fn start(python: &Path) -> Result<Self> {
        let files = tempfile::tempdir().context("no directory can be made for passages")?;
        let mut process = Command::new(python)
            .args(["-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} cannot be started", python.display()))?;
        let pairs = process.stdin.take().context("PESQ has no standard input")?;
        let scores = process.stdout.take().context("PESQ has no standard output")?;
        Ok(Self { process, pairs, scores: BufReader::new(scores), files })
    }

    /// Mean score of passages; `None` if there is no speech in one of them.
    ///
    /// # Errors
    /// The process is over, or says something else.
    pub(crate) fn score(&mut self, passages: &[Passage]) -> Result<Option<f64>> {
        let mut scores = Vec::new();
        for Passage { said, heard } in passages {
            scores.push(self.score_one(said, heard)?);
        }
        let scores: Option<Vec<f64>> = scores.into_iter().collect();
        let mean = |scores: Vec<f64>| scores.iter().sum::<f64>() / scores.len() as f64;
        Ok(scores.filter(|scores| !scores.is_empty()).map(mean))
    }

    fn score_one(&mut self, said: &[i16], heard: &[i16]) -> Result<Option<f64>> {
        let paths = ["said.wav", "heard.wav"].map(|name| self.files.path().join(name));
        for (path, samples) in paths.iter().zip([said, heard]) {
            std::fs::write(path, pcm::wav(samples))
                .with_context(|| format!("{} cannot be written", path.display()))?;
        }
        let [said, heard] = &paths;
        let asked = writeln!(self.pairs, "{}\t{}", said.display(), heard.display());
        asked.and_then(|()| self.pairs.flush()).context("PESQ takes no more passages")?;
        let mut line = String::new();
        if self.scores.read_line(&mut line).context("PESQ cannot be read")? == 0 {
            bail!("PESQ has ended; what it said is above");
        }
        parse(line.trim())
    }
}

impl Drop for Pesq {
    fn drop(&mut self) {
        // It reads nothing that would have to be finished.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn parse(line: &str) -> Result<Option<f64>> {
    if line == "none" {
        return Ok(None);
    }
    let Ok(score) = line.parse() else { bail!("PESQ says {line:?}, which is no score") };
    Ok(Some(score))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_score_or_says_that_there_is_none() {
        assert_eq!(parse("3.9120").unwrap(), Some(3.912));
        assert_eq!(parse("none").unwrap(), None);
        assert!(parse("").unwrap_err().to_string().contains("\"\""));
    }
}
