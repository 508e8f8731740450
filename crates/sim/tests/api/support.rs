//! A simulated engine on a loopback port, and the smallest HTTP client that can talk to it.

use std::net::SocketAddr;

use serde_json::Value;
use sim::Options;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};

/// Two names, and a thousand times as fast as the engine it simulates.
pub(crate) fn fast() -> Options {
    Options {
        served_model_names: vec!["m".into(), "publishers/ns/models/m".into()],
        speed: 1000.0,
        ..Options::for_model("/mnt/models")
    }
}

pub(crate) struct Sim {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), sim::ServeError>>,
}

impl Sim {
    pub(crate) async fn start(options: Options) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(sim::serve(options, listener, async move {
            let _ = stopped.await;
        }));
        Self { address, stop: Some(stop), task }
    }

    pub(crate) fn shut_down(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    pub(crate) async fn ended(&mut self) {
        (&mut self.task).await.unwrap().unwrap();
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "", b"").await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, "application/json", body.to_string().as_bytes()).await
    }

    pub(crate) async fn send(&self, method: &str, path: &str, content_type: &str, body: &[u8]) -> Answer {
        Answer::read(self.open(method, path, content_type, body).await).await
    }

    /// Sends a request and leaves the answer unread.
    pub(crate) async fn open(&self, method: &str, path: &str, content_type: &str, body: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(&request(method, path, content_type, body)).await.unwrap();
        stream
    }

    /// Asks for the metrics until a series has the value; the test's own limit of time ends a wait in vain.
    pub(crate) async fn wait_for_metric(&self, name: &str, wanted: f64) {
        loop {
            let text = self.get("/metrics").await.body;
            let value =
                wire::metrics::series(text.as_bytes()).find(|series| series.name == name).unwrap().value;
            if value == wanted {
                return;
            }
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn request(method: &str, path: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: sim\r\nconnection: close\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) async fn read(mut stream: impl AsyncReadExt + Unpin) -> Self {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let head = head.to_ascii_lowercase();
        let body = if head.contains("transfer-encoding: chunked") { unchunk(body) } else { body.to_owned() };
        Self { status, head, body }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let line = self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_default()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The JSON of each event but `[DONE]`.
    pub(crate) fn chunks(&self) -> Vec<Value> {
        let mut events = Vec::new();
        wire::sse::Splitter::new(1 << 20).push(self.body.as_bytes(), &mut events).unwrap();
        events
            .iter()
            .filter(|event| !event.is_done())
            .map(|event| serde_json::from_slice(&event.data).unwrap())
            .collect()
    }
}

fn unchunk(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        body.push_str(&after[..size]);
        if size == 0 {
            break;
        }
        rest = &after[size + 2..];
    }
    body
}
