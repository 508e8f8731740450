//! What was sent where: learnt prefixes, requests in flight, whose turn it is.
//!
//! The scheduler only reads it. The caller commits the booking of a pick when it sends the request, and releases it when
//! the answer is complete or given up.

use std::collections::{HashMap, HashSet};

use crate::{
    Endpoint, Fleet, PrefixIndex,
    prefix::{HashedKey, KeyHasher},
};

/// How many endpoints are remembered for requests without cached prefix (llm-d's `lruSize` of `no-hit-lru-scorer`).
const COLD_MEMORY: usize = 1024;

/// The state that picks are made against.
#[derive(Debug, Default)]
pub struct Ledger {
    /// One for each prefix producer of the profile.
    prefixes: Vec<PrefixIndex>,
    in_flight: HashMap<HashedKey, InFlight, KeyHasher>,
    /// When an endpoint last got a request without cached prefix: the number of that request.
    cold_turn: HashMap<HashedKey, u64, KeyHasher>,
    cold_turns: u64,
    turns: u64,
}

/// Requests that were sent to an endpoint and are not over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct InFlight {
    /// How many.
    pub(crate) requests: u64,
    /// Their prompt tokens that were not cached.
    pub(crate) tokens: u64,
}

/// What a pick adds to the ledger.
#[derive(Clone, Debug, Default)]
pub struct Booking {
    pub(crate) endpoint_key: u64,
    /// One for each prefix producer of the profile; empty if it looks at no prefixes.
    pub(crate) prefixes: Vec<PrefixBooking>,
    pub(crate) uncached_tokens: u64,
    /// No endpoint had a part of the prompt.
    pub(crate) cold: bool,
}

/// The prefixes of a request, as one producer cuts them.
#[derive(Clone, Debug, Default)]
pub(crate) struct PrefixBooking {
    /// One chain of block hashes for each prompt.
    pub(crate) chains: Vec<Vec<u64>>,
    /// How many blocks are remembered for an endpoint.
    pub(crate) capacity_blocks: usize,
}

impl Booking {
    pub(crate) fn moved_to(&self, endpoint: &Endpoint) -> Self {
        Self { endpoint_key: endpoint.key(), ..self.clone() }
    }
}

impl Ledger {
    /// An empty ledger.
    pub fn new() -> Self {
        Self::default()
    }

    /// Remembers that the request of a pick was sent. Call [`Ledger::release`] with the same booking when it is over.
    pub fn commit(&mut self, booking: &Booking) {
        let key = HashedKey(booking.endpoint_key);
        if self.prefixes.len() < booking.prefixes.len() {
            self.prefixes.resize_with(booking.prefixes.len(), PrefixIndex::default);
        }
        for (index, prefixes) in self.prefixes.iter_mut().zip(&booking.prefixes) {
            for chain in &prefixes.chains {
                index.add(booking.endpoint_key, chain, prefixes.capacity_blocks);
            }
        }
        let in_flight = self.in_flight.entry(key).or_default();
        in_flight.requests += 1;
        in_flight.tokens += booking.uncached_tokens;
        self.turns = self.turns.wrapping_add(1);
        if booking.cold && !booking.prefixes.is_empty() {
            self.cold_turns += 1;
            self.cold_turn.insert(key, self.cold_turns);
            if self.cold_turn.len() > COLD_MEMORY
                && let Some(oldest) =
                    self.cold_turn.iter().min_by_key(|(_, turn)| **turn).map(|(key, _)| *key)
            {
                self.cold_turn.remove(&oldest);
            }
        }
    }

    /// Forgets that the request of a committed booking is in flight. What was learnt of prefixes stays.
    pub fn release(&mut self, booking: &Booking) {
        let key = HashedKey(booking.endpoint_key);
        if let Some(in_flight) = self.in_flight.get_mut(&key) {
            in_flight.requests = in_flight.requests.saturating_sub(1);
            in_flight.tokens = in_flight.tokens.saturating_sub(booking.uncached_tokens);
            if in_flight.requests == 0 {
                self.in_flight.remove(&key);
            }
        }
    }

    /// Forgets all about endpoints that are not in this fleet, ready or not. Call it when endpoints have gone.
    pub fn keep_only(&mut self, fleet: &Fleet) {
        let known: HashSet<u64> = fleet.endpoints().iter().map(Endpoint::key).collect();
        for index in &mut self.prefixes {
            index.keep_only(&known);
        }
        self.in_flight.retain(|key, _| known.contains(&key.0));
        self.cold_turn.retain(|key, _| known.contains(&key.0));
    }

    /// Forgets the prefixes of one endpoint: its engine was restarted and its cache is empty.
    pub fn forget_prefixes(&mut self, endpoint: &Endpoint) {
        for index in &mut self.prefixes {
            index.remove(endpoint.key());
        }
    }

    /// How many prefix blocks are remembered, over all endpoints.
    pub fn prefix_blocks(&self) -> usize {
        self.prefixes.iter().map(PrefixIndex::len).sum()
    }

    /// What one of the profile's prefix producers has learnt; `None` if nothing yet.
    pub(crate) fn prefixes(&self, producer: usize) -> Option<&PrefixIndex> {
        self.prefixes.get(producer)
    }

    /// How many requests are in flight to an endpoint.
    pub fn requests_in_flight(&self, endpoint: &Endpoint) -> u64 {
        self.in_flight(endpoint).requests
    }

    pub(crate) fn in_flight(&self, endpoint: &Endpoint) -> InFlight {
        self.in_flight.get(&HashedKey(endpoint.key())).copied().unwrap_or_default()
    }

    /// The number of the last cold request that an endpoint got; `None` if it got none.
    pub(crate) fn cold_turn(&self, endpoint: &Endpoint) -> Option<u64> {
        self.cold_turn.get(&HashedKey(endpoint.key())).copied()
    }

    /// How many requests were committed: whose turn it is in `round-robin`.
    pub(crate) fn turns(&self) -> u64 {
        self.turns
    }
}
