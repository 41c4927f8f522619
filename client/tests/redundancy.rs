//! Redundancy of speech: what the encoder puts in, and what a decoder makes of it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::Instant;

use bytes::Bytes;
use opusic_c::dred::{DRED_PACKET_SIZE, dred_packet_size};
use proptest::prelude::*;
use tribune_client::audio::decode::TrackDecoder;
use tribune_client::audio::encode::{Redundancy, VoiceEncoder};
use tribune_client::audio::jitter::JitterConfig;
use tribune_client::audio::playout::{Player, PlayoutStats};
use tribune_client::audio::source::{Repeat, Source, SourceFrame};
use tribune_client::audio::{
    FRAME_PERIOD, FRAME_SAMPLES, PcmFrame, SILENT_FRAME, TICK_PERIOD, TICK_SAMPLES,
};
use tribune_client_core::opus_packet::OpusPacket;
use tribune_protocol::domain::protection::Protection;

const NOTHING: Protection = Protection::Nothing {};
const SINGLE: Protection = Protection::Single { loss_percent: 10 };
const BURSTS: Protection = Protection::Bursts { loss_percent: 10, span_ms: 240 };

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

fn encode(speech: &[PcmFrame], bitrate_bps: u32, protection: Protection) -> Vec<Bytes> {
    let mut encoder = VoiceEncoder::new(bitrate_bps).unwrap();
    encoder.set_protection(protection).unwrap();
    speech.iter().map(|pcm| encoder.encode(pcm).unwrap().opus).collect()
}

/// Shares of packets with a copy of the one before, and with a description of at least `reach_ms`.
fn shares(packets: &[Bytes], reach_ms: u32) -> (f64, f64) {
    let share = |is_one: &dyn Fn(&OpusPacket<'_>) -> bool| {
        let count = packets.iter().filter(|packet| is_one(&OpusPacket::parse(packet).unwrap()));
        count.count() as f64 / packets.len() as f64
    };
    (share(&|packet| packet.has_copy()), share(&|packet| packet.reach_ms() >= reach_ms))
}

fn bitrate_bps(packets: &[Bytes]) -> usize {
    packets.iter().map(Bytes::len).sum::<usize>() * 8 * 50 / packets.len()
}

/// Plays packets of which some are lost. The mix of each frame period, and the player's counts.
fn play(packets: &[Bytes], is_lost: impl Fn(usize) -> bool) -> (Vec<PcmFrame>, PlayoutStats) {
    let start = Instant::now();
    // A delay that is longer than a burst, so that what comes after it is there in time.
    let delay = FRAME_PERIOD * 8;
    let mut player =
        Player::new(JitterConfig { initial: delay, min: delay, ..JitterConfig::live() });
    let mut heard = Vec::new();
    for n in 0..packets.len() + 20 {
        let now = start + FRAME_PERIOD * n as u32;
        // The last one comes and says so: a stall at the end would be concealed too.
        let is_end = n + 1 == packets.len();
        if let Some(opus) = packets.get(n)
            && (is_end || !is_lost(n))
        {
            player.handle_frame(now, 1, n as u16, is_end, opus.clone(), None).unwrap();
        }
        let mut pcm = SILENT_FRAME;
        for (n, part) in pcm.chunks_exact_mut(TICK_SAMPLES).enumerate() {
            part.copy_from_slice(&player.tick(now + TICK_PERIOD * n as u32).pcm);
        }
        heard.push(pcm);
    }
    (heard, player.stats())
}

/// Loudness of a frame in dB, from −60 up.
fn level_db(pcm: &PcmFrame) -> f64 {
    let energy: f64 = pcm.iter().map(|sample| f64::from(sample * sample)).sum();
    (10.0 * (energy / FRAME_SAMPLES as f64).log10()).max(-60.0)
}

/// Mean difference of loudness between two recordings, over the frame periods that are `of`, in dB.
fn difference_db(one: &[PcmFrame], other: &[PcmFrame], of: impl Fn(usize) -> bool) -> f64 {
    let frames = (0..one.len().min(other.len())).filter(|n| of(*n));
    let each: Vec<f64> = frames.map(|n| (level_db(&one[n]) - level_db(&other[n])).abs()).collect();
    each.iter().sum::<f64>() / each.len() as f64
}

#[test]
fn the_binding_sets_aside_enough_for_libopus() {
    assert!(dred_packet_size() <= DRED_PACKET_SIZE, "{}", dred_packet_size());
}

#[test]
fn packets_are_as_redundant_as_they_are_asked_to_be() {
    let speech = speech();
    for (bitrate, protection, copies, descriptions) in [
        (32_000, NOTHING, 0.0..=0.0, 0.0..=0.0),
        (32_000, SINGLE, 0.6..=1.0, 0.0..=0.0),
        (32_000, BURSTS, 0.0..=0.0, 0.6..=1.0),
        (40_000, BURSTS, 0.3..=1.0, 0.6..=1.0),
        (24_000, BURSTS, 0.0..=0.0, 0.6..=1.0),
        (18_000, BURSTS, 0.6..=1.0, 0.0..=0.0),
    ] {
        let packets = encode(&speech, bitrate, protection);
        let (with_copy, with_description) = shares(&packets, 60);
        let what = format!("{bitrate} b/s, {protection:?}: {with_copy}, {with_description}");
        assert!(copies.contains(&with_copy), "{what}");
        assert!(descriptions.contains(&with_description), "{what}");
        let measured = bitrate_bps(&packets);
        assert!(measured < bitrate as usize * 12 / 10, "{what}: {measured} b/s");
    }
}

#[test]
fn protection_changes_while_the_encoder_runs_and_ends() {
    let speech = speech();
    let mut encoder = VoiceEncoder::new(32_000).unwrap();
    let mut decoder = TrackDecoder::new().unwrap();
    let quarter = speech.len() / 4;
    let order = [NOTHING, BURSTS, SINGLE, NOTHING];
    let mut parts = vec![Vec::new(); order.len()];
    for ((pcm, n), mut out) in speech.iter().zip(0..).zip(std::iter::repeat(SILENT_FRAME)) {
        let part = usize::min(n / quarter, order.len() - 1);
        if n % quarter == 0 && n / quarter < order.len() {
            encoder.set_protection(order[part]).unwrap();
        }
        let opus = encoder.encode(pcm).unwrap().opus;
        decoder.decode(&opus, &mut out).unwrap();
        parts[part].push(opus);
    }
    let of = |part: usize| shares(&parts[part][5..], 40);
    assert_eq!(of(0), (0.0, 0.0));
    assert!(of(1).1 > 0.5 && of(1).0 == 0.0, "{:?}", of(1));
    assert!(of(2).0 > 0.5 && of(2).1 == 0.0, "{:?}", of(2));
    assert_eq!(of(3), (0.0, 0.0));
    encoder.set_bitrate(16_000).unwrap();
    encoder.set_protection(BURSTS).unwrap();
    assert_eq!(encoder.redundancy(), Redundancy::Fec { loss_percent: 10 });
    encoder.set_bitrate(64_000).unwrap();
    let both = Redundancy::Both { loss_percent: 20, span_ms: 240 };
    assert_eq!(encoder.redundancy(), both, "the protection outlives a change of bitrate");
}

#[test]
fn a_burst_is_recovered_in_order_and_close_to_what_was_said() {
    let speech = speech();
    let is_lost = |n: usize| n % 20 > 16;
    let sent = encode(&speech, 32_000, BURSTS);
    let (clean, _) = play(&sent, |_| false);
    let (recovered, stats) = play(&sent, is_lost);
    assert!(stats.lost > 30, "{stats:?}");
    assert_eq!(stats.runs, stats.lost / 3, "{stats:?}");
    assert!(stats.recovered * 10 >= stats.lost * 8, "{stats:?}");
    assert_eq!(stats.recovered + stats.concealed, stats.lost, "{stats:?}");
    // The same losses without redundancy are concealed, and further from the truth.
    let plain = encode(&speech, 32_000, NOTHING);
    let (truth, _) = play(&plain, |_| false);
    let (concealed, stats) = play(&plain, is_lost);
    assert_eq!((stats.recovered, stats.concealed), (0, stats.lost), "{stats:?}");
    let first = (0..clean.len()).find(|n| clean[*n] != SILENT_FRAME).unwrap();
    let is_made_up = |n: usize| n >= first && is_lost(n - first);
    let with = difference_db(&clean, &recovered, is_made_up);
    let without = difference_db(&truth, &concealed, is_made_up);
    assert!(with < without * 0.7, "{with} dB off with redundancy, {without} dB without");
}

/// Frame by frame, libopus would give the last frame of a burst again and again.
#[test]
fn frames_of_a_burst_differ_from_each_other() {
    let packets = encode(&speech(), 32_000, BURSTS);
    let mut decoder = TrackDecoder::new().unwrap();
    let (mut pcm, lost) = (SILENT_FRAME, 101..105);
    for opus in &packets[..lost.start] {
        decoder.decode(opus, &mut pcm).unwrap();
    }
    let mut frames = vec![pcm];
    for n in lost.clone() {
        let distance = (lost.end - n) as u16;
        assert!(decoder.recover(&packets[lost.end], distance, &mut pcm).unwrap(), "{n}");
        frames.push(pcm);
    }
    for (n, frame) in frames.iter().enumerate() {
        assert!(frames[..n].iter().all(|other| other != frame), "frame {n} is another one");
    }
    // A frame that comes after all takes the place of the rest.
    assert!(decoder.recover(&packets[120], 4, &mut pcm).unwrap());
    decoder.decode(&packets[119], &mut pcm).unwrap();
    let before = pcm;
    assert!(decoder.recover(&packets[130], 1, &mut pcm).unwrap());
    assert_ne!(pcm, before);
}

#[test]
fn a_packet_recovers_no_more_than_it_tells_of() {
    let speech = speech();
    let mut pcm = SILENT_FRAME;
    let mut count = |packets: &[Bytes], distance: u16| {
        let mut decoder = TrackDecoder::new().unwrap();
        let mut recovered = 0;
        for opus in &packets[50..150] {
            decoder.decode(opus, &mut pcm).unwrap();
            recovered += u32::from(decoder.recover(opus, distance, &mut pcm).unwrap());
        }
        recovered
    };
    let [plain, single, bursts] = [NOTHING, SINGLE, BURSTS].map(|p| encode(&speech, 32_000, p));
    assert_eq!([1, 2, 12].map(|distance| count(&plain, distance)), [0, 0, 0]);
    assert!(count(&single, 1) > 50);
    assert_eq!([2, 3, 50].map(|distance| count(&single, distance)), [0, 0, 0]);
    assert!(count(&bursts, 1) > 50 && count(&bursts, 4) > 50);
    assert_eq!([0, 9, 50, u16::MAX].map(|distance| count(&bursts, distance)), [0; 4]);
}

/// The packets of another encoder, in a file, know nothing of this.
#[test]
fn packets_without_redundancy_are_left_alone() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/speech-20ms.opus");
    let mut source = Source::open_file(path, Repeat::Once).unwrap();
    let mut packets = Vec::new();
    while let Some(SourceFrame::Opus(opus)) = source.next_frame().unwrap() {
        packets.push(opus);
    }
    let (_, stats) = play(&packets, |n| n % 20 > 16);
    assert!(stats.lost > 30 && stats.undecodable == 0, "{stats:?}");
    assert_eq!(stats.recovered + stats.concealed, stats.lost, "{stats:?}");
    assert!(stats.recovered <= stats.runs, "at most the copy in the next packet: {stats:?}");
}

/// A listener who is late for a frame does not wait: the time that a burst takes is bounded by its length.
#[test]
fn a_long_outage_is_concealed_up_to_what_a_packet_tells_of() {
    let packets = encode(&speech(), 32_000, BURSTS);
    let mut decoder = TrackDecoder::new().unwrap();
    let mut pcm = SILENT_FRAME;
    for opus in &packets[..100] {
        decoder.decode(opus, &mut pcm).unwrap();
    }
    let mut recovered = Vec::new();
    for distance in (1..=50).rev() {
        if decoder.recover(&packets[150], distance, &mut pcm).unwrap() {
            recovered.push(distance);
        } else {
            decoder.conceal(&mut pcm);
        }
        assert!(pcm.iter().all(|sample| sample.is_finite()));
    }
    let nearest: Vec<u16> = (1..=recovered.len() as u16).rev().collect();
    assert_eq!(recovered, nearest, "all of the last ones");
    assert_eq!(recovered.len(), 8, "160 ms at this bitrate");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Real packets cut short, with bits flipped, or made up: an error at the worst, and the next good packet
    /// sounds.
    #[test]
    fn no_packet_breaks_the_decoder(
        wounds in prop::collection::vec((0usize..240, 0u16..60, any::<[u16; 3]>(), 0usize..700), 1..12),
        made_up in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..660), 0..6),
    ) {
        let packets = bursts();
        let mut decoder = TrackDecoder::new().unwrap();
        let mut pcm = SILENT_FRAME;
        let mut try_all = |decoder: &mut TrackDecoder, opus: &[u8], distance: u16| {
            for step in 0..distance.min(3) {
                if !decoder.recover(opus, distance - step, &mut pcm).unwrap_or(false) {
                    decoder.conceal(&mut pcm);
                }
                assert!(pcm.iter().all(|sample| sample.is_finite()));
            }
            if decoder.decode(opus, &mut pcm).is_err() {
                decoder.conceal(&mut pcm);
            }
            assert!(pcm.iter().all(|sample| sample.is_finite()));
        };
        for (n, distance, flips, len) in wounds {
            let mut opus = packets[n].to_vec();
            for flip in flips {
                let at = usize::from(flip / 8) % opus.len();
                opus[at] ^= 1 << (flip % 8);
            }
            opus.truncate(len);
            try_all(&mut decoder, &opus, distance);
            try_all(&mut decoder, &packets[n], distance);
        }
        for opus in made_up {
            try_all(&mut decoder, &opus, 4);
        }
        prop_assert!(decoder.decode(&packets[100], &mut pcm).is_ok());
    }
}

/// Packets with a description of bursts, encoded once.
fn bursts() -> &'static [Bytes] {
    static PACKETS: std::sync::OnceLock<Vec<Bytes>> = std::sync::OnceLock::new();
    PACKETS.get_or_init(|| encode(&speech(), 32_000, BURSTS))
}

#[test]
fn bits_are_for_the_voice_where_nothing_is_lost() {
    let speech = speech();
    let error = |protection| {
        let packets = encode(&speech, 24_000, protection);
        let mut decoder = TrackDecoder::new().unwrap();
        let mut heard = Vec::new();
        for opus in &packets {
            let mut pcm = SILENT_FRAME;
            decoder.decode(opus, &mut pcm).unwrap();
            heard.push(pcm);
        }
        difference_db(&speech, &heard, |n| level_db(&speech[n]) > -40.0)
    };
    let [plain, single, bursts] = [NOTHING, SINGLE, BURSTS].map(error);
    let errors = format!("{plain:.3} dB off, {single:.3} with FEC, {bursts:.3} with DRED");
    assert!(plain < single && plain < bursts, "{errors}");
}
