//! Places for connections: so many in all, and so many for one network.
//!
//! A network is an IPv4 address or an IPv6 /64, which is what one customer gets. It must not know
//! what takes a place.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The bits of an IPv6 address that name a host in its network.
const HOST_BITS: u128 = (1 << 64) - 1;

/// Places, and who has them.
pub(crate) struct Places {
    all_max: usize,
    network_max: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    /// No more entries than places.
    networks: BTreeMap<IpAddr, usize>,
}

/// A place, free again when dropped.
pub(crate) struct Place {
    places: Arc<Places>,
    network: IpAddr,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// All are taken.
    All,
    /// Those of this network are.
    Network,
}

impl Full {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::All => "full",
            Self::Network => "network_full",
        }
    }
}

impl Places {
    pub(crate) fn new(all_max: usize, network_max: usize) -> Arc<Self> {
        Arc::new(Self { all_max, network_max, taken: Mutex::default() })
    }

    /// Takes a place for somebody at `address`.
    pub(crate) fn take(self: &Arc<Self>, address: IpAddr) -> Result<Place, Full> {
        let network = network_of(address);
        let mut taken = self.taken();
        if taken.all >= self.all_max {
            return Err(Full::All);
        }
        let count = taken.networks.get(&network).copied().unwrap_or(0);
        if count >= self.network_max {
            return Err(Full::Network);
        }
        taken.all += 1;
        taken.networks.insert(network, count + 1);
        drop(taken);
        Ok(Place { places: Arc::clone(self), network })
    }

    /// Whether half of them are taken.
    pub(crate) fn are_few(&self) -> bool {
        self.taken().all >= self.all_max.div_ceil(2)
    }

    /// A poisoned lock here guards only counts, which stay usable.
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all = taken.all.saturating_sub(1);
        let left = taken.networks.get(&self.network).map_or(0, |count| count.saturating_sub(1));
        if left == 0 {
            taken.networks.remove(&self.network);
        } else {
            taken.networks.insert(self.network, left);
        }
    }
}

fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !HOST_BITS)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    #[test]
    fn places_are_bounded_in_all_and_per_network() {
        let places = Places::new(4, 2);
        let first = places.take(at("192.0.2.1")).expect("free");
        assert!(!places.are_few());
        let second = places.take(at("::ffff:192.0.2.1")).expect("free");
        assert!(places.are_few());
        assert_eq!(places.take(at("192.0.2.1")).err(), Some(Full::Network));
        let _third = places.take(at("2001:db8::1")).expect("free");
        let _fourth = places.take(at("2001:db8::ffff:0:0:2")).expect("free");
        assert_eq!(places.take(at("192.0.2.2")).err(), Some(Full::All));
        drop(first);
        assert_eq!(places.take(at("2001:db8:0:0:9::1")).err(), Some(Full::Network));
        let other = places.take(at("2001:db8:0:1::1")).expect("another /64");
        drop((second, other));
        assert!(places.take(at("192.0.2.1")).is_ok());
    }

    #[test]
    fn what_is_free_leaves_nothing_behind() {
        let places = Places::new(2, 2);
        drop(places.take(at("192.0.2.1")));
        let taken = places.taken();
        assert_eq!((taken.all, taken.networks.len()), (0, 0));
    }
}
