//! Simulated engines and sidecars as tasks of this process, and the logs of all pods for `kubectl logs`.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::node::logs::{LogQuery, Logs};
use crate::node::{EngineCall, EngineLauncher, InlineProgram};

/// Runs a program as a task. Exit codes are those of the program.
pub(super) fn launcher() -> EngineLauncher {
    Arc::new(|call: EngineCall| match call.program {
        InlineProgram::Engine => engine(call).boxed(),
        InlineProgram::Sidecar => sidecar(call).boxed(),
    })
}

async fn engine(call: EngineCall) -> i32 {
    let EngineCall { program: _, argv, env: _, log, ready, mut stop } = call;
    let say = |text: String| log.line("stderr", &text);
    let (options, ignored) = match sim::Options::from_args(argv) {
        Ok(read) => read,
        Err(error) => {
            say(format!("error: {error}"));
            return 2;
        }
    };
    if !ignored.is_empty() {
        say(format!("the simulated engine does nothing about {}", ignored.join(" ")));
    }
    if options.headless {
        say(options.worker_words());
        ready.send_replace(true);
        // An error means that the agent is gone, which also is an end.
        let _ = stop.wait_for(|stop| *stop).await;
        return 0;
    }
    let host = options.host.clone().unwrap_or_else(|| "127.0.0.1".to_owned());
    let listener = match TcpListener::bind((host.as_str(), options.port)).await {
        Ok(listener) => listener,
        Err(error) => {
            say(format!("error: cannot listen on {host}:{}: {error}", options.port));
            return 1;
        }
    };
    say(format!("simulated engine for {} on {host}:{}", options.names().join(", "), options.port));
    ready.send_replace(true);
    let stopped = async move {
        // An error means that the agent is gone, which also is an end.
        let _ = stop.wait_for(|stop| *stop).await;
    };
    match sim::serve(options, listener, stopped).await {
        Ok(()) => 0,
        Err(error) => {
            say(format!("error: {error}"));
            1
        }
    }
}

async fn sidecar(call: EngineCall) -> i32 {
    let EngineCall { program: _, argv, env: _, log, ready, mut stop } = call;
    let say = |text: String| log.line("stderr", &text);
    let options = match relay::sidecar::Options::from_args(&argv) {
        Ok(options) => options,
        Err(error) => {
            say(format!("error: {error}"));
            return 2;
        }
    };
    let address = options.listen();
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) => {
            say(format!("error: cannot listen on {address}: {error}"));
            return 1;
        }
    };
    say(format!("sidecar on {address}, for the engine at port {}", options.engine_port));
    ready.send_replace(true);
    let stopped = async move {
        // An error means that the agent is gone, which also is an end.
        let _ = stop.wait_for(|stop| *stop).await;
        relay::sidecar::DRAIN
    };
    match relay::sidecar::serve(options, listener, stopped).await {
        Ok(()) => 0,
        Err(error) => {
            say(format!("error: {error}"));
            1
        }
    }
}

/// Where `kubectl logs` reads. The node agent that writes the logs starts after the API server that shows them, so
/// its logs are filled in later.
pub(super) fn log_source(logs: Arc<OnceLock<Logs>>) -> apiserver::Logs {
    Arc::new(move |request: apiserver::LogRequest| {
        let logs = logs.get().ok_or_else(|| "the node agent has not started yet".to_owned())?;
        let query = LogQuery {
            namespace: request.namespace,
            pod: request.pod,
            container: request.container,
            follow: request.follow,
            previous: request.previous,
            timestamps: request.timestamps,
            tail_lines: request.tail_lines.and_then(|count| usize::try_from(count).ok()),
            since: request.since,
            limit_bytes: request.limit_bytes.and_then(|count| usize::try_from(count).ok()),
        };
        let lines = logs.read(query).map_err(|error| error.to_string())?;
        let (sender, receiver) = mpsc::channel::<Bytes>(16);
        tokio::spawn(async move {
            let mut lines = std::pin::pin!(lines);
            while let Some(line) = lines.next().await {
                if sender.send(line).await.is_err() {
                    return;
                }
            }
        });
        Ok(receiver)
    })
}
