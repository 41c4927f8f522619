//! Capsule that ends a WebTransport session (draft-ietf-webtrans-http3 section 6, RFC 9297): a page is told the
//! code and the reason in no other form.

use bytes::{BufMut, Bytes, BytesMut};
use tribune_protocol::codes::CloseCode;
use tribune_protocol::varint;

/// Frame of HTTP/3 that capsules travel in (RFC 9114 section 7.2.1).
const DATA: u64 = 0x00;
/// Capsule CLOSE_WEBTRANSPORT_SESSION.
const CLOSE_SESSION: u64 = 0x2843;
/// Bytes of a reason at most: the draft allows 1,024, and ours are sentences.
const REASON_BYTES: usize = 256;

/// The capsule in its frame, for the CONNECT stream, which ends behind it.
pub(super) fn close_session(code: CloseCode, reason: &str) -> Bytes {
    let cut = reason.char_indices().map(|(at, char)| at + char.len_utf8());
    let fits = cut.take_while(|end| *end <= REASON_BYTES).last().unwrap_or(0);
    let reason = &reason.as_bytes()[..fits];
    let mut capsule = BytesMut::with_capacity(reason.len() + 8);
    varint::put(&mut capsule, CLOSE_SESSION);
    varint::put(&mut capsule, 4 + reason.len() as u64);
    // Our codes are far below 2^32; the page is given the number of the close code, not of an HTTP/3 error.
    capsule.put_u32(u32::try_from(code.to_wire()).unwrap_or(u32::MAX));
    capsule.put_slice(reason);
    let mut frame = BytesMut::with_capacity(capsule.len() + 4);
    varint::put(&mut frame, DATA);
    varint::put(&mut frame, capsule.len() as u64);
    frame.put_slice(&capsule);
    frame.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_is_a_capsule_in_a_data_frame() {
        let bytes = close_session(CloseCode::Kicked, "Out.");
        let code = u8::try_from(CloseCode::Kicked.to_wire()).unwrap();
        let expected = [0x00, 0x0b, 0x68, 0x43, 0x08, 0, 0, 0, code, b'O', b'u', b't', b'.'];
        assert_eq!(bytes[..], expected);
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let bytes = close_session(CloseCode::Kicked, &"é".repeat(200));
        let reason = std::str::from_utf8(&bytes[3 + 2 + 2 + 4..]).unwrap();
        assert_eq!(reason, "é".repeat(128));
    }
}
