//! Page's side of a WebTransport session, without I/O: participants of the simulated network and of the load come by
//! it as browsers do. What it sends is what browsers send, less the fields of a request that no relay reads.

use bytes::{Bytes, BytesMut};
use quinn_proto::{Connection, Dir, StreamId};
use tribune_protocol::codes::CloseCode;
use tribune_protocol::media::session_datagram::{QUARTER_STREAM_ID, SessionDatagram};
use tribune_protocol::varint;

/// Control stream of HTTP/3: its type, and SETTINGS with H3_DATAGRAM and WebTransport of draft 02.
const SETTINGS: [u8; 10] = [0x00, 0x04, 0x07, 0x33, 1, 0xab, 0x60, 0x37, 0x42, 1];
/// Request for the session: CONNECT, `:protocol`, `https` and `:path`, as Chromium writes them.
const REQUEST: [u8; 35] = [
    0x01, 33, 0x00, 0x00, 0xcf, 0x27, 0x02, b':', b'p', b'r', b'o', b't', b'o', b'c', b'o', b'l',
    0x89, 0xf0, 0x58, 0xd3, 0x60, 0xea, 0x45, 0x67, 0xb1, 0x3f, 0xd7, 0x51, 0x86, 0x61, 0x36, 0x1a,
    0x3b, 0x6a, 0x2f,
];
/// HEADERS with status 200.
const ACCEPTED: [u8; 5] = [0x01, 0x03, 0x00, 0x00, 0xd9];
/// Head of a stream of the session.
const OF_SESSION: [u8; 3] = [0x40, 0x41, 0x00];
/// Type of the capsule that ends a session.
const CLOSE_SESSION: u64 = 0x2843;

/// See the module's documentation.
#[derive(Debug)]
pub struct PageSession {
    request: StreamId,
    /// Bytes of the request's stream that are not understood yet.
    answer: BytesMut,
    is_accepted: bool,
    control: Option<StreamId>,
    end: Option<(CloseCode, String)>,
}

impl PageSession {
    /// Asks for a session on a connection that stands.
    ///
    /// # Panics
    /// Without the credit that a relay grants in the handshake.
    pub fn begin(conn: &mut Connection) -> Self {
        let control = conn.streams().open(Dir::Uni).expect("credit for HTTP/3's control stream");
        let request = conn.streams().open(Dir::Bi).expect("credit for a request");
        for (stream, bytes) in [(control, &SETTINGS[..]), (request, &REQUEST[..])] {
            let written = conn.send_stream(stream).write(bytes);
            assert!(written.is_ok_and(|written| written == bytes.len()), "a new stream has room");
        }
        Self { request, answer: BytesMut::new(), is_accepted: false, control: None, end: None }
    }

    /// Reads what has come, and gives the control stream when it can be opened, once. To be called after each
    /// event of the connection.
    pub fn poll_control(&mut self, conn: &mut Connection) -> Option<StreamId> {
        self.read(conn);
        if !self.is_accepted || self.control.is_some() {
            return None;
        }
        self.control = conn.streams().open(Dir::Bi);
        let control = self.control?;
        let written = conn.send_stream(control).write(&OF_SESSION);
        assert!(written.is_ok_and(|written| written == OF_SESSION.len()), "a new stream has room");
        Some(control)
    }

    /// How the relay has ended the session, as a page is told it.
    #[must_use]
    pub const fn end(&self) -> Option<&(CloseCode, String)> {
        self.end.as_ref()
    }

    fn read(&mut self, conn: &mut Connection) {
        let mut receive = conn.recv_stream(self.request);
        if let Ok(mut chunks) = receive.read(true) {
            while let Ok(Some(chunk)) = chunks.next(usize::MAX) {
                self.answer.extend_from_slice(&chunk.bytes);
            }
            let _ = chunks.finalize();
        }
        if !self.is_accepted && self.answer.len() >= ACCEPTED.len() {
            let answer = self.answer.split_to(ACCEPTED.len());
            assert_eq!(answer[..], ACCEPTED, "a relay takes the request for its session");
            self.is_accepted = true;
        }
        if self.is_accepted && self.end.is_none() {
            self.end = close(&self.answer);
        }
    }
}

/// A datagram as it travels in the session.
#[must_use]
pub fn tagged(datagram: &[u8]) -> Bytes {
    SessionDatagram::new(datagram).into_tagged()
}

/// The datagram in one that has come.
///
/// # Panics
/// The relay has sent one of another session.
#[must_use]
pub fn untagged(datagram: &Bytes) -> Bytes {
    assert_eq!(datagram.first(), Some(&QUARTER_STREAM_ID), "a datagram of another session");
    datagram.slice(1..)
}

/// The end of a session, if its capsule has come whole, in one frame.
fn close(mut bytes: &[u8]) -> Option<(CloseCode, String)> {
    const DATA: u64 = 0;

    let (kind, length) = (varint::take(&mut bytes)?, varint::take(&mut bytes)?);
    assert_eq!(kind, DATA, "after the answer there are capsules");
    let mut capsule = bytes.get(..usize::try_from(length).ok()?)?;
    assert_eq!(varint::take(&mut capsule)?, CLOSE_SESSION);
    assert_eq!(varint::take(&mut capsule)?, capsule.len() as u64);
    let (code, reason) = capsule.split_first_chunk::<4>()?;
    let code = CloseCode::from_wire(u64::from(u32::from_be_bytes(*code)));
    Some((code, String::from_utf8_lossy(reason).into_owned()))
}
