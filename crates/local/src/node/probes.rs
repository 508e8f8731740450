//! Startup, readiness and liveness probes: asking. What the answers mean is decided in [`super::thresholds`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, header::HOST};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Container, HTTPGetAction, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::process::Control;
use super::thresholds::{Heard, Row, seconds};

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finding {
    /// The startup probe succeeded, or there is none.
    Started,
    /// It serves, or serves no more.
    Ready(bool),
    /// One probe failed: which, and why.
    Unhealthy(&'static str, String),
    /// It must be restarted: which probe says so.
    Dead(&'static str),
}

/// Whom to ask.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// The pod's address.
    pub pod_ip: String,
    /// For commands.
    pub control: Control,
    /// The container, for its named ports.
    pub container: Arc<Container>,
}

/// Probes until dropped; `tell` hears every finding that changes something.
pub(crate) async fn watch(target: Target, tell: impl Fn(Finding)) {
    let container = Arc::clone(&target.container);
    match &container.startup_probe {
        Some(probe) => {
            let row = Row::startup(probe);
            let delay = row.delay(probe);
            if !follow(&target, probe, row, delay, &tell).await {
                return;
            }
        }
        None => tell(Finding::Started),
    }
    let readiness = async {
        match &container.readiness_probe {
            Some(probe) => {
                let row = Row::readiness(probe);
                // A startup probe that has just succeeded stands for the delay.
                let delay = if container.startup_probe.is_none() { row.delay(probe) } else { Duration::ZERO };
                follow(&target, probe, row, delay, &tell).await;
            }
            None => tell(Finding::Ready(true)),
        }
    };
    let liveness = async {
        if let Some(probe) = &container.liveness_probe {
            let row = Row::liveness(probe);
            let delay = row.delay(probe);
            follow(&target, probe, row, delay, &tell).await;
        }
    };
    futures_util::join!(readiness, liveness);
}

/// Probes as often as the row asks for, until it has nothing more to ask; whether the container is alive then.
async fn follow(
    target: &Target,
    probe: &Probe,
    mut row: Row,
    delay: Duration,
    tell: &impl Fn(Finding),
) -> bool {
    sleep(delay).await;
    let begun = Instant::now();
    loop {
        let result = check(target, probe).await;
        let Heard { findings, pause } = row.hear(begun.elapsed(), result);
        let dead = findings.iter().any(|finding| matches!(finding, Finding::Dead(_)));
        findings.into_iter().for_each(tell);
        match pause {
            Some(pause) => sleep(pause).await,
            None => return !dead,
        }
    }
}

/// Asks once.
async fn check(target: &Target, probe: &Probe) -> Result<(), String> {
    let limit = seconds(probe.timeout_seconds.filter(|seconds| *seconds > 0), 1);
    match timeout(limit, ask(target, probe)).await {
        Ok(result) => result,
        Err(_) => Err(format!("no answer within {} s", limit.as_secs())),
    }
}

async fn ask(target: &Target, probe: &Probe) -> Result<(), String> {
    if let Some(get) = &probe.http_get {
        let host = get.host.as_deref().filter(|host| !host.is_empty()).unwrap_or(&target.pod_ip);
        let port = port(&get.port, &target.container)?;
        let headers =
            get.http_headers.iter().flatten().map(|header| (header.name.clone(), header.value.clone()));
        let secure = get.scheme.as_deref() == Some("HTTPS");
        let path = get.path.as_deref().filter(|path| !path.is_empty()).unwrap_or("/");
        let status = http_get(host, port, path, secure, headers.collect()).await?;
        return if (200..400).contains(&status) {
            Ok(())
        } else {
            Err(format!("HTTP probe failed with statuscode: {status}"))
        };
    }
    if let Some(exec) = &probe.exec {
        let command = exec.command.clone().unwrap_or_default();
        return match target.control.exec(command).await {
            Some((0, _)) => Ok(()),
            Some((code, output)) => Err(format!("command exited with {code}: {}", output.trim())),
            None => Err("the container has ended".to_owned()),
        };
    }
    let (host, port) = if let Some(tcp) = &probe.tcp_socket {
        (tcp.host.as_deref().unwrap_or(&target.pod_ip), port(&tcp.port, &target.container)?)
    } else if let Some(grpc) = &probe.grpc {
        // Who listens on a gRPC health port is taken as healthy.
        (target.pod_ip.as_str(), number(grpc.port)?)
    } else {
        return Ok(());
    };
    connect(host, port).await.map(drop)
}

/// Calls a lifecycle hook; what it answers does not matter.
pub(crate) async fn call(get: &HTTPGetAction, pod_ip: &str, container: &Container) {
    if let Ok(port) = port(&get.port, container) {
        let host = get.host.as_deref().filter(|host| !host.is_empty()).unwrap_or(pod_ip);
        let secure = get.scheme.as_deref() == Some("HTTPS");
        let _ = http_get(host, port, get.path.as_deref().unwrap_or("/"), secure, Vec::new()).await;
    }
}

async fn http_get(
    host: &str,
    port: u16,
    path: &str,
    secure: bool,
    headers: Vec<(String, String)>,
) -> Result<u16, String> {
    let stream = connect(host, port).await?;
    let mut request = Request::get(if path.starts_with('/') { path.to_owned() } else { format!("/{path}") });
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        request = request.header(HOST, format!("{host}:{port}"));
    }
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request.header("user-agent", "kube-probe/1.36").header("connection", "close");
    let request = request.body(Empty::<bytes::Bytes>::new()).map_err(|error| error.to_string())?;
    if secure {
        let stream = tls::connect(stream, host).await.map_err(|error| error.to_string())?;
        exchange(TokioIo::new(stream), request).await
    } else {
        exchange(TokioIo::new(stream), request).await
    }
}

async fn exchange<S>(stream: S, request: Request<Empty<bytes::Bytes>>) -> Result<u16, String>
where
    S: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(stream).await.map_err(|error| error.to_string())?;
    let mut response = std::pin::pin!(sender.send_request(request));
    let response = tokio::select! {
        response = &mut response => response,
        // A server that closes at once may have answered before.
        _ = connection => response.await,
    };
    response.map(|response| response.status().as_u16()).map_err(|error| error.to_string())
}

async fn connect(host: &str, port: u16) -> Result<TcpStream, String> {
    let failed = |error: std::io::Error| format!("dial tcp {host}:{port}: {error}");
    match host.parse().map(|ip| SocketAddr::new(ip, port)) {
        Ok(address) => TcpStream::connect(address).await.map_err(failed),
        Err(_) => TcpStream::connect((host, port)).await.map_err(failed),
    }
}

fn port(port: &IntOrString, container: &Container) -> Result<u16, String> {
    match port {
        IntOrString::Int(port) => number(*port),
        IntOrString::String(name) => {
            let named = container.ports.iter().flatten().find(|port| port.name.as_deref() == Some(name));
            match named {
                Some(port) => number(port.container_port),
                None => name.parse().map_err(|_| format!("container has no port named {name:?}")),
            }
        }
    }
}

fn number(port: i32) -> Result<u16, String> {
    u16::try_from(port).map_err(|_| format!("{port} is not a port"))
}

mod tls {
    //! Probes do not verify certificates, as the kubelet's do not.

    use std::io;
    use std::sync::{Arc, OnceLock};

    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
    use tokio::net::TcpStream;
    use tokio_rustls::TlsConnector;
    use tokio_rustls::client::TlsStream;

    pub(super) async fn connect(stream: TcpStream, host: &str) -> io::Result<TlsStream<TcpStream>> {
        static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
        let config = match CONFIG.get() {
            Some(config) => Arc::clone(config),
            None => {
                let config = Arc::new(config()?);
                Arc::clone(CONFIG.get_or_init(|| config))
            }
        };
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        TlsConnector::from(config).connect(name, stream).await
    }

    fn config() -> io::Result<ClientConfig> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().map_err(io::Error::other)?;
        let verifier = Arc::new(Anyone(provider));
        Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
    }

    #[derive(Debug)]
    struct Anyone(Arc<CryptoProvider>);

    impl ServerCertVerifier for Anyone {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    }
}
