//! The engines of a pool while they serve: what they last said of themselves, what was sent to them, which of them do
//! not answer.
//!
//! The scheduler decides on a [`sched::Fleet`], a snapshot that is replaced as a whole when metrics arrive or an engine
//! falls silent, and on the pool's ledger of what was sent where.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use sched::{Booking, Fleet, Ledger, Load, Pick};

use crate::table::{EndpointSpec, PoolSpec, ServiceSpec};

/// One engine, shared by the pools and services that it belongs to.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) spec: Arc<EndpointSpec>,
    /// As it stands in the URI of a request.
    pub(crate) authority: http::uri::Authority,
    /// Requests that were sent to it and are not over.
    pub(crate) in_flight: Arc<AtomicUsize>,
    /// It refused or dropped a connection, and has not answered a probe since.
    silent: AtomicBool,
    load: ArcSwap<Load>,
    /// A scrape or a probe is on its way.
    pub(crate) being_asked: AtomicBool,
}

impl Engine {
    /// An engine, with what is known of it from before unless it was started anew. `None` if its address makes no URI.
    pub(crate) fn new(spec: &Arc<EndpointSpec>, before: Option<&Arc<Engine>>) -> Option<Self> {
        let same_run = before.filter(|before| before.spec.incarnation == spec.incarnation);
        // A pod that was not ready and now is has proved that it answers.
        let newly_ready = before.is_some_and(|before| !before.spec.ready && spec.ready);
        Some(Self {
            authority: spec.address.to_string().parse().ok()?,
            spec: Arc::clone(spec),
            in_flight: same_run.map(|before| Arc::clone(&before.in_flight)).unwrap_or_default(),
            silent: AtomicBool::new(same_run.is_some_and(|before| before.is_silent()) && !newly_ready),
            load: ArcSwap::new(same_run.map(|before| before.load.load_full()).unwrap_or_default()),
            being_asked: AtomicBool::new(false),
        })
    }

    pub(crate) fn is_silent(&self) -> bool {
        self.silent.load(Ordering::Acquire)
    }

    /// Takes it out of rotation, or back in.
    pub(crate) fn set_silent(&self, silent: bool) {
        self.silent.store(silent, Ordering::Release);
    }

    pub(crate) fn set_load(&self, load: Load) {
        self.load.store(Arc::new(load));
    }

    fn in_rotation(&self) -> bool {
        self.spec.ready && !self.is_silent()
    }
}

/// Where a request goes.
#[derive(Debug)]
pub(crate) struct Chosen {
    /// The engine that answers.
    pub(crate) engine: Arc<Engine>,
    pub(crate) booking: Booking,
    /// The engine that computes the prompt before, if that is another.
    pub(crate) prefill: Option<(Arc<Engine>, Booking)>,
}

/// A pool of engines.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) spec: Arc<PoolSpec>,
    /// In the order of the fleet's endpoints.
    pub(crate) engines: Vec<Arc<Engine>>,
    base: Vec<sched::Endpoint>,
    fleet: ArcSwap<Fleet>,
    ledger: Arc<Mutex<Ledger>>,
    /// When a request last came or ended, on the gateway's clock.
    pub(crate) used_at_ms: Arc<AtomicU64>,
    pub(crate) in_flight: Arc<AtomicUsize>,
}

impl Pool {
    /// A pool of these engines; what was learnt so far comes from the pool of the same name before it.
    pub(crate) fn new(spec: Arc<PoolSpec>, engines: Vec<Arc<Engine>>, before: Option<&Arc<Pool>>) -> Self {
        let base = engines
            .iter()
            .map(|engine| {
                let id = format!("{}-rank-0", engine.spec.name);
                let mut endpoint = sched::Endpoint::new(id, engine.spec.address);
                endpoint.labels = Arc::clone(&engine.spec.labels);
                endpoint
            })
            .collect();
        let pool = Self {
            spec,
            engines,
            base,
            fleet: ArcSwap::default(),
            ledger: before.map(|before| Arc::clone(&before.ledger)).unwrap_or_default(),
            used_at_ms: before.map(|before| Arc::clone(&before.used_at_ms)).unwrap_or_default(),
            in_flight: before.map(|before| Arc::clone(&before.in_flight)).unwrap_or_default(),
        };
        pool.refresh();
        if let Some(before) = before {
            pool.forget_what_is_gone(before);
        }
        pool
    }

    fn forget_what_is_gone(&self, before: &Pool) {
        let mut ledger = self.ledger();
        let mut gone = false;
        for (engine, endpoint) in before.engines.iter().zip(&before.base) {
            match self.engines.iter().find(|now| now.spec.name == engine.spec.name) {
                Some(now) if now.spec.incarnation != engine.spec.incarnation => {
                    ledger.forget_prefixes(endpoint)
                }
                Some(_) => {}
                None => gone = true,
            }
        }
        if gone {
            ledger.keep_only(&self.fleet.load());
        }
    }

    /// Replaces the snapshot by one of what is known now.
    pub(crate) fn refresh(&self) {
        self.fleet.store(Arc::new(self.snapshot(|engine| engine.in_rotation())));
    }

    fn snapshot(&self, ready: impl Fn(&Engine) -> bool) -> Fleet {
        let endpoints = self.engines.iter().zip(&self.base).map(|(engine, base)| {
            let load = Load::clone(&engine.load.load());
            base.clone().with_load(load).with_ready(ready(engine))
        });
        Fleet::new(endpoints.collect())
    }

    /// Chooses an engine and books the request on it, and with a prefill stage on the engine that computes the prompt.
    /// `tried` have failed this request already. When nothing else is
    /// left, engines that fell silent are tried: one of them may be back before the next probe has seen it.
    pub(crate) fn choose(
        &self,
        request: &sched::Request<'_>,
        tried: &[Arc<Engine>],
    ) -> Result<Chosen, sched::Refusal> {
        let untried = |engine: &Engine| !tried.iter().any(|tried| std::ptr::eq(&**tried, engine));
        let fleet = if tried.is_empty() {
            Fleet::clone(&self.fleet.load())
        } else {
            self.snapshot(|engine| engine.in_rotation() && untried(engine))
        };
        match self.pick(request, &fleet) {
            Err(sched::Refusal::NoEndpoint | sched::Refusal::NoneReady { .. }) => {
                self.pick(request, &self.snapshot(|engine| engine.spec.ready && untried(engine)))
            }
            picked => picked,
        }
    }

    fn pick(&self, request: &sched::Request<'_>, fleet: &Fleet) -> Result<Chosen, sched::Refusal> {
        let mut ledger = self.ledger();
        let pick: Pick = self.spec.scheduler.pick(request, fleet, &ledger)?;
        let booked = |pick: &Pick| {
            let id = &pick.endpoint().id;
            let place = self.base.iter().position(|endpoint| endpoint.id == *id)?;
            Some((Arc::clone(&self.engines[place]), pick.booking().clone()))
        };
        let (engine, booking) = booked(&pick).ok_or(sched::Refusal::NoEndpoint)?;
        let prefill = pick.prefill().and_then(booked);
        for booking in [&booking].into_iter().chain(prefill.iter().map(|(_, booking)| booking)) {
            ledger.commit(booking);
        }
        Ok(Chosen { engine, booking, prefill })
    }

    /// The request of a booking is over.
    pub(crate) fn release(&self, booking: &Booking) {
        self.ledger().release(booking);
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // A panic elsewhere leaves at worst a count that is one too high.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The endpoints of a Service.
#[derive(Debug)]
pub(crate) struct ServiceEndpoints {
    pub(crate) spec: Arc<ServiceSpec>,
    pub(crate) engines: Vec<Arc<Engine>>,
    turn: AtomicUsize,
}

impl ServiceEndpoints {
    pub(crate) fn new(spec: Arc<ServiceSpec>, engines: Vec<Arc<Engine>>) -> Self {
        Self { spec, engines, turn: AtomicUsize::new(0) }
    }

    /// The engine with the fewest requests; equals take turns.
    pub(crate) fn choose(&self, tried: &[Arc<Engine>]) -> Option<Arc<Engine>> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let untried = |engine: &&Arc<Engine>| !tried.iter().any(|tried| Arc::ptr_eq(tried, engine));
        let least = |allowed: &dyn Fn(&Engine) -> bool| {
            let from = turn % self.engines.len().max(1);
            let in_turn = self.engines[from..].iter().chain(&self.engines[..from]);
            in_turn
                .filter(untried)
                .filter(|engine| allowed(engine))
                .min_by_key(|engine| engine.in_flight.load(Ordering::Relaxed))
        };
        least(&Engine::in_rotation).or_else(|| least(&|engine| engine.spec.ready)).cloned()
    }
}
