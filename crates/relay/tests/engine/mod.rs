//! An engine of the tests: it answers, streams on command, waits, breaks, dies and comes back.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use relay::{EndpointSpec, Gateway, Limits, RouteTable, Tls};
use rustls::pki_types::PrivateKeyDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// A request as an engine got it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Got {
    pub(crate) uri: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

pub(crate) struct Engine {
    name: String,
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    server: Mutex<Option<AbortHandle>>,
    certificate: Option<Certificate>,
}

struct Certificate {
    acceptor: TlsAcceptor,
    ca_pem: Arc<str>,
}

#[derive(Default)]
struct Shared {
    got: watch::Sender<Vec<Got>>,
    scrapes: AtomicUsize,
    breaks: AtomicBool,
    /// Answers that were dropped before their end.
    cancelled: watch::Sender<usize>,
    cancellations_seen: AtomicUsize,
    stream: Mutex<Option<mpsc::UnboundedSender<Option<String>>>>,
}

impl Engine {
    pub(crate) async fn start(name: &str) -> Self {
        Self::with(name, None).await
    }

    pub(crate) async fn start_tls(name: &str) -> Self {
        let (cert, key) = issue(vec!["127.0.0.1".to_owned()]);
        let config =
            rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(
                    vec![cert.der().clone()],
                    PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
                )
                .unwrap();
        let certificate =
            Certificate { acceptor: TlsAcceptor::from(Arc::new(config)), ca_pem: cert.pem().as_str().into() };
        Self::with(name, Some(certificate)).await
    }

    async fn with(name: &str, certificate: Option<Certificate>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let engine = Self {
            name: name.to_owned(),
            address: listener.local_addr().unwrap(),
            shared: Arc::default(),
            server: Mutex::new(None),
            certificate,
        };
        engine.listen(listener);
        engine
    }

    fn listen(&self, listener: TcpListener) {
        let shared = Arc::clone(&self.shared);
        let acceptor = self.certificate.as_ref().map(|certificate| certificate.acceptor.clone());
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(serve(stream, acceptor.clone(), Arc::clone(&shared)));
            }
        });
        *self.server.lock().unwrap() = Some(task.abort_handle());
    }

    pub(crate) fn spec(&self) -> Arc<EndpointSpec> {
        Arc::new(EndpointSpec {
            name: format!("team/{}", self.name),
            address: self.address,
            ready: true,
            tls: Tls::Off,
            incarnation: String::new(),
            labels: Arc::new(BTreeMap::new()),
        })
    }

    pub(crate) fn ca_pem(&self) -> Arc<str> {
        Arc::clone(&self.certificate.as_ref().unwrap().ca_pem)
    }

    pub(crate) fn other_ca_pem() -> Arc<str> {
        issue(vec!["127.0.0.1".to_owned()]).0.pem().as_str().into()
    }

    /// The last request that was no scrape.
    pub(crate) fn last(&self) -> Got {
        self.shared.got.borrow().iter().rfind(|got| got.uri != "/metrics").cloned().unwrap()
    }

    pub(crate) fn chats(&self) -> usize {
        self.shared.got.borrow().iter().filter(|got| got.uri.contains("/chat/completions")).count()
    }

    pub(crate) fn scrapes(&self) -> usize {
        self.shared.scrapes.load(Ordering::SeqCst)
    }

    /// Waits for a request that begins so.
    pub(crate) async fn received(&self, path: &str) {
        let mut got = self.shared.got.subscribe();
        let waiting = got.wait_for(|all| all.iter().any(|got| got.uri.starts_with(path)));
        soon(waiting, "no such request came").await.unwrap();
    }

    /// Waits until no request at all came for this long.
    pub(crate) async fn quiet_for(&self, quiet: Duration) {
        let mut got = self.shared.got.subscribe();
        let waiting = async { while tokio::time::timeout(quiet, got.changed()).await.is_ok() {} };
        soon(waiting, "it never becomes quiet").await;
    }

    /// Waits for one more answer that was cut by the other side.
    pub(crate) async fn cancelled(&self) {
        let known = self.shared.cancellations_seen.fetch_add(1, Ordering::SeqCst);
        let mut cancelled = self.shared.cancelled.subscribe();
        soon(cancelled.wait_for(|count| *count > known), "the request was not ended").await.unwrap();
    }

    pub(crate) fn emit(&self, chunk: &str) {
        self.command(Some(chunk.to_owned()));
    }

    pub(crate) fn finish(&self) {
        self.command(None);
    }

    fn command(&self, command: Option<String>) {
        self.shared.stream.lock().unwrap().as_ref().expect("a stream").send(command).unwrap();
    }

    pub(crate) fn break_connections(&self) {
        self.shared.breaks.store(true, Ordering::SeqCst);
    }

    /// Closes the port and every connection.
    pub(crate) async fn kill(&self) {
        self.server.lock().unwrap().take().unwrap().abort();
        let gone = async {
            while TcpStream::connect(self.address).await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        soon(gone, "the engine does not die").await;
    }

    pub(crate) async fn revive(&self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.listen(listener);
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(server) = self.server.lock().unwrap().take() {
            server.abort();
        }
    }
}

fn issue(names: Vec<String>) -> (rcgen::Certificate, rcgen::KeyPair) {
    let key = rcgen::KeyPair::generate().unwrap();
    let cert = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    (cert, key)
}

async fn serve(stream: TcpStream, acceptor: Option<TlsAcceptor>, shared: Arc<Shared>) {
    if shared.breaks.load(Ordering::SeqCst) {
        // Takes the request and says nothing.
        stream.readable().await.unwrap();
        return;
    }
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(answer(request, &shared).await) }
    });
    let http = hyper::server::conn::http1::Builder::new();
    // A client that goes away is part of the tests.
    let _ = match acceptor {
        Some(acceptor) => match acceptor.accept(stream).await {
            Ok(stream) => http.serve_connection(TokioIo::new(stream), service).await,
            Err(_) => return,
        },
        None => http.serve_connection(TokioIo::new(stream), service).await,
    };
}

async fn answer(request: Request<Incoming>, shared: &Arc<Shared>) -> Response<Answer> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    if path == "/metrics" {
        shared.scrapes.fetch_add(1, Ordering::SeqCst);
    }
    // A body that its sender breaks off is part of the tests.
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let got = Got {
        uri: parts.uri.to_string(),
        headers: parts.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    };
    let guard = Cut(Arc::clone(shared));
    if path == "/stream" {
        let (sender, receiver) = mpsc::unbounded_channel();
        *shared.stream.lock().unwrap() = Some(sender);
        shared.got.send_modify(|all| all.push(got));
        let mut response = Response::new(Answer::Streamed(receiver, Some(guard), false));
        response.headers_mut().insert("content-type", HeaderValue::from_static("text/event-stream"));
        response.headers_mut().insert("trailer", HeaderValue::from_static("x-checksum"));
        return response;
    }
    shared.got.send_modify(|all| all.push(got));
    if path == "/wait" {
        std::future::pending::<()>().await;
    }
    std::mem::forget(guard);
    let text = if path == "/metrics" { "vllm:num_requests_waiting 0\n" } else { "{}" };
    Response::new(Answer::Whole(Full::new(Bytes::from(text))))
}

/// Counts when it is dropped.
struct Cut(Arc<Shared>);

impl Drop for Cut {
    fn drop(&mut self) {
        self.0.cancelled.send_modify(|count| *count += 1);
    }
}

enum Answer {
    Whole(Full<Bytes>),
    /// Chunks on command; trailers were sent.
    Streamed(mpsc::UnboundedReceiver<Option<String>>, Option<Cut>, bool),
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Self::Whole(body) => Pin::new(body).poll_frame(cx),
            Self::Streamed(_, _, true) => Poll::Ready(None),
            Self::Streamed(receiver, cut, over) => match receiver.poll_recv(cx) {
                Poll::Ready(Some(Some(chunk))) => {
                    Poll::Ready(Some(Ok(Frame::data(Bytes::from(format!("data: {chunk}\n\n"))))))
                }
                Poll::Ready(_) => {
                    std::mem::forget(cut.take());
                    *over = true;
                    let trailers = HeaderMap::from_iter([(
                        http::HeaderName::from_static("x-checksum"),
                        HeaderValue::from_static("7"),
                    )]);
                    Poll::Ready(Some(Ok(Frame::trailers(trailers))))
                }
                Poll::Pending => Poll::Pending,
            },
        }
    }
}

pub(crate) struct TestGateway {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<Duration>>,
    task: Option<JoinHandle<()>>,
}

impl TestGateway {
    pub(crate) async fn start(table: RouteTable) -> Self {
        Self::with_limits(table, Limits::default()).await
    }

    pub(crate) async fn with_limits(table: RouteTable, limits: Limits) -> Self {
        let gateway = Gateway::new(limits);
        gateway.publish(table);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let shutdown = async move { stopped.await.unwrap_or_default() };
        let task = tokio::spawn(relay::serve(Arc::clone(&gateway), listener, shutdown));
        Self { gateway, address, stop: Some(stop), task: Some(task) }
    }

    pub(crate) fn publish(&self, table: RouteTable) {
        self.gateway.publish(table);
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) async fn stop(mut self, drain: Duration) {
        self.stop.take().unwrap().send(drain).unwrap();
        soon(self.task.take().unwrap(), "the gateway does not end").await.unwrap();
    }
}

impl Drop for TestGateway {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

async fn soon<F: Future>(future: F, or: &str) -> F::Output {
    tokio::time::timeout(Duration::from_secs(10), future).await.unwrap_or_else(|_| panic!("{or}"))
}

pub(crate) async fn send(request: Request<String>) -> Response<Incoming> {
    let client: Client<_, String> = Client::builder(TokioExecutor::new()).build_http();
    soon(client.request(request), "no answer").await.unwrap()
}

pub(crate) async fn send_post_whole(url: &str, body: &str) -> Response<Incoming> {
    let request = Request::post(url).header("content-type", "application/json").header("te", "trailers");
    send(request.body(body.to_owned()).unwrap()).await
}

pub(crate) async fn send_post(url: &str, body: &str) -> Incoming {
    let response = send_post_whole(url, body).await;
    assert_eq!(response.status(), StatusCode::OK);
    response.into_body()
}

pub(crate) async fn text(response: Response<Incoming>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

pub(crate) async fn post(url: &str, body: &str) -> (StatusCode, String) {
    let response = send_post_whole(url, body).await;
    (response.status(), text(response).await)
}

pub(crate) async fn get(url: &str) -> (StatusCode, String) {
    let response = send(Request::get(url).body(String::new()).unwrap()).await;
    (response.status(), text(response).await)
}
