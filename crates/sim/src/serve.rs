//! Serves one engine on a listener until it is told to end.

use std::{future::Future, io, sync::Arc, time::Duration};

use axum::serve::ListenerExt;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tracing::{debug, info};

use crate::{Options, routes, server::Server, tls};

/// How long connections may stay open after all answers have been ended.
const CLOSING: Duration = Duration::from_secs(2);

/// Why an engine cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Only one of certificate and key is named.
    #[error("--ssl-certfile and --ssl-keyfile must be given together")]
    HalfTls,
    /// Certificate or key cannot be used.
    #[error("{file}: {reason}")]
    Certificate {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The listener failed.
    #[error("the listener failed: {0}")]
    Listener(#[from] io::Error),
}

/// Serves an engine until `shutdown` completes. Then no new connection is taken, running requests end at once with the
/// finish reason `abort` and a proper end of their streams (as a real engine does at SIGTERM), or after
/// [`Options::shutdown_timeout_s`], in which they may complete.
///
/// # Errors
/// If the TLS files cannot be used or the listener fails.
pub async fn serve(
    options: Options,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let acceptor = tls::acceptor(&options)?;
    let grace = Duration::try_from_secs_f64(options.shutdown_timeout_s).unwrap_or_default();
    if options.context_tokens() < options.max_model_len {
        info!(
            max_model_len = options.context_tokens(),
            "the KV cache holds less than --max-model-len, which is lowered to what it holds"
        );
    }
    let server = Arc::new(Server::new(options));
    let router = routes::router(Arc::clone(&server));
    let (closing, mut closed) = watch::channel(false);
    let stop_accepting = async move {
        // An error means that the sender is gone, which also is an end.
        let _ = closed.wait_for(|closing| *closing).await;
    };

    let ending = {
        let server = Arc::clone(&server);
        async move {
            shutdown.await;
            if !grace.is_zero() {
                let all_done = async {
                    while server.with_engine(|engine| engine.due_ns().is_some()) {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                };
                // Whether they are done or the time is over, what is left is ended.
                let _ = tokio::time::timeout(grace, all_done).await;
            }
            // The receiver lives as long as the server below.
            let _ = closing.send(true);
            server.abort_all();
            tokio::time::sleep(CLOSING).await;
        }
    };
    let serving = async {
        match acceptor {
            None => {
                let listener = listener.tap_io(|stream| send_at_once(stream));
                axum::serve(listener, router).with_graceful_shutdown(stop_accepting).await
            }
            Some(acceptor) => {
                let listener = tls::Listener::new(listener, acceptor)?;
                axum::serve(listener, router).with_graceful_shutdown(stop_accepting).await
            }
        }
    };
    tokio::select! {
        served = serving => served.map_err(ServeError::from),
        () = ending => Ok(()),
        () = server.drive() => Ok(()),
    }
}

/// Tokens are small and must not wait for the acknowledgement of the one before.
pub(crate) fn send_at_once(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "a connection does without TCP_NODELAY");
    }
}
