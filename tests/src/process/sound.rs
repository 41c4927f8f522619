//! Sound for the tests: speech to send, recordings to read, and how alike two of them are.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use tribune_client::audio::decode::TrackDecoder;
use tribune_client::audio::source::{Repeat, Source, SourceFrame};
use tribune_client::audio::{FRAME_SAMPLES, SAMPLE_RATE_HZ, SILENT_FRAME};

/// Samples in the blocks whose loudness is compared first: 10 ms.
const ENVELOPE_BLOCK: usize = 480;
/// Samples that are averaged to one in the second comparison.
const DECIMATION: usize = 8;
/// Bytes before the samples of the WAV files written here.
const WAV_HEADER_BYTES: u32 = 44;

/// A clip of the demo, by its name without the ending.
#[must_use]
pub fn clip(name: &str) -> PathBuf {
    let clips = Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo/clips");
    clips.join(format!("{name}.opus"))
}

/// Both sides of the demo's conversation in one recording, which leaves few pauses: 48 kHz, mono.
///
/// # Errors
/// If the clips cannot be read.
pub fn conversation() -> Result<Vec<f32>> {
    let (mut mixed, other) = (decode(&clip("ada"))?, decode(&clip("ben"))?);
    for (sample, other) in mixed.iter_mut().zip(other) {
        *sample = (*sample + other) / 2.0;
    }
    Ok(mixed)
}

/// The samples of any file that the client can send, at 48 kHz, mono.
///
/// # Errors
/// If it cannot be read or decoded.
pub fn decode(path: &Path) -> Result<Vec<f32>> {
    let mut source = Source::open_file(path, Repeat::Once)?;
    let mut decoder = TrackDecoder::new()?;
    let mut samples = Vec::new();
    while let Some(frame) = source.next_frame()? {
        match frame {
            SourceFrame::Pcm(pcm) => samples.extend_from_slice(&pcm),
            SourceFrame::Opus(opus) => {
                let mut pcm = SILENT_FRAME;
                decoder.decode(&opus, &mut pcm)?;
                samples.extend_from_slice(&pcm);
            }
        }
    }
    Ok(samples)
}

/// Writes 48 kHz, mono, 16 bits.
///
/// # Errors
/// If the file cannot be written.
pub fn write_wav(path: &Path, samples: &[f32]) -> Result<()> {
    let data = u32::try_from(samples.len() * 2)?;
    let mut bytes = Vec::with_capacity(samples.len() * 2 + WAV_HEADER_BYTES as usize);
    bytes.extend_from_slice(b"RIFF");
    bytes.extend_from_slice(&(data + WAV_HEADER_BYTES - 8).to_le_bytes());
    bytes.extend_from_slice(b"WAVEfmt ");
    bytes.extend_from_slice(&16u32.to_le_bytes());
    let (pcm, channels) = (1u16, 1u16);
    bytes.extend_from_slice(&pcm.to_le_bytes());
    bytes.extend_from_slice(&channels.to_le_bytes());
    bytes.extend_from_slice(&SAMPLE_RATE_HZ.to_le_bytes());
    bytes.extend_from_slice(&(SAMPLE_RATE_HZ * 2).to_le_bytes());
    bytes.extend_from_slice(&2u16.to_le_bytes());
    bytes.extend_from_slice(&16u16.to_le_bytes());
    bytes.extend_from_slice(b"data");
    bytes.extend_from_slice(&data.to_le_bytes());
    for sample in samples {
        let sample = (sample * 32_767.0).round().clamp(-32_768.0, 32_767.0) as i16;
        bytes.extend_from_slice(&sample.to_le_bytes());
    }
    fs::write(path, bytes).with_context(|| format!("{} cannot be written", path.display()))
}

/// Reads a WAV file of 48 kHz, mono, 16 bits, without any library that wrote it.
///
/// # Errors
/// If it is something else.
pub fn read_wav(path: &Path) -> Result<Vec<f32>> {
    let bytes = fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    ensure!(bytes.get(..4) == Some(b"RIFF"), "{} is no WAV file", path.display());
    let mut rest = bytes.get(12..).context("a WAV file without chunks")?;
    loop {
        let (head, body) = rest.split_at_checked(8).context("a WAV file without samples")?;
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let chunk = body.get(..length).context("a WAV file that is cut off")?;
        match &head[..4] {
            b"fmt " => {
                let field = |at: usize| u16::from_le_bytes([chunk[at], chunk[at + 1]]);
                ensure!(length >= 16, "a format of {length} bytes");
                let format = (field(2), u32::from(field(4)), field(14));
                ensure!(format == (1, SAMPLE_RATE_HZ, 16), "channels, rate, bits: {format:?}");
            }
            b"data" => {
                let samples = chunk.chunks_exact(2);
                let samples = samples.map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
                return Ok(samples.map(|sample| f32::from(sample) / 32_768.0).collect());
            }
            _ => {}
        }
        rest = body.get(length + length % 2..).context("a WAV file without samples")?;
    }
}

/// Offset of a recording in its source, and their correlation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Alignment {
    /// The sample of the source that is the recording's first; negative if the recording begins
    /// earlier.
    pub lag: i64,
    /// Samples of the recording for which the source has one.
    pub overlap: usize,
    /// Normalised cross-correlation over all of these, −1 to 1.
    pub correlation: f64,
}

impl Alignment {
    /// The samples of both that belong together.
    #[must_use]
    pub fn overlapping<'a>(&self, heard: &'a [f32], source: &'a [f32]) -> (&'a [f32], &'a [f32]) {
        overlapping(heard, source, self.lag)
    }
}

/// Finds a recording in its source: by loudness, then by averaged samples, then by samples. At least
/// half of the recording has to overlap.
#[must_use]
pub fn align(heard: &[f32], source: &[f32]) -> Alignment {
    let loud = |samples: &[f32]| -> Vec<f32> {
        let blocks: Vec<f32> = samples.chunks_exact(ENVELOPE_BLOCK).map(rms).collect();
        let mean = blocks.iter().sum::<f32>() / blocks.len().max(1) as f32;
        blocks.iter().map(|block| block - mean).collect()
    };
    let (heard_loud, source_loud) = (loud(heard), loud(source));
    let reach = heard_loud.len() as i64 / 2;
    let blocks = best(&heard_loud, &source_loud, -reach, source_loud.len() as i64 - reach);

    let average = |samples: &[f32]| -> Vec<f32> {
        let blocks = samples.chunks_exact(DECIMATION);
        blocks.map(|block| block.iter().sum::<f32>() / DECIMATION as f32).collect()
    };
    let per_block = (ENVELOPE_BLOCK / DECIMATION) as i64;
    let near = blocks.lag * per_block;
    let averaged =
        best(&average(heard), &average(source), near - 2 * per_block, near + 2 * per_block);

    let near = averaged.lag * DECIMATION as i64;
    let around = 2 * DECIMATION as i64;
    best(heard, source, near - around, near + around)
}

/// Mean correlation of the seconds of a recording with its source, each at the lag that fits it best. The two are aligned
/// but for `around` samples: playout stretches time where its delay changes. Seconds in which nothing is said are left out.
#[must_use]
pub fn correlation_by_seconds(heard: &[f32], source: &[f32], around: usize) -> f64 {
    /// A quiet voice: −46 dBFS.
    const SPEECH_RMS: f32 = 0.005;
    const SECOND: usize = 48_000;
    let average = |samples: &[f32]| -> Vec<f32> {
        let blocks = samples.chunks_exact(DECIMATION);
        blocks.map(|block| block.iter().sum::<f32>() / DECIMATION as f32).collect()
    };
    let mut correlations = Vec::new();
    for (n, part) in heard.chunks_exact(SECOND).enumerate().skip(1) {
        let Some(near) = source.get(n * SECOND - around..(n + 1) * SECOND + around) else { break };
        if rms(part) > SPEECH_RMS {
            let coarse = best(&average(part), &average(near), 0, (2 * around / DECIMATION) as i64);
            let lag = coarse.lag * DECIMATION as i64;
            let reach = 2 * DECIMATION as i64;
            correlations.push(best(part, near, lag - reach, lag + reach).correlation);
        }
    }
    correlations.iter().sum::<f64>() / correlations.len().max(1) as f64
}

fn best(heard: &[f32], source: &[f32], first: i64, last: i64) -> Alignment {
    let all = (first..=last).map(|lag| {
        let (a, b) = overlapping(heard, source, lag);
        Alignment { lag, overlap: a.len(), correlation: correlation(a, b) }
    });
    let none = Alignment { lag: first, overlap: 0, correlation: -1.0 };
    all.fold(none, |best, next| if next.correlation > best.correlation { next } else { best })
}

fn overlapping<'a>(heard: &'a [f32], source: &'a [f32], lag: i64) -> (&'a [f32], &'a [f32]) {
    let skip = |samples: &'a [f32], by: i64| {
        samples.get(usize::try_from(by).unwrap_or(0)..).unwrap_or_default()
    };
    let (heard, source) = (skip(heard, -lag), skip(source, lag));
    let length = heard.len().min(source.len());
    (&heard[..length], &source[..length])
}

/// Normalised cross-correlation without a lag; 0 if one of the two is silent.
#[must_use]
pub fn correlation(a: &[f32], b: &[f32]) -> f64 {
    let (mut product, mut power_a, mut power_b) = (0.0f64, 0.0f64, 0.0f64);
    // Sums of blocks, so that single precision is enough inside of one.
    for (a, b) in a.chunks(FRAME_SAMPLES).zip(b.chunks(FRAME_SAMPLES)) {
        let (mut ab, mut aa, mut bb) = (0.0f32, 0.0f32, 0.0f32);
        for (a, b) in a.iter().zip(b) {
            ab += a * b;
            aa += a * a;
            bb += b * b;
        }
        product += f64::from(ab);
        power_a += f64::from(aa);
        power_b += f64::from(bb);
    }
    let power = (power_a * power_b).sqrt();
    if power > 0.0 { product / power } else { 0.0 }
}

/// Root mean square: 1 is as loud as it gets.
#[must_use]
pub fn rms(samples: &[f32]) -> f32 {
    let power: f32 = samples.iter().map(|sample| sample * sample).sum();
    (power / samples.len().max(1) as f32).sqrt()
}

/// The longest run of frame periods in which `heard` is silent and `source` is not, in ms.
#[must_use]
pub fn longest_gap_ms(heard: &[f32], source: &[f32]) -> usize {
    /// A quiet voice: −46 dBFS.
    const SPEECH_RMS: f32 = 0.005;
    /// Under the last of 16 bits.
    const SILENCE_RMS: f32 = 1.0 / 32_768.0;
    let frames = heard.chunks_exact(FRAME_SAMPLES).zip(source.chunks_exact(FRAME_SAMPLES));
    let (mut run, mut longest) = (0, 0);
    for (heard, source) in frames {
        let missing = rms(heard) < SILENCE_RMS && rms(source) > SPEECH_RMS;
        run = if missing { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest * 20
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_conversation_is_found_where_it_is() {
        let source = conversation().unwrap();
        let part: Vec<f32> = source[100_123..400_000].iter().map(|sample| sample * 0.5).collect();
        let found = align(&part, &source);
        assert_eq!((found.lag, found.overlap), (100_123, 299_877));
        assert!(found.correlation > 0.999, "{found:?}");
        let mut late = vec![0.0; 48_001];
        late.extend_from_slice(&source[..300_000]);
        assert_eq!(align(&late, &source).lag, -48_001);
    }

    #[test]
    fn a_conversation_that_is_moved_on_the_way_is_like_itself_second_by_second() {
        let source = conversation().unwrap();
        let source = &source[..480_000];
        let moved = [&source[..130_000], &source[131_000..], &[0.0; 1_000]].concat();
        assert!(correlation(&moved, source) < 0.8);
        assert!(correlation_by_seconds(&moved, source, 2_400) > 0.9);
        let backwards: Vec<_> = source.iter().rev().copied().collect();
        assert!(correlation_by_seconds(&backwards, source, 2_400) < 0.6);
    }

    #[test]
    fn another_conversation_is_not_found() {
        let (ada, ben) = (decode(&clip("ada")).unwrap(), decode(&clip("ben")).unwrap());
        let found = align(&ada[..480_000], &ben);
        assert!(found.correlation < 0.5, "{found:?}");
    }

    #[test]
    fn gaps_are_seen_only_where_there_is_speech() {
        let source = vec![0.1; 48_000];
        let mut heard = source.clone();
        assert_eq!(longest_gap_ms(&heard, &source), 0);
        heard[9_600..9_600 + 3 * 960].fill(0.0);
        assert_eq!(longest_gap_ms(&heard, &source), 60);
        assert_eq!(longest_gap_ms(&heard, &vec![0.0; 48_000]), 0);
    }

    #[test]
    fn wav_files_come_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.wav");
        write_wav(&path, &[0.0, 0.5, -0.5]).unwrap();
        let read = read_wav(&path).unwrap();
        assert_eq!(read.len(), 3);
        assert!((read[1] - 0.5).abs() < 0.001 && (read[2] + 0.5).abs() < 0.001);
    }
}
