//! Networks at random.

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

/// A network with everything that can go wrong, and a machine that ticks late.
#[derive(Debug, Clone, Copy)]
struct Rough {
    seed: u64,
    first_seq: u16,
    loss: f64,
    duplication: f64,
    jitter_us: i64,
    /// Frame periods of silence in the middle.
    pause: u64,
    tick_noise_us: i64,
    margin_ms: u64,
}

impl Rough {
    /// 12 s of talk over this network, as it is sent.
    fn sent(&self, rng: &mut StdRng) -> Vec<Sent> {
        let mut sent = Vec::new();
        for mut frame in talk(600, |_| 0) {
            let is_paused = (300..300 + self.pause).contains(&frame.index);
            if is_paused || rng.random_bool(self.loss) {
                continue;
            }
            frame.talkspurt_end = frame.index == 299 || rng.random_bool(0.02);
            let copies = 1 + usize::from(rng.random_bool(self.duplication));
            for _ in 0..copies {
                let at_us = frame.at_us + rng.random_range(0..=self.jitter_us);
                sent.push(Sent { at_us, ..frame });
            }
        }
        sent
    }

    fn is_survived(&self) {
        let mut rng = StdRng::seed_from_u64(self.seed);
        let sent = self.sent(&mut rng);
        let noise: Vec<i64> = (0..700).map(|_| rng.random_range(0..=self.tick_noise_us)).collect();
        let mut ticks: Vec<i64> =
            (0..700).map(|tick| on_time(tick) + noise[tick as usize]).collect();
        ticks.sort_unstable();
        let margin = Duration::from_millis(self.margin_ms);
        let config = JitterConfig { margin, ..JitterConfig::default() };
        let run = run_with(config, &sent, |tick| ticks[tick as usize], 700, self.first_seq);
        assert_eq!(run.samples, 700 * 960);
        assert!(run.frames().windows(2).all(|pair| pair[0] < pair[1]));
        assert!(run.slots_max <= (AHEAD_FRAMES_MAX + BEHIND_FRAMES_MAX) as usize);
        assert!(run.stats.target_ms <= 400.0);
        let distinct: std::collections::BTreeSet<u64> =
            sent.iter().map(|frame| frame.index).collect();
        let stats = run.stats;
        assert!(stats.received <= distinct.len() as u64, "{} > {}", stats.received, distinct.len());
        let accounted = run.frames().len() as u64 + stats.late + stats.skipped;
        let waiting = (stats.buffer_ms / 20.0) as u64;
        assert!(accounted <= stats.received && stats.received <= accounted + waiting);
    }
}

/// A frame that comes after all, in a stall in a stream's first second, was passed over and stayed in the buffer; its
/// copy was then counted as another frame.
#[test]
fn a_copy_of_a_frame_that_came_in_a_stall_is_a_duplicate() {
    let network = Rough {
        seed: 16_366_220_170_753_973_096,
        first_seq: 0,
        loss: 0.500_066_217_071_475_5,
        duplication: 0.359_464_029_636_749_06,
        jitter_us: 227_786,
        pause: 234,
        tick_noise_us: 22_298,
        margin_ms: 15,
    };
    network.is_survived();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever the network does: no panic, no frame twice, none out of order, bounded memory, and
    /// one answer per tick that adds up.
    #[test]
    fn any_network_is_survived(
        seed: u64,
        first_seq: u16,
        loss in 0.0..0.6_f64,
        duplication in 0.0..0.5_f64,
        jitter_us in 0..500_000_i64,
        pause in 0..400_u64,
        tick_noise_us in 0..100_000_i64,
        margin_ms in 0..100_u64,
    ) {
        let network = Rough { seed, first_seq, loss, duplication, jitter_us, pause, tick_noise_us, margin_ms };
        network.is_survived();
    }

    /// A network without jitter or loss loses, conceals, drops and inserts nothing.
    #[test]
    fn clean_network_is_transparent(first_seq: u16, phase_us in 0..20_000_i64, delay_us in 0..300_000_i64) {
        let sent = talk(400, |_| delay_us);
        let run = run(&sent, |tick| on_time(tick) + phase_us, 420, first_seq);
        prop_assert!(run.is_aligned(150));
        prop_assert_eq!(run.stats.lost + run.stats.late + run.stats.skipped + run.stats.stretched, 0);
        prop_assert_eq!(run.lengthened, 0);
        let played = run.frames();
        prop_assert_eq!(&played, &(0..played.len() as u64).collect::<Vec<_>>());
        prop_assert!(played.len() >= 395);
    }

    /// Arbitrary frames at arbitrary times, not even a stream.
    #[test]
    fn arbitrary_input_never_panics(events in proptest::collection::vec(
        (any::<u16>(), any::<bool>(), 0..3_000_u64, any::<bool>()), 0..400)
    ) {
        let mut buffer = JitterBuffer::new(JitterConfig::default());
        let mut now = Instant::now();
        for (seq, talkspurt_end, wait_ms, is_poll) in events {
            now += Duration::from_millis(wait_ms);
            if is_poll {
                let _ = buffer.poll_playout(now);
            } else {
                buffer.handle_frame(now, seq, talkspurt_end, ());
            }
            prop_assert!(buffer.slots.len() <= (AHEAD_FRAMES_MAX + BEHIND_FRAMES_MAX) as usize);
        }
        let _ = buffer.stats();
    }
}
