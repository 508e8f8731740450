//! Which endpoint was sent which prefix: an approximation of the engines' prefix caches.
//!
//! Blocks are known by the hashes of `wire::prefix`, of which each implies all before it. Within an endpoint the least
//! recently used block goes first, and of one prompt the last block before the first, as vLLM frees them; llm-d's index
//! drops the first block first, after which the rest is never found. So an endpoint that has a block has all blocks
//! before it, and along a chain the set of holders only shrinks: a lookup need not visit every block.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasherDefault, Hasher},
};

/// Takes keys that are hashes already as they are.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

pub(crate) type KeyHasher = BuildHasherDefault<AsIs>;

/// A key that is a hash already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct HashedKey(pub(crate) u64);

/// The approximate index. Endpoints are known by a number that the caller chooses.
#[derive(Debug, Default)]
pub struct PrefixIndex {
    /// Block → the endpoints that have it, as sorted slots.
    holders: HashMap<HashedKey, Vec<u32>, KeyHasher>,
    slots: HashMap<HashedKey, u32, KeyHasher>,
    endpoints: Vec<Option<Held>>,
    free_slots: Vec<u32>,
}

#[derive(Debug)]
struct Held {
    key: u64,
    blocks: Recency,
}

impl PrefixIndex {
    /// How many blocks, over all endpoints, are remembered.
    pub fn len(&self) -> usize {
        self.endpoints.iter().flatten().map(|held| held.blocks.len()).sum()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.holders.is_empty()
    }

    /// Remembers that the endpoint was sent this chain of blocks. It keeps at most `capacity_blocks`, the most recently
    /// used; a chain longer than that is kept as far as it fits.
    pub fn add(&mut self, endpoint: u64, chain: &[u64], capacity_blocks: usize) {
        if capacity_blocks == 0 || chain.is_empty() {
            return;
        }
        let slot = self.slot(endpoint);
        let Some(held) = self.endpoints.get_mut(slot as usize).and_then(Option::as_mut) else {
            return;
        };
        let kept = &chain[..chain.len().min(capacity_blocks)];
        // From the end, so that the first block is the most recently used of all.
        for hash in kept.iter().rev() {
            if held.blocks.touch(*hash) {
                let holders = self.holders.entry(HashedKey(*hash)).or_default();
                if let Err(at) = holders.binary_search(&slot) {
                    holders.insert(at, slot);
                }
            }
        }
        while held.blocks.len() > capacity_blocks {
            let Some(hash) = held.blocks.pop_oldest() else { break };
            release(&mut self.holders, hash, slot);
        }
    }

    /// How many blocks of the chain, from its beginning, each endpoint has; endpoints that have none are left out. In no
    /// particular order.
    pub fn matches(&self, chain: &[u64]) -> Vec<(u64, u32)> {
        let mut found = Vec::new();
        let holders_of = |at: usize| -> &[u32] {
            chain.get(at).and_then(|hash| self.holders.get(&HashedKey(*hash))).map_or(&[], Vec::as_slice)
        };
        let mut at = 0;
        let mut holders = holders_of(0);
        while !holders.is_empty() {
            // Sets only shrink, so as long as the size is the same the set is the same: search for the last such block.
            let mut same = at;
            let mut fewer = chain.len();
            let mut step = 1;
            while same + step < fewer {
                if holders_of(same + step).len() == holders.len() {
                    same += step;
                    step *= 2;
                } else {
                    fewer = same + step;
                    step = 1;
                }
            }
            let next = holders_of(same + 1);
            let length = u32::try_from(same + 1).unwrap_or(u32::MAX);
            let mut staying = next.iter().peekable();
            for slot in holders {
                if staying.next_if_eq(&slot).is_none()
                    && let Some(Some(held)) = self.endpoints.get(*slot as usize)
                {
                    found.push((held.key, length));
                }
            }
            at = same + 1;
            holders = next;
        }
        found
    }

    /// Forgets an endpoint.
    pub fn remove(&mut self, endpoint: u64) {
        let Some(slot) = self.slots.remove(&HashedKey(endpoint)) else { return };
        let Some(held) = self.endpoints.get_mut(slot as usize).and_then(Option::take) else { return };
        for hash in held.blocks.hashes() {
            release(&mut self.holders, hash, slot);
        }
        self.free_slots.push(slot);
    }

    /// Forgets all endpoints but these.
    pub fn keep_only(&mut self, endpoints: &HashSet<u64>) {
        let gone: Vec<u64> =
            self.slots.keys().map(|key| key.0).filter(|key| !endpoints.contains(key)).collect();
        for endpoint in gone {
            self.remove(endpoint);
        }
    }

    fn slot(&mut self, endpoint: u64) -> u32 {
        if let Some(slot) = self.slots.get(&HashedKey(endpoint)) {
            return *slot;
        }
        let held = Some(Held { key: endpoint, blocks: Recency::default() });
        let slot = match self.free_slots.pop() {
            Some(slot) => {
                self.endpoints[slot as usize] = held;
                slot
            }
            None => {
                self.endpoints.push(held);
                u32::try_from(self.endpoints.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.slots.insert(HashedKey(endpoint), slot);
        slot
    }
}

fn release(holders: &mut HashMap<HashedKey, Vec<u32>, KeyHasher>, hash: u64, slot: u32) {
    if let Some(slots) = holders.get_mut(&HashedKey(hash)) {
        if let Ok(at) = slots.binary_search(&slot) {
            slots.remove(at);
        }
        if slots.is_empty() {
            holders.remove(&HashedKey(hash));
        }
    }
}

/// The end of a list.
const NONE: u32 = u32::MAX;

/// A set of hashes in the order of their last use: a doubly linked list in a vector.
#[derive(Debug)]
struct Recency {
    places: HashMap<HashedKey, u32, KeyHasher>,
    nodes: Vec<Node>,
    free: Vec<u32>,
    newest: u32,
    oldest: u32,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    hash: u64,
    newer: u32,
    older: u32,
}

impl Default for Recency {
    fn default() -> Self {
        Self { places: HashMap::default(), nodes: Vec::new(), free: Vec::new(), newest: NONE, oldest: NONE }
    }
}

impl Recency {
    fn len(&self) -> usize {
        self.places.len()
    }

    fn hashes(&self) -> impl Iterator<Item = u64> {
        self.places.keys().map(|key| key.0)
    }

    /// Makes a hash the most recently used; true if it is new.
    fn touch(&mut self, hash: u64) -> bool {
        if let Some(place) = self.places.get(&HashedKey(hash)).copied() {
            self.unlink(place);
            self.link_newest(place);
            return false;
        }
        let node = Node { hash, newer: NONE, older: NONE };
        let place = match self.free.pop() {
            Some(place) => {
                self.nodes[place as usize] = node;
                place
            }
            None => {
                self.nodes.push(node);
                u32::try_from(self.nodes.len() - 1).unwrap_or(NONE)
            }
        };
        self.places.insert(HashedKey(hash), place);
        self.link_newest(place);
        true
    }

    fn pop_oldest(&mut self) -> Option<u64> {
        let place = self.oldest;
        let hash = self.nodes.get(place as usize)?.hash;
        self.unlink(place);
        self.places.remove(&HashedKey(hash));
        self.free.push(place);
        Some(hash)
    }

    fn unlink(&mut self, place: u32) {
        let Node { newer, older, .. } = self.nodes[place as usize];
        match self.nodes.get_mut(newer as usize) {
            Some(node) => node.older = older,
            None => self.newest = older,
        }
        match self.nodes.get_mut(older as usize) {
            Some(node) => node.newer = newer,
            None => self.oldest = newer,
        }
    }

    fn link_newest(&mut self, place: u32) {
        let older = self.newest;
        self.nodes[place as usize].newer = NONE;
        self.nodes[place as usize].older = older;
        match self.nodes.get_mut(older as usize) {
            Some(node) => node.newer = place,
            None => self.oldest = place,
        }
        self.newest = place;
    }
}

#[cfg(test)]
mod tests;
