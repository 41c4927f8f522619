//! Parsers of single settings. An error is the end of a sentence that begins with the text.

use std::net::SocketAddr;
use std::num::NonZeroU8;
use std::path::PathBuf;
use std::time::Duration;

use tribune_protocol::ids::DisplayName;
use tribune_relay_core::auth::secret::Secret;

use super::{MAX_DRAIN_TIMEOUT, MAX_KEPT_STATISTICS, MAX_METRICS_ROOMS, MAX_SHARDS};

/// The shortest operator token, in bytes.
const OPERATOR_TOKEN_BYTES: usize = 16;

pub(super) fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "is not ADDRESS:PORT, such as 0.0.0.0:4433 or [::]:4433")
}

pub(super) fn http_address(text: &str) -> Result<Option<SocketAddr>, &'static str> {
    if text == "off" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| "is neither ADDRESS:PORT, such as 127.0.0.1:9433, nor off")
}

/// As the protocol reads names; its errors repeat the value, which is already said here.
pub(super) fn name(text: &str) -> Result<DisplayName, &'static str> {
    text.parse().map_err(|_| "is not 1 to 64 bytes of text without control and hidden characters")
}

pub(super) fn non_empty_path(text: &str) -> Result<PathBuf, &'static str> {
    if text.is_empty() { Err("is no path") } else { Ok(PathBuf::from(text)) }
}

pub(super) fn truth(text: &str) -> Result<bool, &'static str> {
    match text {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err("is neither true nor false"),
    }
}

pub(super) fn shards(text: &str) -> Result<NonZeroU8, String> {
    let in_range = text.parse().ok().filter(|shards: &NonZeroU8| shards.get() <= MAX_SHARDS);
    in_range.ok_or_else(|| format!("is not a number from 1 to {MAX_SHARDS}"))
}

pub(super) fn number(text: &str, max: usize) -> Result<usize, String> {
    let in_range = text.parse().ok().filter(|number| (1..=max).contains(number));
    in_range.ok_or_else(|| format!("is not a number from 1 to {max}"))
}

/// A token that guards a network port: one that can be guessed is useless.
pub(super) fn operator_token(text: &str) -> Result<Secret, &'static str> {
    if text.len() < OPERATOR_TOKEN_BYTES {
        return Err("is not at least 16 bytes long");
    }
    text.parse()
}

pub(super) fn audience_from(text: &str) -> Result<u32, &'static str> {
    text.parse().map_err(|_| "is not a number of listeners; 0 is for never")
}

pub(super) fn metrics_rooms(text: &str) -> Result<usize, String> {
    let in_range = text.parse().ok().filter(|rooms| *rooms <= MAX_METRICS_ROOMS);
    in_range.ok_or_else(|| format!("is not a number from 0 to {MAX_METRICS_ROOMS}"))
}

pub(super) fn drain_timeout(text: &str) -> Result<Duration, &'static str> {
    match humantime::parse_duration(text) {
        Ok(time) if time <= MAX_DRAIN_TIMEOUT => Ok(time),
        Ok(_) | Err(_) => Err("is not a time up to 1h, such as 10s or 2m"),
    }
}

/// `None`: for as long as there is a store.
pub(super) fn keep_statistics(text: &str) -> Result<Option<Duration>, &'static str> {
    if text == "forever" {
        return Ok(None);
    }
    match humantime::parse_duration(text) {
        Ok(time) if time <= MAX_KEPT_STATISTICS => Ok(Some(time)),
        Ok(_) | Err(_) => Err("is neither forever nor a time up to 100years, such as 30days"),
    }
}
