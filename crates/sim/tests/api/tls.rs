//! TLS with the files that the flags name.

use std::{path::Path, sync::Arc};

use crate::support::{Answer, Sim, fast, request};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use sim::{Options, ServeError};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName},
};

fn write(folder: &Path) -> (Options, CertifiedKey<rcgen::KeyPair>) {
    let certified = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (certificate, key) = (folder.join("tls.crt"), folder.join("tls.key"));
    std::fs::write(&certificate, certified.cert.pem()).unwrap();
    std::fs::write(&key, certified.signing_key.serialize_pem()).unwrap();
    (Options { ssl_certfile: Some(certificate), ssl_keyfile: Some(key), ..fast() }, certified)
}

#[tokio::test]
async fn with_certificate_and_key_the_port_speaks_tls() {
    let folder = tempfile::tempdir().unwrap();
    let (options, certified) = write(folder.path());
    let sim = Sim::start(options).await;
    // A client that connects and says nothing holds up nobody.
    let _silent = TcpStream::connect(sim.address).await.unwrap();

    let mut roots = RootCertStore::empty();
    roots.add(certified.cert.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(sim.address).await.unwrap();
    let mut stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    stream.write_all(&request("GET", "/health", "", b"")).await.unwrap();
    assert_eq!(Answer::read(stream).await.status, 200);
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let (options, _) = write(folder.path());
    let error = async |options: Options| {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        sim::serve(options, listener, std::future::pending()).await.unwrap_err()
    };
    let half = Options { ssl_keyfile: None, ..options.clone() };
    assert!(matches!(error(half).await, ServeError::HalfTls));
    let absent = Options { ssl_certfile: Some("/nowhere/tls.crt".into()), ..options };
    assert!(error(absent).await.to_string().starts_with("/nowhere/tls.crt: "));
}
