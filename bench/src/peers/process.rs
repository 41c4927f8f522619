//! Process of a contender: start, readiness, requests, end.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use tribune_bench::contender::{Ask, MISSING, Ready, Said, Window};

/// Longest time without progress while listeners join.
const STANDSTILL: Duration = Duration::from_secs(45);
/// Longest time for all joins: the slowest system takes 25 ms per listener.
const JOIN_WITHIN: Duration = Duration::from_secs(180);
/// Time for a window beyond its length.
const WINDOW_PATIENCE: Duration = Duration::from_secs(30);
/// Time for a contender to end by itself after its input is closed.
const END_WITHIN: Duration = Duration::from_secs(10);
/// Period in which its end is polled.
const GLANCE: Duration = Duration::from_millis(20);
/// Lines that may wait: a contender writes one per second while joining, then one per window.
const LINES: usize = 64;

/// Contender whose listeners are in. It ends with this value.
#[derive(Debug)]
pub(crate) struct Running {
    process: Process,
    ready: Ready,
}

impl Running {
    /// Starts it and waits until its listeners are in; `joined` gets their number as it grows.
    ///
    /// # Errors
    /// One sentence: it cannot be started, its server is missing, it ends or makes no progress.
    pub(crate) fn start(command: &mut Command, mut joined: impl FnMut(u32)) -> Result<Self> {
        let mut process = Process::start(command)?;
        let (began, mut moved, mut count) = (Instant::now(), Instant::now(), 0);
        loop {
            let patience = (STANDSTILL.saturating_sub(moved.elapsed()))
                .min(JOIN_WITHIN.saturating_sub(began.elapsed()));
            match process.hear(patience)? {
                Some(Said::Ready(ready)) => return Ok(Self { process, ready }),
                Some(Said::Joining { joined: now }) => {
                    if now > count {
                        (count, moved) = (now, Instant::now());
                        joined(now);
                    }
                }
                Some(Said::Window(_)) => bail!("it reports a window before its listeners are in"),
                None => bail!("only {count} listeners were in after {:.0?}", began.elapsed()),
            }
        }
    }

    /// Its description of itself.
    pub(crate) const fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Requests a window.
    ///
    /// # Errors
    /// One sentence: it has ended, or does not answer.
    pub(crate) fn window(&mut self, ask: Ask) -> Result<Window> {
        self.process.ask(ask)?;
        let patience = Duration::from_secs(ask.seconds.into()) + WINDOW_PATIENCE;
        match self.process.hear(patience)? {
            Some(Said::Window(window)) => Ok(window),
            Some(Said::Ready(_) | Said::Joining { .. }) => bail!("it answers with no window"),
            None => bail!("it has not reported a window within {patience:.0?}"),
        }
    }
}

/// Process with its messages.
#[derive(Debug)]
struct Process {
    child: Child,
    asks: Option<ChildStdin>,
    said: Receiver<Result<Said, String>>,
    complaints: Complaints,
}

impl Process {
    fn start(command: &mut Command) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let program = command.get_program().to_owned();
        let mut child =
            command.spawn().with_context(|| format!("{} cannot be started", program.display()))?;
        let asks = child.stdin.take();
        let output = child.stdout.take().context("it has no standard output")?;
        let errors = child.stderr.take().context("it has no standard error")?;
        let (sender, said) = mpsc::sync_channel(LINES);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let said = serde_json::from_str(&line).map_err(|_| line);
                if sender.send(said).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, asks, said, complaints: Complaints::of(errors) })
    }

    fn ask(&mut self, ask: Ask) -> Result<()> {
        let mut line = serde_json::to_vec(&ask)?;
        line.push(b'\n');
        let asks = self.asks.as_mut().context("it is asked nothing any more")?;
        if asks.write_all(&line).and_then(|()| asks.flush()).is_err() {
            bail!(self.obituary());
        }
        Ok(())
    }

    /// Next message; `None` after `patience` without one.
    fn hear(&mut self, patience: Duration) -> Result<Option<Said>> {
        match self.said.recv_timeout(patience) {
            Ok(Ok(said)) => Ok(Some(said)),
            Ok(Err(line)) => bail!("it says what is not of the contract: {line}"),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(anyhow!(self.obituary())),
        }
    }

    /// Reason of its end, in its own words if it left any.
    fn obituary(&mut self) -> String {
        let status = self.end();
        let words = self.complaints.last();
        match status.and_then(|status| status.code()) {
            _ if words.is_empty() => match status {
                Some(status) => format!("it has ended without a word ({status})"),
                None => "it did not end by itself".to_owned(),
            },
            Some(code) if code == i32::from(MISSING) => format!("not installed: {words}"),
            Some(_) | None => words,
        }
    }

    /// Ends it, by closing its input if that works, so that it can end its server.
    fn end(&mut self) -> Option<ExitStatus> {
        self.asks = None;
        let by = Instant::now() + END_WITHIN;
        while Instant::now() < by {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            std::thread::sleep(GLANCE);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        None
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// Last line of a process's standard error; the last line that is an error, if there is one.
#[derive(Debug)]
struct Complaints {
    last: Arc<Mutex<String>>,
    end: Receiver<()>,
}

impl Complaints {
    fn of(errors: impl Read + Send + 'static) -> Self {
        let last = Arc::new(Mutex::new(String::new()));
        let (sender, end) = mpsc::sync_channel(1);
        let written = Arc::clone(&last);
        std::thread::spawn(move || {
            for line in BufReader::new(errors).lines().map_while(Result::ok) {
                let line = line.trim();
                let Ok(mut last) = written.lock() else { return };
                // clap names a wrong argument first, then gives advice.
                if is_error(line) || !line.is_empty() && !is_error(&last) {
                    line.clone_into(&mut last);
                }
            }
            let _ = sender.send(());
        });
        Self { last, end }
    }

    /// The line. A server that is left behind may hold the pipe open, so the wait for its end is short.
    fn last(&self) -> String {
        let _ = self.end.recv_timeout(Duration::from_secs(1));
        self.last.lock().map(|last| last.clone()).unwrap_or_default()
    }
}

fn is_error(line: &str) -> bool {
    line.starts_with("error: ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn why(script: &str) -> String {
        format!("{:#}", Running::start(&mut shell(script), |_| {}).unwrap_err())
    }

    #[test]
    fn whoever_does_not_come_up_is_named_with_its_sentence() {
        assert_eq!(why("echo a >&2; echo no server >&2; exit 3"), "not installed: no server");
        assert_eq!(why("echo port is taken >&2; exit 2"), "port is taken");
        assert_eq!(why("echo error: -x >&2; echo see --help >&2; exit 2"), "error: -x");
        assert!(why("exit 2").contains("without a word"), "{}", why("exit 2"));
        assert!(why("echo hello").contains("not of the contract: hello"));
        let error = Running::start(&mut Command::new("/nowhere/peer"), |_| {}).unwrap_err();
        assert!(error.to_string().contains("/nowhere/peer"), "{error}");
    }

    #[test]
    fn one_that_dies_between_windows_is_noticed() {
        let ready = r#"{"event":"ready","system":"x","encrypted":"","lacks":"","listeners":2,"join_seconds":1.0,"memory_kib_per_listener":1.0}"#;
        let script = format!(
            "echo '{{\"event\":\"joining\",\"joined\":1}}'; echo '{ready}'; read ask; echo fell over >&2; exit 2"
        );
        let mut heard = Vec::new();
        let mut running = Running::start(&mut shell(&script), |joined| heard.push(joined)).unwrap();
        assert_eq!((heard, running.ready.system.as_str()), (vec![1], "x"));
        let error = running.window(Ask { speakers: 1, seconds: 1 }).unwrap_err().to_string();
        assert_eq!(error, "fell over");
    }
}
