//! How requests reach the pods: route, pool, endpoint picker, tokenizer.

pub(crate) mod group;
pub(crate) mod model_routing;
pub(crate) mod picker;
pub(crate) mod picker_config;
pub(crate) mod pool;
pub(crate) mod references;
pub(crate) mod route;
pub(crate) mod tokenizer;

use api::v1alpha2::{RouterSpec, SchedulerSpec};

use crate::subject::Subject;

/// The scheduler of a service whose picker is ours: not one that an external pool brings along.
pub(crate) fn managed_scheduler<'a>(subject: &Subject<'a>) -> Option<&'a SchedulerSpec> {
    let scheduler = scheduler(subject)?;
    if scheduler.template.is_none() || external_pool(subject).is_some() {
        return None;
    }
    Some(scheduler)
}

/// The scheduler as merged.
pub(crate) fn scheduler<'a>(subject: &Subject<'a>) -> Option<&'a SchedulerSpec> {
    subject.spec.router.as_ref()?.scheduler.as_ref()
}

/// Name of the pool that the service does not make itself.
pub(crate) fn external_pool<'a>(subject: &Subject<'a>) -> Option<&'a str> {
    scheduler(subject)?.pool.as_ref()?.ref_name()
}

/// Routes that the user made.
pub(crate) fn route_refs(router: &RouterSpec) -> impl Iterator<Item = &str> {
    router
        .route
        .iter()
        .flat_map(|route| &route.http)
        .flat_map(|http| &http.refs)
        .map(|reference| reference.name.as_str())
}
