//! Places on the media clock, and times in the buffer's unit. Pure arithmetic.

use std::time::{Duration, Instant};

use super::{FIRST_PLACE, FRAME_PERIOD_US};

/// From `epoch` to `at`, in µs; negative if that was before.
pub(super) fn since_us(epoch: Instant, at: Instant) -> i64 {
    match at.checked_duration_since(epoch) {
        Some(since) => micros(since),
        None => -micros(epoch.saturating_duration_since(at)),
    }
}

pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Duration of so many samples at 48 kHz, in µs.
pub(super) fn samples_us(samples: u64) -> i64 {
    i64::try_from(u128::from(samples) * 125 / 6).unwrap_or(i64::MAX)
}

/// Samples at 48 kHz in so many µs.
pub(super) const fn us_samples(us: i64) -> i64 {
    us.saturating_mul(6) / 125
}

/// Time of a place on the media clock, in µs.
pub(super) fn place_us(place: u64) -> i64 {
    (place as i64 - FIRST_PLACE as i64) * FRAME_PERIOD_US
}

pub(super) fn transit_us(at_us: i64, place: u64) -> i64 {
    at_us - place_us(place)
}

/// Frame periods that last at least `us`.
pub(super) fn frames_up(us: i64) -> u64 {
    (us.max(0) as u64).div_ceil(FRAME_PERIOD_US as u64)
}

/// The place with this sequence number that is nearest to `to`.
pub(super) fn nearest_place(to: u64, seq: u16) -> u64 {
    let ahead = seq.wrapping_sub(to as u16) as i16;
    to.saturating_add_signed(i64::from(ahead))
}

/// The first place from `from` on with this sequence number.
pub(super) fn first_place(from: u64, seq: u16) -> u64 {
    from + u64::from(seq.wrapping_sub(from as u16))
}
