//! Raw PCM from a pipe: signed 16-bit little-endian, 48 kHz mono.

use std::io::Read;

use super::read_up_to;
use crate::audio::{AudioError, FRAME_SAMPLES, PcmFrame};

/// One frame in bytes.
const FRAME_BYTES: usize = FRAME_SAMPLES * 2;

/// A reader of raw PCM.
pub struct Pipe {
    reader: Box<dyn Read + Send>,
}

impl std::fmt::Debug for Pipe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipe").finish_non_exhaustive()
    }
}

impl Pipe {
    pub(super) fn new(reader: Box<dyn Read + Send>) -> Self {
        Self { reader }
    }

    /// The next frame; the last one is filled up with silence.
    pub(super) fn next_frame(&mut self) -> Result<Option<PcmFrame>, AudioError> {
        let mut bytes = [0; FRAME_BYTES];
        let len = read_up_to(&mut self.reader, &mut bytes)
            .map_err(|source| AudioError::Pipe { source })?;
        if len == 0 {
            return Ok(None);
        }
        let mut pcm = [0.0; FRAME_SAMPLES];
        for (sample, pair) in pcm.iter_mut().zip(bytes[..len].chunks_exact(2)) {
            *sample = f32::from(i16::from_le_bytes([pair[0], pair[1]])) / 32_768.0;
        }
        Ok(Some(pcm))
    }
}
