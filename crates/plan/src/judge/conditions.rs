//! Conditions as knative keeps them: `Ready` follows its three dependents, and a time is written only on a change.

use std::collections::BTreeMap;

use api::conditions::{Condition, ConditionStatus};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// Names of conditions.
pub(crate) mod names {
    pub(crate) const READY: &str = "Ready";
    pub(crate) const PRESETS_COMBINED: &str = "PresetsCombined";
    pub(crate) const WORKLOADS_READY: &str = "WorkloadsReady";
    pub(crate) const ROUTER_READY: &str = "RouterReady";
    pub(crate) const MAIN_WORKLOAD_READY: &str = "MainWorkloadReady";
    pub(crate) const WORKER_WORKLOAD_READY: &str = "WorkerWorkloadReady";
    pub(crate) const PREFILL_WORKLOAD_READY: &str = "PrefillWorkloadReady";
    pub(crate) const PREFILL_WORKER_WORKLOAD_READY: &str = "PrefillWorkerWorkloadReady";
    pub(crate) const SCALING_READY: &str = "ScalingReady";
    pub(crate) const PREFILL_SCALING_READY: &str = "PrefillScalingReady";
    pub(crate) const GATEWAYS_READY: &str = "GatewaysReady";
    pub(crate) const HTTP_ROUTES_READY: &str = "HTTPRoutesReady";
    pub(crate) const INFERENCE_POOL_READY: &str = "InferencePoolReady";
    pub(crate) const SCHEDULER_WORKLOAD_READY: &str = "SchedulerWorkloadReady";
    pub(crate) const TOKENIZER_READY: &str = "TokenizerReady";
    pub(crate) const GROUP_READY: &str = "GroupReady";
    pub(crate) const GROUP_DEGRADED: &str = "GroupDegraded";
    pub(crate) const MONITORS_READY: &str = "MonitorsReady";
    /// KServe's advice about the cluster's version, which we do not know.
    pub(crate) const OCI_IMAGE_VOLUME_COMPATIBLE: &str = "OciImageVolumeCompatible";

    /// What `Ready` depends on.
    pub(crate) const DEPENDENTS: [&str; 3] = [PRESETS_COMBINED, WORKLOADS_READY, ROUTER_READY];
    /// What `WorkloadsReady` is made of, in the order in which a failure counts.
    pub(crate) const WORKLOADS: [&str; 6] = [
        MAIN_WORKLOAD_READY,
        WORKER_WORKLOAD_READY,
        PREFILL_WORKLOAD_READY,
        PREFILL_WORKER_WORKLOAD_READY,
        SCALING_READY,
        PREFILL_SCALING_READY,
    ];
    /// [`WORKLOADS`] without their autoscalers.
    pub(crate) const UNSCALED_WORKLOADS: &[&str] = WORKLOADS.split_at(4).0;
    /// What `RouterReady` is made of, in the order in which a failure counts.
    pub(crate) const ROUTER: [&str; 5] =
        [GATEWAYS_READY, HTTP_ROUTES_READY, INFERENCE_POOL_READY, SCHEDULER_WORKLOAD_READY, TOKENIZER_READY];
    /// What a stopped service says of itself.
    pub(crate) const STOPPABLE: [&str; 9] = [
        MAIN_WORKLOAD_READY,
        WORKER_WORKLOAD_READY,
        PREFILL_WORKLOAD_READY,
        PREFILL_WORKER_WORKLOAD_READY,
        SCHEDULER_WORKLOAD_READY,
        TOKENIZER_READY,
        INFERENCE_POOL_READY,
        GATEWAYS_READY,
        HTTP_ROUTES_READY,
    ];
}

/// The conditions of one pass.
pub(crate) struct Ledger {
    now: Timestamp,
    /// The conditions, and the turn at which each was changed in this pass; 0 if it was not.
    entries: BTreeMap<String, (Condition, usize)>,
    before: BTreeMap<String, Condition>,
    turn: usize,
}

impl Ledger {
    /// Starts from what was published. `Ready` and its dependents exist from the first pass on.
    pub(crate) fn new(previous: &[Condition], now: Timestamp) -> Self {
        let before: BTreeMap<String, Condition> =
            previous.iter().map(|condition| (condition.type_.clone(), condition.clone())).collect();
        let entries = before.iter().map(|(name, condition)| (name.clone(), (condition.clone(), 0))).collect();
        let mut ledger = Ledger { now, entries, before, turn: 0 };
        for name in [names::READY].into_iter().chain(names::DEPENDENTS) {
            if !ledger.entries.contains_key(name) {
                ledger.set(name, ConditionStatus::Unknown, None, None);
            }
        }
        ledger
    }

    /// A generation that no pass has seen: what was said of the last one does not hold until it is said again.
    pub(crate) fn observe_new_generation(&mut self) {
        self.set(
            names::READY,
            ConditionStatus::Unknown,
            Some("NewObservedGenFailure"),
            Some("unsuccessfully observed a new generation"),
        );
    }

    pub(crate) fn mark_true(&mut self, name: &str) {
        self.set(name, ConditionStatus::True, None, None);
        self.follow();
    }

    /// True, although there is something to say about it.
    pub(crate) fn mark_true_because(&mut self, name: &str, reason: &str, message: &str) {
        self.set(name, ConditionStatus::True, Some(reason), Some(message));
        self.follow();
    }

    pub(crate) fn mark_false(&mut self, name: &str, reason: &str, message: &str) {
        let message = Some(message).filter(|message| !message.is_empty());
        self.set(name, ConditionStatus::False, Some(reason), message);
        if names::DEPENDENTS.contains(&name) {
            self.set(names::READY, ConditionStatus::False, Some(reason), message);
        }
    }

    pub(crate) fn clear(&mut self, name: &str) {
        self.entries.remove(name);
    }

    /// The condition as it stands.
    pub(crate) fn get(&self, name: &str) -> Option<&Condition> {
        self.entries.get(name).map(|(condition, _)| condition)
    }

    /// Marks `total` by the first of `parts` that is False; one that is absent or Unknown does not count.
    pub(crate) fn roll_up(&mut self, total: &str, parts: &[&str]) {
        let failed = parts
            .iter()
            .filter_map(|part| self.get(part))
            .find(|condition| condition.status == ConditionStatus::False)
            .cloned();
        match failed {
            Some(failed) => self.mark_false(
                total,
                failed.reason.as_deref().unwrap_or_default(),
                failed.message.as_deref().unwrap_or_default(),
            ),
            None => self.mark_true(total),
        }
    }

    /// `Ready` takes over the newest dependent that is False, else the newest that is Unknown, else it is True.
    fn follow(&mut self) {
        let newest = |status: ConditionStatus| {
            names::DEPENDENTS
                .iter()
                .filter_map(|name| self.entries.get(*name))
                .filter(|(condition, _)| condition.status == status)
                .max_by_key(|(condition, turn)| {
                    (condition.last_transition_time.as_ref().map(|time| time.0.as_nanosecond()), *turn)
                })
                .map(|(condition, _)| condition.clone())
        };
        match newest(ConditionStatus::False).or_else(|| newest(ConditionStatus::Unknown)) {
            Some(unhappy) => {
                self.set(names::READY, unhappy.status, unhappy.reason.as_deref(), unhappy.message.as_deref());
            }
            None => self.set(names::READY, ConditionStatus::True, None, None),
        }
    }

    fn set(&mut self, name: &str, status: ConditionStatus, reason: Option<&str>, message: Option<&str>) {
        let depends = name == names::READY || names::DEPENDENTS.contains(&name);
        let mut condition = Condition {
            type_: name.to_owned(),
            status,
            severity: (!depends).then(|| "Info".to_owned()),
            last_transition_time: None,
            reason: reason.filter(|text| !text.is_empty()).map(str::to_owned),
            message: message.filter(|text| !text.is_empty()).map(str::to_owned),
        };
        if let Some((present, _)) = self.entries.get(name) {
            condition.last_transition_time.clone_from(&present.last_transition_time);
            if *present == condition {
                return;
            }
        }
        condition.last_transition_time = Some(Time(self.now));
        self.turn += 1;
        self.entries.insert(name.to_owned(), (condition, self.turn));
    }

    /// All conditions by name. One that went to another value and back within the pass has its old time.
    pub(crate) fn finish(self) -> Vec<Condition> {
        let Ledger { entries, before, .. } = self;
        entries
            .into_values()
            .map(|(condition, _)| match before.get(&condition.type_) {
                Some(old) if same_but_time(old, &condition) => old.clone(),
                _ => condition,
            })
            .collect()
    }
}

/// Whether both say the same.
pub(super) fn same_but_time(a: &Condition, b: &Condition) -> bool {
    a.status == b.status && a.reason == b.reason && a.message == b.message && a.severity == b.severity
}
