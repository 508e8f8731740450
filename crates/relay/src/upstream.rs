//! Connections to engines: kept open, plain or TLS, one pool of them per way of speaking TLS.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::body::SentBody;
use crate::table::Tls;

/// How long an unused connection is kept.
const IDLE: Duration = Duration::from_secs(60);

/// Why TLS to an engine cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificates of the authority cannot be read.
    #[error("the CA certificates for an engine are not valid PEM: {0}")]
    Ca(String),
    /// The library does not take the settings.
    #[error("TLS to an engine cannot be set up: {0}")]
    Settings(#[from] rustls::Error),
    /// A name that no certificate can carry.
    #[error("{0:?} is not a name that a certificate can carry")]
    ServerName(String),
}

/// All clients of one gateway.
pub(crate) struct Upstreams {
    connect_timeout: Duration,
    plain: EngineClient,
    tls: Mutex<HashMap<Tls, EngineClient>>,
}

type EngineClient = Client<Connector, SentBody>;

impl Upstreams {
    pub(crate) fn new(connect_timeout: Duration) -> Self {
        let plain = client(Connector { connect_timeout, tls: None });
        Self { connect_timeout, plain, tls: Mutex::default() }
    }

    /// Sends a request to an engine. Dropping the future, or the answer's body, closes the connection.
    pub(crate) async fn send(
        &self,
        tls: &Tls,
        request: Request<SentBody>,
    ) -> Result<Response<Incoming>, SendError> {
        let client = match tls {
            Tls::Off => self.plain.clone(),
            _ => self.with_tls(tls)?,
        };
        client.request(request).await.map_err(SendError::Http)
    }

    fn with_tls(&self, tls: &Tls) -> Result<EngineClient, TlsError> {
        let mut clients = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = clients.get(tls) {
            return Ok(known.clone());
        }
        let connector = Connector { connect_timeout: self.connect_timeout, tls: Some(Secured::new(tls)?) };
        let made = client(connector);
        clients.insert(tls.clone(), made.clone());
        Ok(made)
    }

    /// Forgets the clients of certificates that no engine uses any more.
    pub(crate) fn keep_only(&self, used: &std::collections::HashSet<&Tls>) {
        self.tls.lock().unwrap_or_else(PoisonError::into_inner).retain(|tls, _| used.contains(tls));
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Http(Error),
}

impl SendError {
    /// No connection was made, so the request went nowhere.
    pub(crate) fn is_connect(&self) -> bool {
        matches!(self, Self::Http(error) if error.is_connect())
    }

    /// The innermost cause in words.
    pub(crate) fn words(&self) -> String {
        let mut cause: &dyn std::error::Error = self;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        cause.to_string()
    }

    /// Whether the client's own body was too long.
    pub(crate) fn is_body_too_large(&self) -> bool {
        self.has_cause(|cause| cause.is::<http_body_util::LengthLimitError>())
    }

    fn has_cause(&self, wanted: impl Fn(&(dyn std::error::Error + 'static)) -> bool) -> bool {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(error) = cause {
            if wanted(error) {
                return true;
            }
            cause = error.source();
        }
        false
    }
}

fn client(connector: Connector) -> EngineClient {
    Client::builder(TokioExecutor::new())
        .pool_idle_timeout(IDLE)
        .pool_timer(TokioTimer::new())
        // The host header is the client's.
        .set_host(false)
        .build(connector)
}

/// Opens connections to engines.
#[derive(Clone)]
struct Connector {
    connect_timeout: Duration,
    tls: Option<Secured>,
}

#[derive(Clone)]
struct Secured {
    connector: TlsConnector,
    server_name: Option<ServerName<'static>>,
}

impl Secured {
    fn new(tls: &Tls) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let (config, server_name) = match tls {
            Tls::Verified { ca_pem, server_name } => {
                let mut roots = RootCertStore::empty();
                for certificate in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
                    roots.add(certificate.map_err(|error| TlsError::Ca(error.to_string()))?)?;
                }
                if roots.is_empty() {
                    return Err(TlsError::Ca("there is no certificate in it".to_owned()));
                }
                let name = server_name.as_ref().map(|name| {
                    ServerName::try_from(name.clone()).map_err(|_| TlsError::ServerName(name.clone()))
                });
                (builder.with_root_certificates(roots).with_no_client_auth(), name.transpose()?)
            }
            Tls::Off | Tls::Unverified => {
                let verifier = Arc::new(AnyCertificate(provider));
                (builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth(), None)
            }
        };
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), server_name })
    }
}

impl Connector {
    async fn connect(self, uri: Uri) -> io::Result<TokioIo<EngineStream>> {
        let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        let address: SocketAddr =
            authority.parse().map_err(|_| io::Error::other(format!("{authority} is not an address")))?;
        let connecting = async {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let Some(secured) = self.tls else { return Ok(EngineStream::Plain(stream)) };
            let name = secured.server_name.unwrap_or_else(|| ServerName::IpAddress(address.ip().into()));
            Ok(EngineStream::Tls(Box::new(secured.connector.connect(name, stream).await?)))
        };
        match tokio::time::timeout(self.connect_timeout, connecting).await {
            Ok(stream) => stream.map(TokioIo::new),
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "no connection in time")),
        }
    }
}

impl tower::Service<Uri> for Connector {
    type Response = TokioIo<EngineStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

enum EngineStream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection for EngineStream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for EngineStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for EngineStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// Takes any certificate, but checks that the other side holds its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
