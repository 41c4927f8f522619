//! A relay as a process.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{Answer, Metrics, Process, Scratch, Signal, ask, get, wait_for};

/// Time limit until a relay listens, and until it has a parent.
const START_LIMIT: Duration = Duration::from_secs(20);

/// Options of a relay.
#[derive(Debug, Clone)]
pub struct RelayOptions {
    name: String,
    listen: SocketAddr,
    args: Vec<String>,
    files_can_be_full: bool,
}

/// A relay that runs.
#[derive(Debug)]
pub struct Relay {
    process: Process,
    listen: SocketAddr,
    http: SocketAddr,
    web: Option<String>,
    fingerprint: String,
}

impl RelayOptions {
    /// A relay for development on a port that the system chooses, with one thread for audio: the
    /// machine is small, and there are several relays on it.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let args = vec!["--shards=1".to_owned()];
        Self { name: name.to_owned(), listen, args, files_can_be_full: false }
    }

    /// On this port instead.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// With this parent: the first is the first choice, the others stand by.
    #[must_use]
    pub fn parent(self, parent: &Relay) -> Self {
        self.arg("--parent").arg(&parent.listen.to_string())
    }

    /// With one more argument.
    #[must_use]
    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.to_owned());
        self
    }

    /// So that a limit on the size of its files makes its writes fail, and does not end it.
    #[must_use]
    pub const fn files_can_be_full(mut self) -> Self {
        self.files_can_be_full = true;
        self
    }

    /// Starts it and waits until it listens and, if it has a parent, until it is attached. All
    /// relays of a directory show the same certificate.
    ///
    /// # Errors
    /// If it does not get that far in time.
    pub fn start(&self, scratch: &Scratch) -> Result<Relay> {
        let mut args = vec!["--dev".to_owned(), "--http=127.0.0.1:0".to_owned()];
        args.extend([format!("--listen={}", self.listen), format!("--name={}", self.name)]);
        args.extend_from_slice(&self.args);
        let start = match self.files_can_be_full {
            true => Process::start_where_files_can_be_full,
            false => Process::start,
        };
        let mut process = start(scratch, &self.name, "tribune-relay", &args)?;
        let ready =
            process.wait_line("the line that says that it is ready", START_LIMIT, |line| {
                line.strip_prefix("ready ").map(str::to_owned)
            })?;
        let value = |key: &str| {
            let mut pairs = ready.split(' ').filter_map(|pair| pair.split_once('='));
            let value = pairs.find(|(found, _)| *found == key).map(|(_, value)| value.to_owned());
            value.with_context(|| format!("no {key} in the line: ready {ready}"))
        };
        let relay = Relay {
            listen: value("listen")?.parse()?,
            http: value("http")?.parse()?,
            // By its address: of a name, Chromium tries one address for WebTransport, and the first of
            // `localhost` is IPv6.
            web: value("web").ok().map(|link| link.replace("//localhost:", "//127.0.0.1:")),
            fingerprint: value("fingerprint")?,
            process,
        };
        relay.wait_ready(START_LIMIT)?;
        Ok(relay)
    }
}

impl Relay {
    /// Its UDP address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.listen
    }

    /// Its TCP address, for health and metrics.
    #[must_use]
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// Where its page is, without a slash at the end.
    ///
    /// # Errors
    /// If it has none: `--web` was not among its arguments.
    pub fn web(&self) -> Result<&str> {
        self.web.as_deref().with_context(|| format!("{} serves no page", self.name()))
    }

    /// The SHA-256 of its certificate, in hexadecimal.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.process.name()
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Asks its HTTP side.
    ///
    /// # Errors
    /// If there is no answer.
    pub fn get(&self, path: &str) -> Result<Answer> {
        get(self.http, path)
    }

    /// Asks its HTTP side with a method and headers.
    ///
    /// # Errors
    /// If there is no answer.
    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Result<Answer> {
        ask(self.http, method, path, headers)
    }

    /// Its metrics as they are now; counters of the audio threads are up to 200 ms old.
    ///
    /// # Errors
    /// If there is no answer.
    pub fn metrics(&self) -> Result<Metrics> {
        let answer = self.get("/metrics")?;
        ensure!(answer.status == 200, "/metrics answers {}", answer.status);
        Ok(Metrics(answer.body))
    }

    /// Waits until it is ready: a relay with parents, until it is attached to one.
    ///
    /// # Errors
    /// If that takes longer than `limit`.
    pub fn wait_ready(&self, limit: Duration) -> Result<()> {
        let what = format!("{} to be ready", self.process.name());
        wait_for(&what, limit, || Ok((self.get("/readyz")?.status == 200).then_some(())))
    }

    /// Waits until its metrics are accepted by `accepts`.
    ///
    /// # Errors
    /// If they are not within `limit`.
    pub fn wait_metrics(
        &self,
        what: &str,
        limit: Duration,
        accepts: impl Fn(&Metrics) -> bool,
    ) -> Result<Metrics> {
        let what = format!("{what} in the metrics of {}", self.process.name());
        wait_for(&what, limit, || Ok(Some(self.metrics()?).filter(|metrics| accepts(metrics))))
    }

    /// Ends it at once, as a power cut does.
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub fn kill(mut self) -> Result<()> {
        self.process.kill()
    }

    /// Asks it to drain.
    ///
    /// # Errors
    /// If it is gone.
    pub fn terminate(&self) -> Result<()> {
        self.process.signal(Signal::TERM)
    }
}
