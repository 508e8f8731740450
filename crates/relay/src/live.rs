//! A table of routes at work: its index, and the engines with what is known of them.
//!
//! A new table takes over what the one before it had learnt: loads, prefixes, requests in flight.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sched::Booking;
use tokio::sync::OwnedSemaphorePermit;

use crate::fleet::{Chosen, Engine, Pool, ServiceEndpoints};
use crate::index::{Found, Index};
use crate::table::{Backend, EndpointSpec, RouteTable, Rule, Served, Tls};

/// Everything a request needs to find its way.
#[derive(Debug, Default)]
pub(crate) struct Live {
    pub(crate) index: Index,
    pub(crate) pools: BTreeMap<String, Arc<Pool>>,
    pub(crate) services: BTreeMap<String, Arc<ServiceEndpoints>>,
    pub(crate) served: Vec<Arc<Served>>,
    pub(crate) engines: HashMap<(String, SocketAddr), Arc<Engine>>,
    /// For each rule of each route, how many requests it has had: the weights take turns by it.
    turns: Vec<Box<[AtomicU64]>>,
}

impl Live {
    pub(crate) fn new(table: RouteTable, before: &Live) -> Self {
        let mut engines = HashMap::new();
        let mut engine = |spec: &Arc<EndpointSpec>| -> Option<Arc<Engine>> {
            let key = (spec.name.clone(), spec.address);
            if let Some(known) = engines.get(&key) {
                return Some(Arc::clone(known));
            }
            let known = before.engines.get(&key);
            let engine = match known {
                Some(known) if known.spec == *spec => Arc::clone(known),
                _ => Arc::new(Engine::new(spec, known)?),
            };
            engines.insert(key, Arc::clone(&engine));
            Some(engine)
        };
        let mut pools = BTreeMap::new();
        for (name, spec) in table.pools {
            let engines: Vec<_> = spec.endpoints.iter().filter_map(&mut engine).collect();
            let known = before.pools.get(&name);
            let same = known.filter(|known| {
                Arc::ptr_eq(&known.spec, &spec)
                    && known.engines.len() == engines.len()
                    && known.engines.iter().zip(&engines).all(|(a, b)| Arc::ptr_eq(a, b))
            });
            let pool = same.cloned().unwrap_or_else(|| Arc::new(Pool::new(spec, engines, known)));
            pools.insert(name, pool);
        }
        let mut services = BTreeMap::new();
        for (name, spec) in table.services {
            let engines = spec.endpoints.iter().filter_map(&mut engine).collect();
            services.insert(name, Arc::new(ServiceEndpoints::new(spec, engines)));
        }
        let turns = table.routes.iter().map(|route| route.rules.iter().map(|_| AtomicU64::new(0)).collect());
        Self {
            turns: turns.collect(),
            index: Index::new(table.routes),
            pools,
            services,
            served: table.served,
            engines,
        }
    }

    pub(crate) fn rule(&self, found: Found) -> &Rule {
        &self.index.route(found.route).rules[found.rule]
    }

    /// The next back-end of a rule by weight; `None` if none has any.
    pub(crate) fn backend(&self, found: Found) -> Option<&Backend> {
        let backends = &self.rule(found).backends;
        let sum: u64 = backends.iter().map(|backend| u64::from(backend.weight)).sum();
        if sum == 0 {
            return None;
        }
        if let [only] = backends.as_slice() {
            return Some(only);
        }
        // Multiples of the golden ratio fall evenly into any division of the circle, from the first few on.
        let turn = self.turns[found.route][found.rule].fetch_add(1, Ordering::Relaxed);
        let spot = turn.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut at = ((u128::from(spot) * u128::from(sum)) >> 64) as u64;
        backends.iter().find(|backend| {
            let weight = u64::from(backend.weight);
            let here = at < weight;
            at = at.saturating_sub(weight);
            here && weight > 0
        })
    }

    /// The pools that an engine belongs to see it as it is now.
    pub(crate) fn refresh_pools_of(&self, engine: &Engine) {
        for pool in self.pools.values() {
            if pool.engines.iter().any(|member| std::ptr::eq(&**member, engine)) {
                pool.refresh();
            }
        }
    }

    pub(crate) fn tls_in_use(&self) -> HashSet<&Tls> {
        self.engines.values().map(|engine| &engine.spec.tls).collect()
    }
}

/// What a request occupies: a place in the gateway, a count at its engine, a booking in its pool's ledger. Freed when
/// the answer is over, or when this is dropped.
pub(crate) struct Flight {
    place: Option<OwnedSemaphorePermit>,
    sent: Option<Sent>,
    engine_name: String,
}

struct Sent {
    engine: Arc<Engine>,
    pool: Option<(Arc<Pool>, Booking)>,
    /// The engine that computes the prompt, until the answer begins.
    prefill: Option<(Arc<Engine>, Booking)>,
    clock: std::time::Instant,
}

impl Flight {
    pub(crate) fn new(place: OwnedSemaphorePermit) -> Self {
        Self { place: Some(place), sent: None, engine_name: String::new() }
    }

    /// The request is on its way to an engine of a pool, and no longer to the one before.
    pub(crate) fn sent_to(&mut self, pool: &Arc<Pool>, chosen: Chosen, clock: std::time::Instant) {
        let Chosen { engine, booking, prefill } = chosen;
        self.leave();
        pool.in_flight.fetch_add(1, Ordering::Relaxed);
        if let Some((engine, _)) = &prefill {
            engine.in_flight.fetch_add(1, Ordering::Relaxed);
        }
        self.enter(engine, Some((Arc::clone(pool), booking)), prefill, clock);
    }

    /// The request is on its way to an engine of a Service, and no longer to the one before.
    pub(crate) fn sent_to_service(&mut self, engine: &Arc<Engine>, clock: std::time::Instant) {
        self.leave();
        self.enter(Arc::clone(engine), None, None, clock);
    }

    fn enter(
        &mut self,
        engine: Arc<Engine>,
        pool: Option<(Arc<Pool>, Booking)>,
        prefill: Option<(Arc<Engine>, Booking)>,
        clock: std::time::Instant,
    ) {
        engine.in_flight.fetch_add(1, Ordering::Relaxed);
        engine.spec.name.clone_into(&mut self.engine_name);
        self.sent = Some(Sent { engine, pool, prefill, clock });
    }

    /// The answer has begun: its prompt is computed.
    pub(crate) fn answering(&mut self) {
        if let Some(sent) = &mut self.sent {
            sent.end_prefill();
        }
    }

    pub(crate) fn engine_name(&self) -> &str {
        &self.engine_name
    }

    /// The answer is over.
    pub(crate) fn end(&mut self) {
        self.leave();
        self.place = None;
    }

    fn leave(&mut self) {
        let Some(mut sent) = self.sent.take() else { return };
        sent.end_prefill();
        sent.engine.in_flight.fetch_sub(1, Ordering::Relaxed);
        if let Some((pool, booking)) = sent.pool {
            pool.release(&booking);
            pool.used_at_ms.store(millis(sent.clock), Ordering::Relaxed);
            pool.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Sent {
    fn end_prefill(&mut self) {
        if let (Some((pool, _)), Some((engine, booking))) = (&self.pool, self.prefill.take()) {
            engine.in_flight.fetch_sub(1, Ordering::Relaxed);
            pool.release(&booking);
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.end();
    }
}

/// Milliseconds on the gateway's clock, which begins at 1 so that 0 is never.
pub(crate) fn millis(start: std::time::Instant) -> u64 {
    u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
}
