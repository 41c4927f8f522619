//! As much of HTTP/1.1 as it takes to ask a relay how it is.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};

/// Time limit of an answer by a relay on the same machine.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest answer: metrics of 64 shards have about 300 KB.
const ANSWER_BYTES: u64 = 1024 * 1024;

/// The response.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status, such as 200.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// Asks `address` for `path`.
///
/// # Errors
/// If there is no answer in time, or it is no HTTP.
pub fn get(address: SocketAddr, path: &str) -> Result<Answer> {
    ask(address, "GET", path, &[])
}

/// A request with this method and, besides those that it needs, these headers. A `Host` among them
/// takes the place of the address.
///
/// # Errors
/// As for [`get`].
pub fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)
        .with_context(|| format!("http://{address}{path} cannot be reached"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        request.push_str(&format!("Host: {address}\r\n"));
    }
    if method == "POST" {
        request.push_str("Content-Length: 0\r\n");
    }
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{request}\r\n").as_bytes())?;
    let mut text = String::new();
    stream.take(ANSWER_BYTES).read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").context("an answer without a body")?;
    let status = head.split_ascii_whitespace().nth(1).context("an answer without a status")?;
    Ok(Answer { status: status.parse()?, body: body.to_owned() })
}
