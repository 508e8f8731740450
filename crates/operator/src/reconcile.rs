//! One pass over one service, as a numbered list: gather → compose → plan → apply → judge → publish.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::keys::{SERVICE_FINALIZER, STOP};
use compose::Facts;
use jiff::Timestamp;
use plan::{Change, Plan, Reach, Seen};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::affected::{API_VERSION, ServiceKey};
use crate::announce::Announcer;
use crate::apply::{Applied, ApplyError, Memory, apply};
use crate::gather::gather;
use crate::queue::Next;
use crate::stores::Stores;
use crate::{Done, Options, Report, certificates, finalizer, publish};

/// What a pass works with. Clones share everything.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) client: kube::Client,
    pub(crate) stores: Stores,
    pub(crate) memory: Memory,
    /// Events on services.
    pub(crate) of_services: Announcer,
    /// Events on configs.
    pub(crate) of_configs: Announcer,
    pub(crate) options: Arc<Options>,
    /// What configs reach which services.
    pub(crate) reach: Arc<Reach>,
    pub(crate) reports: Option<mpsc::UnboundedSender<Report>>,
    pub(crate) untold: Untold,
}

/// What was written for a service and could not be told yet, since its status was not taken. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Untold(Arc<Mutex<HashMap<ServiceKey, Vec<Change>>>>);

impl Untold {
    fn keep(&self, key: &ServiceKey, changes: Vec<Change>) {
        if !changes.is_empty() {
            self.lock().insert(key.clone(), changes);
        }
    }

    fn take(&self, key: &ServiceKey) -> Vec<Change> {
        self.lock().remove(key).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ServiceKey, Vec<Change>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks at the service once.
pub(crate) async fn pass(context: Context, key: ServiceKey) -> Next {
    // 1. gather: copies out of the stores, no request.
    let Some(facts) = facts(&context, &key).await else { return Next::AwaitChange };
    report(&context, &key, Done::Looked);
    if !facts.service["metadata"]["deletionTimestamp"].is_null() {
        return finish(&context, &key, &facts).await;
    }
    if !finalizer::has(&facts.service, SERVICE_FINALIZER) {
        return set_finalizer(&context, &facts.service, true).await;
    }
    // 2. compose and 3. plan: pure. A service that cannot be composed keeps what runs, unless it is stopped.
    let composed = compose::compose(&facts);
    let plan = match &composed {
        Ok(merged) => plan::build(merged, &facts),
        Err(_) if is_stopped(&facts.service) => plan::teardown(&facts),
        Err(_) => Plan::default(),
    };
    if let Ok(merged) = &composed {
        let names: Vec<&str> = merged.applied_configs.iter().map(|config| config.name.as_str()).collect();
        if names != applied_before(&facts.service) {
            report(&context, &key, Done::Merged(names.into_iter().map(str::to_owned).collect()));
        }
    }
    // 4. apply: the only requests of a pass, and none for an object that is as wanted.
    let applied = carry_out(&context, &plan, &facts).await;
    if !applied.changes.is_empty() {
        report(&context, &key, Done::Wrote(applied.changes.clone()));
    }
    let retry = applied.errors.iter().any(|(_, error)| error.may_pass());
    // 5. judge what the server answered and what was seen of pods and gateways: pure.
    let wrote = !applied.changes.is_empty();
    let mut changes = context.untold.take(&key);
    changes.extend(applied.changes);
    let seen = Seen {
        objects: applied.objects,
        errors: applied.errors.into_iter().map(|(key, error)| (key, error.to_string())).collect(),
        changes,
    };
    let previous = serde_json::from_value(facts.service["status"].clone()).ok();
    let judged = plan::judge(&facts, composed.as_ref(), &plan, &seen, previous.as_ref(), Timestamp::now());
    // 6. publish. Events only once the status is taken: otherwise the next pass, which starts from the status, would
    // tell them again.
    let status = serde_json::to_value(&judged.status).unwrap_or_default();
    match publish::status(&context.client, &context.stores, &facts.service, status).await {
        Ok(_) => {
            context.of_services.announce(&facts.service, &judged.events).await;
            match (retry, wrote) {
                (true, _) => Next::Retry,
                // What the server made of it may matter to another child: a Service's address to the certificate.
                (false, true) => Next::Again,
                (false, false) => Next::AwaitChange,
            }
        }
        Err(error) => {
            tracing::debug!(service = %key.name, %error, "status not published");
            context.untold.keep(&key, seen.changes);
            Next::Retry
        }
    }
}

/// The facts, or `None` if there is nothing to decide: no such service, or settings that cannot be read. The latter is
/// told on the service, and a change of the settings is the next try.
async fn facts(context: &Context, key: &ServiceKey) -> Option<Facts> {
    let gathered = {
        let objects = context.stores.read();
        let service =
            objects.get(API_VERSION, "LLMInferenceService", Some(&key.namespace), &key.name)?.clone();
        gather(&objects, key, &context.options)?.map_err(|error| (service, error))
    };
    match gathered {
        Ok(facts) => Some(facts),
        Err((service, error)) => {
            tracing::error!(service = %key.name, %error, "the settings of the installation cannot be read");
            context.of_services.warn(&service, &error).await;
            None
        }
    }
}

fn report(context: &Context, key: &ServiceKey, done: Done) {
    if let Some(reports) = &context.reports {
        let ServiceKey { namespace, name } = key.clone();
        let _ = reports.send(Report { namespace, name, done });
    }
}

fn applied_before(service: &Value) -> Vec<&str> {
    let configs = service["status"]["appliedConfigs"].as_array();
    configs.into_iter().flatten().filter_map(|config| config["name"].as_str()).collect()
}

/// Certificates first, because pods mount them; then the plan's steps and deletions.
async fn carry_out(context: &Context, plan: &Plan, facts: &Facts) -> Applied {
    let certificates = match certificates::issue(&plan.certificates, &facts.objects, Timestamp::now()) {
        Ok(certificates) => certificates,
        Err(error) => {
            let keys = plan.certificates.iter().map(plan::CertificateOrder::key);
            return Applied {
                errors: keys.map(|key| (key, ApplyError::Unissuable(error.clone()))).collect(),
                ..Applied::default()
            };
        }
    };
    let steps: Vec<&[Value]> = std::iter::once(certificates.as_slice())
        .chain(plan.steps.iter().map(|step| step.objects.as_slice()))
        .collect();
    apply(&context.client, &context.stores, &context.memory, &steps, &plan.absent).await
}

/// The service is being deleted: what no owner reference takes away goes first, then the finalizer.
async fn finish(context: &Context, key: &ServiceKey, facts: &Facts) -> Next {
    context.untold.take(key);
    if !finalizer::has(&facts.service, SERVICE_FINALIZER) {
        return Next::AwaitChange;
    }
    // Other members' routes still lead here: they change theirs, and that wakes us.
    if let Some(member) = plan::awaited_member(facts) {
        let previous = serde_json::from_value(facts.service["status"].clone()).ok();
        let status = plan::judge_awaiting(facts, &member, previous.as_ref(), Timestamp::now());
        let status = serde_json::to_value(&status).unwrap_or_default();
        let published = publish::status(&context.client, &context.stores, &facts.service, status).await;
        return if published.is_ok() { Next::AwaitChange } else { Next::Retry };
    }
    let plan = plan::finalize(facts);
    let applied = carry_out(context, &plan, facts).await;
    if !applied.errors.is_empty() {
        return Next::Retry;
    }
    set_finalizer(context, &facts.service, false).await
}

/// The finalizer keeps the service from going before its cluster-scoped children went.
async fn set_finalizer(context: &Context, service: &Value, wanted: bool) -> Next {
    match finalizer::set(&context.client, service, SERVICE_FINALIZER, wanted).await {
        Ok(()) => Next::AwaitChange,
        Err(error) => {
            tracing::debug!(service = %service["metadata"]["name"], %error, "finalizer not written");
            Next::Retry
        }
    }
}

/// KServe compares the value without regard to case.
fn is_stopped(service: &Value) -> bool {
    service["metadata"]["annotations"][STOP].as_str().is_some_and(|value| value.eq_ignore_ascii_case("true"))
}
