//! WAV: 16-bit PCM, 48 kHz mono, with a header that is right at least once a second.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::FLUSH_FRAMES;
use crate::audio::{AudioError, FRAME_SAMPLES, SAMPLE_RATE_HZ};

/// Length of the header in bytes: RIFF, `fmt `, and the head of `data`.
const HEADER_BYTES: u32 = 44;
/// Samples after which the header is brought up to date.
const FLUSH_SAMPLES: usize = FLUSH_FRAMES as usize * FRAME_SAMPLES;

/// A WAV file that is being written.
#[derive(Debug)]
pub struct WavWriter {
    path: PathBuf,
    file: BufWriter<File>,
    data_bytes: u32,
    samples_unflushed: usize,
}

impl WavWriter {
    pub(super) fn create(path: &Path) -> Result<Self, AudioError> {
        let failed = |source| AudioError::File { action: "write", path: path.to_owned(), source };
        let file = File::create(path).map_err(failed)?;
        let mut writer = Self {
            path: path.to_owned(),
            file: BufWriter::new(file),
            data_bytes: 0,
            samples_unflushed: 0,
        };
        writer.file.write_all(&header(0)).and_then(|()| writer.file.flush()).map_err(failed)?;
        Ok(writer)
    }

    pub(super) fn write(&mut self, pcm: &[f32]) -> Result<(), AudioError> {
        let Some(data_bytes) = u32::try_from(pcm.len() * 2)
            .ok()
            .and_then(|bytes| self.data_bytes.checked_add(bytes))
            .filter(|bytes| bytes.checked_add(HEADER_BYTES).is_some())
        else {
            return Err(AudioError::WavFull { path: self.path.clone() });
        };
        for &sample in pcm {
            let written = self.file.write_all(&to_i16(sample).to_le_bytes());
            written.map_err(|source| self.error(source))?;
        }
        self.data_bytes = data_bytes;
        self.samples_unflushed += pcm.len();
        if self.samples_unflushed >= FLUSH_SAMPLES {
            self.patch_header().map_err(|source| self.error(source))?;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<(), AudioError> {
        self.patch_header().map_err(|source| self.error(source))
    }

    /// Writes how long the file is by now. The samples go first: a header never promises too much.
    fn patch_header(&mut self) -> io::Result<()> {
        self.samples_unflushed = 0;
        self.file.flush()?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&header(self.data_bytes))?;
        self.file.seek(SeekFrom::End(0))?;
        Ok(())
    }

    fn error(&self, source: io::Error) -> AudioError {
        AudioError::File { action: "write", path: self.path.clone(), source }
    }
}

fn header(data_bytes: u32) -> [u8; HEADER_BYTES as usize] {
    const PCM_FORMAT: u16 = 1;
    const CHANNELS: u16 = 1;
    const SAMPLE_BYTES: u16 = 2;
    const FMT_BYTES: u32 = 16;

    let mut header = [0; HEADER_BYTES as usize];
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        header[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    put(b"RIFF");
    put(&(HEADER_BYTES - 8 + data_bytes).to_le_bytes());
    put(b"WAVEfmt ");
    put(&FMT_BYTES.to_le_bytes());
    put(&PCM_FORMAT.to_le_bytes());
    put(&CHANNELS.to_le_bytes());
    put(&SAMPLE_RATE_HZ.to_le_bytes());
    put(&(SAMPLE_RATE_HZ * u32::from(SAMPLE_BYTES)).to_le_bytes());
    put(&SAMPLE_BYTES.to_le_bytes());
    put(&(SAMPLE_BYTES * 8).to_le_bytes());
    put(b"data");
    put(&data_bytes.to_le_bytes());
    header
}

/// Rounds to 16 bits; what is beyond full scale is clipped.
fn to_i16(sample: f32) -> i16 {
    (sample * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16
}
