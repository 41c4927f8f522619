//! Places of the port for browsers: how many connections there may be, and how many of one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// Connections by the network that they come from.
#[derive(Debug)]
pub(super) struct Shares {
    most: usize,
    taken: Mutex<HashMap<IpAddr, usize>>,
}

/// A place of a network's share, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    shares: Arc<Shares>,
    network: IpAddr,
}

impl Shares {
    /// Shares of so many connections for each network.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, taken: Mutex::default() })
    }

    /// Takes a place; `None`, if the address's network has its share already.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr) -> Option<Share> {
        let network = network(address);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(network).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Share { shares: Arc::clone(self), network })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.shares.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.network);
            }
        }
    }
}

/// The address itself, or the first 64 bits of IPv6: the least that one customer is given.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_network_has_its_share() {
        let shares = Shares::new(2);
        let take = |address: &str| shares.take(address.parse().unwrap());
        let (first, second) = (take("192.0.2.1"), take("::ffff:192.0.2.1"));
        assert!(first.is_some() && second.is_some());
        assert!(take("192.0.2.1").is_none());
        assert!(take("192.0.2.2").is_some(), "another address");
        drop(second);
        let again = take("192.0.2.1");
        assert!(again.is_some(), "a place was given back");
        let (_a, _b) = (take("2001:db8::1"), take("2001:db8::ffff:0:0:2"));
        assert!(take("2001:db8:0:0:3::").is_none(), "the same network");
        assert!(take("2001:db8:0:1::").is_some());
        drop((first, again));
        assert_eq!(shares.taken.lock().unwrap().len(), 1, "nothing is kept of those who have gone");
    }
}
