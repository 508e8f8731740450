//! The gateway before simulated engines: the scheduler sees their metrics, and an engine that dies takes only what it
//! was working on with it.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use relay::{Backend, EndpointSpec, Gateway, Limits, PoolSpec, Route, RouteTable, Rule, Target, Tls};
use tokio::net::TcpListener;
use tokio::sync::watch;

type HttpClient = Client<HttpConnector, Full<Bytes>>;

/// Tenants, each with a prompt of its own in front of every question.
const TENANTS: usize = 12;
/// 2,048 tokens.
const PROMPT_BYTES: usize = 8192;
const REQUESTS: usize = 240;

fn client() -> HttpClient {
    Client::builder(TokioExecutor::new()).build_http()
}

fn engine(cache_blocks: u32, speed: f64) -> sim::Options {
    let mut options = sim::Options::for_model("m");
    options.engine.cache_blocks = cache_blocks;
    options.speed = speed;
    options
}

async fn start(options: sim::Options) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(sim::serve(options, listener, std::future::pending()));
    address
}

fn table(engines: &[SocketAddr], scheduler: sched::Scheduler) -> RouteTable {
    let spec = |(number, address): (usize, &SocketAddr)| {
        Arc::new(EndpointSpec {
            name: format!("team/engine-{number}"),
            address: *address,
            ready: true,
            tls: Tls::Off,
            incarnation: String::new(),
            labels: Arc::default(),
        })
    };
    let endpoints = engines.iter().enumerate().map(spec).collect();
    let pool = PoolSpec { endpoints, scheduler: Arc::new(scheduler), absent: String::new() };
    let target = Target::Pool("team/pool".to_owned());
    let rule = Rule { backends: vec![Backend { weight: 1, filters: Vec::new(), target }], ..Rule::default() };
    RouteTable {
        routes: vec![Arc::new(Route {
            namespace: "team".to_owned(),
            name: "route".to_owned(),
            created_s: 0,
            hostnames: Vec::new(),
            rules: vec![rule],
        })],
        pools: BTreeMap::from([("team/pool".to_owned(), Arc::new(pool))]),
        ..RouteTable::default()
    }
}

async fn gateway(table: RouteTable) -> SocketAddr {
    let gateway = Gateway::new(Limits::default());
    gateway.publish(table);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(relay::serve(gateway, listener, std::future::pending()));
    address
}

async fn chat(client: &HttpClient, at: SocketAddr, prompt: &str, stream: bool) -> (StatusCode, String) {
    let body = serde_json::json!({
        "model": "m", "max_tokens": 8, "stream": stream, "messages": [{ "role": "user", "content": prompt }],
    });
    let request = Request::post(format!("http://{at}/v1/chat/completions"))
        .header("content-type", "application/json")
        .body(Full::from(body.to_string()))
        .unwrap();
    let response = client.request(request).await.unwrap();
    let status = response.status();
    // A stream that breaks off is judged by what came of it.
    let body = response.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

/// The part of all prompt tokens that the engines had in their caches.
async fn hit_ratio(client: &HttpClient, engines: &[SocketAddr]) -> f64 {
    let (mut hits, mut queries) = (0.0, 0.0);
    for engine in engines {
        let page = client.get(format!("http://{engine}/metrics").parse().unwrap()).await.unwrap();
        let page = page.into_body().collect().await.unwrap().to_bytes();
        for series in wire::metrics::series(&page) {
            match series.name {
                "vllm:prefix_cache_hits_total" => hits += series.value,
                "vllm:prefix_cache_queries_total" => queries += series.value,
                _ => {}
            }
        }
    }
    hits / queries
}

async fn shared_prefixes(replicas: u32, policy: &str) -> f64 {
    let cache_blocks = TENANTS as u32 * (PROMPT_BYTES as u32 / 64) * 5 / 4;
    let mut engines = Vec::new();
    for _ in 0..replicas {
        engines.push(start(engine(cache_blocks / replicas, 40.0)).await);
    }
    let at = gateway(table(&engines, sched::Scheduler::policy(policy).unwrap())).await;
    let client = client();
    let next = Arc::new(AtomicUsize::new(0));
    let clients = (0..4).map(|_| {
        let (client, next) = (client.clone(), Arc::clone(&next));
        tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= REQUESTS {
                    return;
                }
                // An order without a pattern that would suit a policy.
                let tenant = number * 7 / 3 % TENANTS;
                let prompt = format!("tenant {tenant:02} ").repeat(PROMPT_BYTES / 10);
                let (status, body) = chat(&client, at, &format!("{prompt} question {number}"), false).await;
                assert_eq!(status, StatusCode::OK, "{body}");
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    hit_ratio(&client, &engines).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_share_a_prefix_find_it_in_the_cache_of_their_engine() {
    let one = shared_prefixes(1, "default").await;
    let three = shared_prefixes(3, "default").await;
    let random = shared_prefixes(3, "random").await;
    assert!(three >= 0.9 * one, "three replicas: {three:.3}, one with the whole cache: {one:.3}");
    assert!(random < 0.6 * one, "random: {random:.3}, one with the whole cache: {one:.3}");
}

#[test]
fn an_engine_that_is_killed_takes_only_the_answers_that_it_had_begun() {
    const CLIENTS: usize = 12;
    const EACH: usize = 12;
    let doomed = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let test = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let dying = doomed.block_on(start(engine(8192, 5.0)));
    test.block_on(async move {
        let engines = [dying, start(engine(8192, 5.0)).await, start(engine(8192, 5.0)).await];
        let at = gateway(table(&engines, sched::Scheduler::policy("round-robin").unwrap())).await;
        let client = client();
        let (answered, mut so_far) = watch::channel(0_usize);
        let broken = Arc::new(AtomicUsize::new(0));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let (client, answered, broken) = (client.clone(), answered.clone(), Arc::clone(&broken));
                tokio::spawn(async move {
                    for turn in 0..EACH {
                        let (status, body) = chat(&client, at, &format!("{number} {turn}"), true).await;
                        assert_eq!(status, StatusCode::OK, "{body}");
                        if body.ends_with("data: [DONE]\n\n") {
                            answered.send_modify(|count| *count += 1);
                        } else {
                            broken.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                })
            })
            .collect();
        so_far.wait_for(|count| *count >= CLIENTS * 2).await.unwrap();
        doomed.shutdown_background();
        for client in clients {
            client.await.unwrap();
        }
        let (answered, broken) = (*so_far.borrow(), broken.load(Ordering::Relaxed));
        assert_eq!(answered + broken, CLIENTS * EACH);
        assert!(broken <= CLIENTS, "{broken} answers broke off, more than were being written at the time");
    });
}
