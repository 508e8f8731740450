//! Takes connections of clients and ends them in order: no new ones, running answers to their end, up to a limit.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::body::BodyError;
use crate::gateway::Gateway;
use crate::scrape;

/// Serves a listener until `shutdown` is done, then lets running requests end for at most as long as it said. HTTP/1.1
/// and, from clients that begin with it, HTTP/2.
pub async fn serve(gateway: Arc<Gateway>, listener: TcpListener, shutdown: impl Future<Output = Duration>) {
    let mut background = JoinSet::new();
    background.spawn(scrape::run(Arc::clone(&gateway)));
    let heads = Heads { timeout: gateway.limits.header_timeout, max_bytes: gateway.limits.max_header_bytes };
    let answer = move |request, client| {
        let gateway = Arc::clone(&gateway);
        async move { gateway.handle(request, client).await }
    };
    listen(listener, None, heads, shutdown, answer).await;
    background.shutdown().await;
}

/// What a client may send as the head of a request.
#[derive(Clone, Copy)]
pub(crate) struct Heads {
    pub(crate) timeout: Duration,
    pub(crate) max_bytes: usize,
}

/// Serves a listener, plain or TLS, until `shutdown` is done and running answers have ended.
pub(crate) async fn listen<A, F, B>(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    heads: Heads,
    shutdown: impl Future<Output = Duration>,
    answer: A,
) where
    A: Fn(Request<Incoming>, Option<IpAddr>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error = BodyError> + Send + 'static,
{
    let (closing, closed) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    let drain = loop {
        tokio::select! {
            drain = &mut shutdown => break drain,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let (tls, answer, closed) = (tls.clone(), answer.clone(), closed.clone());
                    connections.spawn(accept(stream, tls, heads, closed, answer));
                }
                Err(error) => {
                    // Out of descriptors, most likely: those that end make room.
                    tracing::warn!(%error, "a connection could not be taken");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    };
    drop(listener);
    closing.send_replace(true);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(drain, ended).await.is_err() {
        tracing::warn!("requests were still running at the end and are cut");
    }
    connections.shutdown().await;
}

async fn accept<A, F, B>(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    heads: Heads,
    closed: watch::Receiver<bool>,
    answer: A,
) where
    A: Fn(Request<Incoming>, Option<IpAddr>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error = BodyError> + Send + 'static,
{
    // Chunks of a stream go out as they come.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let client = stream.peer_addr().ok().map(|address| address.ip());
    let answer = move |request| answer(request, client);
    match tls {
        None => connection(stream, heads, closed, answer).await,
        Some(tls) => match tokio::time::timeout(heads.timeout, tls.accept(stream)).await {
            Ok(Ok(stream)) => connection(stream, heads, closed, answer).await,
            // A failed handshake is the client's affair.
            Ok(Err(error)) => tracing::debug!(%error, "a client's handshake failed"),
            Err(_) => {}
        },
    }
}

async fn connection<S, F, B>(
    stream: S,
    heads: Heads,
    mut closed: watch::Receiver<bool>,
    answer: impl Fn(Request<Incoming>) -> F,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error = BodyError> + Send + 'static,
{
    let service = service_fn(move |request| {
        let answered = answer(request);
        async move { Ok::<_, Infallible>(answered.await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(heads.timeout)
        .max_buf_size(heads.max_bytes.max(8 << 10));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(heads.max_bytes).unwrap_or(u32::MAX));
    let mut serving = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let closing = async { closed.wait_for(|closed| *closed).await.is_ok() };
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        _ = closing => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a client's connection ended early");
    }
}
