//! uids and the random part of generated names. Repeatable with a seed; never used for secrets.

use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

/// The letters of a generated name's suffix: no vowels and nothing that reads like another, as in Kubernetes.
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

pub(crate) struct Random {
    state: AtomicU64,
}

impl Random {
    pub(crate) fn new(seed: Option<u64>) -> Self {
        // The standard library keys its hash maps from the system's random source.
        let seed = seed.unwrap_or_else(|| std::hash::RandomState::new().build_hasher().finish());
        Self { state: AtomicU64::new(seed) }
    }

    /// splitmix64
    pub(crate) fn next(&self) -> u64 {
        let mut z = self
            .state
            .fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed)
            .wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A UUID, version 4.
    pub(crate) fn uid(&self) -> String {
        let (a, b) = (self.next(), self.next());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            a >> 32,
            (a >> 16) & 0xffff,
            a & 0xfff,
            0x8000 | ((b >> 48) & 0x3fff),
            b & 0xffff_ffff_ffff,
        )
    }

    /// Five letters.
    pub(crate) fn suffix(&self) -> String {
        let mut n = self.next();
        let mut out = String::with_capacity(5);
        for _ in 0..5 {
            let index = (n % LETTERS.len() as u64) as usize;
            out.push(char::from(LETTERS[index]));
            n /= LETTERS.len() as u64;
        }
        out
    }
}
