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
use tribune_client::audio::playout::{
    Accepted, Player, PlayoutStats, SoundOrigin, TRACKS_MAX, TickOutput,
};
use tribune_client::audio::source::{Repeat, Source, SourceFrame};
use tribune_client::audio::speak::{OutgoingFrame, SpeakerPipeline};
use tribune_client::audio::{
    FRAME_PERIOD, FRAME_SAMPLES, PcmFrame, SILENT_FRAME, TICK_PERIOD, TICK_SAMPLES, TICKS_PER_FRAME,
};
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

/// As [`best_correlation`], but for each half second by itself in which something is said, as stretching moves one
/// against the other.
fn local_correlations(said: &[f32], heard: &[f32], max_delay: usize) -> Vec<f64> {
    let half_a_second = 24_000;
    // First with every eighth sample, which has the pitch and not the rest; then right there with all.
    let thin = |pcm: &[f32]| -> Vec<f32> {
        pcm.chunks_exact(8).map(|chunk| chunk.iter().sum::<f32>() / 8.0).collect()
    };
    let mut correlations = Vec::new();
    for (n, part) in said.chunks_exact(half_a_second).enumerate() {
        let mut near = 0;
        let power = part.iter().map(|sample| sample * sample).sum::<f32>() / part.len() as f32;
        let heard = heard.get(n * half_a_second..(n + 1) * half_a_second + max_delay + 16);
        if let (true, Some(heard)) = (power > 1e-4, heard) {
            let (part, heard) = (thin(part), thin(heard));
            let likeness = |delay: usize| {
                let other = &heard[delay..delay + part.len()];
                let (dot, energy) = part
                    .iter()
                    .zip(other)
                    .fold((0.0, 0.0), |(dot, energy), (a, b)| (dot + a * b, energy + b * b));
                dot / f32::sqrt(energy).max(1e-9)
            };
            let delays = 0..max_delay / 8;
            let around = delays.max_by(|a, b| likeness(*a).total_cmp(&likeness(*b)));
            near = (around.unwrap() * 8).saturating_sub(8);
        }
        if let (true, Some(heard)) = (power > 1e-4, heard) {
            correlations.push(best_correlation(part, &heard[near..], 16).0);
        }
    }
    correlations
}

/// A delay of 40 ms, which is not moved as long as frames come in time.
fn fixed_delay() -> JitterConfig {
    let delay = FRAME_PERIOD * 2;
    JitterConfig { initial: delay, min: delay, max: delay, ..JitterConfig::live() }
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
    config: JitterConfig,
    sent: &[Option<OutgoingFrame>],
    arrival: impl FnMut(u64) -> Option<Duration>,
    tick_noise_ms: u64,
) -> (Vec<PcmFrame>, PlayoutStats) {
    listen_changing(config, sent, arrival, tick_noise_ms, |_, _| ())
}

/// The same, with a change to the player before each frame period.
fn listen_changing(
    config: JitterConfig,
    sent: &[Option<OutgoingFrame>],
    mut arrival: impl FnMut(u64) -> Option<Duration>,
    tick_noise_ms: u64,
    mut change: impl FnMut(u32, &mut Player),
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
    let mut player = Player::new(config);
    let mut heard = Vec::new();
    let mut last = Duration::ZERO;
    for period in 0..sent.len() as u32 + 25 {
        change(period, &mut player);
        let noise = Duration::from_millis(rng.random_range(0..=tick_noise_ms));
        let mut pcm = SILENT_FRAME;
        for (tick, part) in pcm.chunks_exact_mut(TICK_SAMPLES).enumerate() {
            let now = (FRAME_PERIOD * period + TICK_PERIOD * tick as u32 + noise).max(last);
            last = now;
            while let Some(entry) = arrivals.first_entry() {
                let ((at, _), frame) = (*entry.key(), *entry.get());
                if at > now {
                    break;
                }
                entry.remove();
                let opus = frame.opus.clone();
                player
                    .handle_frame(start + at, 7, frame.seq, frame.talkspurt_end, opus, None)
                    .unwrap();
            }
            part.copy_from_slice(&player.tick(start + now).pcm);
        }
        heard.push(pcm);
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
    let (heard, stats) = listen(
        JitterConfig::live(),
        &sent,
        |_| Some(Duration::from_millis(rng.random_range(1..=30))),
        30,
    );
    let correlations = local_correlations(&flat(&talk), &flat(&heard), 7_200);
    let correlation = correlations.iter().sum::<f64>() / correlations.len() as f64;
    assert!(correlation > 0.9, "{correlation}: {correlations:?}");
    let stretched_ms = stats.lengthened_ms + stats.shortened_ms;
    assert!(stretched_ms < 200.0, "{stretched_ms} ms in 20 s");
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
    // With an end of the talk, after which nothing is made up.
    let mut speech = speech();
    speech.resize(speech.len() + 40, SILENT_FRAME);
    let sent = send_protected(&speech, 32_000, Protection::Single { loss_percent: 10 });
    let on_time = |_| Some(Duration::ZERO);
    let each_tenth_lost = |period| (period % 10 != 5).then_some(Duration::ZERO);
    let (clean, _) = listen(fixed_delay(), &sent, on_time, 0);
    let (lossy, stats) = listen(fixed_delay(), &sent, each_tenth_lost, 0);
    assert!(stats.lost > 20, "{stats:?}");
    // Single losses all have a frame after them, which has a copy unless next to nothing was said.
    assert!(stats.recovered + stats.concealed >= stats.lost, "{stats:?}");
    assert!(stats.recovered * 3 > stats.lost * 2, "{stats:?}");
    let (clean, lossy) = (flat(&clean), flat(&lossy));
    let (with_recovery, delay) = best_correlation(&clean, &lossy, 960);
    assert_eq!(delay, 0, "recovery does not move anything");
    // The same losses, silenced: what recovery has to be better than.
    let mut silenced = clean.clone();
    let offset = clean.len() / FRAME_SAMPLES - sent.len() - 25;
    assert_eq!(offset, 0);
    for (period, _) in sent.iter().enumerate().filter(|(period, _)| period % 10 == 5) {
        let at = (period + 2) * FRAME_SAMPLES;
        silenced[at..at + FRAME_SAMPLES].fill(0.0);
    }
    let (without, _) = best_correlation(&clean, &silenced, 4);
    assert!(with_recovery > without.max(0.95), "{with_recovery} against {without}");

    // However short the delay was: where frames are lost there is soon time for the one after. Only those of the first
    // second are waited for themselves.
    let (_, short) = listen(JitterConfig::live(), &sent, each_tenth_lost, 0);
    assert!(short.recovered + 5 >= stats.recovered, "{short:?}");
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
    let (heard, stats) =
        listen(fixed_delay(), &sent, |p| (!(100..150).contains(&p)).then_some(Duration::ZERO), 0);
    let loudest = |range: std::ops::Range<usize>| {
        heard[range].iter().flatten().fold(0.0_f32, |peak, sample| peak.max(sample.abs()))
    };
    let gap = 102;
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
        JitterConfig::live(),
        &sent,
        |_| rng.random_bool(0.95).then(|| Duration::from_millis(rng.random_range(0..120))),
        10,
    );
    assert_eq!(heard.len(), talk.len() + 25);
    assert!(stats.late < stats.received / 20, "{stats:?}");
    assert!(stats.target_ms > 100.0, "{stats:?}");
    assert!(stats.concealed + stats.recovered < stats.received / 8, "{stats:?}");
}

#[test]
fn a_delay_that_changes_in_speech_keeps_every_frame_and_sounds_the_same() {
    let mut speech: Vec<PcmFrame> = speech().into_iter().cycle().take(1_000).collect();
    speech.resize(1_040, SILENT_FRAME);
    let sent = send(&speech, 64_000);
    let audience = JitterConfig::audience(Duration::from_millis(400));
    let (heard, stats) = listen_changing(
        audience.clone(),
        &sent,
        |_| Some(Duration::ZERO),
        0,
        |period, player| match period {
            200 => player.set_config(JitterConfig::live()),
            600 => player.set_config(audience.clone()),
            _ => {}
        },
    );
    assert_eq!((stats.lost, stats.late, stats.concealed, stats.dropped), (0, 0, 0, 0), "{stats:?}");
    // The rest is moved in what pauses there are.
    assert!((300.0..400.0).contains(&stats.shortened_ms), "{stats:?}");
    assert!((300.0..400.0).contains(&stats.lengthened_ms), "{stats:?}");
    // Half seconds that are being stretched are not like themselves: 2.7 s each way, of 20 s.
    let correlations = local_correlations(&flat(&speech), &flat(&heard), 24_000);
    let same = correlations.iter().filter(|correlation| **correlation > 0.9).count();
    assert!(same * 10 >= correlations.len() * 6, "{same}: {correlations:?}");
    // No click: no step that is larger than those of the same speech played as it is.
    let (plain, _) = listen(audience, &sent, |_| Some(Duration::ZERO), 0);
    let bend =
        |pcm: &[f32]| pcm.windows(3).map(|w| (w[2] - 2.0 * w[1] + w[0]).abs()).fold(0.0, f32::max);
    let (plain, heard) = (bend(&flat(&plain)), bend(&flat(&heard)));
    assert!(heard <= plain * 1.05, "a bend of {heard}, the speech has {plain}");
}

/// From mouth to ear in virtual time: a frame of 20 ms, 2 ms of network and what a quiet machine is late by, and 20
/// listeners whose ticks are anywhere.
#[test]
fn mouth_to_ear_is_short_on_a_quiet_machine() {
    let opus = tone_packet(300.0);
    let mut latencies_ms = Vec::new();
    let mut rng = StdRng::seed_from_u64(5);
    for listener in 0..20 {
        let start = Instant::now();
        let mut player = Player::new(JitterConfig::live());
        let phase = Duration::from_micros(1_000 * listener + 137);
        let mut late = || {
            // Mostly half a millisecond, once in 200 frames up to ten.
            let usual = -500.0 * (1.0 - rng.random::<f64>()).ln();
            let rare = if rng.random_bool(0.005) { rng.random_range(0.0..10_000.0) } else { 0.0 };
            Duration::from_micros((usual + rare) as u64)
        };
        let mut arrivals: Vec<(Duration, u16)> = (0..1_500_u16)
            .map(|n| (FRAME_PERIOD * u32::from(n + 1) + Duration::from_millis(2) + late(), n))
            .collect();
        arrivals.sort();
        let mut arrivals = arrivals.into_iter().peekable();
        for tick in 0..1_500 * TICKS_PER_FRAME as u32 {
            let now = TICK_PERIOD * tick + phase;
            while let Some((at, n)) = arrivals.next_if(|(at, _)| *at <= now) {
                let captured = FRAME_PERIOD * u32::from(n);
                let capture =
                    Capture { at: OriginTime(captured.as_micros() as u64), error_us: None };
                player.handle_frame(start + at, 1, n, false, opus.clone(), Some(capture)).unwrap();
            }
            for frame in player.tick(start + now).captured {
                let played = now + frame.after;
                latencies_ms.push(played.as_secs_f64() * 1e3 - frame.capture.at.0 as f64 / 1e3);
            }
        }
        let stats = player.stats();
        assert_eq!((stats.lost, stats.late, stats.dropped), (0, 0, 0), "{stats:?}");
        assert!(stats.concealed <= 10, "{stats:?}");
    }
    latencies_ms.sort_by(f64::total_cmp);
    let at = |share: f64| latencies_ms[(latencies_ms.len() as f64 * share) as usize];
    println!(
        "mouth to ear: p50 {:.1} ms, p99 {:.1} ms, p99.9 {:.1} ms",
        at(0.5),
        at(0.99),
        at(0.999)
    );
    assert!(at(0.5) <= 40.0, "p50 {}", at(0.5));
    assert!(at(0.99) <= 60.0, "p99 {}", at(0.99));
}

const CAPTURE: Capture = Capture { at: OriginTime(1_000), error_us: Some(10) };

/// A frame period of ticks: the last one's output, with the frames and counts of all.
fn tick_period(player: &mut Player, now: Instant) -> TickOutput {
    let mut whole = player.tick(now);
    for tick in 1..TICKS_PER_FRAME as u32 {
        let output = player.tick(now + TICK_PERIOD * tick);
        whole.captured.extend(output.captured);
        whole = TickOutput { captured: whole.captured, ..output };
    }
    whole
}

fn tick_with(player: &mut Player, now: Instant, frames: &[(u32, u16, Bytes)]) -> TickOutput {
    for (track_id, seq, opus) in frames {
        player.handle_frame(now, *track_id, *seq, false, opus.clone(), Some(CAPTURE)).unwrap();
    }
    tick_period(player, now)
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
    let output = tick_period(&mut player, start + FRAME_PERIOD * 50);
    assert_eq!(output.playing.len(), 1);
    assert_eq!(player.track_ids().collect::<Vec<_>>(), [3]);
    let stats = player.stats();
    assert_eq!(stats.received, 100, "what a removed track counted stays counted");
}

#[test]
fn each_period_is_told_with_its_frame_its_time_and_its_origin() {
    let start = Instant::now();
    let mut player = Player::new(fixed_delay());
    let opus = tone_packet(300.0);
    let mut heard = Vec::new();
    for n in 0..40_u16 {
        let period = start + FRAME_PERIOD * u32::from(n);
        if n != 5 && n < 15 {
            player.handle_frame(period, 7, n, false, opus.clone(), None).unwrap();
        }
        for tick in 0..TICKS_PER_FRAME as u32 {
            // Ticks are not where the frames are.
            let now = period + TICK_PERIOD * tick + Duration::from_micros(1_700);
            let periods = player.tick(now).periods;
            heard.extend(periods.into_iter().map(|period| (now - start + period.after, period)));
        }
    }
    let (first, _) = heard[0];
    for (n, (at, period)) in (0..15).zip(&heard) {
        let origin = if n == 5 { SoundOrigin::Concealed } else { SoundOrigin::Packet };
        assert_eq!((period.track_id, period.seq, period.origin), (7, Some(n), origin));
        let off = (*at - first).abs_diff(FRAME_PERIOD * u32::from(n));
        assert!(off < Duration::from_micros(1), "frame {n} by {off:?}");
    }
    let (_, last) = heard.last().unwrap();
    assert_eq!((last.seq, last.origin), (None, SoundOrigin::Starved));
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
        tick_period(&mut player, now);
    }
    // All have ended their talkspurts; once they have been played, a new track replaces one.
    for tick in 20..40_u32 {
        tick_period(&mut player, start + FRAME_PERIOD * tick);
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
        let output = tick_period(&mut player, now);
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
