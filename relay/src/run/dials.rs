//! Parents, looked up by name. Used by [`super`], which has them dialled.

use std::net::SocketAddr;

use tokio::sync::mpsc;

use crate::config::HostPort;
use crate::crossing::{DialId, ShardCommand, ShardEvent, ShardId};

/// Looks parents up and has them dialled.
#[derive(Debug)]
pub(super) struct Dials {
    pub(super) parents: Vec<HostPort>,
    /// Whether the relay's socket, which it dials from, is an IPv6 one.
    pub(super) from_ipv6: bool,
    pub(super) events: mpsc::Sender<(ShardId, ShardEvent)>,
}

impl Dials {
    /// In a task of its own: a name server can take its time.
    pub(super) fn dial(&self, dial: DialId, parent: usize, shard: &mpsc::Sender<ShardCommand>) {
        let (shard, events, from_ipv6) = (shard.clone(), self.events.clone(), self.from_ipv6);
        let target = self.parents[parent].clone();
        tokio::spawn(async move {
            let found = tokio::net::lookup_host((target.host(), target.port())).await;
            let reachable = |address: SocketAddr| match (address, from_ipv6) {
                (SocketAddr::V4(v4), true) => {
                    // As the kernel names it on a socket that takes both: answers come from there.
                    Some(SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port()))
                }
                (SocketAddr::V4(_), false) | (SocketAddr::V6(_), true) => Some(address),
                (SocketAddr::V6(_), false) => None,
            };
            let why = match found.map(|mut addresses| addresses.find_map(reachable)) {
                Ok(Some(address)) => {
                    let server_name = target.host().to_owned();
                    let command = ShardCommand::Dial { dial, parent, address, server_name };
                    let _ = shard.send(command).await;
                    return;
                }
                Ok(None) => format!("{target} has no address that --listen can reach"),
                Err(error) => format!("{target}: {error}"),
            };
            let _ = events.send((ShardId(0), ShardEvent::DialFailed { dial, why })).await;
        });
    }
}
