//! What the gateway adds to a chat of 1 kB and to each chunk of a stream, over loopback.
//!
//! Client and engine share one runtime; the gateway has a thread of its own, so that its CPU time can be told apart
//! (`/proc/thread-self/schedstat`, Linux). It stops by itself after a few seconds:
//! `cargo bench -p relay --bench overhead`.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use relay::{Backend, EndpointSpec, Gateway, Limits, PoolSpec, Route, RouteTable, Rule, Served, Target, Tls};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

const CHATS: usize = 4000;
const CLIENTS: usize = 16;
const CHUNKS: usize = 20_000;
const SERVICES: usize = 200;

fn main() {
    let engines = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (at, address) = std::sync::mpsc::channel();
    let (ask, asked) = mpsc::unbounded_channel();
    let engine = engines.block_on(engine());
    let gateway = std::thread::spawn(move || gateway(engine, &at, asked));
    let gateway_address: SocketAddr = address.recv().unwrap();
    engines.block_on(async {
        let cpu = || async {
            let (tell, told) = oneshot::channel();
            ask.send(tell).unwrap();
            told.await.unwrap()
        };
        println!("1 kB chat, {SERVICES} services of 12 matches each, 4 engines in the pool");
        for (name, clients) in [("one client", 1), ("16 clients in a closed loop", CLIENTS)] {
            let direct = chats(engine, "/v1/chat/completions", clients).await;
            let before = cpu().await;
            let through = chats(gateway_address, "/team/s100/v1/chat/completions", clients).await;
            let spent = cpu().await.saturating_sub(before);
            println!("  {name}: direct    {direct}");
            println!("  {name}: gateway   {through}; {:.1} µs CPU a chat", micros(spent) / CHATS as f64);
        }
        let direct = stream(engine, "/stream").await;
        let before = cpu().await;
        let through = stream(gateway_address, "/team/s100/stream").await;
        let spent = cpu().await.saturating_sub(before);
        println!("stream of {CHUNKS} chunks as fast as they come");
        println!("  direct    {:.2} µs a chunk", micros(direct) / CHUNKS as f64);
        println!(
            "  gateway   {:.2} µs a chunk; {:.2} µs CPU a chunk",
            micros(through) / CHUNKS as f64,
            micros(spent) / CHUNKS as f64
        );
        let paced = 500;
        let before = cpu().await;
        paced_stream(gateway_address, "/team/s100/paced").await;
        let spent = cpu().await.saturating_sub(before);
        println!("stream of {paced} chunks, one every 2 ms");
        println!("  gateway   {:.2} µs CPU a chunk", micros(spent) / f64::from(paced));
    });
    drop(ask);
    gateway.join().unwrap();
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// CPU time of the thread that calls.
fn thread_cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0))
}

fn gateway(
    engine: SocketAddr,
    at: &std::sync::mpsc::Sender<SocketAddr>,
    mut asked: mpsc::UnboundedReceiver<oneshot::Sender<Duration>>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let gateway = Gateway::new(Limits::default());
        gateway.publish(table(engine));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        at.send(listener.local_addr().unwrap()).unwrap();
        let shutdown = async {
            while let Some(tell) = asked.recv().await {
                tell.send(thread_cpu()).unwrap();
            }
            Duration::from_secs(1)
        };
        relay::serve(gateway, listener, shutdown).await;
    });
}

fn table(engine: SocketAddr) -> RouteTable {
    let mut table = RouteTable::default();
    for number in 0..SERVICES {
        let name = format!("s{number}");
        let key = format!("team/{name}");
        let endpoint = |replica| {
            Arc::new(EndpointSpec {
                name: format!("team/{name}-{replica}"),
                address: engine,
                ready: true,
                tls: Tls::Off,
                incarnation: String::new(),
                labels: Arc::default(),
            })
        };
        let rule = |path: String| Rule {
            matches: vec![relay::Match {
                path: relay::PathMatch::Prefix(path),
                method: None,
                headers: Vec::new(),
                query: Vec::new(),
            }],
            filters: vec![relay::Filter::Rewrite(relay::Rewrite {
                hostname: None,
                path: Some(relay::PathRewrite::Prefix("/".to_owned())),
            })],
            backends: vec![Backend { weight: 1, filters: Vec::new(), target: Target::Pool(key.clone()) }],
            ..Rule::default()
        };
        let paths =
            (0..11).map(|other| format!("/team/{name}/other-{other}")).chain([format!("/team/{name}")]);
        table.routes.push(Arc::new(Route {
            namespace: "team".to_owned(),
            name: name.clone(),
            created_s: 0,
            hostnames: Vec::new(),
            rules: paths.map(rule).collect(),
        }));
        let pool = PoolSpec { endpoints: (0..4).map(endpoint).collect(), ..PoolSpec::default() };
        table.pools.insert(key, Arc::new(pool));
        let models = vec![name.clone()];
        let namespace = "team".to_owned();
        table.served.push(Arc::new(Served { namespace, name, models, created_s: None }));
    }
    table.services = BTreeMap::new();
    table
}

struct Latencies(Vec<Duration>);

impl std::fmt::Display for Latencies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = |part: f64| micros(self.0[((self.0.len() - 1) as f64 * part) as usize]);
        write!(f, "p50 {:.0} µs, p95 {:.0} µs, p99 {:.0} µs", at(0.5), at(0.95), at(0.99))
    }
}

async fn chats(at: SocketAddr, path: &str, clients: usize) -> Latencies {
    let content = "All work and no play makes Jack a dull boy. ".repeat(22);
    let body = serde_json::json!({ "model": "s100", "messages": [{ "role": "user", "content": content }] });
    let body = Bytes::from(body.to_string());
    let client: Client<HttpConnector, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let running: Vec<_> = (0..clients)
        .map(|_| {
            let (client, body, url) = (client.clone(), body.clone(), format!("http://{at}{path}"));
            tokio::spawn(async move {
                let mut took = Vec::new();
                for _ in 0..CHATS / clients {
                    let request = Request::post(&url).header("content-type", "application/json");
                    let started = Instant::now();
                    let response =
                        client.request(request.body(Full::from(body.clone())).unwrap()).await.unwrap();
                    assert!(response.status().is_success());
                    response.into_body().collect().await.unwrap();
                    took.push(started.elapsed());
                }
                took
            })
        })
        .collect();
    let mut all = Vec::new();
    for client in running {
        all.extend(client.await.unwrap());
    }
    all.sort();
    Latencies(all)
}

async fn stream(at: SocketAddr, path: &str) -> Duration {
    let started = Instant::now();
    paced_stream(at, path).await;
    started.elapsed()
}

async fn paced_stream(at: SocketAddr, path: &str) {
    let client: Client<HttpConnector, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let request = Request::post(format!("http://{at}{path}")).body(Full::default()).unwrap();
    let mut body = client.request(request).await.unwrap().into_body();
    while let Some(frame) = body.frame().await {
        frame.unwrap();
    }
}

async fn engine() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let service = service_fn(|request| async { Ok::<_, Infallible>(answer(request).await) });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    address
}

async fn answer(request: Request<Incoming>) -> Response<Answer> {
    let path = request.uri().path().to_owned();
    request.into_body().collect().await.unwrap();
    Response::new(match path.as_str() {
        "/stream" => Answer { left: CHUNKS, pause: None, chunk: chunk() },
        "/paced" => {
            let pause = tokio::time::interval(Duration::from_millis(2));
            Answer { left: 500, pause: Some(pause), chunk: chunk() }
        }
        _ => Answer { left: 1, pause: None, chunk: Bytes::from("x".repeat(600)) },
    })
}

fn chunk() -> Bytes {
    let delta = r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}]}"#;
    Bytes::from(format!("data: {delta}\n\n"))
}

struct Answer {
    left: usize,
    pause: Option<tokio::time::Interval>,
    chunk: Bytes,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        if let Some(pause) = &mut self.pause
            && pause.poll_tick(cx).is_pending()
        {
            return Poll::Pending;
        }
        self.left -= 1;
        Poll::Ready(Some(Ok(Frame::data(self.chunk.clone()))))
    }
}
