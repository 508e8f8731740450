//! What the caller decides: where state lives, who may come in, the clock, the random numbers, and the hooks.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::mpsc;

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> jiff::Timestamp + Send + Sync>;

/// Options of an [`ApiServer`](crate::ApiServer). `Options::default()` is an empty server in memory that knows the token-less
/// administrator of the in-process service and nobody else.
#[derive(Clone)]
pub struct Options {
    /// Folder of the embedded store; `None` keeps everything in memory.
    pub data_dir: Option<PathBuf>,
    /// The clock of `creationTimestamp` and of everything else that is stamped.
    pub now: Clock,
    /// Seed of uids and of generated name suffixes; `None` takes one from the system. Give one to make runs repeatable.
    pub seed: Option<u64>,
    /// Who may come in over TCP.
    pub users: Vec<User>,
    /// Audience of the tokens, as TokenReview says it.
    pub audience: String,
    /// Lets requests without a token in as `system:anonymous` (they may read `/version` and the health checks).
    pub anonymous: bool,
    /// How much of the past is kept of each resource, in bytes of JSON. A watch that lags further behind gets 410.
    pub log_bytes: usize,
    /// Admission functions, called in this order for the kinds that they name.
    pub admission: Vec<Admission>,
    /// Conversion between the versions of a CRD whose `spec.conversion.strategy` is `Webhook`, by `(group, kind)`.
    /// Kinds without an entry are converted by changing `apiVersion`.
    pub conversion: BTreeMap<(String, String), Convert>,
    /// Where `kubectl logs` reads; `None` answers as for a pod that no node runs.
    pub logs: Option<Logs>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            data_dir: None,
            now: Arc::new(jiff::Timestamp::now),
            seed: None,
            users: Vec::new(),
            audience: "https://kubernetes.default.svc".into(),
            anonymous: true,
            log_bytes: 64 * 1024 * 1024,
            admission: Vec::new(),
            conversion: BTreeMap::new(),
            logs: None,
        }
    }
}

/// A user with a bearer token. Members of `system:masters` may do anything; others what RBAC objects allow.
#[derive(Clone, Debug)]
pub struct User {
    /// The bearer token.
    pub token: String,
    /// The user name.
    pub name: String,
    /// The groups, without `system:authenticated`, which every user with a token is in.
    pub groups: Vec<String>,
}

/// An in-process admission function for one kind.
#[derive(Clone)]
pub struct Admission {
    /// Name in refusals, as a webhook's name would be.
    pub name: String,
    /// API group of the kind.
    pub group: String,
    /// The kind.
    pub kind: String,
    /// The function.
    pub review: Review,
}

/// Changes an object before it is validated, or refuses it.
pub type Mutate = Arc<dyn Fn(&mut AdmissionRequest<'_>) -> Result<(), Denied> + Send + Sync>;

/// Judges the object that would be stored; on success, warnings.
pub type Validate = Arc<dyn Fn(&AdmissionRequest<'_>) -> Result<Vec<String>, Denied> + Send + Sync>;

/// What an admission function does. It sees the object in the version of the request.
#[derive(Clone)]
pub enum Review {
    /// Changes the object before it is validated.
    Mutate(Mutate),
    /// Says yes (with warnings) or no to the object that would be stored.
    Validate(Validate),
}

/// What an admission function is shown.
#[derive(Debug)]
pub struct AdmissionRequest<'a> {
    /// `CREATE`, `UPDATE` or `DELETE`.
    pub operation: &'static str,
    /// `status`, … ; `None` for the object itself.
    pub subresource: Option<&'a str>,
    /// User who asks.
    pub user: &'a str,
    /// The new object; on `DELETE` the one that goes.
    pub object: Value,
    /// The object before; `None` on `CREATE`.
    pub old: Option<&'a Value>,
    /// Nothing will be stored.
    pub dry_run: bool,
}

/// A refusal by an admission function.
#[derive(Clone, Debug)]
pub struct Denied {
    /// HTTP status, e.g. 422 for an invalid object or 403.
    pub code: u16,
    /// `Invalid`, `Forbidden`, …
    pub reason: String,
    /// What is wrong, for the user.
    pub message: String,
    /// `details` of the `Status` (causes with fields); `None` leaves them out.
    pub details: Option<Value>,
}

/// Converts an object to the `apiVersion` given; the error is for the user.
pub type Convert = Arc<dyn Fn(Value, &str) -> Result<Value, String> + Send + Sync>;

/// Opens the log of a container: returns chunks until the log ends (or, with `follow`, the container does).
pub type Logs = Arc<dyn Fn(LogRequest) -> Result<mpsc::Receiver<Bytes>, String> + Send + Sync>;

/// What `kubectl logs` asks for.
#[derive(Clone, Debug)]
pub struct LogRequest {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// uid of the pod.
    pub uid: String,
    /// Name of the container.
    pub container: String,
    /// Keep the answer open and send what is written from now on.
    pub follow: bool,
    /// The container before its last restart.
    pub previous: bool,
    /// Prefix every line with its time in RFC 3339.
    pub timestamps: bool,
    /// Only the last lines; `None` is all.
    pub tail_lines: Option<u64>,
    /// Only lines not older; `None` is all. From `sinceSeconds` or `sinceTime`.
    pub since: Option<jiff::Timestamp>,
    /// End after this many bytes; `None` is all.
    pub limit_bytes: Option<u64>,
}
