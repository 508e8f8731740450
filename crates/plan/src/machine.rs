//! What one machine without a cluster does not do. It is said, and the rest is done.

use api::v1alpha2::WorkloadSpec;

use crate::Finding;
use crate::scaling::scaled;
use crate::subject::Subject;

/// Reason of the conditions and of the warning.
pub(crate) const REASON: &str = "NotOnOneMachine";

/// The number of copies of a workload that an autoscaler would scale: its least. `None` where replicas are as on a cluster.
pub(crate) fn fixed_replicas(subject: &Subject, workload: &WorkloadSpec) -> Option<i32> {
    let scaling = workload.scaling.as_ref().filter(|_| subject.facts.one_machine)?;
    Some(scaling.min_replicas.unwrap_or(1))
}

/// Why the autoscaler of a workload is not made; `None` if it is.
pub(crate) fn unscaled(subject: &Subject, workload: &WorkloadSpec) -> Option<String> {
    let replicas = fixed_replicas(subject, workload)?;
    Some(format!(
        "nothing scales on one machine: it runs with {replicas}, unless `kubectl scale` says otherwise"
    ))
}

/// A warning for each workload that is not scaled.
pub(crate) fn findings(subject: &Subject) -> Vec<Finding> {
    scaled(subject)
        .iter()
        .filter_map(|scaled| {
            Some(Finding {
                reason: REASON.to_owned(),
                message: format!("{} workload: {}", scaled.what, unscaled(subject, scaled.workload)?),
                hint: Some("apply the service to a cluster to have it scaled".to_owned()),
            })
        })
        .collect()
}
