//! The sidecar of a decoding engine: has the prompt of a request computed by the engine that the scheduler names, then
//! lets its own engine answer with the KV cache of the first.
//!
//! ```text
//! request with x-prefiller-host-port ──► prefill engine (one token) ──► own engine, told where the blocks are ──► answer
//! any other request ───────────────────────────────────────────────────► own engine
//! ```
//!
//! The connector is vLLM's NIXL, one leg after the other. A client that leaves ends the leg that runs.

mod options;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderName, Method, Request, Response, Uri, Version, request};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use wire::transfer::{self, Api};

use crate::body::{BodyError, SentBody, read_whole};
use crate::headers;
use crate::refusal::Refusal;
use crate::server::{Heads, listen};
use crate::table::Tls;
use crate::upstream::{SendError, Upstreams};

pub use options::{Options, OptionsError};

/// Headers that are for the sidecar and end here.
const OWN_HEADERS: [HeaderName; 3] = [
    HeaderName::from_static(wire::headers::PREFILLER_HOST_PORT),
    HeaderName::from_static(wire::headers::ENCODER_HOSTS_PORTS),
    HeaderName::from_static(wire::headers::KV_CACHE_SOURCE_HOST_PORT),
];
/// How long running requests get to end when a sidecar is told to end; whoever told it may have less patience.
pub const DRAIN: Duration = Duration::from_secs(60);
/// How long a connection to an engine may take to come about.
const CONNECT: Duration = Duration::from_secs(2);
/// Longest body that is read: that of a request in two legs, and the answer of the first.
const MAX_BODY_BYTES: usize = 64 << 20;
const HEADS: Heads = Heads { timeout: Duration::from_secs(30), max_bytes: 1 << 20 };

type ReplyBody = UnsyncBoxBody<Bytes, BodyError>;

/// Why a sidecar cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum SidecarError {
    /// The certificate cannot be used.
    #[error("{file}: {reason}")]
    Certificate {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Options {
    /// Where it listens.
    pub fn listen(&self) -> SocketAddr {
        SocketAddr::new(self.host.unwrap_or(Ipv4Addr::UNSPECIFIED.into()), self.port)
    }

    fn engine(&self) -> SocketAddr {
        SocketAddr::new(self.host.unwrap_or(Ipv4Addr::LOCALHOST.into()), self.engine_port)
    }
}

/// Serves a listener until `shutdown` is done, then lets running requests end for at most as long as it said.
///
/// # Errors
/// If the certificate cannot be used.
pub async fn serve(
    options: Options,
    listener: TcpListener,
    shutdown: impl Future<Output = Duration>,
) -> Result<(), SidecarError> {
    let tls = acceptor(&options)?;
    let sidecar = Arc::new(Sidecar { upstreams: Upstreams::new(CONNECT), options });
    let answer = move |request, client| {
        let sidecar = Arc::clone(&sidecar);
        async move { sidecar.answer(request, client).await }
    };
    listen(listener, tls, HEADS, shutdown, answer).await;
    Ok(())
}

fn acceptor(options: &Options) -> Result<Option<TlsAcceptor>, SidecarError> {
    let Some(directory) = &options.certificates else { return Ok(None) };
    let (certificate, key) = (directory.join("tls.crt"), directory.join("tls.key"));
    let unusable = |file: &std::path::Path, reason: &dyn std::fmt::Display| SidecarError::Certificate {
        file: file.display().to_string(),
        reason: reason.to_string(),
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&certificate)
        .and_then(Iterator::collect)
        .map_err(|error| unusable(&certificate, &error))?;
    let private = PrivateKeyDer::from_pem_file(&key).map_err(|error| unusable(&key, &error))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private))
        .map_err(|error| unusable(&certificate, &error))?;
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}

struct Sidecar {
    options: Options,
    upstreams: Upstreams,
}

impl Sidecar {
    async fn answer(&self, request: Request<Incoming>, client: Option<IpAddr>) -> Response<ReplyBody> {
        match self.serve(request, client).await {
            Ok(response) => response,
            Err(refusal) => {
                tracing::debug!(status = refusal.status.as_u16(), "{}", refusal.message);
                refusal.into_response().map(|body| body.boxed_unsync())
            }
        }
    }

    async fn serve(
        &self,
        request: Request<Incoming>,
        client: Option<IpAddr>,
    ) -> Result<Response<ReplyBody>, Refusal> {
        let (mut parts, mut body) = request.into_parts();
        if parts.uri.path() == "/health" && matches!(parts.method, Method::GET | Method::HEAD) {
            return Ok(Response::new(whole(Bytes::new())));
        }
        let prefill = parts
            .headers
            .get(&OWN_HEADERS[0])
            .and_then(|value| value.to_str().ok())
            .and_then(|list| list.split(',').next())
            .map(|first| first.trim().to_owned())
            .filter(|first| !first.is_empty());
        let authority = parts.uri.authority().map(|authority| authority.as_str().to_owned());
        headers::prepare_request(&mut parts.headers, authority.as_deref(), client);
        OWN_HEADERS.iter().for_each(|name| drop(parts.headers.remove(name)));
        let api = Api::at(parts.uri.path()).filter(|_| parts.method == Method::POST);
        let (Some(prefill), Some(api)) = (prefill, api) else {
            let body = SentBody::Streamed(Box::new(Limited::new(body, MAX_BODY_BYTES)));
            return self.decode(&parts, body).await;
        };
        let target = self.target(&prefill)?;
        headers::request_id(&mut parts.headers);
        let bytes = read_whole(&mut body, MAX_BODY_BYTES).await?;
        let asked = transfer::Body::read(&bytes)
            .map_err(|error| Refusal::bad_request("invalid_body", error.to_string()))?;
        let first = asked.prefill_leg(api).into();
        let answered = self.send(target, self.options.prefill_tls, &parts, sent(first)).await;
        let answered = answered.map_err(|error| {
            let words = error.words();
            Refusal::upstream(format!("the prefill engine at {target} does not answer: {words}"))
        })?;
        if !answered.status().is_success() {
            return Ok(reply(answered));
        }
        let (_, mut body) = answered.into_parts();
        let kept = read_whole(&mut body, MAX_BODY_BYTES)
            .await
            .map_err(|_| Refusal::upstream(format!("the prefill engine at {target} broke off its answer")))?;
        let params = transfer::params_of_answer(&kept).map_err(|error| {
            Refusal::upstream(format!("the answer of the prefill engine at {target} is of no use: {error}"))
        })?;
        if params.is_none() {
            tracing::warn!(%target, "the prefill engine says nothing of its blocks; the prompt is computed again");
        }
        self.decode(&parts, sent(asked.decode_leg(params).into())).await
    }

    /// Where the prompt is to be computed.
    fn target(&self, header: &str) -> Result<SocketAddr, Refusal> {
        let text = header.trim_start_matches("http://").trim_start_matches("https://");
        let target: SocketAddr = text.parse().map_err(|_| {
            Refusal::upstream(format!(
                "{header:?} is not the address of a prefill engine, as in 127.1.2.3:8000"
            ))
        })?;
        let allowed = !self.options.only_neighbours
            || self.options.host.is_some_and(|own| own.is_loopback() == target.ip().is_loopback());
        if allowed {
            return Ok(target);
        }
        Err(Refusal::forbidden("prefill target not allowed by SSRF protection".to_owned()))
    }

    /// Has the own engine answer.
    async fn decode(&self, parts: &request::Parts, body: SentBody) -> Result<Response<ReplyBody>, Refusal> {
        let engine = self.options.engine();
        match self.send(engine, self.options.engine_tls, parts, body).await {
            Ok(response) => Ok(reply(response)),
            Err(error) if error.is_body_too_large() => Err(Refusal::too_large(MAX_BODY_BYTES)),
            Err(error) if error.is_connect() => Err(Refusal::not_ready(format!(
                "the engine at {engine} takes no connection: {}",
                error.words()
            ))),
            Err(error) => Err(Refusal::upstream(format!(
                "the engine at {engine} broke the connection before it answered: {}",
                error.words()
            ))),
        }
    }

    async fn send(
        &self,
        to: SocketAddr,
        with_tls: bool,
        parts: &request::Parts,
        body: SentBody,
    ) -> Result<Response<Incoming>, SendError> {
        let mut request = Request::new(body);
        let length = match request.body() {
            SentBody::Whole(bytes) => Some(bytes.as_ref().map_or(0, Bytes::len)),
            SentBody::Streamed(_) => None,
        };
        *request.method_mut() = parts.method.clone();
        *request.headers_mut() = parts.headers.clone();
        if let Some(length) = length {
            headers::set_length(request.headers_mut(), length);
        }
        let path = parts.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        let mut uri = http::uri::Parts::default();
        uri.scheme = Some(if with_tls { http::uri::Scheme::HTTPS } else { http::uri::Scheme::HTTP });
        uri.authority = to.to_string().parse::<Authority>().ok();
        uri.path_and_query = Some(path);
        *request.uri_mut() = Uri::from_parts(uri).unwrap_or_default();
        let tls = if with_tls { Tls::Unverified } else { Tls::Off };
        self.upstreams.send(&tls, request).await
    }
}

fn sent(bytes: Bytes) -> SentBody {
    SentBody::Whole(Some(bytes))
}

fn whole(bytes: Bytes) -> ReplyBody {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// An engine's answer on its way to the client.
fn reply(response: Response<Incoming>) -> Response<ReplyBody> {
    let (mut parts, body) = response.into_parts();
    headers::prepare_answer(&mut parts.headers);
    parts.version = Version::HTTP_11;
    Response::from_parts(parts, body.map_err(BodyError::from).boxed_unsync())
}
