//! Relay processes that run for the length of a measurement, on ports that the system chooses.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use tribune_relay::config::Fingerprint;

/// Time for a relay to print that it is ready, and then to be attached to its parent.
const READY_WITHIN: Duration = Duration::from_secs(10);
/// Period in which `/readyz` is polled.
const ASK_PERIOD: Duration = Duration::from_millis(20);
/// Bytes of an HTTP answer that are read: a room with a full stage takes an eighth.
const ANSWER_BYTES: u64 = 64 * 1024;

/// Relay process. It ends with this value.
#[derive(Debug)]
pub(crate) struct RelayProcess {
    child: Child,
    ready: Ready,
    _data: TempDir,
}

/// Fields of a relay's `ready` line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ready {
    listen: SocketAddr,
    http: SocketAddr,
    fingerprint: Fingerprint,
}

impl RelayProcess {
    /// Starts a relay and waits until it is ready, and attached if it has a parent.
    ///
    /// # Errors
    /// It cannot be started, ends, or is not ready within ten seconds.
    pub(crate) fn start(program: &Path, shards: u8, parent: Option<&Self>) -> Result<Self> {
        let data = tempfile::tempdir().context("a directory for the relay")?;
        let parent = parent.map_or_else(Vec::new, |parent| {
            let Ready { listen, fingerprint, .. } = parent.ready;
            vec![format!("--parent={listen}"), format!("--parent-fingerprint={fingerprint}")]
        });
        let mut child = Command::new(program)
            .args(["--dev", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--log", "warn"])
            .args(["--shards", &shards.to_string()])
            .arg("--data")
            .arg(data.path())
            .args(&parent)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} cannot be started", program.display()))?;
        let ready = child.stdout.take().context("the relay has no standard output");
        match ready.and_then(wait_until_ready) {
            Ok(ready) => {
                let relay = Self { child, ready, _data: data };
                relay.wait_until_attached()?;
                Ok(relay)
            }
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// QUIC address.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.ready.listen
    }

    /// Fingerprint of its certificate.
    pub(crate) const fn fingerprint(&self) -> Fingerprint {
        self.ready.fingerprint
    }

    /// HTTP address.
    pub(crate) const fn http(&self) -> SocketAddr {
        self.ready.http
    }

    /// Process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn wait_until_attached(&self) -> Result<()> {
        let until = Instant::now() + READY_WITHIN;
        while get(self.ready.http, "/readyz")?.status != "200" {
            if Instant::now() >= until {
                bail!("the relay was not attached to its parent within {READY_WITHIN:?}");
            }
            std::thread::sleep(ASK_PERIOD);
        }
        Ok(())
    }
}

/// HTTP answer of a relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Status, three digits; empty if the answer is not HTTP.
    pub(crate) status: String,
    /// Body.
    pub(crate) body: String,
}

/// Sends a GET request to a relay's HTTP address.
///
/// # Errors
/// It cannot be reached, or does not answer within ten seconds.
pub(crate) fn get(http: SocketAddr, path: &str) -> Result<Answer> {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&http, READY_WITHIN)?;
        stream.set_read_timeout(Some(READY_WITHIN))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {http}\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.take(ANSWER_BYTES).read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = ask().with_context(|| format!("http://{http}{path} does not answer"))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split_ascii_whitespace().nth(1).unwrap_or_default();
    Ok(Answer { status: status.to_owned(), body: body.to_owned() })
}

/// Chain of relays: speakers join the first one, the root, listeners the last one, the edge.
#[derive(Debug)]
pub(crate) struct RelayChain {
    relays: Vec<RelayProcess>,
}

impl RelayChain {
    /// Starts a root and `depth - 1` relays below it, each the child of the one before.
    ///
    /// # Errors
    /// See [`RelayProcess::start`].
    pub(crate) fn start(program: &Path, shards: u8, depth: u8) -> Result<Self> {
        let mut relays: Vec<RelayProcess> = Vec::new();
        for level in 0..depth.max(1) {
            let relay = RelayProcess::start(program, shards, relays.last());
            relays.push(relay.with_context(|| format!("relay {level} of the chain"))?);
        }
        Ok(Self { relays })
    }

    /// Relay of the speakers.
    pub(crate) fn root(&self) -> &RelayProcess {
        &self.relays[0]
    }

    /// Relay of the listeners.
    pub(crate) fn edge(&self) -> &RelayProcess {
        &self.relays[self.relays.len() - 1]
    }

    /// Process ids of all relays but the edge.
    pub(crate) fn above_edge(&self) -> Vec<u32> {
        self.relays[..self.relays.len() - 1].iter().map(RelayProcess::pid).collect()
    }
}

impl Drop for RelayChain {
    fn drop(&mut self) {
        // From the edge up, so that no child redials its parent meanwhile.
        while self.relays.pop().is_some() {}
    }
}

impl Drop for RelayProcess {
    fn drop(&mut self) {
        // Its data is discarded, so it need not drain.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Relay program of the same build: next to this program.
///
/// # Errors
/// There is none.
pub(crate) fn relay_of_this_build() -> Result<PathBuf> {
    let own = std::env::current_exe().context("this program's path")?;
    let relay = own.with_file_name(format!("tribune-relay{}", std::env::consts::EXE_SUFFIX));
    if !relay.is_file() {
        bail!("{} is not there: build it, or name a relay with --relay", relay.display());
    }
    Ok(relay)
}

fn wait_until_ready(output: impl Read + Send + 'static) -> Result<Ready> {
    let (sender, receiver) = mpsc::sync_channel(1);
    // Reads to the end, so that the relay never writes into a closed pipe.
    std::thread::spawn(move || {
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        let _ = sender.send(lines.find_map(|line| parse_ready(&line)));
        lines.for_each(drop);
    });
    match receiver.recv_timeout(READY_WITHIN) {
        Ok(Some(ready)) => Ok(ready),
        Ok(None) => bail!("the relay has ended before it was ready"),
        Err(_) => bail!("the relay was not ready within {READY_WITHIN:?}"),
    }
}

/// Parses `ready listen=ADDR http=ADDR name=… relay=… fingerprint=…`.
fn parse_ready(line: &str) -> Option<Ready> {
    let words = line.strip_prefix("ready ")?;
    let value = |key: &str| {
        let mut pairs = words.split_whitespace().filter_map(|word| word.split_once('='));
        pairs.find(|(name, _)| *name == key).map(|(_, value)| value)
    };
    Some(Ready {
        listen: value("listen")?.parse().ok()?,
        http: value("http")?.parse().ok()?,
        fingerprint: value("fingerprint")?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_is_read() {
        let hex = "ab".repeat(32);
        let line = format!(
            "ready listen=127.0.0.1:7000 http=127.0.0.1:9 name=x relay=1 fingerprint={hex}"
        );
        let ready = parse_ready(&line).unwrap();
        assert_eq!(ready.listen, "127.0.0.1:7000".parse().unwrap());
        assert_eq!(ready.http, "127.0.0.1:9".parse().unwrap());
        assert_eq!(ready.fingerprint, Fingerprint([0xab; 32]));
        assert_eq!(parse_ready("ready listen=127.0.0.1:7000"), None);
    }
}
