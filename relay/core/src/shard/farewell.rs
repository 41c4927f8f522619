//! Close of a connection, from the decision until QUIC is told: what was queued before leaves first, for QUIC
//! drops its queue when a connection closes; and a browser is given time to close first.

use std::time::{Duration, Instant};

use bytes::Bytes;
use quinn_proto::{Connection, VarInt};
use tribune_protocol::codes::CloseCode;

use crate::link::web_transport::{NO_ERROR, Session};

/// Time for which a browser that has been told the end of its session may close the connection by itself. Where
/// the relay closes at once, the page is not told the code.
const LINGER: Duration = Duration::from_secs(1);

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Farewell {
    code: VarInt,
    reason: Bytes,
    wait: Wait,
}

#[derive(Debug)]
enum Wait {
    /// Until everything has left.
    Sending,
    /// The same, and then for the peer to close first.
    SendingThenPeer,
    /// Until then.
    Peer(Instant),
}

impl Farewell {
    /// Begins the close. A browser is told on its session's own stream.
    pub(super) fn new(
        conn: &mut Connection,
        session: Option<&Session>,
        code: CloseCode,
        reason: String,
    ) -> Self {
        let told = session.and_then(|session| session.close(code, &reason));
        let wait = match told {
            None => Wait::Sending,
            Some((request, capsule)) => {
                let mut stream = conn.send_stream(request);
                // An error says that the browser has ended the session before.
                let _ = stream.write(&capsule);
                let _ = stream.finish();
                Wait::SendingThenPeer
            }
        };
        let code = if session.is_some() { NO_ERROR } else { code.to_wire() };
        let code = VarInt::from_u64(code).unwrap_or(VarInt::MAX);
        Self { code, reason: Bytes::from(reason), wait }
    }

    /// Closes the connection if it is time, now that everything has left. Returns whether that was so.
    pub(super) fn poll(&mut self, now: Instant, conn: &mut Connection) -> bool {
        if let Wait::SendingThenPeer = self.wait {
            self.wait = Wait::Peer(now + LINGER);
        }
        if self.due().is_some_and(|due| now < due) {
            return false;
        }
        conn.close(now, self.code, self.reason.clone());
        true
    }

    /// When the connection is closed though the browser has not done it.
    pub(super) const fn due(&self) -> Option<Instant> {
        match self.wait {
            Wait::Sending | Wait::SendingThenPeer => None,
            Wait::Peer(due) => Some(due),
        }
    }
}
