//! Close of a connection, from the decision until QUIC is told: what was queued before leaves first, for QUIC
//! drops its queue when a connection closes; and a browser is given time to close first.

use std::time::{Duration, Instant};

use bytes::Bytes;
use quinn_proto::{Connection, StreamId, VarInt};
use tribune_protocol::codes::CloseCode;

use crate::link::web_transport::{NO_ERROR, Session};

/// Time between the last control message to a browser and the end of its session: a page is given no more of its streams
/// once it knows of the end.
const READING: Duration = Duration::from_millis(200);
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
    /// The same, for a browser whose session is still to be ended.
    SendingToPage(Told),
    /// Until the page has read what left.
    Page { due: Instant, told: Told },
    /// Until the end of the session has left.
    SendingEnd,
    /// For the peer to close first, until then.
    Peer(Instant),
    /// For nothing.
    Over,
}

/// End of a session, as its page is told it.
#[derive(Debug, Clone)]
struct Told {
    request: StreamId,
    capsule: Bytes,
}

impl Farewell {
    /// Begins the close. A browser is told on its session's own stream.
    pub(super) fn new(session: Option<&Session>, code: CloseCode, reason: String) -> Self {
        let told = session.and_then(|session| session.close(code, &reason));
        let wait = match told {
            None => Wait::Sending,
            Some((request, capsule)) => Wait::SendingToPage(Told { request, capsule }),
        };
        let code = if session.is_some() { NO_ERROR } else { code.to_wire() };
        let code = VarInt::from_u64(code).unwrap_or(VarInt::MAX);
        Self { code, reason: Bytes::from(reason), wait }
    }

    /// Takes the next step, now that everything has left. Returns whether there may be more to send; the connection
    /// is closed at last.
    pub(super) fn poll(&mut self, now: Instant, conn: &mut Connection) -> bool {
        match &self.wait {
            Wait::SendingToPage(told) => {
                self.wait = Wait::Page { due: now + READING, told: told.clone() };
                false
            }
            Wait::Page { due, told } if now >= *due => {
                let mut stream = conn.send_stream(told.request);
                // An error says that the browser has ended the session before.
                let _ = stream.write(&told.capsule);
                let _ = stream.finish();
                self.wait = Wait::SendingEnd;
                true
            }
            Wait::SendingEnd => {
                self.wait = Wait::Peer(now + LINGER);
                false
            }
            Wait::Peer(due) if now < *due => false,
            Wait::Page { .. } => false,
            Wait::Sending | Wait::Peer(_) => {
                conn.close(now, self.code, self.reason.clone());
                self.wait = Wait::Over;
                true
            }
            Wait::Over => false,
        }
    }

    /// When [`Self::poll`] is to be called though nothing has come.
    pub(super) const fn due(&self) -> Option<Instant> {
        match self.wait {
            Wait::Sending | Wait::SendingToPage(_) | Wait::SendingEnd | Wait::Over => None,
            Wait::Page { due, .. } | Wait::Peer(due) => Some(due),
        }
    }
}
