//! Time probes: how a client or a child learns the origin's time from the next hop. SPEC.md section 7.
//!
//! The exchange is that of NTP (RFC 5905 section 8): the asker notes when it sent (`asked`) and when
//! the answer came, the answerer notes when the question came and when the answer left, both in its
//! own estimate of the origin's clock. [`crate::time`] turns such exchanges into an offset.

use bytes::{BufMut, Bytes, BytesMut};

use super::{DatagramError, KIND_PROBE};

/// A time probe, one direction of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// To the next hop towards the origin.
    Question {
        /// Microseconds in the asker's own clock; comes back unchanged.
        asked_us: u64,
    },
    /// Back to the asker.
    Answer(Answer),
}

/// The answer to a time probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// As in the question.
    pub asked_us: u64,
    /// When the question came, in the origin's clock as the answerer knows it, microseconds.
    pub received_us: u64,
    /// When the answer left, in the same clock.
    pub answered_us: u64,
    /// Error bound of that clock against the origin's, in microseconds; 0 at the origin.
    /// `u32::MAX` where the answerer has no estimate yet: the asker learns nothing from such an answer.
    pub error_us: u32,
}

const QUESTION: u8 = 0;
const ANSWER: u8 = 1;

impl Probe {
    /// The datagram.
    #[must_use]
    pub fn write(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(32);
        out.put_u8(KIND_PROBE);
        match self {
            Self::Question { asked_us } => {
                out.put_u8(QUESTION);
                out.put_u64(*asked_us);
            }
            Self::Answer(answer) => {
                out.put_u8(ANSWER);
                out.put_u64(answer.asked_us);
                out.put_u64(answer.received_us);
                out.put_u64(answer.answered_us);
                out.put_u32(answer.error_us);
            }
        }
        out.freeze()
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, DatagramError> {
        let direction = *bytes.get(1).ok_or(DatagramError::Truncated)?;
        let long = |at: usize| -> Result<u64, DatagramError> {
            let field = bytes.get(at..at + 8).ok_or(DatagramError::Truncated)?;
            Ok(field.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
        };
        match direction {
            QUESTION => Ok(Self::Question { asked_us: long(2)? }),
            ANSWER => {
                let error = bytes.get(26..30).ok_or(DatagramError::Truncated)?;
                Ok(Self::Answer(Answer {
                    asked_us: long(2)?,
                    received_us: long(10)?,
                    answered_us: long(18)?,
                    error_us: error.iter().fold(0, |value, byte| value << 8 | u32::from(*byte)),
                }))
            }
            _ => Err(DatagramError::OutOfRange),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Datagram;

    #[test]
    fn vectors_of_the_specification() {
        let question = Probe::Question { asked_us: 1_000_000 };
        let answer = Probe::Answer(Answer {
            asked_us: 1_000_000,
            received_us: 1_700_000_000_000_000,
            answered_us: 1_700_000_000_000_250,
            error_us: 400,
        });
        for (probe, name) in [(question, "probe-1"), (answer, "probe-2")] {
            assert_eq!(probe.write()[..], crate::control::tests::spec_vector(name));
            assert_eq!(Datagram::parse(probe.write()), Ok(Datagram::Probe(probe)));
            let short = probe.write().slice(..probe.write().len() - 1);
            assert_eq!(Datagram::parse(short), Err(DatagramError::Truncated));
        }
    }
}
