//! Browser's connection until its control stream is known: HTTP/3 around the session. From then on a browser is a
//! participant like any other. The session itself is [`crate::link::web_transport`].

use bytes::Bytes;
use quinn_proto::{Connection, Dir, ReadError, StreamId, VarInt};
use tribune_protocol::media::session_datagram::QUARTER_STREAM_ID;

use super::connection::Peer;
use crate::link::web_transport::{BIDI_STREAMS, Fault, Found, OWN_CONTROL, Session};

/// Progress with a browser's stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// All that was there has been read.
    Waiting,
    /// It is the control stream, and its first bytes are with the reader of messages.
    IsControl,
    /// The session is over.
    Over,
}

/// Begins HTTP/3 on a connection.
pub(super) fn begin(conn: &mut Connection) -> Box<Session> {
    conn.set_max_concurrent_streams(Dir::Bi, VarInt::from_u32(BIDI_STREAMS));
    if let Some(control) = conn.streams().open(Dir::Uni) {
        // A new stream takes as much.
        let written = conn.send_stream(control).write(&OWN_CONTROL);
        debug_assert!(written.is_ok_and(|written| written == OWN_CONTROL.len()));
    }
    Box::default()
}

/// Takes the byte of the session off a browser's datagram. `None`: it is of another one.
pub(super) fn untag(bytes: &Bytes) -> Option<Bytes> {
    (bytes.first() == Some(&QUARTER_STREAM_ID)).then(|| bytes.slice(1..))
}

/// Reads a browser's stream until it has turned out to be the control stream.
///
/// # Errors
/// [`Fault`].
pub(super) fn read(peer: &mut Peer, id: StreamId) -> Result<Progress, Fault> {
    let Some(session) = &mut peer.web else { return Ok(Progress::Waiting) };
    loop {
        let mut recv = peer.conn.recv_stream(id);
        let Ok(mut chunks) = recv.read(true) else { return Ok(Progress::Waiting) };
        let next = chunks.next(usize::MAX);
        // The caller has the connection polled in any case.
        let _ = chunks.finalize();
        let bytes = match next {
            Ok(Some(chunk)) => chunk.bytes,
            Ok(None) | Err(ReadError::Reset(_)) => {
                let is_over = session.handle_end(id)?;
                return Ok(if is_over { Progress::Over } else { Progress::Waiting });
            }
            Err(ReadError::Blocked) => return Ok(Progress::Waiting),
        };
        match session.handle_bytes(id, &bytes)? {
            Found::Nothing => {}
            Found::Request { answer, is_accepted } => {
                let mut stream = peer.conn.send_stream(id);
                // An error says that the browser has stopped reading it: then it knows no answer.
                let _ = stream.write(answer);
                if !is_accepted {
                    let _ = stream.finish();
                }
            }
            Found::Control(first) => {
                peer.control = Some(id);
                peer.reader.handle_bytes(&first);
                return Ok(Progress::IsControl);
            }
        }
    }
}
