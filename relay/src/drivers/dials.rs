//! Look-ups of parents by name, before they are dialled.

use std::net::SocketAddr;

use tokio::sync::mpsc;
use tribune_relay_core::messages::{DialId, ShardCommand, ShardEvent, ShardId};
use tribune_relay_core::tree::host_port::HostPort;
use tribune_relay_core::tree::target::Target;

use crate::config::{Config, ParentTrust};

/// Looks parents up and has them dialled.
#[derive(Debug)]
pub(crate) struct Dials {
    parents: Vec<Parent>,
    /// Whether the relay's socket, which it dials from, is an IPv6 one.
    from_ipv6: bool,
    events: mpsc::Sender<(ShardId, ShardEvent)>,
}

#[derive(Debug)]
struct Parent {
    place: HostPort,
    /// Its certificate is not checked, since it is on this machine; so it can name no other machine.
    only_loopback: bool,
}

impl Dials {
    pub(crate) fn new(
        config: &Config,
        from_ipv6: bool,
        events: mpsc::Sender<(ShardId, ShardEvent)>,
    ) -> Self {
        let parent = |place: &HostPort| Parent {
            place: place.clone(),
            only_loopback: matches!(config.trust_in(place), ParentTrust::AnythingOnLoopback),
        };
        Self { parents: config.parents.iter().map(parent).collect(), from_ipv6, events }
    }

    /// Looks a target up, in a task of its own, since a name server may be slow; shard 0 dials it.
    pub(crate) fn dial(&self, dial: DialId, target: &Target, shard: &mpsc::Sender<ShardCommand>) {
        let (shard, events, from_ipv6) = (shard.clone(), self.events.clone(), self.from_ipv6);
        let place = self.place(target);
        let parent = target.parent;
        tokio::spawn(async move {
            let found = match place {
                Ok(place) => look_up(&place, from_ipv6).await.map(|address| (place, address)),
                Err(why) => Err(why),
            };
            match found {
                Ok((place, address)) => {
                    let server_name = place.host().to_owned();
                    let command = ShardCommand::Dial { dial, parent, address, server_name };
                    let _ = shard.send(command).await;
                }
                Err(why) => {
                    let failed = ShardEvent::DialFailed { dial, why };
                    let _ = events.send((ShardId(0), failed)).await;
                }
            }
        });
    }

    /// The place to dial. A place named by a parent is checked like the parent itself; a parent that is not
    /// checked can only name its own machine.
    fn place(&self, target: &Target) -> Result<HostPort, String> {
        let parent = self.parents.get(target.parent);
        let parent = parent.ok_or_else(|| "this relay has no such parent".to_owned())?;
        match &target.to {
            None => Ok(parent.place.clone()),
            Some(to) if parent.only_loopback && !to.is_loopback() => {
                Err(format!("{to} is not on this machine, and {} is not checked", parent.place))
            }
            Some(to) => Ok(to.clone()),
        }
    }
}

async fn look_up(place: &HostPort, from_ipv6: bool) -> Result<SocketAddr, String> {
    let found = tokio::net::lookup_host((place.host(), place.port())).await;
    let reachable = |address: SocketAddr| match (address, from_ipv6) {
        (SocketAddr::V4(v4), true) => {
            // As the kernel names it on a socket that takes both: answers come from there.
            Some(SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port()))
        }
        (SocketAddr::V4(_), false) | (SocketAddr::V6(_), true) => Some(address),
        (SocketAddr::V6(_), false) => None,
    };
    match found.map(|mut addresses| addresses.find_map(reachable)) {
        Ok(Some(address)) => Ok(address),
        Ok(None) => Err(format!("{place} has no address that --listen can reach")),
        Err(error) => Err(format!("{place}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_that_is_not_checked_names_no_other_machine() {
        let dials = |only_loopback| Dials {
            parents: vec![Parent { place: "localhost:4433".parse().unwrap(), only_loopback }],
            from_ipv6: false,
            events: mpsc::channel(1).0,
        };
        let target = |to: &str| Target { parent: 0, to: Some(to.parse().unwrap()) };
        let (near, far) = (target("127.0.0.1:4434"), target("relay.example.org:4433"));
        assert!(dials(true).place(&near).is_ok());
        let why = dials(true).place(&far).unwrap_err();
        assert_eq!(
            why,
            "relay.example.org:4433 is not on this machine, and localhost:4433 is not checked"
        );
        assert!(dials(false).place(&far).is_ok());
        let own = Target { parent: 0, to: None };
        assert_eq!(dials(true).place(&own).unwrap(), "localhost:4433".parse().unwrap());
        assert!(dials(true).place(&Target { parent: 1, to: None }).is_err());
    }
}
