//! The listener for kubectl: loopback TCP, TLS with a certificate of our own, bearer tokens.

use std::net::IpAddr;
use std::sync::Arc;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::ApiServer;

/// The certificate of a listener and of the authority that signed it.
#[derive(Clone)]
pub struct Identity {
    acceptor: TlsAcceptor,
    ca_pem: String,
}

/// A certificate cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The key or the certificate.
    #[error("the server certificate cannot be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The TLS set-up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

impl Identity {
    /// Makes a fresh authority and a certificate for `localhost` and the addresses given.
    ///
    /// # Errors
    /// The cryptography library refuses, which it has no reason to.
    pub fn generate(addresses: &[IpAddr]) -> Result<Self, IdentityError> {
        let mut authority = CertificateParams::new(Vec::<String>::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        authority.distinguished_name.push(DnType::CommonName, "llmisvc local authority");
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
        let mut names =
            vec!["localhost".to_owned(), "kubernetes".to_owned(), "kubernetes.default.svc".to_owned()];
        names.extend(addresses.iter().map(ToString::to_string));
        let mut leaf = CertificateParams::new(names)?;
        leaf.distinguished_name.push(DnType::CommonName, "llmisvc local API");
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let leaf = leaf.signed_by(&key, &authority)?;
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        // Named here, because a process may have no default provider.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone(), authority.der().clone()], private)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), ca_pem: authority.pem() })
    }

    /// The authority's certificate, for a kubeconfig.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }
}

impl ApiServer {
    /// Serves `listener` until the future is dropped; without an identity in plain HTTP. Whoever connects needs a token.
    ///
    /// Open connections end with the future, watches included.
    pub async fn serve(&self, listener: TcpListener, identity: Option<Identity>) {
        let mut connections = tokio::task::JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                Some(_) = connections.join_next() => continue,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection to the API server failed");
                    // Out of file descriptors, most likely: give others time to close theirs.
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    continue;
                }
            };
            // Small answers should not wait for more.
            let _ = stream.set_nodelay(true);
            let service = TowerToHyperService::new(self.guarded());
            let identity = identity.clone();
            connections.spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                let outcome = match identity {
                    Some(identity) => match identity.acceptor.accept(stream).await {
                        Ok(stream) => server.serve_connection(TokioIo::new(stream), service).await,
                        Err(error) => Err(error.into()),
                    },
                    None => server.serve_connection(TokioIo::new(stream), service).await,
                };
                if let Err(error) = outcome {
                    tracing::debug!(%error, "a connection to the API server ended");
                }
            });
        }
    }
}

/// A kubeconfig for a server at `url` (`https://127.0.0.1:6443`).
#[must_use]
pub fn kubeconfig(url: &str, identity: Option<&Identity>, token: &str, namespace: &str) -> String {
    use base64::Engine;
    let mut cluster = serde_json::json!({"server": url});
    if let Some(identity) = identity {
        let data = base64::engine::general_purpose::STANDARD.encode(identity.ca_pem());
        cluster["certificate-authority-data"] = data.into();
    }
    yaml::write(&serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "llmisvc",
        "clusters": [{"name": "llmisvc", "cluster": cluster}],
        "users": [{"name": "llmisvc", "user": {"token": token}}],
        "contexts": [{"name": "llmisvc", "context": {"cluster": "llmisvc", "user": "llmisvc", "namespace": namespace}}],
    }))
}
