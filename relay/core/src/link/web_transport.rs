//! WebTransport session of a browser (draft-ietf-webtrans-http3): HTTP/3 (RFC 9114) as far as one session needs
//! it. Pure: bytes of streams in, and out comes what they turn out to be. What the relay sends are constants.
//!
//! The page asks for the session by a CONNECT request and opens one bidirectional stream in it, which is the
//! control stream of `tribune/1`. SPEC.md section 2.4.

use std::fmt;

use bytes::{Bytes, BytesMut};
use quinn_proto::{Dir, StreamId};
use smallvec::SmallVec;
use tribune_protocol::codes::CloseCode;
use tribune_protocol::varint;

use super::{capsule, qpack};

/// Bidirectional streams that a browser may have: the request and the control stream.
pub const BIDI_STREAMS: u32 = 2;
/// Unidirectional streams that a browser may have: control, and two of QPACK (RFC 9114 section 6.2). Chromium
/// wants the credit in the handshake, where it is not known yet who comes.
pub const UNI_STREAMS: u32 = 3;
/// Code of HTTP/3 that ends a connection without an error (RFC 9114 section 8.1, H3_NO_ERROR).
pub(crate) const NO_ERROR: u64 = 0x100;

/// Relay's own control stream: its type, and SETTINGS with extended CONNECT, H3_DATAGRAM, and WebTransport by
/// the code points of drafts 02, which Chromium asks for, and 07.
pub(crate) const OWN_CONTROL: [u8; 21] = [
    0x00, 0x04, 18, 0x08, 1, 0x33, 1, 0xab, 0x60, 0x37, 0x42, 1, 0xc0, 0, 0, 0, 0xc6, 0x71, 0x70,
    0x6a, 1,
];
/// HEADERS with `:status: 200` from QPACK's static table.
const ACCEPTED: [u8; 5] = [0x01, 0x03, 0x00, 0x00, 0xd9];
/// HEADERS with `:status: 404`.
const NOT_FOUND: [u8; 5] = [0x01, 0x03, 0x00, 0x00, 0xdb];

/// Types of frames (RFC 9114 section 7.2).
const FRAME_DATA: u64 = 0x00;
const FRAME_HEADERS: u64 = 0x01;
const FRAME_SETTINGS: u64 = 0x04;
/// Types of unidirectional streams (RFC 9114 section 6.2, RFC 9204 section 4.2, draft section 4.2).
const UNI_CONTROL: u64 = 0x00;
const UNI_PUSH: u64 = 0x01;
const UNI_QPACK_ENCODER: u64 = 0x02;
const UNI_QPACK_DECODER: u64 = 0x03;
const UNI_OF_SESSION: u64 = 0x54;
/// Signal value of a bidirectional stream that belongs to a session (draft section 4.3).
const OF_SESSION: u64 = 0x41;

/// Bytes by which a stream has to say what it is. Requests of browsers have some 300.
const HEAD_BYTES: usize = 4_096;
/// Bytes behind its head that a stream without meaning here may have: QPACK instructions that nobody needs,
/// reserved frames.
const IDLE_BYTES: usize = 16_384;

/// Session of one browser. See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Session {
    streams: SmallVec<[(StreamId, Stream); 5]>,
    phase: Phase,
}

/// Meaning of bytes of a browser's stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing that asks for anything.
    Nothing,
    /// A request; this is the answer, on the same stream, which ends unless the request is accepted.
    Request { answer: &'static [u8], is_accepted: bool },
    /// The control stream, and its first bytes.
    Control(Bytes),
}

/// Browser that does not keep to the protocol. The connection is closed with 0x01.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A stream does not say in time what it is.
    LongHead,
    /// A stream without meaning here goes on and on.
    LongIdle,
    /// The control stream of HTTP/3 does not begin with SETTINGS.
    NoSettings,
    /// A request cannot be read.
    BadRequest,
    /// A stream of the session before there is one, a second one, or a unidirectional one.
    ForeignStream,
    /// A stream that HTTP/3 needs has ended.
    CriticalStream,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Phase {
    /// No request has been taken.
    #[default]
    Waiting,
    /// There is a session; its request came on that stream.
    Open { request: StreamId },
    /// The control stream has been found too.
    Joined { request: StreamId },
}

#[derive(Debug)]
enum Stream {
    /// It has not said what it is. These are its bytes so far.
    New(BytesMut),
    /// Its content has no meaning here; so many bytes of it have come.
    Idle { bytes: usize, critical: bool },
}

impl Session {
    /// Takes note of a stream that the browser has opened.
    pub(crate) fn handle_opened(&mut self, id: StreamId) {
        self.streams.push((id, Stream::New(BytesMut::new())));
    }

    /// Takes bytes of a stream that is not the control stream.
    ///
    /// # Errors
    /// [`Fault`].
    pub(crate) fn handle_bytes(&mut self, id: StreamId, bytes: &[u8]) -> Result<Found, Fault> {
        let Some(at) = self.streams.iter().position(|(known, _)| *known == id) else {
            return Ok(Found::Nothing);
        };
        let head = match &mut self.streams[at].1 {
            Stream::Idle { bytes: so_far, .. } => {
                *so_far += bytes.len();
                return if *so_far > IDLE_BYTES {
                    Err(Fault::LongIdle)
                } else {
                    Ok(Found::Nothing)
                };
            }
            Stream::New(head) => head,
        };
        if head.len() + bytes.len() > HEAD_BYTES {
            return Err(Fault::LongHead);
        }
        head.extend_from_slice(bytes);
        match id.dir() {
            Dir::Uni => self.handle_uni(at),
            Dir::Bi => self.handle_bidi(at, id),
        }
    }

    /// Takes the end of a stream that is not the control stream. Returns whether the session is over with it.
    ///
    /// # Errors
    /// [`Fault::CriticalStream`].
    pub(crate) fn handle_end(&mut self, id: StreamId) -> Result<bool, Fault> {
        if self.request() == Some(id) {
            return Ok(true);
        }
        let Some(at) = self.streams.iter().position(|(known, _)| *known == id) else {
            return Ok(false);
        };
        // QUIC gives its place to another one: what is kept of those that have ended would have no bound.
        match self.streams.remove(at).1 {
            Stream::Idle { critical: true, .. } => Err(Fault::CriticalStream),
            Stream::Idle { critical: false, .. } | Stream::New(_) => Ok(false),
        }
    }

    /// The stream of the request, and what to write on it before it is finished, to end the session. `None`:
    /// there is no session, and the end of the connection says all.
    pub(crate) fn close(&self, code: CloseCode, reason: &str) -> Option<(StreamId, Bytes)> {
        self.request().map(|request| (request, capsule::close_session(code, reason)))
    }

    fn request(&self) -> Option<StreamId> {
        match self.phase {
            Phase::Waiting => None,
            Phase::Open { request } | Phase::Joined { request } => Some(request),
        }
    }

    fn handle_uni(&mut self, at: usize) -> Result<Found, Fault> {
        let (_, stream) = &mut self.streams[at];
        let Stream::New(head) = stream else { return Ok(Found::Nothing) };
        let mut rest = &head[..];
        let critical = match varint::take(&mut rest) {
            None => return Ok(Found::Nothing),
            Some(UNI_CONTROL) => match frame(&mut rest) {
                None => return Ok(Found::Nothing),
                // What the browser can do, it shows by its request.
                Some((FRAME_SETTINGS, _)) => true,
                Some(_) => return Err(Fault::NoSettings),
            },
            Some(UNI_PUSH | UNI_OF_SESSION) => return Err(Fault::ForeignStream),
            Some(UNI_QPACK_ENCODER | UNI_QPACK_DECODER) => true,
            // Reserved types say nothing.
            Some(_) => false,
        };
        *stream = Stream::Idle { bytes: 0, critical };
        Ok(Found::Nothing)
    }

    fn handle_bidi(&mut self, at: usize, id: StreamId) -> Result<Found, Fault> {
        let (_, stream) = &mut self.streams[at];
        let Stream::New(head) = stream else { return Ok(Found::Nothing) };
        if varint::take(&mut &head[..]).is_none_or(|signal| signal == OF_SESSION) {
            return self.handle_of_session(at);
        }
        let mut rest = &head[..];
        let section = loop {
            match frame(&mut rest) {
                None => return Ok(Found::Nothing),
                Some((FRAME_HEADERS, section)) => break section,
                Some((FRAME_DATA | FRAME_SETTINGS, _)) => return Err(Fault::BadRequest),
                // Reserved types say nothing (RFC 9114 section 7.2.8).
                Some(_) => {}
            }
        };
        let asks =
            qpack::asks_for_session(section).map_err(|qpack::Malformed| Fault::BadRequest)?;
        *stream = Stream::Idle { bytes: 0, critical: false };
        // The byte before each datagram and the head of each stream name the session as the one of stream 0.
        if asks && self.phase == Phase::Waiting && u64::from(id) == 0 {
            self.phase = Phase::Open { request: id };
            return Ok(Found::Request { answer: &ACCEPTED, is_accepted: true });
        }
        Ok(Found::Request { answer: &NOT_FOUND, is_accepted: false })
    }

    /// Finds out whose a stream is that begins as one of a session.
    fn handle_of_session(&mut self, at: usize) -> Result<Found, Fault> {
        let Stream::New(head) = &self.streams[at].1 else { return Ok(Found::Nothing) };
        let mut rest = &head[..];
        let ids = (varint::take(&mut rest), varint::take(&mut rest));
        let (Some(_), Some(session)) = ids else { return Ok(Found::Nothing) };
        let Phase::Open { request } = self.phase else { return Err(Fault::ForeignStream) };
        if session != u64::from(request) {
            return Err(Fault::ForeignStream);
        }
        let first = Bytes::copy_from_slice(rest);
        self.streams.remove(at);
        self.phase = Phase::Joined { request };
        Ok(Found::Control(first))
    }
}

/// Takes a frame of HTTP/3: its type, and its content (RFC 9114 section 7.1). `None`: it has not come whole.
fn frame<'a>(input: &mut &'a [u8]) -> Option<(u64, &'a [u8])> {
    let mut rest = *input;
    let kind = varint::take(&mut rest)?;
    let length = usize::try_from(varint::take(&mut rest)?).ok()?;
    let (content, rest) = rest.split_at_checked(length)?;
    *input = rest;
    Some((kind, content))
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LongHead => "A stream is too long without saying what it is.",
            Self::LongIdle => "A stream without meaning here is too long.",
            Self::NoSettings => "The control stream of HTTP/3 does not begin with settings.",
            Self::BadRequest => "The request for the session cannot be read.",
            Self::ForeignStream => {
                "The session has one stream, opened by the page once it is there."
            }
            Self::CriticalStream => "A stream that HTTP/3 needs has ended.",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use quinn_proto::Side;

    use super::*;

    #[test]
    fn a_page_asks_for_the_session_and_opens_its_stream() {
        let mut session = Session::default();
        session.handle_opened(settings());
        assert_eq!(session.handle_bytes(settings(), &OWN_CONTROL), Ok(Found::Nothing));
        session.handle_opened(request());
        assert_eq!(session.handle_bytes(request(), &connect("/tribune")), accepted());
        session.handle_opened(control());
        let found = session.handle_bytes(control(), &[0x40, 0x41, 0x00, 1, 2, 3]);
        assert_eq!(found, Ok(Found::Control(Bytes::from_static(&[1, 2, 3]))));
        // Capsules of the page, and the end.
        assert_eq!(session.handle_bytes(request(), &[0x00, 0x02, 0x68, 0x43]), Ok(Found::Nothing));
        assert_eq!(session.handle_end(request()), Ok(true));
    }

    #[test]
    fn what_is_sent_is_what_the_specification_says() {
        assert_eq!(OWN_CONTROL[..], vector("web-settings"));
        assert_eq!(ACCEPTED[..], vector("web-accepted"));
        let close = open().close(CloseCode::Kicked, "Out, Bob.");
        assert_eq!(close, Some((request(), vector("web-close").into())));
    }

    #[test]
    fn another_path_or_method_is_not_found() {
        for other in [connect("/"), connect("/tribune/x"), get("/tribune")] {
            let mut session = Session::default();
            session.handle_opened(request());
            assert_eq!(session.handle_bytes(request(), &other), not_found());
            assert_eq!(session.close(CloseCode::Done, ""), None, "there is no session to close");
        }
    }

    #[test]
    fn a_session_has_one_stream_which_names_it() {
        let of_other = [0x40, 0x41, 0x04];
        let of_ours = [0x40, 0x41, 0x00];
        let mut session = open();
        session.handle_opened(control());
        assert_eq!(session.handle_bytes(control(), &of_other), Err(Fault::ForeignStream));

        let mut session = open();
        session.handle_opened(control());
        assert!(session.handle_bytes(control(), &of_ours).is_ok());
        let second = StreamId::new(Side::Client, Dir::Bi, 2);
        session.handle_opened(second);
        assert_eq!(session.handle_bytes(second, &of_ours), Err(Fault::ForeignStream));

        let mut session = open();
        session.handle_opened(settings());
        let unidirectional = session.handle_bytes(settings(), &[0x40, 0x54, 0x00]);
        assert_eq!(unidirectional, Err(Fault::ForeignStream));

        let mut session = Session::default();
        session.handle_opened(request());
        let too_early = session.handle_bytes(request(), &of_ours);
        assert_eq!(too_early, Err(Fault::ForeignStream));

        let mut session = open();
        session.handle_opened(control());
        let second = session.handle_bytes(control(), &connect("/tribune"));
        assert_eq!(second, not_found(), "a second request");
    }

    #[test]
    fn streams_that_begin_wrongly_or_never_end_are_faults() {
        let mut session = Session::default();
        session.handle_opened(settings());
        assert_eq!(session.handle_bytes(settings(), &[0, 0x07, 0]), Err(Fault::NoSettings));

        let mut session = Session::default();
        session.handle_opened(settings());
        session.handle_bytes(settings(), &OWN_CONTROL).unwrap();
        assert_eq!(session.handle_bytes(settings(), &[0; IDLE_BYTES]), Ok(Found::Nothing));
        assert_eq!(session.handle_bytes(settings(), &[0]), Err(Fault::LongIdle));
        assert_eq!(session.handle_end(settings()), Err(Fault::CriticalStream));

        let mut session = Session::default();
        session.handle_opened(request());
        // HEADERS of 16,000 bytes that do not come.
        assert_eq!(session.handle_bytes(request(), &[0x01, 0x7e, 0x80]), Ok(Found::Nothing));
        assert_eq!(session.handle_bytes(request(), &[0; HEAD_BYTES]), Err(Fault::LongHead));

        let mut session = Session::default();
        session.handle_opened(request());
        assert_eq!(session.handle_bytes(request(), &[0x00, 0x00]), Err(Fault::BadRequest), "DATA");
    }

    /// First bytes of a browser's streams, in hexadecimal digits: what Chromium 156 and Firefox 153 send to this relay.
    struct Recorded {
        browser: &'static str,
        settings: &'static str,
        request: &'static str,
        /// On the request's stream, when the page closes the session.
        end: &'static str,
    }

    const RECORDED: [Recorded; 2] = [
        Recorded {
            browser: "Chromium",
            settings: "00042901800100000680004000074064330180ffd27701ab60374201c000001c6d416843c00000009539b729c0\
         0000188c0b3757026543",
            request: "0140560000d7cf508a089d5c0b8170dc69a659518661361a3b6a2f2f00b95d8749c87a3f89f058d360ea4567b1\
         3f2f0e4148b782c69b07522b3d895a74a6b65692c1ca900b01315f4b8f9d29aee30c044eae05c0b86e3c078100\
         0dce03cb1e20e7151a04c65e14e9",
            end: "000b68430800000000646f6e65",
        },
        Recorded {
            browser: "Firefox",
            settings: "00041501800100000714ab6037420180ffd2770133010801f4973db13015a5a2077baa5001b848fe",
            request: "0141060000cfd7508a089d5c0b8170dc69a659518661361a3b6a2f2f00b95d8749c87a3f89f058d360ea4567b1\
         3f5f50b5d07f66a281b0dae053fafc087ed4ce6aadf2a7979c89c6bed4b3bdc0b6cae0fed4c452753b02004000\
         802a61358594fe580b6cae0fdd5f398b2d4b70ddf45abefb4005df5f10929bd9abfa5242cb40d25fa523b3e94f\
         684c9f2f0e4148b782c69b07522b3d895a74a6b65692c1ca900b810f5f4b8f9d29aee30c044eae05c0b86e3c07\
         812f034148b4a549275a42a13f89f058d360ea4567b13f2f034148b4a549275a93c85f85a8eb10f6232f034148\
         b4a549275906497f8640e92ac8324b2eaec31ec327d783b606bf2daec1cd48ff86a8eb10649cbfe7",
            end: "000b68430800000000646f6e65",
        },
    ];

    #[test]
    fn what_browsers_send_is_understood_wherever_it_is_cut() {
        for Recorded { browser, settings: sets, request: asks, end } in RECORDED {
            let (sets, asks, end) = (bytes(sets), bytes(asks), bytes(end));
            for cut in 0..=asks.len().max(sets.len()) {
                let mut session = Session::default();
                session.handle_opened(settings());
                session.handle_opened(request());
                let (first, second) = sets.split_at(cut.min(sets.len()));
                for part in [first, second] {
                    assert_eq!(session.handle_bytes(settings(), part), Ok(Found::Nothing));
                }
                let (first, second) = asks.split_at(cut.min(asks.len()));
                let found = [first, second].map(|part| session.handle_bytes(request(), part));
                let told: Vec<_> =
                    found.into_iter().filter(|found| *found != Ok(Found::Nothing)).collect();
                assert_eq!(told, [accepted()], "{browser}, cut at {cut}");
                session.handle_opened(control());
                let stream = session.handle_bytes(control(), &[0x40, 0x41, 0x00]);
                assert_eq!(stream, Ok(Found::Control(Bytes::new())), "{browser}");
                assert_eq!(session.handle_bytes(request(), &end), Ok(Found::Nothing));
                assert_eq!(session.handle_end(request()), Ok(true));
            }
        }
    }

    fn bytes(digits: &str) -> Vec<u8> {
        let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        (0..digits.len()).step_by(2).map(byte).collect()
    }

    #[test]
    fn streams_that_have_ended_are_forgotten() {
        let mut session = open();
        for number in 3..1_000 {
            let reserved = StreamId::new(Side::Client, Dir::Uni, number);
            session.handle_opened(reserved);
            assert_eq!(session.handle_bytes(reserved, &[0x21, 7]), Ok(Found::Nothing));
            assert_eq!(session.handle_end(reserved), Ok(false));
            let refused = StreamId::new(Side::Client, Dir::Bi, number);
            session.handle_opened(refused);
            assert_eq!(session.handle_bytes(refused, &get("/")), not_found());
            assert_eq!(session.handle_end(refused), Ok(false));
        }
        assert_eq!(session.streams.len(), 1, "the request's");
    }

    proptest! {
        /// However a browser's bytes are cut, the same is found.
        #[test]
        fn streams_may_be_cut_anywhere(cuts in prop::collection::vec(1_usize..40, 1..40)) {
            let mut session = Session::default();
            let mut found = Vec::new();
            let first = [&[0x40, 0x41, 0x00][..], b"hello"].concat();
            let streams =
                [(settings(), OWN_CONTROL.to_vec()), (request(), connect("/tribune")), (control(), first)];
            for (id, bytes) in streams {
                session.handle_opened(id);
                let mut rest = &bytes[..];
                for cut in cuts.iter().cycle() {
                    let (part, after) = rest.split_at((*cut).min(rest.len()));
                    found.push(session.handle_bytes(id, part).unwrap());
                    rest = after;
                    if rest.is_empty() || matches!(found.last(), Some(Found::Control(_))) {
                        break;
                    }
                }
            }
            found.retain(|found| *found != Found::Nothing);
            prop_assert_eq!(found.len(), 2);
            prop_assert_eq!(&found[0], &accepted().unwrap());
            let Found::Control(first) = &found[1] else { panic!("{found:?}") };
            prop_assert!(b"hello".starts_with(first));
        }

        /// No bytes of any stream are a panic.
        #[test]
        fn anything_may_come(
            parts in prop::collection::vec(
                (0_u64..3, any::<bool>(), prop::collection::vec(any::<u8>(), 0..60)), 0..60),
        ) {
            let mut session = Session::default();
            let mut opened = Vec::new();
            for (number, is_uni, bytes) in parts {
                let dir = if is_uni { Dir::Uni } else { Dir::Bi };
                let id = StreamId::new(Side::Client, dir, number);
                if !opened.contains(&id) {
                    session.handle_opened(id);
                    opened.push(id);
                }
                if session.handle_bytes(id, &bytes).is_err() || session.handle_end(id).is_err() {
                    break;
                }
            }
        }
    }

    /// Bytes of a test vector of SPEC.md.
    fn vector(name: &str) -> Vec<u8> {
        let spec = include_str!("../../../../protocol/SPEC.md");
        let (_, vector) = spec.split_once(&format!("vector {name}\n")).unwrap();
        let (digits, _) = vector.split_once('#').unwrap();
        let digits: Vec<_> = digits.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16);
        digits.chunks(2).map(|pair| byte(pair).unwrap()).collect()
    }

    fn open() -> Session {
        let mut session = Session::default();
        session.handle_opened(request());
        assert_eq!(session.handle_bytes(request(), &connect("/tribune")), accepted());
        session
    }

    fn accepted() -> Result<Found, Fault> {
        Ok(Found::Request { answer: &ACCEPTED, is_accepted: true })
    }

    fn not_found() -> Result<Found, Fault> {
        Ok(Found::Request { answer: &NOT_FOUND, is_accepted: false })
    }

    fn request() -> StreamId {
        StreamId::new(Side::Client, Dir::Bi, 0)
    }

    fn control() -> StreamId {
        StreamId::new(Side::Client, Dir::Bi, 1)
    }

    fn settings() -> StreamId {
        StreamId::new(Side::Client, Dir::Uni, 0)
    }

    /// A request for a session, without QPACK's tables.
    fn connect(path: &str) -> Vec<u8> {
        headers(&[
            (":method", "CONNECT"),
            (":protocol", "webtransport"),
            (":scheme", "https"),
            (":authority", "localhost:4433"),
            (":path", path),
            ("origin", "http://localhost:8080"),
        ])
    }

    fn get(path: &str) -> Vec<u8> {
        headers(&[(":method", "GET"), (":scheme", "https"), (":path", path)])
    }

    /// HEADERS of literal fields with literal names (RFC 9204 section 4.5.6).
    fn headers(fields: &[(&str, &str)]) -> Vec<u8> {
        let mut section = vec![0x00, 0x00];
        for (name, value) in fields {
            match u8::try_from(name.len()).unwrap() {
                short @ 0..7 => section.push(0x20 | short),
                long => section.extend([0x27, long - 7]),
            }
            section.extend_from_slice(name.as_bytes());
            section.push(u8::try_from(value.len()).unwrap());
            section.extend_from_slice(value.as_bytes());
        }
        let mut frame = vec![0x01];
        varint::put(&mut frame, section.len() as u64);
        frame.extend_from_slice(&section);
        frame
    }
}
