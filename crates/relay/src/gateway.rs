//! The gateway: a request finds its rule, its back-end and its engine, and the answer comes back as it is made.
//!
//! A request is lost only with the engine that was working on it: as long as nothing of an answer has come, a
//! connection that cannot be made or that breaks sends the request to the next pick, and takes the engine out of
//! rotation until it answers again.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, EXPECT, HOST};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, request};
use http_body::Body;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use tokio::sync::{Notify, Semaphore};

use crate::body::{ReplyBody, SentBody, read_whole};
use crate::filter::{self, Outcome, Way};
use crate::fleet::{Chosen, Engine, Pool, ServiceEndpoints};
use crate::headers;
use crate::index::{Asked, Found};
use crate::live::{Flight, Live, millis};
use crate::models;
use crate::refusal::Refusal;
use crate::table::{Backend, RouteTable, Rule, Target};
use crate::upstream::{SendError, Upstreams};

/// A body up to this size is taken in before it is sent to a Service, so that it can be sent again to another engine.
const REPEATABLE_BYTES: u64 = 1 << 20;
/// How often a request is given to another engine after one broke the connection without an answer. Engines that
/// refuse connections do not count: nothing was sent to them.
const BROKEN_TRIES: usize = 2;
/// How long the rest of a refused body is thrown away, so that the client gets to read the refusal.
const DRAIN: Duration = Duration::from_secs(5);

/// What a gateway takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest request body.
    pub max_body_bytes: usize,
    /// Longest head of a request; a longer one is refused with 431.
    pub max_header_bytes: usize,
    /// Requests at a time; one more is refused with 503.
    pub max_concurrent_requests: usize,
    /// How long a connection to an engine may take to come about.
    pub connect_timeout: Duration,
    /// How long a client may take to send the head of a request.
    pub header_timeout: Duration,
    /// How often the engines of a pool with traffic are asked for their metrics.
    pub scrape_interval: Duration,
    /// For how long a pool counts as having traffic after its last request.
    pub scrape_after_use: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body_bytes: 64 << 20,
            max_header_bytes: 64 << 10,
            max_concurrent_requests: 16 << 10,
            connect_timeout: Duration::from_secs(2),
            header_timeout: Duration::from_secs(30),
            scrape_interval: Duration::from_millis(50),
            scrape_after_use: Duration::from_secs(2),
        }
    }
}

/// A gateway. It routes by the last table that was published; requests on their way keep the table they began with.
pub struct Gateway {
    pub(crate) limits: Limits,
    pub(crate) live: ArcSwap<Live>,
    pub(crate) upstreams: Upstreams,
    /// Wakes the scraper.
    pub(crate) wake: Notify,
    pub(crate) clock: Instant,
    places: Arc<Semaphore>,
    seed: AtomicU64,
}

impl Gateway {
    /// A gateway without routes.
    pub fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            upstreams: Upstreams::new(limits.connect_timeout),
            places: Arc::new(Semaphore::new(limits.max_concurrent_requests.min(Semaphore::MAX_PERMITS))),
            limits,
            live: ArcSwap::default(),
            wake: Notify::new(),
            clock: Instant::now(),
            seed: AtomicU64::new(0),
        })
    }

    /// Replaces the routes. Only one caller may publish; what was learnt of engines that stay is kept.
    pub fn publish(&self, table: RouteTable) {
        let live = Live::new(table, &self.live.load());
        self.upstreams.keep_only(&live.tls_in_use());
        self.live.store(Arc::new(live));
    }

    /// How many requests are being served.
    pub fn requests_in_flight(&self) -> usize {
        self.limits.max_concurrent_requests.min(Semaphore::MAX_PERMITS) - self.places.available_permits()
    }

    /// Answers one request. `client` is who asks, for `x-forwarded-for`.
    pub async fn handle(&self, request: Request<Incoming>, client: Option<IpAddr>) -> Response<ReplyBody> {
        let (mut parts, body) = request.into_parts();
        let id = headers::request_id(&mut parts.headers);
        let mut response = match self.serve(parts, body, client).await {
            Ok(response) => response,
            Err(refusal) => {
                tracing::debug!(status = refusal.status.as_u16(), code = refusal.code, "{}", refusal.message);
                refusal.into_response()
            }
        };
        response.headers_mut().entry(headers::X_REQUEST_ID).or_insert(id);
        response
    }

    async fn serve(
        &self,
        mut parts: request::Parts,
        body: Incoming,
        client: Option<IpAddr>,
    ) -> Result<Response<ReplyBody>, Refusal> {
        let arrived = tokio::time::Instant::now();
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            let limit = self.limits.max_concurrent_requests;
            Refusal::overloaded(format!("this gateway serves {limit} requests at a time and has as many"))
        })?;
        let flight = Flight::new(place);
        let live = self.live.load_full();
        let Some(mut path) = parts.uri.path_and_query().cloned() else {
            return Err(Refusal::bad_request("no_path", "a request to this gateway needs a path".to_owned()));
        };
        let waits_for_continue = parts.headers.contains_key(EXPECT);
        let mut body =
            ClientBody { held: Held::Streamed(body), limit: self.limits.max_body_bytes, waits_for_continue };
        let found = match find(&live, &parts, &path) {
            Some(found) => found,
            None => match self.without_route(&live, &parts, &path, &mut body).await? {
                Unrouted::Answered(response) => return Ok(response),
                Unrouted::Means(found, its_path) => {
                    path = its_path;
                    found
                }
            },
        };
        let rule = live.rule(found);
        let authority = parts.uri.authority().map(Authority::as_str);
        headers::prepare_request(&mut parts.headers, authority, client);
        let mut way = Way { asked: &path, prefix_bytes: found.prefix_bytes, sent: path.clone() };
        if let Outcome::Redirected(status, location) =
            filter::apply(&rule.filters, &mut way, &mut parts.headers)?
        {
            return Ok(redirected(status, location));
        }
        let backend = live.backend(found).ok_or_else(|| {
            Refusal::broken_route(format!(
                "the route {} has no back-end with a weight here",
                route_name(&live, found)
            ))
        })?;
        if let Outcome::Redirected(status, location) =
            filter::apply(&backend.filters, &mut way, &mut parts.headers)?
        {
            return Ok(redirected(status, location));
        }
        let destination = destination(&live, backend, route_name(&live, found))?;
        if matches!(destination, Destination::Pool(..)) || body.is_short() {
            body.whole().await?;
        }
        let call = Call { parts, path: way.sent, body: body.held, limit: self.limits.max_body_bytes };
        let deadline = rule.request_timeout.map(|limit| arrived + limit);
        let sending = self.send(&live, destination, call, flight, rule.backend_timeout);
        let (response, flight) = match deadline {
            Some(deadline) => tokio::time::timeout_at(deadline, sending)
                .await
                .map_err(|_| Refusal::timed_out("the time limit of the route is over".to_owned()))??,
            None => sending.await?,
        };
        Ok(answer(response, flight, rule, backend, deadline))
    }

    /// Requests that no rule takes: the gateway's own pages, and `/v1/…` of the service that is meant.
    async fn without_route(
        &self,
        live: &Live,
        parts: &request::Parts,
        path: &PathAndQuery,
        body: &mut ClientBody,
    ) -> Result<Unrouted, Refusal> {
        let reads = matches!(parts.method, Method::GET | Method::HEAD);
        let below = path.path().trim_end_matches('/');
        if below == "/healthz" && reads {
            return Ok(Unrouted::Answered(Response::new(ReplyBody::whole(Bytes::from_static(b"ok\n")))));
        }
        if below == "/v1/models" || below.starts_with("/v1/models/") {
            if !reads {
                return Err(Refusal::method_not_allowed(format!("{below} can only be read, with GET")));
            }
            let id = below.strip_prefix("/v1/models/").map(|id| id.replace("%2F", "/").replace("%2f", "/"));
            return Ok(Unrouted::Answered(match id {
                Some(id) => models::one(&live.served, &id)?,
                None => models::list(&live.served),
            }));
        }
        if !below.starts_with("/v1/") {
            return Err(models::no_route(&live.served, path.path()));
        }
        let served = if live.served.len() > 1 {
            let bytes = body.whole().await?;
            let read = wire::openai::Body::read(wire::openai::Api::ChatCompletions, &bytes, bytes.len());
            let read = if bytes.is_empty() { None } else { Some(read.map_err(bad_body)?) };
            models::meant(&live.served, read.as_ref().and_then(|read| read.model.as_deref()))?
        } else {
            models::meant(&live.served, None)?
        };
        let full = PathAndQuery::try_from(format!("{}{path}", served.path()))
            .map_err(|_| models::no_route(&live.served, path.path()))?;
        match find(live, parts, &full) {
            Some(found) => Ok(Unrouted::Means(found, full)),
            None => Err(models::no_route(&live.served, full.path())),
        }
    }

    /// Sends the request to one engine after another until one answers.
    async fn send(
        &self,
        live: &Live,
        destination: Destination<'_>,
        mut call: Call,
        mut flight: Flight,
        backend_timeout: Option<Duration>,
    ) -> Result<(Response<Incoming>, Flight), Refusal> {
        let mut tried: Vec<Arc<Engine>> = Vec::new();
        let mut broken = 0;
        let mut failure: Option<Refusal> = None;
        loop {
            let (engine, prefill) = match &destination {
                Destination::Pool(name, pool) => match self.choose(pool, &call, &tried) {
                    Ok(chosen) => {
                        let engine = Arc::clone(&chosen.engine);
                        let prefill = chosen.prefill.as_ref().map(|(prefill, _)| prefill.authority.clone());
                        flight.sent_to(pool, chosen, self.clock);
                        (engine, prefill)
                    }
                    Err(PickError::Body(refusal)) => return Err(refusal),
                    Err(PickError::None(why)) => {
                        return Err(failure.unwrap_or_else(|| none_picked(name, &pool.spec.absent, &why)));
                    }
                },
                Destination::Service(name, service) => {
                    let Some(engine) = service.choose(&tried) else {
                        return Err(
                            failure.unwrap_or_else(|| none_ready("Service", name, &service.spec.absent))
                        );
                    };
                    flight.sent_to_service(&engine, self.clock);
                    (engine, None)
                }
            };
            let (request, repeatable) = call.request(&engine, prefill.as_ref())?;
            let sending = self.upstreams.send(&engine.spec.tls, request);
            let sent = match backend_timeout {
                Some(limit) => tokio::time::timeout(limit, sending).await.map_err(|_| {
                    let name = &engine.spec.name;
                    Refusal::timed_out(format!(
                        "the engine {name} did not answer within the route's {limit:?}"
                    ))
                })?,
                None => sending.await,
            };
            let error = match sent {
                Ok(response) => {
                    flight.answering();
                    return Ok((response, flight));
                }
                Err(error) => error,
            };
            if error.is_body_too_large() {
                return Err(Refusal::too_large(call.limit));
            }
            self.fell_silent(live, &engine);
            let refusal = unanswered(&engine, &error);
            tracing::debug!(engine = engine.spec.name, "{}", refusal.message);
            broken += usize::from(!error.is_connect());
            if !repeatable || broken > BROKEN_TRIES {
                return Err(refusal);
            }
            failure = Some(refusal);
            tried.push(engine);
        }
    }

    fn choose(&self, pool: &Pool, call: &Call, tried: &[Arc<Engine>]) -> Result<Chosen, PickError> {
        let now_ms = millis(self.clock);
        pool.used_at_ms.store(now_ms, Ordering::Relaxed);
        self.wake.notify_one();
        let seed = self.seed.fetch_add(1, Ordering::Relaxed);
        let request = sched::Request { seed, now_ms, ..sched::Request::default() };
        let api = wire::openai::Api::from_path(call.path.path());
        let (Some(api), Held::Whole(bytes)) = (api, &call.body) else {
            return pool.choose(&request, tried).map_err(PickError::None);
        };
        let body = wire::openai::Body::read(api, bytes, call.limit)
            .map_err(|error| PickError::Body(bad_body(error)))?;
        let request = sched::Request {
            model: body.model.as_deref().unwrap_or_default(),
            prompts: body.prompts(),
            cache_salt: body.cache_salt.clone(),
            ..request
        };
        pool.choose(&request, tried).map_err(PickError::None)
    }

    /// The engine gets no new requests until the scraper has had an answer from it.
    pub(crate) fn fell_silent(&self, live: &Live, engine: &Engine) {
        engine.set_silent(true);
        live.refresh_pools_of(engine);
        self.wake.notify_one();
    }
}

enum Unrouted {
    Answered(Response<ReplyBody>),
    Means(Found, PathAndQuery),
}

enum PickError {
    Body(Refusal),
    None(sched::Refusal),
}

enum Destination<'a> {
    Pool(&'a str, Arc<Pool>),
    Service(&'a str, Arc<ServiceEndpoints>),
}

/// What a client sends, taken in only when somebody needs to see it.
struct ClientBody {
    held: Held,
    limit: usize,
    /// The client sends nothing until it is told to, so a refusal reaches it at once.
    waits_for_continue: bool,
}

enum Held {
    Whole(Bytes),
    Streamed(Incoming),
    /// Handed on.
    Gone,
}

impl ClientBody {
    fn is_short(&self) -> bool {
        matches!(&self.held, Held::Streamed(body) if body.size_hint().upper().is_some_and(|upper| upper <= REPEATABLE_BYTES))
    }

    async fn whole(&mut self) -> Result<Bytes, Refusal> {
        match std::mem::replace(&mut self.held, Held::Gone) {
            Held::Whole(bytes) => {
                self.held = Held::Whole(bytes.clone());
                Ok(bytes)
            }
            Held::Streamed(mut body) => {
                let read = read_whole(&mut body, self.limit).await;
                if matches!(&read, Err(refusal) if refusal.status == StatusCode::PAYLOAD_TOO_LARGE)
                    && !self.waits_for_continue
                {
                    let draining = async { while let Some(Ok(_)) = body.frame().await {} };
                    // Over or not: the refusal goes out.
                    let _ = tokio::time::timeout(DRAIN, draining).await;
                }
                let bytes = read?;
                self.held = Held::Whole(bytes.clone());
                Ok(bytes)
            }
            Held::Gone => Ok(Bytes::new()),
        }
    }
}

/// A request as any engine of its back-end would get it.
struct Call {
    parts: request::Parts,
    path: PathAndQuery,
    body: Held,
    limit: usize,
}

impl Call {
    /// The request for one engine, and whether another could be made after it. `prefill` is where the sidecar before the
    /// engine has the prompt computed.
    fn request(
        &mut self,
        engine: &Engine,
        prefill: Option<&Authority>,
    ) -> Result<(Request<SentBody>, bool), Refusal> {
        let mut headers = self.parts.headers.clone();
        if let Some(prefill) = prefill.and_then(|prefill| HeaderValue::from_str(prefill.as_str()).ok()) {
            headers.insert(wire::headers::PREFILLER_HOST_PORT, prefill);
        }
        let (body, repeatable) = match &self.body {
            Held::Whole(bytes) => {
                headers::set_length(&mut headers, bytes.len());
                (SentBody::Whole(Some(bytes.clone()).filter(|bytes| !bytes.is_empty())), true)
            }
            _ => match std::mem::replace(&mut self.body, Held::Gone) {
                Held::Streamed(body) => (SentBody::Streamed(Box::new(Limited::new(body, self.limit))), false),
                _ => (SentBody::Whole(None), false),
            },
        };
        let scheme = if engine.spec.tls == crate::table::Tls::Off { "http" } else { "https" };
        let uri = http::Uri::builder()
            .scheme(scheme)
            .authority(engine.authority.clone())
            .path_and_query(self.path.clone())
            .build()
            .map_err(|error| {
                Refusal::broken_route(format!("the route makes an address that is none: {error}"))
            })?;
        let mut request = Request::new(body);
        *request.method_mut() = self.parts.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        Ok((request, repeatable))
    }
}

fn find(live: &Live, parts: &request::Parts, path: &PathAndQuery) -> Option<Found> {
    let header: Option<Authority> =
        parts.headers.get(HOST).and_then(|value| value.to_str().ok()).and_then(|host| host.parse().ok());
    let host = parts.uri.host().or_else(|| header.as_ref().map(Authority::host));
    live.index.find(&Asked {
        host,
        path: path.path(),
        query: path.query(),
        method: &parts.method,
        headers: &parts.headers,
    })
}

fn destination<'a>(live: &Live, backend: &'a Backend, route: String) -> Result<Destination<'a>, Refusal> {
    let missing = |what: &str, name: &str| {
        Refusal::broken_route(format!("the route {route} leads to the {what} {name}, which does not exist"))
    };
    match &backend.target {
        Target::Pool(name) => match live.pools.get(name) {
            Some(pool) => Ok(Destination::Pool(name, Arc::clone(pool))),
            None => Err(missing("InferencePool", name)),
        },
        Target::Service(name) => match live.services.get(name) {
            Some(service) => Ok(Destination::Service(name, Arc::clone(service))),
            None => Err(missing("Service", name)),
        },
        Target::Unresolved(words) => Err(Refusal::broken_route(words.clone())),
    }
}

fn route_name(live: &Live, found: Found) -> String {
    let route = live.index.route(found.route);
    format!("{}/{}", route.namespace, route.name)
}

fn answer(
    response: Response<Incoming>,
    flight: Flight,
    rule: &Rule,
    backend: &Backend,
    deadline: Option<tokio::time::Instant>,
) -> Response<ReplyBody> {
    let (mut parts, body) = response.into_parts();
    headers::prepare_answer(&mut parts.headers);
    filter::apply_to_answer(&rule.filters, &mut parts.headers);
    filter::apply_to_answer(&backend.filters, &mut parts.headers);
    // An engine that speaks HTTP/1.0 must not make this connection one of HTTP/1.0.
    parts.version = Version::HTTP_11;
    let kind = parts.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let is_event_stream = kind.starts_with(b"text/event-stream");
    let deadline = deadline.map(|deadline| Box::pin(tokio::time::sleep_until(deadline)) as Pin<Box<_>>);
    Response::from_parts(parts, ReplyBody::relayed(body, flight, deadline, is_event_stream))
}

fn redirected(status: StatusCode, location: HeaderValue) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::empty());
    *response.status_mut() = status;
    *response.headers_mut() = filter::redirect_headers(location);
    response
}

fn bad_body(error: wire::openai::Error) -> Refusal {
    Refusal::bad_request("invalid_body", error.to_string())
}

fn unanswered(engine: &Engine, error: &SendError) -> Refusal {
    let (name, address, words) = (&engine.spec.name, engine.spec.address, error.words());
    if error.is_connect() {
        Refusal::not_ready(format!("no engine is ready: {name} at {address} takes no connection: {words}"))
    } else {
        Refusal::upstream(format!(
            "the engine {name} at {address} broke the connection before it answered: {words}"
        ))
    }
}

fn none_ready(kind: &str, name: &str, absent: &str) -> Refusal {
    let why = if absent.is_empty() { "it has no endpoint" } else { absent };
    Refusal::not_ready(format!("no engine of the {kind} {name} is ready: {why}"))
}

fn none_picked(name: &str, absent: &str, why: &sched::Refusal) -> Refusal {
    match why {
        sched::Refusal::NoEndpoint | sched::Refusal::NoneReady { .. } if !absent.is_empty() => {
            none_ready("InferencePool", name, absent)
        }
        sched::Refusal::NoEndpoint | sched::Refusal::NoneReady { .. } => {
            none_ready("InferencePool", name, &why.to_string())
        }
        sched::Refusal::EmptySubset => Refusal::not_ready(format!("InferencePool {name}: {why}")),
        sched::Refusal::AllFiltered { .. } | sched::Refusal::Saturated => {
            Refusal::saturated(format!("InferencePool {name}: {why}")).dropped(why.reason())
        }
    }
}
