//! Speech through the whole of the audio side: source, encoder, a network, player.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tribune_client::audio::decode::TrackDecoder;
use tribune_client::audio::encode::VoiceEncoder;
use tribune_client::audio::jitter::JitterConfig;
use tribune_client::audio::playout::{Accepted, Player, PlayoutStats, TRACKS_MAX, TickOutput};
use tribune_client::audio::source::{Repeat, Source, SourceFrame};
use tribune_client::audio::speak::{OutgoingFrame, SpeakerPipeline};
use tribune_client::audio::{FRAME_PERIOD, FRAME_SAMPLES, PcmFrame, SILENT_FRAME};
use tribune_protocol::domain::protection::Protection;
use tribune_protocol::media::datagram::{Capture, OriginTime};

/// Speech of 5.7 s as PCM frames.
fn speech() -> Vec<PcmFrame> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/speech-60ms.opus");
    let mut source = Source::open_file(path, Repeat::Once).unwrap();
    let mut frames = Vec::new();
    while let Some(SourceFrame::Pcm(pcm)) = source.next_frame().unwrap() {
        frames.push(pcm);
    }
    frames
}

/// Speech of 20 s, with pauses of 0.8 s in which DTX sets in, and one at the end.
fn talk() -> Vec<PcmFrame> {
    let mut frames = speech();
    let pause = frames.len() + 40;
    frames.resize(pause, SILENT_FRAME);
    let mut talk: Vec<PcmFrame> = frames.into_iter().cycle().take(960).collect();
    talk.resize(1_000, SILENT_FRAME);
    talk
}

fn flat(frames: &[PcmFrame]) -> Vec<f32> {
    frames.iter().flatten().copied().collect()
}

/// The best normalised correlation of `heard` with `said` over delays up to `max_delay` samples, and
/// that delay.
fn best_correlation(said: &[f32], heard: &[f32], max_delay: usize) -> (f64, usize) {
    let correlation = |delay: usize| {
        let (mut dot, mut said_energy, mut heard_energy) = (0.0, 0.0, 0.0);
        for (a, b) in said.iter().zip(&heard[delay..]) {
            let (a, b) = (f64::from(*a), f64::from(*b));
            dot += a * b;
            said_energy += a * a;
            heard_energy += b * b;
        }
        dot / (said_energy * heard_energy).sqrt()
    };
    // Coarsely first: speech correlates with itself over a few samples.
    let coarse =
        (0..max_delay).step_by(4).max_by(|a, b| correlation(*a).total_cmp(&correlation(*b)));
    let coarse = coarse.unwrap();
    (coarse.saturating_sub(4)..coarse + 4)
        .map(|delay| (correlation(delay), delay))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .unwrap()
}

/// Frames that a speaker sends for these: one entry per frame period.
fn send(frames: &[PcmFrame], bitrate_bps: u32) -> Vec<Option<OutgoingFrame>> {
    send_protected(frames, bitrate_bps, Protection::default())
}

/// The same, protected against losses.
fn send_protected(
    frames: &[PcmFrame],
    bitrate_bps: u32,
    protection: Protection,
) -> Vec<Option<OutgoingFrame>> {
    let mut speaker = SpeakerPipeline::new(bitrate_bps, 65_500).unwrap();
    speaker.set_encoding(bitrate_bps, protection).unwrap();
    frames.iter().map(|pcm| speaker.handle_frame(&SourceFrame::Pcm(*pcm), false).unwrap()).collect()
}

/// A network between one speaker and one listener; `arrival` says when each frame arrives, or that
/// it does not. Ticks are late by up to `tick_noise_ms`.
fn listen(
    sent: &[Option<OutgoingFrame>],
    mut arrival: impl FnMut(u64) -> Option<Duration>,
    tick_noise_ms: u64,
) -> (Vec<PcmFrame>, PlayoutStats) {
    let start = Instant::now();
    let mut arrivals: BTreeMap<(Duration, usize), &OutgoingFrame> = BTreeMap::new();
    for (period, frame) in sent.iter().enumerate() {
        let spoken = FRAME_PERIOD * period as u32;
        if let (Some(frame), Some(delay)) = (frame, arrival(period as u64)) {
            arrivals.insert((spoken + delay, period), frame);
        }
    }
    let mut rng = StdRng::seed_from_u64(1);
    let mut player = Player::new(JitterConfig::default());
    let mut heard = Vec::new();
    for tick in 0..sent.len() as u32 + 25 {
        let noise = Duration::from_millis(rng.random_range(0..=tick_noise_ms));
        let now = FRAME_PERIOD * tick + noise;
        while let Some(entry) = arrivals.first_entry() {
            let ((at, _), frame) = (*entry.key(), *entry.get());
            if at > now {
                break;
            }
            entry.remove();
            let opus = frame.opus.clone();
            player.handle_frame(start + at, 7, frame.seq, frame.talkspurt_end, opus, None).unwrap();
        }
        heard.push(player.tick(start + now).pcm);
    }
    (heard, player.stats())
}

#[test]
fn recording_is_the_talk_on_a_clean_network_and_a_busy_machine() {
    let talk = talk();
    let sent = send(&talk, 64_000);
    let skipped = sent.iter().filter(|frame| frame.is_none()).count();
    assert!(skipped > 50, "silence is not sent: {skipped} frames");
    let mut rng = StdRng::seed_from_u64(2);
    let (heard, stats) =
        listen(&sent, |_| Some(Duration::from_millis(rng.random_range(1..=30))), 30);
    let (correlation, delay) = best_correlation(&flat(&talk), &flat(&heard), 7_200);
    assert!(correlation > 0.9, "{correlation} at a delay of {delay} samples");
    assert_eq!((stats.lost, stats.late, stats.concealed, stats.dropped), (0, 0, 0, 0));
    assert_eq!(stats.received as usize, talk.len() - skipped);
}

#[test]
fn round_trip_is_close_at_usual_bitrates() {
    let speech = speech();
    for (bitrate_bps, least) in [(24_000, 0.8), (32_000, 0.85), (64_000, 0.9)] {
        let mut encoder = VoiceEncoder::new(bitrate_bps).unwrap();
        let mut decoder = TrackDecoder::new().unwrap();
        let mut heard = Vec::new();
        let mut bytes = 0;
        for pcm in &speech {
            let encoded = encoder.encode(pcm).unwrap();
            bytes += encoded.opus.len();
            let mut out = SILENT_FRAME;
            decoder.decode(&encoded.opus, &mut out).unwrap();
            heard.push(out);
        }
        heard.push(SILENT_FRAME);
        let (correlation, _) = best_correlation(&flat(&speech), &flat(&heard), 960);
        assert!(correlation > least, "{bitrate_bps} b/s: {correlation}");
        let measured_bps = bytes * 8 * 50 / speech.len();
        assert!(measured_bps <= bitrate_bps as usize * 12 / 10, "{bitrate_bps}: {measured_bps}");
    }
}

#[test]
fn lost_frames_are_recovered_from_the_frame_after_them() {
    let speech = speech();
    let sent = send_protected(&speech, 32_000, Protection::Single { loss_percent: 10 });
    let (clean, _) = listen(&sent, |_| Some(Duration::ZERO), 0);
    let (lossy, stats) = listen(&sent, |period| (period % 10 != 5).then_some(Duration::ZERO), 0);
    assert!(stats.lost > 20, "{stats:?}");
    // Single losses all have a frame after them, which has a copy unless next to nothing was said.
    assert_eq!(stats.recovered + stats.concealed, stats.lost, "{stats:?}");
    assert!(stats.recovered * 3 > stats.lost * 2, "{stats:?}");
    let (clean, lossy) = (flat(&clean), flat(&lossy));
    let (with_recovery, delay) = best_correlation(&clean, &lossy, 960);
    assert_eq!(delay, 0, "recovery does not move anything");
    // The same losses, silenced: what recovery has to be better than.
    let mut silenced = clean.clone();
    let offset = clean.len() / FRAME_SAMPLES - sent.len() - 25;
    assert_eq!(offset, 0);
    for (period, _) in sent.iter().enumerate().filter(|(period, _)| period % 10 == 5) {
        let at = (period + 3) * FRAME_SAMPLES;
        silenced[at..at + FRAME_SAMPLES].fill(0.0);
    }
    let (without, _) = best_correlation(&clean, &silenced, 4);
    assert!(with_recovery > without.max(0.95), "{with_recovery} against {without}");
}

#[test]
fn long_loss_fades_to_silence_and_comes_back_without_a_click() {
    let tone: Vec<PcmFrame> = {
        let mut source = Source::tone(300.0).unwrap();
        (0..300)
            .map(|_| match source.next_frame().unwrap() {
                Some(SourceFrame::Pcm(pcm)) => pcm,
                other => panic!("{other:?}"),
            })
            .collect()
    };
    let sent = send(&tone, 32_000);
    assert!(sent.iter().all(Option::is_some), "a tone is no silence, for as long as it lasts");
    let (heard, stats) = listen(&sent, |p| (!(100..150).contains(&p)).then_some(Duration::ZERO), 0);
    let loudest = |range: std::ops::Range<usize>| {
        heard[range].iter().flatten().fold(0.0_f32, |peak, sample| peak.max(sample.abs()))
    };
    let gap = 103;
    assert!(loudest(gap..gap + 1) > 0.1, "the tone is carried on at first");
    assert_eq!(loudest(gap + 8..gap + 40), 0.0, "and is over after 140 ms");
    assert!(loudest(gap + 60..gap + 100) > 0.2, "and it is back");
    let pcm = flat(&heard[90..200]);
    let jump = pcm.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
    assert!(jump < 0.05, "a click of {jump}");
    assert!(stats.concealed < 12, "{stats:?}");
}

#[test]
fn heavy_jitter_and_loss_keep_the_length_and_most_of_the_speech() {
    let talk = talk();
    let sent = send(&talk, 32_000);
    let mut rng = StdRng::seed_from_u64(3);
    let (heard, stats) = listen(
        &sent,
        |_| rng.random_bool(0.95).then(|| Duration::from_millis(rng.random_range(0..120))),
        10,
    );
    assert_eq!(heard.len(), talk.len() + 25);
    assert!(stats.late < stats.received / 20, "{stats:?}");
    assert!(stats.target_ms > 100.0, "{stats:?}");
    assert!(stats.concealed + stats.recovered < stats.received / 8, "{stats:?}");
}

const CAPTURE: Capture = Capture { at: OriginTime(1_000), error_us: Some(10) };

fn tick_with(player: &mut Player, now: Instant, frames: &[(u32, u16, Bytes)]) -> TickOutput {
    for (track_id, seq, opus) in frames {
        player.handle_frame(now, *track_id, *seq, false, opus.clone(), Some(CAPTURE)).unwrap();
    }
    player.tick(now)
}

/// A packet of a tone, after the encoder has settled.
fn tone_packet(hz: f32) -> Bytes {
    let mut source = Source::tone(hz).unwrap();
    let mut encoder = VoiceEncoder::new(32_000).unwrap();
    let mut opus = Bytes::new();
    for _ in 0..5 {
        let Some(SourceFrame::Pcm(pcm)) = source.next_frame().unwrap() else { panic!("ended") };
        opus = encoder.encode(&pcm).unwrap().opus;
    }
    opus
}

#[test]
fn player_mixes_reports_and_forgets_tracks() {
    let start = Instant::now();
    let mut player = Player::new(JitterConfig::default());
    let (a, b) = (tone_packet(300.0), tone_packet(500.0));
    let mut played = Vec::new();
    for tick in 0..50_u16 {
        let now = start + FRAME_PERIOD * u32::from(tick);
        let output = tick_with(&mut player, now, &[(9, tick, a.clone()), (3, tick, b.clone())]);
        played.push(output);
    }
    let last = played.last().unwrap();
    assert_eq!(last.playing.iter().map(|track| track.track_id).collect::<Vec<_>>(), [3, 9]);
    assert!(last.playing.iter().all(|track| track.level_dbov < 40), "{:?}", last.playing);
    assert_eq!(last.captured.len(), 2);
    assert_eq!((last.captured[0].track_id, last.captured[0].capture), (3, CAPTURE));
    assert!(played[0].playing.is_empty(), "nothing is played before the delay is over");

    player.remove_track(9);
    let output = player.tick(start + FRAME_PERIOD * 50);
    assert_eq!(output.playing.len(), 1);
    assert_eq!(player.track_ids().collect::<Vec<_>>(), [3]);
    let stats = player.stats();
    assert_eq!(stats.received, 100, "what a removed track counted stays counted");
}

#[test]
fn tracks_are_bounded_and_the_quietest_makes_room() {
    let start = Instant::now();
    let mut player = Player::new(JitterConfig::default());
    let opus = tone_packet(300.0);
    for tick in 0..20_u16 {
        let now = start + FRAME_PERIOD * u32::from(tick);
        for track_id in 0..TRACKS_MAX as u32 {
            player.handle_frame(now, track_id, tick, tick == 19, opus.clone(), None).unwrap();
        }
        let refused = player.handle_frame(now, 1_000, tick, false, opus.clone(), None).unwrap();
        assert_eq!(refused, Accepted::TooManyTracks);
        player.tick(now);
    }
    // All have ended their talkspurts; once they have been played, a new track replaces one.
    for tick in 20..40_u32 {
        player.tick(start + FRAME_PERIOD * tick);
    }
    let now = start + FRAME_PERIOD * 40;
    let accepted = player.handle_frame(now, 1_000, 0, false, opus, None).unwrap();
    assert!(matches!(accepted, Accepted::Track(_)));
    assert_eq!(player.track_ids().count(), TRACKS_MAX);
    assert_eq!(player.stats().dropped, 20);
}

#[test]
fn hostile_packets_are_concealed_and_counted() {
    let start = Instant::now();
    let mut player = Player::new(JitterConfig::default());
    let mut rng = StdRng::seed_from_u64(4);
    for tick in 0..200_u16 {
        let now = start + FRAME_PERIOD * u32::from(tick);
        let len = rng.random_range(0..700);
        let opus: Vec<u8> = (0..len).map(|_| rng.random()).collect();
        player.handle_frame(now, 1, tick, false, opus.into(), None).unwrap();
        let output = player.tick(now);
        assert!(output.pcm.iter().all(|sample| sample.is_finite()));
    }
    assert!(player.stats().undecodable > 50, "{:?}", player.stats());
}

#[test]
fn muting_ends_the_talkspurt_without_sending_another_sound() {
    let speech = speech();
    let mut speaker = SpeakerPipeline::new(32_000, 10).unwrap();
    let mut sent = Vec::new();
    for (period, pcm) in speech.iter().enumerate().take(150) {
        let muted = (50..100).contains(&period);
        sent.push(speaker.handle_frame(&SourceFrame::Pcm(*pcm), muted).unwrap());
    }
    assert!(sent[..50].iter().flatten().all(|frame| !frame.talkspurt_end));
    let end = sent[50].as_ref().unwrap();
    assert!(end.talkspurt_end && !end.voice);
    assert_eq!((end.seq, end.level_dbov), (60, 127));
    assert!(sent[51..100].iter().all(Option::is_none));
    assert_eq!(sent[100].as_ref().unwrap().seq, 110, "the clock goes on while muted");
}

#[test]
fn voice_bit_and_level_tell_speech_from_silence_in_pcm_and_in_packets() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/speech-20ms.opus");
    let mut source = Source::open_file(path, Repeat::Once).unwrap();
    let mut passed_on = SpeakerPipeline::new(32_000, 0).unwrap();
    let (mut frames, mut voiced) = (0, 0);
    while let Some(frame) = source.next_frame().unwrap() {
        let SourceFrame::Opus(opus) = &frame else { panic!("not passed through") };
        let sent = passed_on.handle_frame(&frame, false).unwrap().unwrap();
        assert_eq!(sent.opus, opus, "bytes pass as they are");
        frames += 1;
        voiced += usize::from(sent.voice);
    }
    assert!(voiced * 10 > frames * 6, "{voiced} of {frames} frames are voice");

    let sent = send(&talk(), 32_000);
    let loud = sent.iter().flatten().filter(|frame| frame.voice && frame.level_dbov < 40).count();
    assert!(loud * 10 > sent.len() * 5, "{loud} of {} frames", sent.len());
    let ends = sent.iter().flatten().filter(|frame| frame.talkspurt_end).count();
    assert_eq!(ends, 3, "three pauses in 20 s");
}
