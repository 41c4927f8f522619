//! Settings that nobody gave, where they depend on the machine.

use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::num::NonZeroU8;
use std::path::PathBuf;

use tribune_protocol::ids::DisplayName;

use super::MAX_SHARDS;

/// One socket for both families, where the machine has IPv6 at all.
pub(super) fn listen() -> SocketAddr {
    match UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)) {
        Ok(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 4433)),
        Err(_) => SocketAddr::from(([0, 0, 0, 0], 4433)),
    }
}

pub(super) fn shards() -> NonZeroU8 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let shards = u8::try_from(cores).unwrap_or(MAX_SHARDS).min(MAX_SHARDS);
    NonZeroU8::new(shards).unwrap_or(NonZeroU8::MIN)
}

pub(super) fn name(env: &dyn Fn(&str) -> Option<String>) -> DisplayName {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let host = host.or_else(|| env("HOSTNAME")).and_then(|name| name.trim().parse().ok());
    host.unwrap_or_else(|| "relay".parse().expect("a name of five letters"))
}

/// The user's state directory, by the XDG base directory specification.
pub(super) fn state_directory(env: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let absolute = |name: &str| env(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME");
    let state = state.or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
    state.map(|state| state.join("tribune-relay"))
}
