//! Every kind of file that can be spoken, and every kind that can be recorded.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tribune_client::audio::sink::{Sink, SinkTarget};
use tribune_client::audio::source::{Repeat, Source, SourceFrame};
use tribune_client::audio::{AudioError, FRAME_SAMPLES, PcmFrame};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// Reads a source to its end: the PCM, the number of Opus packets, and how it ended.
fn read_all(mut source: Source) -> (Vec<f32>, usize, Result<(), AudioError>) {
    let (mut pcm, mut packets) = (Vec::new(), 0);
    loop {
        match source.next_frame() {
            Ok(Some(SourceFrame::Pcm(frame))) => pcm.extend_from_slice(&frame),
            Ok(Some(SourceFrame::Opus(_))) => packets += 1,
            Ok(None) => return (pcm, packets, Ok(())),
            Err(error) => return (pcm, packets, Err(error)),
        }
    }
}

fn read_pcm(path: &Path) -> Vec<f32> {
    let (pcm, packets, end) = read_all(Source::open_file(path, Repeat::Once).unwrap());
    end.unwrap();
    assert_eq!(packets, 0);
    pcm
}

fn open_error(path: &Path) -> String {
    Source::open_file(path, Repeat::Once).unwrap_err().to_string()
}

/// Frequency of a sine, by its zero crossings.
fn pitch_hz(pcm: &[f32]) -> f64 {
    let periods = pcm.windows(2).filter(|pair| pair[0] < 0.0 && pair[1] >= 0.0).count();
    periods as f64 * 48_000.0 / pcm.len() as f64
}

fn peak(pcm: &[f32]) -> f32 {
    pcm.iter().fold(0.0, |peak, sample| peak.max(sample.abs()))
}

/// A WAV file with the given samples, written by hand.
fn wav(rate_hz: u32, channels: u16, bits: u16, data: &[u8]) -> Vec<u8> {
    let block = channels * bits / 8;
    let mut file = b"RIFF".to_vec();
    file.extend((36 + data.len() as u32).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16_u32.to_le_bytes());
    file.extend(1_u16.to_le_bytes());
    file.extend(channels.to_le_bytes());
    file.extend(rate_hz.to_le_bytes());
    file.extend((rate_hz * u32::from(block)).to_le_bytes());
    file.extend(block.to_le_bytes());
    file.extend(bits.to_le_bytes());
    file.extend(b"data");
    file.extend((data.len() as u32).to_le_bytes());
    file.extend(data);
    file
}

fn sine_i16(rate_hz: u32, hz: f64, samples: u32, channels: usize) -> Vec<u8> {
    (0..samples)
        .flat_map(|n| {
            let phase = f64::from(n) * hz / f64::from(rate_hz) * std::f64::consts::TAU;
            let sample = (phase.sin() * 8_192.0).round() as i16;
            std::iter::repeat_n(sample.to_le_bytes(), channels).flatten()
        })
        .collect()
}

fn frames_of(samples: usize) -> usize {
    samples.div_ceil(FRAME_SAMPLES) * FRAME_SAMPLES
}

#[test]
fn wav_at_48_khz_passes_sample_by_sample() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("talk.wav");
    let samples: Vec<i16> = (0..2_000).map(|n| (n * 37 % 20_011 - 10_000) as i16).collect();
    let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
    fs::write(&path, wav(48_000, 1, 16, &bytes)).unwrap();
    let pcm = read_pcm(&path);
    assert_eq!(pcm.len(), 2_880, "the last frame is filled up");
    for (n, sample) in samples.iter().enumerate() {
        assert_eq!(pcm[n], f32::from(*sample) / 32_768.0, "sample {n}");
    }
    assert!(pcm[2_000..].iter().all(|sample| *sample == 0.0));
}

#[test]
fn other_rates_keep_length_pitch_level_and_place() {
    let dir = tempfile::tempdir().unwrap();
    for rate_hz in [8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 96_000] {
        let path = dir.path().join("tone.wav");
        fs::write(&path, wav(rate_hz, 2, 16, &sine_i16(rate_hz, 440.0, rate_hz, 2))).unwrap();
        let pcm = read_pcm(&path);
        assert_eq!(pcm.len(), 48_000, "{rate_hz} Hz: one second stays one second");
        assert!((pitch_hz(&pcm) - 440.0).abs() < 1.5, "{rate_hz} Hz: {} Hz", pitch_hz(&pcm));
        // Sample by sample against the sine itself, away from the edges: no gain, and no delay beyond
        // a sample, in which such a sine changes by 0.0144.
        let worst = (4_800..43_200)
            .map(|n| {
                let phase = n as f64 * 440.0 / 48_000.0 * std::f64::consts::TAU;
                (f64::from(pcm[n]) - phase.sin() * 0.25).abs()
            })
            .fold(0.0, f64::max);
        assert!(worst < 0.016, "{rate_hz} Hz: off by {worst}");
    }
}

#[test]
fn flac_mp3_and_vorbis_are_decoded_by_content_not_by_name() {
    let dir = tempfile::tempdir().unwrap();
    for (name, tolerance) in
        [("tone-44100-stereo.flac", 0), ("tone-44100.ogg", 0), ("tone-44100.mp3", 2_400)]
    {
        let misnamed = dir.path().join("misnamed.wav");
        fs::copy(data(name), &misnamed).unwrap();
        let pcm = read_pcm(&misnamed);
        let off = pcm.len().abs_diff(48_000);
        assert!(off <= tolerance, "{name}: {} samples", pcm.len());
        let middle = &pcm[4_800..43_200];
        assert!((pitch_hz(middle) - 440.0).abs() < 2.0, "{name}: {} Hz", pitch_hz(middle));
        assert!((0.22..0.28).contains(&peak(middle)), "{name}: peak {}", peak(middle));
    }
}

#[test]
fn eight_and_24_bit_and_speech_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.wav");
    let eight: Vec<u8> = (0..48_000_u32).map(|n| if n % 100 < 50 { 64 } else { 192 }).collect();
    fs::write(&path, wav(48_000, 1, 8, &eight)).unwrap();
    let pcm = read_pcm(&path);
    assert_eq!((pcm[0], pcm[60]), (-0.5, 0.5));
    let bits24: Vec<u8> = (0..960).flat_map(|_| [0, 0, 0x40]).collect();
    fs::write(&path, wav(48_000, 1, 24, &bits24)).unwrap();
    assert_eq!(read_pcm(&path)[100], 0.5);
    let speech = read_pcm(&data("speech-22050.flac"));
    assert_eq!(speech.len(), frames_of(72_000));
}

#[test]
fn looping_has_no_gap() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("loop.wav");
    // 100 periods of 441 Hz at 44.1 kHz: the end fits the beginning.
    fs::write(&path, wav(44_100, 1, 16, &sine_i16(44_100, 441.0, 10_000, 1))).unwrap();
    let mut source = Source::open_file(&path, Repeat::Forever).unwrap();
    let mut pcm = Vec::new();
    for _ in 0..200 {
        let Some(SourceFrame::Pcm(frame)) = source.next_frame().unwrap() else { panic!("ended") };
        pcm.extend_from_slice(&frame);
    }
    let (_, middle) = pcm.split_at(4_800);
    assert!((pitch_hz(middle) - 441.0).abs() < 1.0, "{} Hz", pitch_hz(middle));
    for window in middle.windows(240) {
        assert!(peak(window) > 0.2, "a gap");
    }

    let mut opus = Source::open_file(data("speech-20ms.opus"), Repeat::Forever).unwrap();
    for _ in 0..1_000 {
        assert!(matches!(opus.next_frame().unwrap(), Some(SourceFrame::Opus(_))));
    }
}

#[test]
fn ogg_opus_of_20_ms_is_passed_through_and_other_is_decoded() {
    let source = Source::open_file(data("speech-20ms.opus"), Repeat::Once).unwrap();
    assert!(source.is_passed_through());
    let (pcm, packets, end) = read_all(source);
    end.unwrap();
    assert!(pcm.is_empty());
    assert_eq!(packets, 287, "5.715 s and the pre-skip, in packets of 20 ms");

    let source = Source::open_file(data("speech-60ms.opus"), Repeat::Once).unwrap();
    assert!(!source.is_passed_through());
    let (pcm, packets, end) = read_all(source);
    end.unwrap();
    assert_eq!(packets, 0);
    // 126,016 samples at 22.05 kHz, without pre-skip and padding.
    assert_eq!(pcm.len(), frames_of(126_016 * 48_000 / 22_050));
}

#[test]
fn ogg_opus_with_a_gain_is_decoded_with_it() {
    // The header's gain, in dB / 256, sits at byte 16 of the first packet; its page has a checksum,
    // so the page is written anew.
    let bytes = fs::read(data("speech-20ms.opus")).unwrap();
    let mut reader = ogg::PacketReader::new(std::io::Cursor::new(bytes));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("quiet.opus");
    let mut writer = ogg::PacketWriter::new(fs::File::create(&path).unwrap());
    let mut count = 0;
    while let Some(mut packet) = reader.read_packet().unwrap() {
        if count == 0 {
            packet.data[16..18].copy_from_slice(&(-12_i16 * 256).to_le_bytes());
        }
        count += 1;
        let end = if packet.last_in_stream() {
            ogg::PacketWriteEndInfo::EndStream
        } else if packet.last_in_page() {
            ogg::PacketWriteEndInfo::EndPage
        } else {
            ogg::PacketWriteEndInfo::NormalPacket
        };
        let (serial, granule) = (packet.stream_serial(), packet.absgp_page());
        writer.write_packet(packet.data, serial, end, granule).unwrap();
    }
    drop(writer);
    let source = Source::open_file(&path, Repeat::Once).unwrap();
    assert!(!source.is_passed_through());
    let (quiet, _, end) = read_all(source);
    end.unwrap();
    let loud = read_pcm(&data("speech-60ms.opus"));
    let ratio = peak(&quiet) / peak(&loud);
    assert!((0.2..0.3).contains(&ratio), "−12 dB is a quarter, not {ratio}");
}

#[test]
fn broken_files_say_what_is_wrong_in_one_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("talk.wav");
    let put = |bytes: &[u8]| fs::write(&path, bytes).unwrap();

    assert!(open_error(&dir.path().join("missing.wav")).starts_with("cannot open "));
    assert!(open_error(dir.path()).starts_with("cannot read "));
    put(b"");
    assert!(open_error(&path).ends_with("talk.wav holds no audio"), "{}", open_error(&path));
    put(b"Dear diary, today I have recorded nothing.");
    assert!(open_error(&path).contains("none of WAV, FLAC, MP3"), "{}", open_error(&path));
    put(&wav(48_000, 1, 16, &[]));
    assert!(open_error(&path).ends_with("talk.wav holds no audio"), "{}", open_error(&path));
    put(&wav(48_000, 1, 16, &[0; 100])[..20]);
    assert!(open_error(&path).contains("talk.wav cannot be decoded"), "{}", open_error(&path));
    put(&fs::read(data("tone-44100-stereo.flac")).unwrap()[..30]);
    assert!(open_error(&path).contains("talk.wav cannot be decoded"), "{}", open_error(&path));
    put(&fs::read(data("speech-20ms.opus")).unwrap()[..60]);
    assert!(open_error(&path).contains("talk.wav"), "{}", open_error(&path));
    put(b"ID3 is how this begins, but that is all there is to it, so there is no MP3 in here.");
    assert!(open_error(&path).contains("talk.wav"), "{}", open_error(&path));
}

#[test]
fn truncated_files_are_played_to_where_they_break_and_then_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cut");
    let whole_wav = wav(48_000, 1, 16, &sine_i16(48_000, 440.0, 48_000, 1));
    fs::write(&path, &whole_wav[..44 + 48_000]).unwrap();
    let (pcm, _, end) = read_all(Source::open_file(&path, Repeat::Once).unwrap());
    assert_eq!(pcm.len(), 24_000);
    let message = end.unwrap_err().to_string();
    assert!(message.contains("cut short: it ends after 0.50 s"), "{message}");

    for name in ["speech-20ms.opus", "speech-60ms.opus"] {
        let whole = fs::read(data(name)).unwrap();
        fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        let (pcm, packets, end) = read_all(Source::open_file(&path, Repeat::Once).unwrap());
        let seconds = pcm.len() as f64 / 48_000.0 + packets as f64 * 0.02;
        assert!((1.0..3.5).contains(&seconds), "{name}: {seconds} s");
        let message = end.unwrap_err().to_string();
        assert!(message.contains("cut short"), "{name}: {message}");
    }

    // A recorder that was streaming did not know its length: that is no truncation.
    let mut streamed = whole_wav;
    streamed[4..8].copy_from_slice(&[0xff; 4]);
    streamed[40..44].copy_from_slice(&[0xff; 4]);
    fs::write(&path, &streamed).unwrap();
    assert_eq!(read_pcm(&path).len(), 48_000);
}

#[test]
fn arbitrary_damage_never_panics() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("damaged");
    let mut state = 12_345_u32;
    let mut random = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize
    };
    for name in ["speech-20ms.opus", "tone-44100.mp3", "tone-44100.ogg", "tone-44100-stereo.flac"] {
        let whole = fs::read(data(name)).unwrap();
        for _ in 0..40 {
            let mut damaged = whole.clone();
            for _ in 0..20 {
                let at = random() % damaged.len();
                damaged[at] = random() as u8;
            }
            fs::write(&path, &damaged).unwrap();
            if let Ok(source) = Source::open_file(&path, Repeat::Once) {
                let _ = read_all(source);
            }
        }
    }
}

#[test]
fn pipes_and_tones() {
    let bytes = sine_i16(48_000, 500.0, 1_000, 1);
    let (pcm, _, end) = read_all(Source::reader(Box::new(std::io::Cursor::new(bytes))));
    end.unwrap();
    assert_eq!(pcm.len(), 1_920);
    assert!((peak(&pcm) - 0.25).abs() < 1e-4);

    let mut tone = Source::tone(1_000.0).unwrap();
    let mut pcm = Vec::new();
    for _ in 0..50 {
        let Some(SourceFrame::Pcm(frame)) = tone.next_frame().unwrap() else { panic!("ended") };
        pcm.extend_from_slice(&frame);
    }
    assert!((pitch_hz(&pcm) - 1_000.0).abs() < 1.5);
    assert!(!tone.is_live());
    assert_eq!(
        Source::tone(30_000.0).unwrap_err().to_string(),
        "a tone of 30000 Hz is outside 20..=20000 Hz"
    );
}

fn record(path: &Path, frames: usize, finish: bool) {
    let target: SinkTarget = path.to_str().unwrap().parse().unwrap();
    let mut sink = Sink::open(&target).unwrap();
    for n in 0..frames {
        // A tone with a second of silence in it.
        let pcm: PcmFrame = std::array::from_fn(|s| {
            let phase = (n * FRAME_SAMPLES + s) as f32 * 440.0 / 48_000.0;
            if (50..100).contains(&n) {
                0.0
            } else {
                (phase.fract() * std::f32::consts::TAU).sin() * 0.25
            }
        });
        sink.write(&pcm).unwrap();
    }
    if finish {
        sink.finish().unwrap();
    } else {
        // As if the process had been killed: nothing is flushed, no destructor runs.
        std::mem::forget(sink);
    }
}

#[test]
fn wav_recording_is_exact_and_playable_when_killed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("heard.wav");
    record(&path, 173, true);
    let pcm = read_pcm(&path);
    assert_eq!(pcm.len(), 173 * FRAME_SAMPLES);
    assert_eq!(fs::metadata(&path).unwrap().len(), 44 + 173 * 1_920);
    assert!((pitch_hz(&pcm[..48_000]) - 440.0).abs() < 1.5);
    assert_eq!(peak(&pcm[48_000..96_000]), 0.0);

    record(&path, 173, false);
    let (pcm, _, end) = read_all(Source::open_file(&path, Repeat::Once).unwrap());
    end.unwrap();
    assert_eq!(pcm.len(), 150 * FRAME_SAMPLES, "all but the last second");
}

#[test]
fn ogg_recording_has_the_right_duration_and_is_playable_when_killed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("heard.ogg");
    for frames in [0, 1, 49, 50, 51, 173] {
        record(&path, frames, true);
        let source = Source::open_file(&path, Repeat::Once).unwrap();
        let (_, packets, end) = read_all(source);
        end.unwrap();
        assert_eq!(packets, frames + 1, "the lookahead takes one more packet");
        let info = granules(&path);
        assert_eq!(info.end_granule - u64::from(info.pre_skip), (frames * FRAME_SAMPLES) as u64);
        assert!(info.has_end);
        assert!(info.page_frames_max <= 50);
    }
    let decoded = decode_with_opusdec(&path);
    if let Some(pcm) = decoded {
        assert_eq!(pcm.len(), 173 * FRAME_SAMPLES, "opusdec's duration");
        assert!((pitch_hz(&pcm[..48_000]) - 440.0).abs() < 1.5);
        assert!(peak(&pcm[50_000..94_000]) < 0.01, "silence stays silence");
        assert!((0.2..0.3).contains(&peak(&pcm[110_000..])));
    }

    record(&path, 173, false);
    let info = granules(&path);
    assert!(!info.has_end);
    assert_eq!(info.end_granule, 150 * FRAME_SAMPLES as u64);
    if let Some(pcm) = decode_with_opusdec(&path) {
        assert_eq!(pcm.len(), 150 * FRAME_SAMPLES - usize::from(info.pre_skip));
    }
}

struct Granules {
    pre_skip: u16,
    end_granule: u64,
    has_end: bool,
    page_frames_max: usize,
}

/// Reads the pages of a recording; checksums and page numbers are checked by the reader.
fn granules(path: &Path) -> Granules {
    let mut reader = ogg::PacketReader::new(fs::File::open(path).unwrap());
    let head = reader.read_packet_expected().unwrap();
    assert!(head.data.starts_with(b"OpusHead") && head.first_in_stream() && head.last_in_page());
    let tags = reader.read_packet_expected().unwrap();
    assert!(tags.data.starts_with(b"OpusTags") && tags.last_in_page());
    let mut found = Granules {
        pre_skip: u16::from_le_bytes([head.data[10], head.data[11]]),
        end_granule: 0,
        has_end: false,
        page_frames_max: 0,
    };
    let (mut page_frames, mut packets) = (0, 0_u64);
    while let Some(packet) = reader.read_packet().unwrap() {
        page_frames += 1;
        packets += 1;
        if packet.last_in_page() {
            found.page_frames_max = found.page_frames_max.max(page_frames);
            page_frames = 0;
            let is_last = packet.last_in_stream();
            if !is_last {
                assert_eq!(packet.absgp_page(), packets * FRAME_SAMPLES as u64);
            }
            found.has_end |= is_last;
            found.end_granule = packet.absgp_page();
        }
    }
    found
}

/// The file as `opusdec` decodes it, and `opusinfo` has nothing to complain about; `None` where
/// opus-tools are not installed.
fn decode_with_opusdec(path: &Path) -> Option<Vec<f32>> {
    let raw = path.with_extension("raw");
    let decoded = Command::new("opusdec")
        .args(["--quiet", "--rate", "48000", "--no-dither"])
        .args([path, &raw])
        .output()
        .ok()?;
    assert!(decoded.status.success(), "{}", String::from_utf8_lossy(&decoded.stderr));
    let bytes = fs::read(raw).unwrap();
    let info = Command::new("opusinfo").arg(path).output().ok()?;
    let info = String::from_utf8_lossy(&info.stdout).into_owned();
    assert!(!info.contains("WARNING: ") || info.contains("EOS not set"), "{info}");
    Some(
        bytes
            .chunks_exact(2)
            .map(|b| f32::from(i16::from_le_bytes([b[0], b[1]])) / 32_768.0)
            .collect(),
    )
}

#[test]
fn sinks_are_named_and_wrong_names_are_named_too() {
    let parse = |name: &str| name.parse::<SinkTarget>();
    assert_eq!(parse("a.b/heard.OGG").unwrap(), SinkTarget::OggOpus("a.b/heard.OGG".into()));
    assert_eq!(parse("heard.opus").unwrap(), SinkTarget::OggOpus("heard.opus".into()));
    assert_eq!(parse("heard.wav").unwrap(), SinkTarget::Wav("heard.wav".into()));
    assert_eq!(parse("device").unwrap(), SinkTarget::Device);
    assert_eq!(parse("null").unwrap(), SinkTarget::Null);
    let message = parse("heard.mp3").unwrap_err().to_string();
    assert!(message.contains("\"heard.mp3\" is none of"), "{message}");
    let missing = SinkTarget::Wav("/does/not/exist/heard.wav".into());
    let message = Sink::open(&missing).unwrap_err().to_string();
    assert!(message.starts_with("cannot write /does/not/exist/heard.wav"), "{message}");
}

#[test]
fn sources_and_sinks_can_move_to_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<Source>();
    is_send::<Sink>();
}
