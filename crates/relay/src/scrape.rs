//! Asks engines for their metrics while their pool has traffic, and engines that fell silent whether they are back.
//!
//! One task for all pools. When no pool has had a request lately and no engine is silent it sleeps until the next
//! request, so engines that nobody uses cost nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Uri};
use tokio::time::Instant;

use crate::body::{SentBody, read_whole};
use crate::fleet::{Engine, Pool};
use crate::gateway::Gateway;
use crate::live::millis;
use crate::table::Tls;

/// How long an engine has for its metrics.
const ANSWER: Duration = Duration::from_secs(1);
/// Largest page of metrics that is read.
const MAX_PAGE_BYTES: usize = 8 << 20;

/// Runs until it is dropped.
pub(crate) async fn run(gateway: Arc<Gateway>) {
    loop {
        let tick = Instant::now();
        if !ask_those_that_matter(&gateway) {
            gateway.wake.notified().await;
        }
        tokio::time::sleep_until(tick + gateway.limits.scrape_interval).await;
    }
}

/// Whether there was anything to ask.
fn ask_those_that_matter(gateway: &Arc<Gateway>) -> bool {
    let live = gateway.live.load_full();
    let now_ms = millis(gateway.clock);
    let mut any = false;
    for pool in live.pools.values().filter(|pool| has_traffic(pool, now_ms, gateway.limits.scrape_after_use))
    {
        any = true;
        pool.refresh();
        for engine in pool.engines.iter().filter(|engine| engine.spec.ready && !engine.is_silent()) {
            ask(gateway, engine);
        }
    }
    for engine in live.engines.values().filter(|engine| engine.spec.ready && engine.is_silent()) {
        any = true;
        ask(gateway, engine);
    }
    any
}

fn has_traffic(pool: &Pool, now_ms: u64, after_use: Duration) -> bool {
    let used_at_ms = pool.used_at_ms.load(Ordering::Relaxed);
    let recently = used_at_ms > 0 && u128::from(now_ms.saturating_sub(used_at_ms)) <= after_use.as_millis();
    recently || pool.in_flight.load(Ordering::Relaxed) > 0
}

/// Asks an engine unless an answer of it is still awaited.
fn ask(gateway: &Arc<Gateway>, engine: &Arc<Engine>) {
    if engine.being_asked.swap(true, Ordering::AcqRel) {
        return;
    }
    let (gateway, engine) = (Arc::clone(gateway), Arc::clone(engine));
    tokio::spawn(async move {
        let asked = tokio::time::timeout(ANSWER, metrics(&gateway, &engine)).await;
        let was_silent = engine.is_silent();
        match asked {
            Ok(Some(page)) => {
                let load = wire::metrics::load(&page);
                engine.set_load(sched::Load::from_metrics(&load, millis(gateway.clock)));
                engine.set_silent(false);
            }
            // An engine that is only slow keeps its place: its probes decide whether it is ready.
            Ok(None) => engine.set_silent(true),
            Err(_) => {}
        }
        engine.being_asked.store(false, Ordering::Release);
        if was_silent != engine.is_silent() {
            gateway.live.load().refresh_pools_of(&engine);
        }
    });
}

/// The engine's metrics; `None` if it cannot be reached. An engine without such a page has an empty one.
async fn metrics(gateway: &Gateway, engine: &Engine) -> Option<Bytes> {
    let scheme = if engine.spec.tls == Tls::Off { "http" } else { "https" };
    let uri =
        Uri::builder().scheme(scheme).authority(engine.authority.clone()).path_and_query("/metrics").build();
    let mut request = Request::new(SentBody::Whole(None));
    *request.uri_mut() = uri.ok()?;
    if let Ok(host) = http::HeaderValue::from_str(engine.authority.as_str()) {
        request.headers_mut().insert(http::header::HOST, host);
    }
    let response = gateway.upstreams.send(&engine.spec.tls, request).await.ok()?;
    let found = response.status().is_success();
    let mut body = response.into_body();
    let page = read_whole(&mut body, MAX_PAGE_BYTES).await.ok()?;
    Some(if found { page } else { Bytes::new() })
}
