//! The control stream: messages as a length (varint) and a CBOR map. SPEC.md section 4.
//!
//! A map's `type` names the message, its `id`, where there is one, ties an answer to a request; the
//! other keys are the message's fields. Unknown keys are passed over and unknown types read as the
//! `Unknown` variant of each direction, so that versions can differ by one across a tree.

use bytes::{Buf, Bytes, BytesMut};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::ids::RequestId;
use crate::limits::{MAX_MESSAGE_BYTES, MAX_MESSAGE_DEPTH};
use crate::varint;
use crate::wellformed::is_one_item;

/// Names the kinds of a direction's messages, each as the wire's `type` does.
macro_rules! kinds {
    ($message:ident { $($variant:pat => $kind:literal,)* }) => {
        impl $message {
            /// Values of [`Self::kind`], in the order of the variants; `unknown` is the last.
            pub const KINDS: [&'static str; [$($kind),*].len()] = [$($kind),*];

            /// The message's `type` on the wire; `unknown` for one of a later version. Made for
            /// counting: there are no other values.
            #[must_use]
            pub const fn kind(&self) -> &'static str {
                match self { $($variant => $kind,)* }
            }
        }
    };
}

mod action;
pub mod command;
mod credentials;
pub mod participant;
pub mod query;
mod room_change;
pub mod trunk;

/// A message with the number that ties answers to requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope<M> {
    /// Present on requests that want an answer, and on that answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<RequestId>,
    /// The message.
    #[serde(flatten)]
    pub message: M,
}

/// Fault of bytes on a control stream. All of them end the connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// The length is over 16 KiB.
    #[error("a control message of {0} bytes is over the limit")]
    TooLong(u64),
    /// Not one CBOR item of definite lengths, or nested too deep.
    #[error("a control message is not well-formed CBOR")]
    NotCbor,
    /// A known message whose fields do not fit.
    #[error("a control message does not fit: {0}")]
    DoesNotFit(String),
}

/// Writes a message with its length in front.
///
/// # Errors
/// [`ControlError::TooLong`] if it is over 16 KiB, which the limits of its parts prevent.
pub fn encode<M: Serialize>(id: Option<RequestId>, message: &M) -> Result<Bytes, ControlError> {
    #[derive(Serialize)]
    struct Borrowed<'a, M> {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<RequestId>,
        #[serde(flatten)]
        message: &'a M,
    }
    // By way of a value: only then is the map's length known, and definite on the wire.
    let map = ciborium::Value::serialized(&Borrowed { id, message })
        .map_err(|error| ControlError::DoesNotFit(error.to_string()))?;
    let mut body = Vec::with_capacity(128);
    ciborium::into_writer(&map, &mut body)
        .map_err(|error| ControlError::DoesNotFit(error.to_string()))?;
    if body.len() > MAX_MESSAGE_BYTES {
        return Err(ControlError::TooLong(body.len() as u64));
    }
    let mut out = BytesMut::with_capacity(body.len() + 4);
    varint::put(&mut out, body.len() as u64);
    out.extend_from_slice(&body);
    Ok(out.freeze())
}

/// Reads one message, without its length.
///
/// # Errors
/// [`ControlError::NotCbor`] or [`ControlError::DoesNotFit`].
pub fn decode<M: DeserializeOwned>(body: &[u8]) -> Result<Envelope<M>, ControlError> {
    if !is_one_item(body, MAX_MESSAGE_DEPTH) {
        return Err(ControlError::NotCbor);
    }
    ciborium::de::from_reader_with_recursion_limit(body, 4 * MAX_MESSAGE_DEPTH)
        .map_err(|error| ControlError::DoesNotFit(error.to_string()))
}

/// Cuts the bytes of a stream into messages. Buffers one message at most.
#[derive(Debug, Default)]
pub struct ControlReader {
    buffer: BytesMut,
}

impl ControlReader {
    /// Takes bytes as they come off the stream, cut anywhere.
    pub fn handle_bytes(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message, without its length. Poll until `None` before handing in more bytes:
    /// that is what bounds the buffer.
    ///
    /// # Errors
    /// [`ControlError::TooLong`], as soon as the length is read.
    pub fn poll_message(&mut self) -> Result<Option<Bytes>, ControlError> {
        let mut rest = &self.buffer[..];
        let Some(len) = varint::take(&mut rest) else { return Ok(None) };
        if len > MAX_MESSAGE_BYTES as u64 {
            return Err(ControlError::TooLong(len));
        }
        let len = len as usize;
        if rest.len() < len {
            return Ok(None);
        }
        let prefix = self.buffer.len() - rest.len();
        self.buffer.advance(prefix);
        let message = self.buffer.split_to(len).freeze();
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new(); // an idle connection holds no buffer
        }
        Ok(Some(message))
    }

    /// Bytes that wait for the rest of their message.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        self.buffer.len()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::participant::{FromParticipant, ToParticipant};
    use super::trunk::{ToChild, ToParent};
    use super::*;

    /// The bytes of the test vector `name`, as SPEC.md prints them: a line `vector NAME`, then
    /// hexadecimal digits up to an empty line or the end of the block.
    pub(crate) fn spec_vector(name: &str) -> Vec<u8> {
        let spec = include_str!("../../SPEC.md");
        let mut lines = spec.lines();
        let wanted = format!("vector {name}");
        assert!(lines.any(|line| line.trim() == wanted), "SPEC.md has no {wanted}");
        let digits: String = lines
            .take_while(|line| !line.trim().is_empty() && !line.starts_with("```"))
            .flat_map(|line| line.split('#').next().unwrap_or("").chars())
            .filter(char::is_ascii_hexdigit)
            .collect();
        digits
            .as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    #[test]
    fn unknown_types_and_fields_are_passed_over() {
        let mut body = Vec::new();
        let map = ciborium::Value::Map(vec![
            ("type".into(), "join_with_hologram".into()),
            ("beam".into(), 3.into()),
            ("id".into(), 9.into()),
        ]);
        ciborium::into_writer(&map, &mut body).unwrap();
        let read: Envelope<FromParticipant> = decode(&body).unwrap();
        assert_eq!(read, Envelope { id: Some(RequestId(9)), message: FromParticipant::Unknown });

        let mut body = Vec::new();
        let map = ciborium::Value::Map(vec![
            ("type".into(), "own_mute".into()),
            ("muted".into(), true.into()),
            ("since_version_2".into(), vec![ciborium::Value::from(1)].into()),
        ]);
        ciborium::into_writer(&map, &mut body).unwrap();
        let read: Envelope<FromParticipant> = decode(&body).unwrap();
        assert_eq!(read.message, FromParticipant::OwnMute { muted: true });
    }

    #[test]
    fn a_message_split_at_every_byte_is_read_once() {
        let one = encode(Some(RequestId(1)), &FromParticipant::OwnMute { muted: true }).unwrap();
        let two = encode(None, &FromParticipant::Leave {}).unwrap();
        let bytes = [&one[..], &two[..]].concat();
        for cut in 0..=bytes.len() {
            let mut reader = ControlReader::default();
            let mut read = Vec::new();
            for part in [&bytes[..cut], &bytes[cut..]] {
                reader.handle_bytes(part);
                while let Some(body) = reader.poll_message().unwrap() {
                    read.push(decode::<FromParticipant>(&body).unwrap());
                }
            }
            assert_eq!(read.len(), 2, "cut at {cut}");
            assert_eq!(read[0].id, Some(RequestId(1)));
            assert_eq!(read[1].message, FromParticipant::Leave {});
            assert_eq!(reader.buffered_bytes(), 0);
        }
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_its_bytes_come() {
        let mut reader = ControlReader::default();
        let mut prefix = Vec::new();
        varint::put(&mut prefix, MAX_MESSAGE_BYTES as u64 + 1);
        reader.handle_bytes(&prefix);
        assert_eq!(reader.poll_message(), Err(ControlError::TooLong(16_385)));
    }

    proptest! {
        #[test]
        fn any_bytes_parse_or_fail(body in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode::<FromParticipant>(&body);
            let _ = decode::<ToParticipant>(&body);
            let _ = decode::<ToParent>(&body);
            let _ = decode::<ToChild>(&body);
            let mut reader = ControlReader::default();
            reader.handle_bytes(&body);
            while let Ok(Some(_)) = reader.poll_message() {}
        }
    }
}
