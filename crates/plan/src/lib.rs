//! Merged spec and facts become objects; objects seen become status.
//!
//! [`build`] takes the merged spec of one service and what the cluster holds, and gives the objects that the service
//! needs, in the order in which they are to be applied, and those that are to go. [`judge`] takes what was seen after
//! that and gives the status to publish and the events to record. Both are pure: the same input gives the same bytes.
//! Neither issues keys, reads a clock or asks a cluster; that is what the operator does with a [`Plan`].
#![cfg_attr(not(test), warn(unused_crate_dependencies))]

mod build;
mod diff;
mod findings;
mod judge;
mod machine;
mod monitors;
mod prune;
mod quantity;
mod rbac;
mod router;
mod scaling;
mod storage;
mod subject;
mod tls;
mod workload;

#[cfg(test)]
mod tests;

use kinds::{ObjectKey, Objects};
use serde_json::Value;

pub use build::{awaited_member, build, finalize, teardown};
pub use diff::{Change, Devices, Diff, FIELD_MANAGER, FieldChange, Pods, Verb, Write, diff, diff_live};
pub use judge::{ConfigJudged, Reach, judge, judge_awaiting, judge_config};
pub use rbac::auth_binding_keys;
pub use subject::{is_stopped, name_label};
pub use tls::{CertificateOrder, Issued, Verdict};

/// What is to be done for one service.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// Objects to apply, in order. An object is complete: apiVersion, kind, metadata with owner and labels, spec.
    pub steps: Vec<Step>,
    /// Objects to delete once the steps are done. Only objects that the facts show are named.
    pub absent: Vec<ObjectKey>,
    /// Certificate secrets to have. They come before all steps, since pods mount them.
    pub certificates: Vec<CertificateOrder>,
    /// What a user should know and what does not stop the plan.
    pub findings: Vec<Finding>,
    /// Why the plan ends early. The steps before it are still to be applied; the parts after it are left as they are.
    pub failure: Option<Failure>,
}

/// Objects that belong together and are applied one after the other.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The part of the service that the objects make up; an error while applying them is reported on its condition.
    pub part: Part,
    /// The objects, in order.
    pub objects: Vec<Value>,
}

/// Parts of a service in the order in which they are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The copied bundle of certificate authorities.
    CaBundle,
    /// The certificate secret.
    Certificate,
    /// LeaderWorkerSets and what they need.
    MultiNode,
    /// Deployments of single-node workloads and what they need.
    SingleNode,
    /// The Service in front of the workload's pods.
    WorkloadService,
    /// Autoscalers.
    Scaling,
    /// The endpoint picker, its pool and the tokenizer.
    Scheduler,
    /// The HTTPRoute.
    Route,
    /// What Prometheus scrapes.
    Monitors,
}

/// Why a plan ends before its last part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The part that cannot be planned.
    pub part: Part,
    /// The condition that says so, such as `MainWorkloadReady`.
    pub condition: String,
    /// Its reason.
    pub reason: String,
    /// Its message.
    pub message: String,
    /// JSON pointer of the field of the service that asks for it, if it is one field.
    pub field: Option<&'static str>,
    /// What the user can do about it.
    pub hint: Option<String>,
}

/// Something worth telling about a plan that is carried out all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Reason of the warning event, such as `DeprecatedPlugin`.
    pub reason: String,
    /// What was found.
    pub message: String,
    /// What the user can do about it.
    pub hint: Option<String>,
}

/// What was seen once the plan was carried out, or as far as it went.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Live objects with their status: the service's children, its pods, and the gateways, classes, services, routes
    /// and pools that it refers to. What is not here is looked up in the facts.
    pub objects: Objects,
    /// Objects that could not be applied or deleted, with the API server's words.
    pub errors: Vec<(ObjectKey, String)>,
    /// What was written, for the events.
    pub changes: Vec<Change>,
}

/// What to publish.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// The whole new status. Equal to the previous one if nothing changed.
    pub status: api::v1alpha2::LLMInferenceServiceStatus,
    /// Events to record on the service, in order.
    pub events: Vec<Event>,
}

/// An event on the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// `Normal` or `Warning`.
    pub type_: EventType,
    /// CamelCase word.
    pub reason: String,
    /// What happened.
    pub message: String,
}

/// How much an event matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventType {
    /// As intended.
    Normal,
    /// Something to look at.
    Warning,
}

impl EventType {
    /// The word that the API uses.
    pub fn as_str(self) -> &'static str {
        match self {
            EventType::Normal => "Normal",
            EventType::Warning => "Warning",
        }
    }
}
