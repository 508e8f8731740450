//! Takes connections of clients and ends them in order: no new ones, running answers to their end, up to a limit.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::gateway::Gateway;
use crate::scrape;

/// Serves a listener until `shutdown` is done, then lets running requests end for at most as long as it said. HTTP/1.1
/// and, from clients that begin with it, HTTP/2.
pub async fn serve(gateway: Arc<Gateway>, listener: TcpListener, shutdown: impl Future<Output = Duration>) {
    let (closing, closed) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut background = JoinSet::new();
    background.spawn(scrape::run(Arc::clone(&gateway)));
    let mut shutdown = std::pin::pin!(shutdown);
    let drain = loop {
        tokio::select! {
            drain = &mut shutdown => break drain,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(Arc::clone(&gateway), stream, closed.clone()));
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
        let cut = gateway.requests_in_flight();
        tracing::warn!(cut, "requests were still running at the end and are cut");
    }
    connections.shutdown().await;
    background.shutdown().await;
}

async fn connection(gateway: Arc<Gateway>, stream: TcpStream, mut closed: watch::Receiver<bool>) {
    // Chunks of a stream go out as they come.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let client = stream.peer_addr().ok().map(|address| address.ip());
    let limits = gateway.limits.clone();
    let service = service_fn(move |request| {
        let gateway = Arc::clone(&gateway);
        async move { Ok::<_, Infallible>(gateway.handle(request, client).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(limits.max_header_bytes.max(8 << 10));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(limits.max_header_bytes).unwrap_or(u32::MAX));
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
