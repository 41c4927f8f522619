//! Janus API over its Unix socket: one JSON message per packet, answers and events in the same stream.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, recv, send, socket,
};
use serde::Deserialize;
use serde_json::{Value, json};

/// Largest message, in bytes: an offer with its SDP has about 1,500.
const MESSAGE_BYTES: usize = 64 * 1024;

/// Id of the only mountpoint.
pub(crate) const MOUNTPOINT: u64 = 1;

/// Session id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SessionId(pub(crate) u64);

/// Handle id: a viewer's attachment to the streaming plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HandleId(pub(crate) u64);

/// Transaction id, which an answer repeats: the viewer's number.
pub(crate) type RequestId = usize;

/// Message of Janus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum News {
    /// Version of Janus.
    Version(String),
    /// A session or a handle was created.
    Made(RequestId, u64),
    /// SDP offer to a viewer.
    Offer(SessionId, String),
    /// WebRTC is up for a viewer, and its audio flows.
    Up(SessionId),
    /// A viewer's connection ended.
    Over(SessionId, String),
    /// A request failed.
    Refused(String),
    /// A message that needs no reaction.
    Other,
}

/// Client side of the socket.
#[derive(Debug)]
pub(crate) struct Api {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

impl Api {
    /// Connects.
    ///
    /// # Errors
    /// No server listens at the path.
    pub(crate) fn connect(path: &Path) -> Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
        connect(socket.as_raw_fd(), &UnixAddr::new(path)?)
            .with_context(|| format!("{} takes no connection", path.display()))?;
        Ok(Self { socket, buffer: vec![0; MESSAGE_BYTES] })
    }

    /// Requests the version.
    pub(crate) fn ask_version(&self) -> Result<()> {
        self.send(&json!({ "janus": "info", "transaction": "0" }))
    }

    /// Requests a session.
    pub(crate) fn create(&self, request: RequestId) -> Result<()> {
        self.send(&json!({ "janus": "create", "transaction": request.to_string() }))
    }

    /// Requests a handle of the streaming plugin.
    pub(crate) fn attach(&self, request: RequestId, session: SessionId) -> Result<()> {
        self.send(&json!({
            "janus": "attach",
            "plugin": "janus.plugin.streaming",
            "session_id": session.0,
            "transaction": request.to_string(),
        }))
    }

    /// Requests the mountpoint's offer.
    pub(crate) fn watch(
        &self,
        request: RequestId,
        session: SessionId,
        handle: HandleId,
    ) -> Result<()> {
        self.send(&json!({
            "janus": "message",
            "body": { "request": "watch", "id": MOUNTPOINT },
            "session_id": session.0,
            "handle_id": handle.0,
            "transaction": request.to_string(),
        }))
    }

    /// Sends the answer to the offer.
    pub(crate) fn start(
        &self,
        request: RequestId,
        session: SessionId,
        handle: HandleId,
        answer: &str,
    ) -> Result<()> {
        self.send(&json!({
            "janus": "message",
            "body": { "request": "start" },
            // The answer has all candidates; none will trickle in.
            "jsep": { "type": "answer", "sdp": answer, "trickle": false },
            "session_id": session.0,
            "handle_id": handle.0,
            "transaction": request.to_string(),
        }))
    }

    /// Next message, if one is available.
    ///
    /// # Errors
    /// Janus has closed the socket, or sent an unknown message.
    pub(crate) fn poll(&mut self) -> Result<Option<News>> {
        match recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::empty()) {
            Ok(0) => bail!("Janus has closed its API's socket"),
            Ok(bytes) => parse(&self.buffer[..bytes]).map(Some),
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
            Err(error) => Err(error).context("Janus's API cannot be read"),
        }
    }

    fn send(&self, message: &Value) -> Result<()> {
        let bytes = serde_json::to_vec(message)?;
        // The socket's queue stays short: few viewers join at once, each with one request.
        send(self.socket.as_raw_fd(), &bytes, MsgFlags::MSG_NOSIGNAL)
            .context("Janus's API takes no request")?;
        Ok(())
    }
}

#[derive(Deserialize)]
struct Message {
    janus: String,
    transaction: Option<String>,
    session_id: Option<u64>,
    version_string: Option<String>,
    reason: Option<String>,
    data: Option<Made>,
    error: Option<Refusal>,
    jsep: Option<Description>,
    plugindata: Option<PluginData>,
}

#[derive(Deserialize)]
struct Made {
    id: u64,
}

#[derive(Deserialize)]
struct Refusal {
    reason: String,
}

#[derive(Deserialize)]
struct Description {
    sdp: String,
}

#[derive(Deserialize)]
struct PluginData {
    data: PluginAnswer,
}

#[derive(Deserialize)]
struct PluginAnswer {
    error: Option<String>,
}

fn parse(bytes: &[u8]) -> Result<News> {
    let said = || String::from_utf8_lossy(bytes);
    let message: Message =
        serde_json::from_slice(bytes).with_context(|| format!("Janus says {}", said()))?;
    let session = message.session_id.map(SessionId);
    let session = || session.with_context(|| format!("no session in {}", said()));
    Ok(match message.janus.as_str() {
        "server_info" => {
            News::Version(message.version_string.unwrap_or_else(|| "without a version".to_owned()))
        }
        "success" => {
            let made = message.data.with_context(|| format!("nothing made in {}", said()))?;
            let request = message.transaction.and_then(|text| text.parse().ok());
            News::Made(request.with_context(|| format!("no request in {}", said()))?, made.id)
        }
        "webrtcup" => News::Up(session()?),
        "hangup" | "timeout" | "detached" => {
            let why = message.reason.unwrap_or(message.janus);
            News::Over(session()?, why)
        }
        "error" => {
            let why = message.error.map(|refusal| refusal.reason);
            News::Refused(why.unwrap_or_else(|| said().into_owned()))
        }
        "event" => match (message.plugindata.and_then(|plugin| plugin.data.error), message.jsep) {
            (Some(why), _) => News::Refused(why),
            (None, Some(offer)) => News::Offer(session()?, offer.sdp),
            (None, None) => News::Other,
        },
        _ => News::Other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> News {
        parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn what_janus_says_is_told_apart() {
        let made = r#"{"janus":"success","transaction":"7","data":{"id":9007199254740991}}"#;
        assert_eq!(read(made), News::Made(7, 9_007_199_254_740_991));
        let offer = r#"{"janus":"event","session_id":3,"sender":4,"transaction":"7","plugindata":
            {"plugin":"janus.plugin.streaming","data":{"streaming":"event"}},
            "jsep":{"type":"offer","sdp":"v=0"}}"#;
        assert_eq!(read(offer), News::Offer(SessionId(3), "v=0".to_owned()));
        let up = r#"{"janus":"webrtcup","session_id":3,"sender":4}"#;
        assert_eq!(read(up), News::Up(SessionId(3)));
        let over = r#"{"janus":"hangup","session_id":3,"sender":4,"reason":"ICE failed"}"#;
        assert_eq!(read(over), News::Over(SessionId(3), "ICE failed".to_owned()));
        let info = r#"{"janus":"server_info","transaction":"0","version_string":"1.1.2"}"#;
        assert_eq!(read(info), News::Version("1.1.2".to_owned()));
        assert_eq!(read(r#"{"janus":"ack","session_id":3,"transaction":"7"}"#), News::Other);
    }

    #[test]
    fn a_refusal_is_one_whether_janus_or_its_plugin_says_it() {
        let janus = r#"{"janus":"error","transaction":"1","error":{"code":458,"reason":"No such session"}}"#;
        assert_eq!(read(janus), News::Refused("No such session".to_owned()));
        let plugin = r#"{"janus":"event","session_id":3,"plugindata":{"plugin":"p","data":
            {"streaming":"event","error_code":455,"error":"No such mountpoint"}}}"#;
        assert_eq!(read(plugin), News::Refused("No such mountpoint".to_owned()));
    }

    #[test]
    fn what_lacks_a_needed_part_is_an_error() {
        for text in ["{}", r#"{"janus":"success","transaction":"7"}"#, r#"{"janus":"webrtcup"}"#] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
