//! Relay process on a port that the system chooses, without authentication, with a certificate of its own.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use moq_tokio::{Client, connect};
use tempfile::TempDir;
use url::Url;

/// Name of the program.
const PROGRAM: &str = "moq-relay";
/// Time for the relay to log its address.
const READY_WITHIN: Duration = Duration::from_secs(10);
/// Log filter: errors, and the address on which it listens.
const LOGS: &str = "error,moq_relay::relay=info";
/// Text before the address in that line.
const ADDRESS: &str = "listening addr=";

/// Relay process. It ends with this value.
#[derive(Debug)]
pub(crate) struct Relay {
    child: Child,
    program: PathBuf,
    address: SocketAddr,
    data: TempDir,
}

/// Program of the relay: the given one, or the first on the PATH; `None` if there is none.
pub(crate) fn find(named: Option<&Path>) -> Option<PathBuf> {
    if let Some(path) = named {
        return path.is_file().then(|| path.to_owned());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(PROGRAM)).find(|it| it.is_file())
}

impl Relay {
    /// Starts a relay and waits until it logs its address.
    ///
    /// # Errors
    /// It cannot be started, ends, or logs no address within ten seconds.
    pub(crate) fn start(program: &Path, workers: Option<u16>) -> Result<Self> {
        let data = tempfile::tempdir().context("a directory for the relay's certificate")?;
        let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])
            .context("the relay's certificate")?;
        fs::write(certificate(&data), certified.cert.pem())?;
        let key = data.path().join("key.pem");
        fs::write(&key, certified.signing_key.serialize_pem())?;
        let mut command = Command::new(program);
        command.args(["--listen", "127.0.0.1:0", "--auth-public", "**", "--drain-timeout", "0s"]);
        command.arg("--listen-tls-cert").arg(certificate(&data));
        command.arg("--listen-tls-key").arg(&key);
        if let Some(workers) = workers {
            command.args(["--runtime-workers", &workers.to_string()]);
        }
        command.env("RUST_LOG", LOGS).env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child =
            command.spawn().with_context(|| format!("{} cannot be started", program.display()))?;
        let logs = child.stderr.take().context("the relay has no standard error");
        match logs.and_then(wait_for_address) {
            Ok(address) => Ok(Self { child, program: program.to_owned(), address, data }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// Process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Checks that it still runs.
    ///
    /// # Errors
    /// It has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("the relay has ended: {status}"),
        }
    }

    /// Name and version, as it prints them.
    ///
    /// # Errors
    /// It prints none.
    pub(crate) fn version(&self) -> Result<String> {
        let said = Command::new(&self.program).arg("--version").output();
        let said = said.with_context(|| format!("{} --version", self.program.display()))?;
        Ok(String::from_utf8(said.stdout).context("the relay's version")?.trim().to_owned())
    }

    /// URL for clients: MoQ over raw QUIC, without WebTransport.
    ///
    /// # Errors
    /// None with a socket address.
    pub(crate) fn url(&self) -> Result<Url> {
        Ok(Url::parse(&format!("moqt://{}/", self.address))?)
    }

    /// Path of its certificate.
    pub(crate) fn certificate(&self) -> PathBuf {
        certificate(&self.data)
    }
}

/// Client that trusts a certificate, with a socket of its own.
///
/// # Errors
/// No socket can be opened.
pub(crate) fn client(certificate: &Path) -> Result<Client> {
    let mut config = connect::Config::default();
    config.bind = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    config.tls.root = vec![certificate.to_owned()];
    config.tls.host_name = Some("localhost".to_owned());
    config.init(Default::default()).context("a client")
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn certificate(data: &TempDir) -> PathBuf {
    data.path().join("certificate.pem")
}

fn wait_for_address(logs: impl Read + Send + 'static) -> Result<SocketAddr> {
    let (sender, receiver) = mpsc::sync_channel(1);
    // Reads to the end, so that the relay never writes into a closed pipe.
    std::thread::spawn(move || {
        for line in BufReader::new(logs).lines().map_while(Result::ok) {
            match parse_address(&line) {
                Some(address) => drop(sender.try_send(address)),
                None if is_chatter(&line) => {}
                None => eprintln!("{line}"),
            }
        }
    });
    match receiver.recv_timeout(READY_WITHIN) {
        Ok(address) => Ok(address),
        Err(mpsc::RecvTimeoutError::Disconnected) => bail!("the relay ended before it listened"),
        Err(mpsc::RecvTimeoutError::Timeout) => {
            bail!("the relay did not listen within {READY_WITHIN:?}")
        }
    }
}

/// Whether a line is not an error: a client that leaves is logged as a warning.
fn is_chatter(line: &str) -> bool {
    [" INFO ", " WARN "].iter().any(|level| line.contains(level))
}

/// Parses `2026-01-01T00:00:00Z  INFO moq_relay::relay: listening addr=127.0.0.1:4443 kind="quic"`.
fn parse_address(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once(ADDRESS)?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_the_log() {
        let line = r#"2026-11-22T19:29:02Z  INFO moq_relay::relay: listening addr=127.0.0.1:44157 kind="quic""#;
        assert_eq!(parse_address(line), "127.0.0.1:44157".parse().ok());
        assert_eq!(parse_address("ERROR moq_relay: no such file"), None);
        assert_eq!(parse_address("listening addr=here"), None);
        assert!(is_chatter(line) && !is_chatter("Error: the port is taken"));
    }

    #[test]
    fn a_program_that_is_not_there_is_not_found() {
        assert_eq!(find(Some(Path::new("/nonexistent/moq-relay"))), None);
    }
}
