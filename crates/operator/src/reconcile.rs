//! One pass over one service, as a numbered list: gather → compose → plan → apply → judge → publish.

use std::sync::Arc;

use api::keys;
use compose::Facts;
use jiff::Timestamp;
use kinds::ObjectKey;
use kube::api::{Patch, PatchParams};
use kube::runtime::events::Recorder;
use plan::{Plan, Seen};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::affected::{API_VERSION, ServiceKey};
use crate::apply::{Applied, ApplyError, Memory, api, apply};
use crate::gather::gather;
use crate::queue::Next;
use crate::stores::Stores;
use crate::{Done, Options, Report, certificates, publish};

/// What a pass works with. Clones share everything.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) client: kube::Client,
    pub(crate) stores: Stores,
    pub(crate) memory: Memory,
    pub(crate) recorder: Recorder,
    pub(crate) options: Arc<Options>,
    pub(crate) reports: Option<mpsc::UnboundedSender<Report>>,
}

/// Keeps the service from going before its cluster-scoped children went.
const FINALIZER: &str = "serving.kserve.io/llmisvc-finalizer";

/// Looks at the service once.
pub(crate) async fn pass(context: Context, key: ServiceKey) -> Next {
    // 1. gather: copies out of the stores, no request.
    let Some(facts) = facts(&context, &key) else { return Next::AwaitChange };
    if !facts.service["metadata"]["deletionTimestamp"].is_null() {
        return finish(&context, &facts).await;
    }
    if !has_finalizer(&facts.service) {
        // The write comes back as a change, and that is the next pass.
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
    let seen = Seen {
        objects: applied.objects,
        errors: applied.errors.into_iter().map(|(key, error)| (key, error.to_string())).collect(),
        changes: applied.changes,
    };
    let previous = serde_json::from_value(facts.service["status"].clone()).ok();
    let judged = plan::judge(&facts, composed.as_ref(), &plan, &seen, previous.as_ref(), Timestamp::now());
    // 6. publish.
    publish::events(&context.recorder, &facts.service, &judged.events).await;
    let status = serde_json::to_value(&judged.status).unwrap_or_default();
    match publish::status(&context.client, &context.stores, &facts.service, status).await {
        Ok(_) if retry => Next::Retry,
        Ok(_) => Next::AwaitChange,
        Err(error) => {
            tracing::debug!(service = %key.name, %error, "status not published");
            Next::Retry
        }
    }
}

fn facts(context: &Context, key: &ServiceKey) -> Option<Facts> {
    let objects = context.stores.read();
    match gather(&objects, key, &context.options)? {
        Ok(facts) => Some(facts),
        Err(error) => {
            tracing::error!(service = %key.name, %error, "the settings of the installation cannot be read");
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
    let steps: Vec<&[Value]> =
        std::iter::once(certificates.as_slice()).chain(plan.steps.iter().map(|step| step.objects.as_slice())).collect();
    apply(&context.client, &context.stores, &context.memory, &steps, &plan.absent).await
}

/// The service is being deleted: what no owner reference takes away goes first, then the finalizer.
async fn finish(context: &Context, facts: &Facts) -> Next {
    if !has_finalizer(&facts.service) {
        return Next::AwaitChange;
    }
    let plan = plan::finalize(facts);
    let applied = carry_out(context, &plan, facts).await;
    if !applied.errors.is_empty() {
        return Next::Retry;
    }
    set_finalizer(context, &facts.service, false).await
}

/// KServe compares the value without regard to case.
fn is_stopped(service: &Value) -> bool {
    service["metadata"]["annotations"][keys::STOP].as_str().is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

fn has_finalizer(service: &Value) -> bool {
    service["metadata"]["finalizers"].as_array().is_some_and(|all| all.iter().any(|one| one == FINALIZER))
}

/// Adds or removes our finalizer and leaves those of others. The resource version makes it fail if somebody was
/// quicker.
async fn set_finalizer(context: &Context, service: &Arc<Value>, wanted: bool) -> Next {
    let Ok(key) = ObjectKey::of(service) else { return Next::AwaitChange };
    let mut finalizers = service["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    finalizers.retain(|one| one != FINALIZER);
    if wanted {
        finalizers.push(json!(FINALIZER));
    }
    let patch = json!({"metadata": {
        "resourceVersion": service["metadata"]["resourceVersion"],
        "finalizers": finalizers,
    }});
    match api(&context.client, &key).patch(&key.name, &PatchParams::default(), &Patch::Merge(patch)).await {
        Ok(_) => Next::AwaitChange,
        Err(kube::Error::Api(answer)) if answer.code == 404 => Next::AwaitChange,
        Err(error) => {
            tracing::debug!(kind = API_VERSION, name = key.name, %error, "finalizer not written");
            Next::Retry
        }
    }
}
