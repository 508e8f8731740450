//! `llmisvc sim`: the simulated engine as a program.

use anyhow::Context;
use tokio::net::TcpListener;

use crate::problem::{Failure, Problem};
use crate::signals::told_to_end;

/// Serves until SIGTERM or SIGINT. The arguments are those of `vllm serve`.
pub(crate) fn run(args: Vec<String>) -> Result<(), Failure> {
    let (options, ignored) = sim::Options::from_args(args).map_err(|error| {
        Problem::new(error.to_string()).hint("the arguments are those of `vllm serve MODEL --port 8000`")
    })?;
    if !ignored.is_empty() {
        tracing::info!(flags = ignored.join(" "), "the simulated engine does nothing about these");
    }
    // One thread: hundreds of these may run on a laptop, each nearly always idle.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(async {
        let stopped = told_to_end()?;
        if options.headless {
            tracing::info!("{}", options.worker_words());
            stopped.await;
            return Ok(());
        }
        let host = options.host.clone().unwrap_or_else(|| "0.0.0.0".to_owned());
        let listener = TcpListener::bind((host.as_str(), options.port))
            .await
            .with_context(|| format!("cannot listen on {host}:{}", options.port))?;
        let address = listener.local_addr().context("no address")?;
        tracing::info!(%address, models = options.names().join(", "), "simulated engine: its answers are made up");
        sim::serve(options, listener, stopped).await.context("the engine ended")
    })?;
    Ok(())
}
