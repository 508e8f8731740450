//! The gateway over real connections, with small engines made for each case.

#![allow(clippy::unwrap_used)]

mod engine;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use engine::{Engine, TestGateway, get, post, text};
use http::StatusCode;
use http_body_util::BodyExt;
use relay::{
    Backend, Filter, Limits, Match, PathMatch, PathRewrite, PoolSpec, Rewrite, Route, RouteTable, Rule,
    Served, ServiceSpec, Target, Tls,
};

fn rule(prefix: &str, rewrite: &str, target: Target) -> Rule {
    Rule {
        matches: vec![Match {
            path: PathMatch::Prefix(prefix.to_owned()),
            method: None,
            headers: Vec::new(),
            query: Vec::new(),
        }],
        filters: vec![Filter::Rewrite(Rewrite {
            hostname: None,
            path: Some(PathRewrite::Prefix(rewrite.to_owned())),
        })],
        backends: vec![Backend { weight: 1, filters: Vec::new(), target }],
        ..Rule::default()
    }
}

/// The routes that a service has in a cluster: chats to the pool, all else to the Service.
fn table(name: &str, engines: &[&Engine]) -> RouteTable {
    let key = format!("team/{name}");
    let endpoints: Vec<_> = engines.iter().map(|engine| engine.spec()).collect();
    let chat =
        rule(&format!("/team/{name}/v1/chat/completions"), "/v1/chat/completions", Target::Pool(key.clone()));
    let rest = rule(&format!("/team/{name}"), "/", Target::Service(key.clone()));
    RouteTable {
        routes: vec![Arc::new(Route {
            namespace: "team".to_owned(),
            name: format!("{name}-kserve-route"),
            created_s: 1,
            hostnames: Vec::new(),
            rules: vec![chat, rest],
        })],
        pools: BTreeMap::from([(
            key.clone(),
            Arc::new(PoolSpec { endpoints: endpoints.clone(), ..PoolSpec::default() }),
        )]),
        services: BTreeMap::from([(key, Arc::new(ServiceSpec { endpoints, absent: String::new() }))]),
        served: vec![Arc::new(Served {
            namespace: "team".to_owned(),
            name: name.to_owned(),
            models: vec![format!("{name}-model")],
            created_s: Some(7),
        })],
    }
}

fn both(a: RouteTable, b: RouteTable) -> RouteTable {
    let mut both = a;
    both.routes.extend(b.routes);
    both.pools.extend(b.pools);
    both.services.extend(b.services);
    both.served.extend(b.served);
    both
}

const CHAT: &str = r#"{"model":"a-model","messages":[{"role":"user","content":"hello"}]}"#;

#[tokio::test]
async fn a_chat_reaches_the_engine_with_its_path_rewritten_and_its_control_headers_gone() {
    let engine = Engine::start("e").await;
    let gateway = TestGateway::start(table("a", &[&engine])).await;
    let request = http::Request::post(gateway.url("/team/a/v1/chat/completions?x=1"))
        .header("x-gateway-destination-endpoint", "10.0.0.1:1")
        .header("x-request-id", "mine")
        .header("connection", "x-hop")
        .header("x-hop", "1")
        .body(CHAT.to_owned())
        .unwrap();
    let response = engine::send(request).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["x-request-id"], "mine");
    let seen = engine.last();
    assert_eq!(seen.uri, "/v1/chat/completions?x=1");
    assert_eq!(seen.body, CHAT);
    assert_eq!(seen.headers["host"], gateway.address.to_string());
    assert_eq!(seen.headers["x-request-id"], "mine");
    for gone in ["x-gateway-destination-endpoint", "x-hop", "connection"] {
        assert!(!seen.headers.contains_key(gone), "{gone} reached the engine");
    }
}

#[tokio::test]
async fn v1_means_the_only_service_and_among_several_the_one_that_serves_the_model() {
    let (a, b) = (Engine::start("a").await, Engine::start("b").await);
    let gateway = TestGateway::start(table("a", &[&a])).await;
    assert_eq!(post(&gateway.url("/v1/chat/completions"), CHAT).await.0, StatusCode::OK);
    gateway.publish(both(table("a", &[&a]), table("b", &[&b])));
    let of_b = CHAT.replace("a-model", "b-model");
    assert_eq!(post(&gateway.url("/v1/chat/completions"), &of_b).await.0, StatusCode::OK);
    assert_eq!(b.last().body, of_b);
    let (status, body) = post(&gateway.url("/v1/chat/completions"), &CHAT.replace("a-model", "c")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(body.contains("model_not_found") && body.contains("a-model, b-model"), "{body}");
}

#[tokio::test]
async fn the_models_of_all_services_are_listed() {
    let engine = Engine::start("e").await;
    let gateway = TestGateway::start(both(table("a", &[&engine]), table("b", &[&engine]))).await;
    let (status, body) = get(&gateway.url("/v1/models")).await;
    assert_eq!(status, StatusCode::OK);
    let list: serde_json::Value = serde_json::from_str(&body).unwrap();
    let ids: Vec<_> =
        list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["a-model", "b-model"]);
    assert_eq!(list["data"][0]["path"], "/team/a");
    assert_eq!(get(&gateway.url("/v1/models/b-model")).await.0, StatusCode::OK);
    assert_eq!(get(&gateway.url("/v1/models/none")).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_stream_arrives_chunk_by_chunk_while_the_engine_still_works() {
    let engine = Engine::start("e").await;
    let gateway = TestGateway::start(table("a", &[&engine])).await;
    let mut response = engine::send_post(&gateway.url("/team/a/stream"), CHAT).await;
    for chunk in ["one", "two", "three"] {
        // The engine sends the next chunk only when it is told to: nothing in between may wait for more.
        engine.emit(chunk);
        let frame = response.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), Bytes::from(format!("data: {chunk}\n\n")));
    }
    engine.finish();
    let trailers = response.frame().await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(trailers["x-checksum"], "7");
    assert!(response.frame().await.is_none());
    assert_eq!(gateway.gateway.requests_in_flight(), 0);
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_request_at_the_engine() {
    let engine = Engine::start("e").await;
    let gateway = TestGateway::start(table("a", &[&engine])).await;
    let mut response = engine::send_post(&gateway.url("/team/a/stream"), CHAT).await;
    engine.emit("one");
    response.frame().await.unwrap().unwrap();
    drop(response);
    engine.cancelled().await;
    // The same before the answer has begun.
    let waiting = tokio::spawn({
        let url = gateway.url("/team/a/wait");
        async move { engine::send_post(&url, CHAT).await }
    });
    engine.received("/wait").await;
    waiting.abort();
    engine.cancelled().await;
}

#[tokio::test]
async fn a_request_to_a_dead_engine_goes_to_the_next_and_the_dead_one_gets_no_more() {
    let alive = Engine::start("alive").await;
    let dead = Engine::start("dead").await;
    let gateway = TestGateway::start(table("a", &[&dead, &alive])).await;
    dead.kill().await;
    for _ in 0..20 {
        assert_eq!(post(&gateway.url("/team/a/v1/chat/completions"), CHAT).await.0, StatusCode::OK);
        assert_eq!(post(&gateway.url("/team/a/other"), CHAT).await.0, StatusCode::OK);
    }
    assert_eq!(alive.chats(), 20);
}

#[tokio::test]
async fn a_request_that_breaks_before_its_answer_is_given_to_another_engine() {
    let (breaking, alive) = (Engine::start("breaking").await, Engine::start("alive").await);
    breaking.break_connections();
    let gateway = TestGateway::start(table("a", &[&breaking, &alive])).await;
    for _ in 0..8 {
        assert_eq!(post(&gateway.url("/team/a/v1/chat/completions"), CHAT).await.0, StatusCode::OK);
    }
    assert_eq!(alive.chats(), 8);
}

#[tokio::test]
async fn an_engine_that_comes_back_at_its_address_is_used_again() {
    let engine = Engine::start("e").await;
    let gateway = TestGateway::start(table("a", &[&engine])).await;
    engine.kill().await;
    let (status, body) = post(&gateway.url("/v1/chat/completions"), CHAT).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(body.contains("no_ready_endpoint") && body.contains("team/e"), "{body}");
    engine.revive().await;
    assert_eq!(post(&gateway.url("/v1/chat/completions"), CHAT).await.0, StatusCode::OK);
}

#[tokio::test]
async fn what_is_not_ready_is_said_in_words_with_a_time_to_try_again() {
    let gateway = TestGateway::start(RouteTable::default()).await;
    let (status, body) = post(&gateway.url("/v1/chat/completions"), CHAT).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(body.contains("no service is here yet"), "{body}");
    let mut empty = table("a", &[]);
    let absent = "0 of 1 pods are ready (a-0 is starting)".to_owned();
    empty.pools.insert("team/a".to_owned(), Arc::new(PoolSpec { absent, ..PoolSpec::default() }));
    gateway.publish(empty);
    let response = engine::send_post_whole(&gateway.url("/v1/chat/completions"), CHAT).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.headers().contains_key("retry-after"));
    let body = text(response).await;
    let error: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(error["error"]["code"], "no_ready_endpoint");
    assert_eq!(error["error"]["type"], "api_error");
    let message = error["error"]["message"].as_str().unwrap();
    assert_eq!(
        message,
        "no engine of the InferencePool team/a is ready: 0 of 1 pods are ready (a-0 is starting)"
    );
}

#[tokio::test]
async fn a_stream_that_breaks_off_ends_with_an_error_that_clients_understand() {
    let engine = Engine::start("e").await;
    let gateway = TestGateway::start(table("a", &[&engine])).await;
    let mut response = engine::send_post(&gateway.url("/team/a/stream"), CHAT).await;
    engine.emit("one");
    response.frame().await.unwrap().unwrap();
    engine.kill().await;
    let last = response.frame().await.unwrap().unwrap().into_data().unwrap();
    let last = std::str::from_utf8(&last).unwrap();
    assert!(last.starts_with("data: {\"error\":") && last.ends_with("}\n\n"), "{last}");
    assert!(last.contains("team/e"), "{last}");
}

#[tokio::test]
async fn bodies_and_heads_have_limits_and_too_many_requests_are_told_so() {
    let engine = Engine::start("e").await;
    let limits = Limits { max_body_bytes: 1000, max_concurrent_requests: 1, ..Limits::default() };
    let gateway = TestGateway::with_limits(table("a", &[&engine]), limits).await;
    let long = "x".repeat(2000);
    for path in ["/team/a/v1/chat/completions", "/team/a/other"] {
        let (status, body) = post(&gateway.url(path), &long).await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{path}");
        assert!(body.contains("1000 bytes"), "{body}");
    }
    let head = http::Request::get(gateway.url("/team/a/x")).header("x-long", "y".repeat(100_000));
    let response = engine::send(head.body(String::new()).unwrap()).await;
    assert_eq!(response.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    let waiting = tokio::spawn({
        let url = gateway.url("/team/a/wait");
        async move { engine::send_post(&url, CHAT).await }
    });
    engine.received("/wait").await;
    let (status, body) = post(&gateway.url("/team/a/other"), CHAT).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(body.contains("overloaded"), "{body}");
    waiting.abort();
}

#[tokio::test]
async fn a_body_that_is_no_json_is_refused_before_an_engine_sees_it() {
    let engine = Engine::start("e").await;
    let gateway = TestGateway::start(table("a", &[&engine])).await;
    let (status, body) = post(&gateway.url("/team/a/v1/chat/completions"), "{").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(body.contains("invalid_body"), "{body}");
    assert_eq!(engine.chats(), 0);
}

#[tokio::test]
async fn an_engine_that_keeps_its_time_limit_is_heard_and_one_that_does_not_is_a_504() {
    let engine = Engine::start("e").await;
    let mut table = table("a", &[&engine]);
    let mut route = Route::clone(&table.routes[0]);
    route.rules[1].backend_timeout = Some(Duration::from_millis(200));
    table.routes = vec![Arc::new(route)];
    let gateway = TestGateway::start(table).await;
    assert_eq!(post(&gateway.url("/team/a/other"), CHAT).await.0, StatusCode::OK);
    let (status, body) = post(&gateway.url("/team/a/wait"), CHAT).await;
    assert_eq!(status, StatusCode::GATEWAY_TIMEOUT);
    assert!(body.contains("upstream_timeout"), "{body}");
    engine.cancelled().await;
}

#[tokio::test]
async fn weights_divide_the_requests_and_zero_gets_none() {
    let (a, b, c) = (Engine::start("a").await, Engine::start("b").await, Engine::start("c").await);
    let mut table = both(both(table("a", &[&a]), table("b", &[&b])), table("c", &[&c]));
    let backend = |name: &str, weight| Backend {
        weight,
        filters: Vec::new(),
        target: Target::Pool(format!("team/{name}")),
    };
    let mut shared = rule("/shared", "/v1/chat/completions", Target::Unresolved(String::new()));
    shared.backends = vec![backend("a", 90), backend("b", 10), backend("c", 0)];
    let mut route = Route::clone(&table.routes[0]);
    route.rules = vec![shared];
    table.routes.push(Arc::new(route));
    let gateway = TestGateway::start(table).await;
    for _ in 0..100 {
        assert_eq!(post(&gateway.url("/shared"), CHAT).await.0, StatusCode::OK);
    }
    assert_eq!((a.chats(), b.chats(), c.chats()), (90, 10, 0));
}

#[tokio::test]
async fn metrics_are_asked_for_while_there_is_traffic_and_not_when_idle() {
    let engine = Engine::start("e").await;
    let limits = Limits { scrape_after_use: Duration::from_millis(300), ..Limits::default() };
    let gateway = TestGateway::with_limits(table("a", &[&engine]), limits).await;
    assert_eq!(engine.scrapes(), 0, "an engine that nobody uses is left alone");
    post(&gateway.url("/team/a/v1/chat/completions"), CHAT).await;
    engine.received("/metrics").await;
    engine.quiet_for(Duration::from_millis(500)).await;
    let scrapes = engine.scrapes();
    assert!(scrapes >= 3, "{scrapes} scrapes");
}

#[tokio::test]
async fn an_engine_with_a_certificate_of_its_own_is_spoken_to_as_its_pool_says() {
    let engine = Engine::start_tls("e").await;
    for (tls, status) in [
        (Tls::Unverified, StatusCode::OK),
        (Tls::Verified { ca_pem: engine.ca_pem(), server_name: None }, StatusCode::OK),
        (
            Tls::Verified { ca_pem: Engine::other_ca_pem(), server_name: None },
            StatusCode::SERVICE_UNAVAILABLE,
        ),
    ] {
        let mut table = table("a", &[]);
        let mut spec = Arc::unwrap_or_clone(engine.spec());
        spec.tls = tls.clone();
        let endpoints = vec![Arc::new(spec)];
        table.pools.insert("team/a".to_owned(), Arc::new(PoolSpec { endpoints, ..PoolSpec::default() }));
        let gateway = TestGateway::start(table).await;
        let answer = post(&gateway.url("/v1/chat/completions"), CHAT).await;
        assert_eq!(answer.0, status, "{tls:?} {}", answer.1);
    }
}

#[tokio::test]
async fn at_the_end_running_requests_are_answered_and_new_connections_are_not_taken() {
    let engine = Engine::start("e").await;
    let gateway = TestGateway::start(table("a", &[&engine])).await;
    let mut response = engine::send_post(&gateway.url("/team/a/stream"), CHAT).await;
    engine.emit("one");
    response.frame().await.unwrap().unwrap();
    let address = gateway.address;
    let ended = tokio::spawn(gateway.stop(Duration::from_secs(10)));
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    engine.emit("two");
    assert!(response.frame().await.unwrap().is_ok());
    engine.finish();
    ended.await.unwrap();
}
