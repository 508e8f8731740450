//! The Kubernetes API in a process.
//!
//! [`ApiServer`] is a `tower` service over HTTP requests: given to `kube::Client::new` it needs no socket, and
//! [`ApiServer::serve`] offers the same over loopback TCP with TLS and tokens. It holds objects in memory, on request
//! also on disk, and behaves as kube-apiserver does where clients can see it. It runs no pods and no controllers but the
//! garbage collector.
#![cfg_attr(not(test), warn(unused_crate_dependencies))]

mod auth;
mod catalog;
mod core;
mod crd;
mod discovery;
mod gc;
mod http;
mod json;
mod jsonpath;
mod kinds;
mod logs;
mod managed;
mod media;
mod openapi;
mod options;
mod path;
mod protobuf;
mod query;
mod random;
mod rest;
mod selector;
mod status;
mod store;
mod table;
mod tls;

pub use crate::http::{ApiServer, Body};
pub use options::{
    Admission, AdmissionRequest, Clock, Convert, Denied, LogRequest, Logs, Mutate, Options, Review, User,
    Validate,
};
pub use store::Error;
pub use tls::{Identity, IdentityError, kubeconfig};

impl ApiServer {
    /// Starts a server; with a data folder, with everything that was stored there.
    ///
    /// # Errors
    /// The folder cannot be made or opened, or what is in it cannot be read.
    pub fn new(options: Options) -> Result<Self, Error> {
        Ok(Self { core: core::Core::start(options)?, trusted: true })
    }

    /// The handle for strangers: without an `Authorization` header a request is anonymous.
    #[must_use]
    pub fn guarded(&self) -> Self {
        Self { core: self.core.clone(), trusted: false }
    }

    /// Forgets the history of changes: older revisions and continue tokens are answered with 410 from now on.
    pub fn compact(&self) {
        self.core.store.compact();
    }
}
