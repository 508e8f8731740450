//! A kube-apiserver with a store of its own, on a port that the system gave, in a folder that goes with it.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::net::TcpSocket;

use super::build::Programs;
use crate::verdicts::Judge;

/// Start-up takes five seconds on an idle machine with two cores, and a minute on a busy one.
const PATIENCE: Duration = Duration::from_secs(180);
const PAUSE: Duration = Duration::from_millis(100);
const TOKEN: &str = "administrator";
/// Lines of a program's log that are shown when it fails.
const SHOWN_LINES: usize = 15;

/// The server. It and its store end with this value, and with this process however that ends.
pub(super) struct KubeApiServer {
    // Dropped in this order: the server, its store, the port, the folder.
    server: Program,
    store: Program,
    _port: TcpSocket,
    pub(super) kubeconfig: PathBuf,
    _folder: tempfile::TempDir,
}

impl KubeApiServer {
    /// Starts both and waits until the server says that it is ready.
    pub(super) async fn start(programs: &Programs) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let dir = folder.path();
        let socket = format!("unix://{}", dir.join("store.sock").display());
        let store = Program::start("etcd", &programs.etcd, dir, &store_arguments(dir, &socket))?;
        // The port stays ours while the server comes up, which is told to share it.
        let port = TcpSocket::new_v4()?;
        port.set_reuseport(true)?;
        port.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let address = port.local_addr()?;
        let kubeconfig = write_files(dir, address)?;
        let arguments = server_arguments(dir, &socket, address.port());
        let server = Program::start("kube-apiserver", &programs.kube_apiserver, dir, &arguments)?;
        let mut started = Self { server, store, _port: port, kubeconfig, _folder: folder };
        started.wait().await?;
        Ok(started)
    }

    /// A client with every right.
    pub(super) async fn judge(&self) -> Result<Judge> {
        let kubeconfig = kube::config::Kubeconfig::read_from(&self.kubeconfig)?;
        let options = kube::config::KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await?;
        Ok(Judge::new("kube-apiserver", kube::Client::try_from(config)?))
    }

    async fn wait(&mut self) -> Result<()> {
        let judge = self.judge().await?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.store.is_to_run()?;
            self.server.is_to_run()?;
            if judge.ask("GET", "/readyz", "", &Value::Null).await.is_ok_and(|answer| answer.code == 200) {
                return Ok(());
            }
            let said = || self.server.said();
            ensure!(Instant::now() < deadline, "not ready within {} s\n{}", PATIENCE.as_secs(), said());
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// A store that forgets when the machine does, reached by a socket in `dir`. It has no peers, so nobody needs to know where
/// it would listen for them.
fn store_arguments(dir: &Path, socket: &str) -> Vec<String> {
    let peers = "http://127.0.0.1:0";
    vec![
        format!("--data-dir={}", dir.join("store").display()),
        format!("--listen-client-urls={socket}"),
        "--advertise-client-urls=http://127.0.0.1:1".to_owned(),
        format!("--listen-peer-urls={peers}"),
        format!("--initial-advertise-peer-urls={peers}"),
        format!("--initial-cluster=default={peers}"),
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
    ]
}

fn server_arguments(dir: &Path, socket: &str, port: u16) -> Vec<String> {
    let file = |name: &str| dir.join(name).display().to_string();
    vec![
        format!("--etcd-servers={socket}"),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        "--permit-port-sharing".to_owned(),
        format!("--tls-cert-file={}", file("server.crt")),
        format!("--tls-private-key-file={}", file("server.key")),
        format!("--token-auth-file={}", file("tokens.csv")),
        format!("--service-account-key-file={}", file("accounts.pub")),
        format!("--service-account-signing-key-file={}", file("accounts.key")),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
        "--authorization-mode=RBAC".to_owned(),
        // Loopback is no address that it may publish for the service `kubernetes`.
        "--endpoint-reconciler-type=none".to_owned(),
        "--allow-privileged".to_owned(),
    ]
}

/// What the server reads, and what its clients do. Gives the kubeconfig.
fn write_files(dir: &Path, address: SocketAddr) -> Result<PathBuf> {
    let served = rcgen::generate_simple_self_signed(vec![Ipv4Addr::LOCALHOST.to_string()])?;
    let accounts = rcgen::KeyPair::generate()?;
    let certificate = dir.join("server.crt");
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "judge",
        "clusters": [{"name": "judge", "cluster": {"server": format!("https://{address}"), "certificate-authority": certificate}}],
        "users": [{"name": "judge", "user": {"token": TOKEN}}],
        "contexts": [{"name": "judge", "context": {"cluster": "judge", "user": "judge"}}],
    });
    for (name, text) in [
        ("server.crt", served.cert.pem()),
        ("server.key", served.signing_key.serialize_pem()),
        ("tokens.csv", format!("{TOKEN},administrator,administrator,system:masters\n")),
        ("accounts.key", accounts.serialize_pem()),
        ("accounts.pub", accounts.public_key_pem()),
        ("kubeconfig", yaml::write(&kubeconfig)),
    ] {
        std::fs::write(dir.join(name), text)?;
    }
    Ok(dir.join("kubeconfig"))
}

/// A program that runs until it is dropped.
struct Program {
    name: &'static str,
    process: Child,
    log: PathBuf,
}

impl Program {
    fn start(name: &'static str, program: &Path, dir: &Path, arguments: &[String]) -> Result<Self> {
        let log = dir.join(format!("{name}.log"));
        let file = File::create(&log)?;
        let process = Command::new("setpriv")
            // The kernel ends it if this process is killed and can clean up no more.
            .arg("--pdeathsig=KILL")
            .arg(program)
            .args(arguments)
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .context("cannot start setpriv (of util-linux)")?;
        Ok(Self { name, process, log })
    }

    fn is_to_run(&mut self) -> Result<()> {
        match self.process.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended: {status}\n{}", self.name, self.said()),
        }
    }

    /// The end of its log.
    fn said(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // What it holds is thrown away, so it need not end in order.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
