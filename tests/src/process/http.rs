//! As much of HTTP/1.1 as it takes to ask a relay how it is.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};

/// How long a relay on the same machine may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest answer: metrics of 64 shards have about 300 KB.
const ANSWER_BYTES: u64 = 1024 * 1024;

/// What came back.
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
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)
        .with_context(|| format!("http://{address}{path} cannot be reached"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.take(ANSWER_BYTES).read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").context("an answer without a body")?;
    let status = head.split_ascii_whitespace().nth(1).context("an answer without a status")?;
    Ok(Answer { status: status.parse()?, body: body.to_owned() })
}
