//! The pods that run the model: Deployments, LeaderWorkerSets, the Service in front of them, and their accounts.

pub(crate) mod devices;
pub(crate) mod kv_cache;
pub(crate) mod multi;
pub(crate) mod pod;
pub(crate) mod service;
pub(crate) mod single;
pub(crate) mod tracing;

use serde_json::Value;

use crate::machine;
use crate::subject::Subject;

/// Component of single-node pods.
pub(crate) const COMPONENT: &str = "llminferenceservice-workload";
/// Component of prefill's single-node pods.
pub(crate) const PREFILL_COMPONENT: &str = "llminferenceservice-workload-prefill";
/// Init container that routes prefill and decode requests in a pod.
pub(crate) const SIDECAR: &str = "llm-d-routing-sidecar";

/// Why a workload cannot be planned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to attach model artifacts to {what}: {source}")]
    FixModel { what: &'static str, source: crate::storage::Error },
    #[error(
        "failed to fetch existing {what} service account {namespace}/{name}: ServiceAccount \"{name}\" not found"
    )]
    CreateServiceAccount { what: &'static str, namespace: String, name: String },
}

/// A ServiceAccount that the user named; on a cluster it must exist.
pub(crate) fn user_account<'a>(
    subject: &Subject<'a>,
    name: &str,
    what: &'static str,
) -> Result<&'a Value, Error> {
    let account = subject.core("ServiceAccount", name).or_else(|| machine::absent_account(subject));
    account.ok_or_else(|| Error::CreateServiceAccount {
        what,
        namespace: subject.namespace.to_owned(),
        name: name.to_owned(),
    })
}
