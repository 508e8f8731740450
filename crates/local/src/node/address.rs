//! The loopback address of a pod: stable for its uid, different from every other pod's. Pure.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use sha2::{Digest, Sha256};

/// Addresses given out on this machine.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    by_address: HashMap<Ipv4Addr, String>,
}

impl Addresses {
    /// The address of pod `uid`: `recorded` (from its status) if that is free, else one made from the uid;
    /// a collision takes the next free one.
    pub(crate) fn assign(&mut self, uid: &str, recorded: Option<Ipv4Addr>) -> Ipv4Addr {
        let mut address = recorded.filter(|address| is_ours(*address)).unwrap_or_else(|| from_uid(uid));
        loop {
            match self.by_address.get(&address) {
                Some(owner) if owner != uid => address = following(address),
                _ => break,
            }
        }
        self.by_address.insert(address, uid.to_owned());
        address
    }

    /// Gives the address of a pod that is gone back.
    pub(crate) fn release(&mut self, uid: &str) {
        self.by_address.retain(|_, owner| owner != uid);
    }
}

/// 127.0.0.0/16 is left to the machine; the last octet is never 0 or 255, which look like networks to some tools.
fn from_uid(uid: &str) -> Ipv4Addr {
    let hash = Sha256::digest(uid.as_bytes());
    Ipv4Addr::new(127, 1 + hash[0] % 254, hash[1], 1 + hash[2] % 254)
}

fn is_ours(address: Ipv4Addr) -> bool {
    let [first, second, _, last] = address.octets();
    first == 127 && (1..=254).contains(&second) && (1..=254).contains(&last)
}

fn following(address: Ipv4Addr) -> Ipv4Addr {
    let [_, second, third, last] = address.octets();
    let place = (u32::from(second - 1) * 256 + u32::from(third)) * 254 + u32::from(last - 1);
    let next = (place + 1) % (254 * 256 * 254);
    let octet = |number: u32| u8::try_from(number).unwrap_or(1);
    Ipv4Addr::new(127, 1 + octet(next / 254 / 256), octet(next / 254 % 256), 1 + octet(next % 254))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_keeps_its_address_and_shares_it_with_none() {
        let mut addresses = Addresses::default();
        let first = addresses.assign("a", None);
        assert_eq!(addresses.assign("a", None), first);
        let second = addresses.assign("b", Some(first));
        assert_ne!(second, first);
        addresses.release("a");
        assert_eq!(addresses.assign("c", Some(first)), first);
    }

    #[test]
    fn addresses_wrap_around_within_the_range() {
        assert_eq!(following(Ipv4Addr::new(127, 1, 0, 254)), Ipv4Addr::new(127, 1, 1, 1));
        assert_eq!(following(Ipv4Addr::new(127, 1, 255, 254)), Ipv4Addr::new(127, 2, 0, 1));
        assert_eq!(following(Ipv4Addr::new(127, 254, 255, 254)), Ipv4Addr::new(127, 1, 0, 1));
    }
}
