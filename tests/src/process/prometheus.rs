//! Prometheus itself beside a tree of relays, from the system's package: what its rules and the
//! dashboards' queries answer.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::{Process, Scratch, wait_for};

/// Time limit of the start of Prometheus.
const START_LIMIT: Duration = Duration::from_secs(30);
/// Time limit of a query.
const PATIENCE: Duration = Duration::from_secs(20);
/// The longest answer that is read: two minutes of a sample a second of some hundred series.
const ANSWER_BYTES: u64 = 16 * 1024 * 1024;
/// Ports that are tried: another process may take one between the probe and the start.
const PORTS_TRIED: usize = 5;

/// A Prometheus that runs.
#[derive(Debug)]
pub struct Prometheus {
    process: Process,
    address: SocketAddr,
}

impl Prometheus {
    /// Path of the program, if it is installed.
    #[must_use]
    pub fn installed() -> Option<PathBuf> {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path)
            .map(|directory| directory.join("prometheus"))
            .find(|file| file.is_file())
    }

    /// Starts it with this configuration and waits until it answers queries. It keeps its data in the
    /// directory of the test.
    ///
    /// # Errors
    /// If it does not get that far in time.
    pub fn start(scratch: &Scratch, program: &Path, configuration: &Path) -> Result<Self> {
        let mut said = String::new();
        for attempt in 0..PORTS_TRIED {
            // Prometheus does not print a port chosen by the system, so one is chosen for it.
            let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
            let data = scratch.file(&format!("prometheus-{attempt}"));
            let args = [
                format!("--config.file={}", configuration.display()),
                format!("--storage.tsdb.path={}", data.display()),
                format!("--web.listen-address={address}"),
                "--log.level=warn".to_owned(),
            ];
            let mut process = Process::start_at(scratch, "prometheus", program, &args)?;
            let ready = wait_for("Prometheus to be ready or to end", START_LIMIT, || {
                if !process.is_running()? {
                    return Ok(Some(false));
                }
                Ok(request(address, "/-/ready")
                    .is_ok_and(|(status, _)| status == 200)
                    .then_some(true))
            })?;
            if ready {
                return Ok(Self { process, address });
            }
            said = process.stderr();
        }
        bail!("Prometheus does not start on any of {PORTS_TRIED} ports; it said: {said}")
    }

    /// Its log.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.stderr()
    }

    /// Asks its API; the answer is what it calls `data`.
    ///
    /// # Errors
    /// If there is no answer, or it is an error.
    pub fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value> {
        let parameters: Vec<String> =
            parameters.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let (status, body) = request(self.address, &format!("{path}?{}", parameters.join("&")))?;
        let answer: Value = serde_json::from_str(&body)
            .with_context(|| format!("{path} answers {status} and no JSON: {body}"))?;
        ensure!(status == 200, "{path} answers {status}: {}", answer["error"]);
        Ok(answer["data"].clone())
    }

    /// Current result of a query.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn query(&self, query: &str) -> Result<Vec<Value>> {
        let data = self.ask("/api/v1/query", &[("query", query)])?;
        data["result"].as_array().cloned().context("an answer without a result")
    }

    /// Number of series of a query that have a finite value at one of the last `seconds`.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn series_with_a_value(&self, query: &str, seconds: u64) -> Result<usize> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
        let (start, end) = ((now - seconds).to_string(), now.to_string());
        let parameters = [("query", query), ("start", &start), ("end", &end), ("step", "1s")];
        let data = self.ask("/api/v1/query_range", &parameters)?;
        let result = data["result"].as_array().context("an answer without a result")?;
        let finite = |value: &Value| {
            let number = value[1].as_str().and_then(|text| text.parse::<f64>().ok());
            number.is_some_and(f64::is_finite)
        };
        let has_one = |series: &&Value| {
            series["values"].as_array().is_some_and(|values| values.iter().any(finite))
        };
        Ok(result.iter().filter(has_one).count())
    }
}

/// Status and body of an answer. HTTP/1.0, so that it does not come in chunks.
fn request(address: SocketAddr, path: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut text = String::new();
    stream.take(ANSWER_BYTES).read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").context("an answer without a body")?;
    let status = head.split_ascii_whitespace().nth(1).context("an answer without a status")?;
    Ok((status.parse()?, body.to_owned()))
}

/// A value as it stands in a URL.
fn encoded(text: &str) -> String {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let one = |byte: u8| match unreserved(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_a_value_is_encoded() {
        assert_eq!(encoded("a_b{c=\"d\"} + 1&e"), "a_b%7Bc%3D%22d%22%7D%20%2B%201%26e");
    }
}
