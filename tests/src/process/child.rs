//! One process: its lines, its signals, its end.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};

use super::{Scratch, wait_for};

/// Lines of a process that are remembered: ten minutes of statistics and a thousand events. The
/// oldest are forgotten first; the file has them all.
const LINES_REMEMBERED: usize = 2_000;
/// Longest line, in bytes; a longer one is cut, as no program of ours prints it.
const LINE_BYTES: u64 = 64 * 1024;

/// A running process. It is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    lines: Arc<Mutex<VecDeque<String>>>,
    reader: Option<std::thread::JoinHandle<()>>,
    stderr: PathBuf,
}

/// End of a process.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: Vec<String>,
    /// Its standard error.
    pub stderr: String,
}

impl Process {
    /// Starts `program` with what it needs to find no settings but its arguments. Its output goes to
    /// `name.stdout` and `name.stderr`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(scratch: &Scratch, name: &str, program: &str, args: &[String]) -> Result<Self> {
        Self::start_at(scratch, name, &super::binary::find(program)?, args)
    }

    /// As [`Self::start`], for a program that is not ours.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start_at(
        scratch: &Scratch,
        name: &str,
        program: &Path,
        args: &[String],
    ) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(args);
        Self::spawn(scratch, name, command)
    }

    /// As [`Self::start`]; it logs everything that it and its libraries have to say.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start_logging_everything(
        scratch: &Scratch,
        name: &str,
        program: &str,
        args: &[String],
    ) -> Result<Self> {
        let mut command = Command::new("/usr/bin/env");
        command.arg("TRIBUNE_LOG=trace").arg(super::binary::find(program)?).args(args);
        Self::spawn(scratch, name, command)
    }

    /// As [`Self::start`]; a limit on the size of its files makes a write fail, and does not end it.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start_where_files_can_be_full(
        scratch: &Scratch,
        name: &str,
        program: &str,
        args: &[String],
    ) -> Result<Self> {
        // The process that the shell becomes goes on ignoring the signal, under the same id.
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"]);
        command.arg(super::binary::find(program)?).args(args);
        Self::spawn(scratch, name, command)
    }

    /// As [`Self::start`], for a command that needs more than arguments.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(crate) fn spawn(scratch: &Scratch, name: &str, mut command: Command) -> Result<Self> {
        let stderr = scratch.file(&format!("{name}.stderr"));
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("TRIBUNE_") {
                command.env_remove(variable);
            }
        }
        let mut child = command
            .env("HOME", scratch.path())
            .env("XDG_STATE_HOME", scratch.file("state"))
            // Held open, so that its reader waits.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&stderr)?)
            .spawn()
            .with_context(|| format!("{name} cannot be started"))?;
        let stdout = child.stdout.take().context("a process without standard output")?;
        let copy = File::create(scratch.file(&format!("{name}.stdout")))?;
        let lines = Arc::new(Mutex::new(VecDeque::new()));
        let remembered = Arc::clone(&lines);
        let reader = std::thread::spawn(move || remember(stdout, copy, &remembered));
        Ok(Self { name: name.to_owned(), child, lines, reader: Some(reader), stderr })
    }

    /// Name in the tests.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its standard output so far.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        lock(&self.lines).iter().cloned().collect()
    }

    /// Its last line that `accepts` recognises.
    pub fn last<T>(&self, accepts: impl Fn(&str) -> Option<T>) -> Option<T> {
        lock(&self.lines).iter().rev().find_map(|line| accepts(line))
    }

    /// Its standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// Waits for a line that `accepts` recognises; lines that are there already count.
    ///
    /// # Errors
    /// If none comes within `limit`, or the process ends before.
    pub fn wait_line<T>(
        &mut self,
        what: &str,
        limit: Duration,
        accepts: impl Fn(&str) -> Option<T>,
    ) -> Result<T> {
        let what = format!("{what} from {}", self.name);
        wait_for(&what, limit, || {
            // Asked before the lines are read, so that the last ones of a process count.
            let ended = self.try_code()?;
            if ended.is_some() {
                self.join_reader();
            }
            if let Some(found) = lock(&self.lines).iter().find_map(|line| accepts(line)) {
                return Ok(Some(found));
            }
            match ended {
                None => Ok(None),
                Some(code) => Err(anyhow!(
                    "{} ended with {code:?} while it was waited for {what}; it said: {}",
                    self.name,
                    self.stderr(),
                )),
            }
        })
    }

    /// Writes a line to its standard input.
    ///
    /// # Errors
    /// If it does not read any more.
    pub fn say(&mut self, line: &str) -> Result<()> {
        let stdin = self.child.stdin.as_mut().context("its standard input is closed")?;
        let written = stdin.write_all(line.as_bytes()).and_then(|()| stdin.write_all(b"\n"));
        written.with_context(|| format!("{} does not read", self.name))
    }

    /// Closes its standard input.
    pub fn end_input(&mut self) {
        self.child.stdin = None;
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.context("a process id that is none")?;
        kill_process(pid, signal).with_context(|| format!("{} cannot be signalled", self.name))
    }

    /// Ends it without a chance to say goodbye.
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Whether it is still running.
    ///
    /// # Errors
    /// If that cannot be told.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.try_code()?.is_none())
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// If it still runs after `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<Ended> {
        let what = format!("the end of {}", self.name);
        let code = wait_for(&what, limit, || self.try_code())?;
        self.join_reader();
        Ok(Ended { code, stdout: self.lines(), stderr: self.stderr() })
    }

    fn try_code(&mut self) -> Result<Option<Option<i32>>> {
        Ok(self.child.try_wait()?.map(|status| status.code()))
    }

    fn join_reader(&mut self) {
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.join_reader();
    }
}

/// Reads lines until the process closes its output.
fn remember(stdout: impl Read, mut copy: File, lines: &Mutex<VecDeque<String>>) {
    let mut stdout = BufReader::new(stdout);
    let mut line = Vec::new();
    loop {
        line.clear();
        match stdout.by_ref().take(LINE_BYTES).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let _ = copy.write_all(&line);
        let mut lines = lock(lines);
        if lines.len() == LINES_REMEMBERED {
            lines.pop_front();
        }
        lines.push_back(String::from_utf8_lossy(&line).trim_end().to_owned());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
