//! What is said about an LLMInferenceServiceConfig: which services use it, and whether it may go.

use std::collections::{BTreeMap, BTreeSet};

use api::conditions::{Condition, ConditionStatus};
use api::v1alpha2::{LLMInferenceServiceConfigStatus, UntypedObjectReference};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::Value;

use super::conditions::{names, same_but_time};
use crate::{Event, EventType};

const CONFIG_IN_USE: &str = "ConfigInUse";

/// What to publish about a config.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigJudged {
    /// The whole new status. Equal to the previous one if nothing changed.
    pub status: LLMInferenceServiceConfigStatus,
    /// Events to record on the config, in order.
    pub events: Vec<Event>,
    /// It is being deleted and nobody uses it, so its finalizer may be removed.
    pub may_go: bool,
}

/// The reach of configs in an installation.
#[derive(Debug, Clone, Default)]
pub struct Reach {
    /// Configs of this namespace serve all others.
    pub system_namespace: String,
    /// Names of the presets that any service may turn to at any time, with the installation's prefix.
    pub presets: BTreeSet<String>,
}

impl Reach {
    /// Whether `service` uses the config of that namespace and name, or may.
    ///
    /// What was merged last counts, by namespace and name; a service that merged nothing yet counts by what it asks for.
    /// So does, other than in KServe, a base ref that is written but not merged yet. A preset is used by every service
    /// that could select it.
    pub fn uses(&self, service: &Value, namespace: &str, name: &str) -> bool {
        if namespace != self.system_namespace && service["metadata"]["namespace"] != namespace {
            return false;
        }
        if self.presets.contains(name) {
            return true;
        }
        let applied = || service["status"]["appliedConfigs"].as_array().into_iter().flatten();
        if applied().any(|config| config["name"] == name) {
            return applied().any(|config| config["name"] == name && config["namespace"] == namespace);
        }
        let base_refs = service["spec"]["baseRefs"].as_array().into_iter().flatten();
        let pins = service["status"]["annotations"].as_object().into_iter().flatten().map(|(_, pin)| pin);
        base_refs.map(|base| &base["name"]).any(|asked| asked == name)
            || (applied().next().is_none() && pins.into_iter().any(|pin| pin == name))
    }
}

/// The status of `config` and whether it may go, given all services that there are.
pub fn judge_config<'s>(
    config: &Value,
    services: impl Iterator<Item = &'s Value>,
    reach: &Reach,
    now: Timestamp,
) -> ConfigJudged {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (namespace, name) = (text(&config["metadata"]["namespace"]), text(&config["metadata"]["name"]));
    let mut users: Vec<(String, String)> = services
        .filter(|service| reach.uses(service, &namespace, &name))
        .map(|service| (text(&service["metadata"]["namespace"]), text(&service["metadata"]["name"])))
        .collect();
    users.sort_unstable();
    let is_deleted = !config["metadata"]["deletionTimestamp"].is_null();
    let before: LLMInferenceServiceConfigStatus =
        serde_json::from_value(config["status"].clone()).unwrap_or_default();
    let count = users.len();
    let message = format!("referenced by {count} LLMInferenceService(s)");
    let in_use = match (count, is_deleted) {
        (0, _) => condition(ConditionStatus::False, "NotInUse", "not referenced by any LLMInferenceService"),
        (_, false) => condition(ConditionStatus::True, "InUse", &message),
        (_, true) => condition(ConditionStatus::True, "DeletionBlocked", &message),
    };
    let mut events = Vec::new();
    let known = before.conditions.iter().find(|condition| condition.type_ == CONFIG_IN_USE);
    if is_deleted && count > 0 && known.is_none_or(|known| !same_but_time(known, &in_use)) {
        events.push(Event {
            type_: EventType::Warning,
            reason: "DeletionBlocked".to_owned(),
            message: format!("Cannot delete LLMInferenceServiceConfig {namespace}/{name}: {message}"),
        });
    }
    let ready =
        Condition { type_: names::READY.to_owned(), status: ConditionStatus::True, ..Condition::default() };
    let status = LLMInferenceServiceConfigStatus {
        observed_generation: config["metadata"]["generation"].as_i64().or(before.observed_generation),
        conditions: marked(&before.conditions, [in_use, ready], now),
        referenced_by: users
            .into_iter()
            .map(|(namespace, name)| UntypedObjectReference { name, namespace })
            .collect(),
        ..before
    };
    ConfigJudged { status, events, may_go: is_deleted && count == 0 }
}

fn condition(status: ConditionStatus, reason: &str, message: &str) -> Condition {
    Condition {
        type_: CONFIG_IN_USE.to_owned(),
        status,
        severity: Some("Info".to_owned()),
        last_transition_time: None,
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
    }
}

/// All conditions by name; one that says what it said keeps its time.
fn marked(before: &[Condition], marks: [Condition; 2], now: Timestamp) -> Vec<Condition> {
    let mut conditions: BTreeMap<String, Condition> =
        before.iter().map(|condition| (condition.type_.clone(), condition.clone())).collect();
    for mut mark in marks {
        if conditions.get(&mark.type_).is_none_or(|known| !same_but_time(known, &mark)) {
            mark.last_transition_time = Some(Time(now));
            conditions.insert(mark.type_.clone(), mark);
        }
    }
    conditions.into_values().collect()
}
