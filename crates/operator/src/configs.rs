//! One pass over one LLMInferenceServiceConfig: who uses it, and whether it may go.

use std::sync::Arc;

use api::keys::CONFIG_FINALIZER;
use jiff::Timestamp;
use plan::ConfigJudged;
use serde_json::Value;

use crate::affected::{API_VERSION, ConfigKey};
use crate::publish::PublishError;
use crate::queue::Next;
use crate::reconcile::Context;
use crate::{finalizer, publish};

/// Looks at the config once. Nothing is read from the API server, and nothing written if all is said already.
pub(crate) async fn pass(context: Context, key: ConfigKey) -> Next {
    let found = {
        let objects = context.stores.read();
        let config =
            objects.get(API_VERSION, "LLMInferenceServiceConfig", Some(&key.namespace), &key.name).cloned();
        config.map(|config| {
            let services = objects.of_kind(API_VERSION, "LLMInferenceService").map(|(_, service)| &**service);
            let judged = plan::judge_config(&config, services, &context.reach, Timestamp::now());
            (config, judged)
        })
    };
    let Some((config, judged)) = found else { return Next::AwaitChange };
    let is_deleted = !config["metadata"]["deletionTimestamp"].is_null();
    let outcome = match (finalizer::has(&config, CONFIG_FINALIZER), is_deleted) {
        (false, false) => finalizer::set(&context.client, &config, CONFIG_FINALIZER, true).await,
        // Somebody else's finalizer keeps it; there is nothing left to say.
        (false, true) => Ok(()),
        (true, _) if judged.may_go => finalizer::set(&context.client, &config, CONFIG_FINALIZER, false).await,
        (true, _) => say(&context, &config, &judged).await,
    };
    match outcome {
        Ok(()) => Next::AwaitChange,
        Err(PublishError::Outdated) => Next::Retry,
        Err(error) => {
            tracing::warn!(config = %key.name, %error, "config not looked after");
            context.of_configs.warn(&config, &error).await;
            Next::Retry
        }
    }
}

async fn say(context: &Context, config: &Arc<Value>, judged: &ConfigJudged) -> Result<(), PublishError> {
    let status = serde_json::to_value(&judged.status).unwrap_or_default();
    publish::status(&context.client, &context.stores, config, status).await?;
    context.of_configs.announce(config, &judged.events).await;
    Ok(())
}
