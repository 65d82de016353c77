//! Which addresses, host ports and users are in use; pure. What was released last is handed out last, so
//! that a connection that outlives its instance does not reach another.

use core::net::Ipv4Addr;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use ipnet::Ipv4Net;

use super::NetworkError;
use crate::userns::{FIRST_ID, IDS, RANGES};

/// Numbers of a range, each handed out once at a time.
#[derive(Debug, Clone)]
pub(super) struct Pool {
    range: RangeInclusive<u32>,
    used: BTreeSet<u32>,
    next: u32,
}

/// The addresses of a subnet without the network's, the gateway's and the broadcast address.
#[derive(Debug, Clone)]
pub(super) struct Addresses(Pool);

/// The host ports that may be mapped.
#[derive(Debug, Clone)]
pub(super) struct Ports(Pool);

/// The ranges of users that instances may have.
#[derive(Debug, Clone)]
pub(super) struct IdRanges(Pool);

// === impl Pool ===

impl Pool {
    fn new(range: RangeInclusive<u32>) -> Self {
        let next = *range.start();
        Self { range, used: BTreeSet::new(), next }
    }

    /// The next free number that is also free for others.
    fn take(&mut self, is_free: impl Fn(u32) -> bool) -> Option<u32> {
        let (start, end) = (*self.range.start(), *self.range.end());
        let candidates = (self.next.clamp(start, end)..=end).chain(start..self.next);
        let mut free = candidates.filter(|n| !self.used.contains(n));
        let found = free.find(|n| is_free(*n))?;
        self.used.insert(found);
        self.next = if found == end { start } else { found + 1 };
        Some(found)
    }
}

// === impl Addresses ===

impl Addresses {
    pub(super) fn new(subnet: Ipv4Net) -> Self {
        let gateway = u32::from(gateway(subnet));
        Self(Pool::new(gateway + 1..=u32::from(subnet.broadcast()).saturating_sub(1)))
    }

    pub(super) fn take(&mut self) -> Result<Ipv4Addr, NetworkError> {
        let in_use = self.0.used.len();
        let found = self.0.take(|_| true).map(Ipv4Addr::from);
        found.ok_or(NetworkError::Exhausted { what: "address", in_use })
    }

    /// Counts an address as in use that was handed out by an earlier process.
    pub(super) fn claim(&mut self, address: Ipv4Addr) {
        self.0.used.insert(address.into());
    }

    pub(super) fn release(&mut self, address: Ipv4Addr) {
        self.0.used.remove(&address.into());
    }
}

// === impl Ports ===

impl Ports {
    pub(super) fn new(range: RangeInclusive<u16>) -> Self {
        Self(Pool::new(u32::from(*range.start())..=u32::from(*range.end())))
    }

    /// Takes `count` ports or none; `is_free` says whether the host itself leaves a port alone.
    pub(super) fn take(
        &mut self,
        count: usize,
        is_free: impl Fn(u16) -> bool,
    ) -> Result<Vec<u16>, NetworkError> {
        let in_use = self.0.used.len();
        let is_free = |n: u32| u16::try_from(n).is_ok_and(&is_free);
        let mut taken = Vec::with_capacity(count);
        for _ in 0..count {
            let port = self.0.take(is_free).and_then(|n| u16::try_from(n).ok());
            let Some(port) = port else {
                self.release(&taken);
                return Err(NetworkError::Exhausted { what: "host port", in_use });
            };
            taken.push(port);
        }
        Ok(taken)
    }

    /// Counts ports as in use that were handed out by an earlier process.
    pub(super) fn claim(&mut self, ports: &[u16]) {
        self.0.used.extend(ports.iter().map(|&port| u32::from(port)));
    }

    pub(super) fn release(&mut self, ports: &[u16]) {
        for port in ports {
            self.0.used.remove(&u32::from(*port));
        }
    }
}

// === impl IdRanges ===

impl IdRanges {
    /// Two networks of one host that begin at different places hardly ever meet.
    pub(super) fn beginning_at(place: u32) -> Self {
        let next = place % RANGES;
        Self(Pool { next, ..Pool::new(0..=RANGES - 1) })
    }

    /// The first id of a range.
    pub(super) fn take(&mut self) -> Result<u32, NetworkError> {
        let in_use = self.0.used.len();
        let found = self.0.take(|_| true).map(|n| FIRST_ID + n * IDS);
        found.ok_or(NetworkError::Exhausted { what: "range of users", in_use })
    }

    /// Counts a range as in use that was handed out by an earlier process.
    pub(super) fn claim(&mut self, first_id: u32) {
        self.0.used.insert(first_id.saturating_sub(FIRST_ID) / IDS);
    }

    pub(super) fn release(&mut self, first_id: u32) {
        self.0.used.remove(&(first_id.saturating_sub(FIRST_ID) / IDS));
    }
}

/// The host's own address in a subnet: the first.
pub(super) fn gateway(subnet: Ipv4Net) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(subnet.network()) + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_subnet_hands_out_all_but_three_addresses() {
        let mut addresses = Addresses::new("10.9.0.0/29".parse().unwrap());
        let all: Vec<String> =
            std::iter::from_fn(|| addresses.take().ok()).map(|a| a.to_string()).collect();
        assert_eq!(all, ["10.9.0.2", "10.9.0.3", "10.9.0.4", "10.9.0.5", "10.9.0.6"]);
        let error = addresses.take().unwrap_err().to_string();
        assert_eq!(error, "no address is left; 5 are in use");
    }

    #[test]
    fn what_was_released_last_is_handed_out_last() {
        let mut ports = Ports::new(61000..=61003);
        assert_eq!(ports.take(2, |_| true).unwrap(), [61000, 61001]);
        ports.release(&[61001]);
        assert_eq!(ports.take(3, |_| true).unwrap(), [61002, 61003, 61001]);
    }

    #[test]
    fn a_port_the_host_uses_is_passed_over_and_stays_free() {
        let mut ports = Ports::new(61000..=61002);
        assert_eq!(ports.take(2, |port| port != 61000).unwrap(), [61001, 61002]);
        assert_eq!(ports.take(1, |_| true).unwrap(), [61000]);
    }

    #[test]
    fn too_many_ports_are_refused_and_none_is_lost() {
        let mut ports = Ports::new(61000..=61002);
        let error = ports.take(4, |_| true).unwrap_err().to_string();
        assert_eq!(error, "no host port is left; 0 are in use");
        assert_eq!(ports.take(3, |_| true).unwrap().len(), 3);
    }

    #[test]
    fn the_last_port_of_all_is_handed_out() {
        let mut ports = Ports::new(65535..=65535);
        assert_eq!(ports.take(1, |_| true).unwrap(), [65535]);
        ports.release(&[65535]);
        assert_eq!(ports.take(1, |_| true).unwrap(), [65535]);
    }

    #[test]
    fn ranges_of_users_do_not_overlap_and_stay_below_the_sign() {
        let mut ranges = IdRanges::beginning_at(u32::MAX);
        let mut all: Vec<u32> = std::iter::from_fn(|| ranges.take().ok()).collect();
        all.sort_unstable();
        assert_eq!(all.len(), RANGES as usize);
        assert!(all.windows(2).all(|pair| pair[1] - pair[0] == IDS));
        assert_eq!((all[0], all[all.len() - 1] + (IDS - 1)), (FIRST_ID, i32::MAX as u32));
        ranges.release(all[7]);
        assert_eq!(ranges.take().unwrap(), all[7]);
        let mut after = IdRanges::beginning_at(0);
        after.claim(FIRST_ID);
        assert_eq!(after.take().unwrap(), FIRST_ID + IDS, "an earlier process's stays in use");
    }

    proptest! {
        #[test]
        fn no_number_is_in_use_twice(steps in prop::collection::vec(0_u8..4, 0..200)) {
            let mut ports = Ports::new(61000..=61019);
            let mut held: Vec<u16> = Vec::new();
            for step in steps {
                if step == 0 && !held.is_empty() {
                    ports.release(&[held.remove(0)]);
                } else if let Ok(taken) = ports.take(usize::from(step), |_| true) {
                    for port in taken {
                        prop_assert!(!held.contains(&port), "{port} is in use");
                        held.push(port);
                    }
                } else {
                    prop_assert!(held.len() + usize::from(step) > 20, "there was room");
                }
            }
        }
    }
}
