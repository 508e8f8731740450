//! `llmisvc sidecar`: the sidecar of a decoding engine as a program.

use anyhow::Context;
use relay::sidecar::{self, Options};
use tokio::net::TcpListener;

use crate::problem::{Failure, Problem};
use crate::signals::told_to_end;

/// Serves until SIGTERM or SIGINT. The arguments are those of llm-d's `pd-sidecar`.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let options = Options::from_args(args).map_err(|error| {
        Problem::new(error.to_string())
            .hint("the arguments are those of `pd-sidecar --port=8000 --model-server-port=8001 --secure-proxy=false`")
    })?;
    // It only waits for others: one thread is enough.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(async {
        let address = options.listen();
        let listener =
            TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
        tracing::info!(%address, engine_port = options.engine_port, "sidecar");
        let told = told_to_end()?;
        let stopped = async move {
            told.await;
            sidecar::DRAIN
        };
        sidecar::serve(options, listener, stopped).await.context("the sidecar ended")
    })?;
    Ok(())
}
