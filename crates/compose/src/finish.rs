//! What composition adds after the merge: names, references and devices that depend on the whole.

use api::{keys, names};
use kinds::pointer::{at, at_mut};
use serde_json::{Value, json};

use crate::{Error, Facts, SchedulerConfig, data, go_json, select};

/// ConfigMaps whose name starts so are also looked up in the system namespace.
const SHARED_CONFIG_PREFIX: &str = "config-scheduler-";
const DEFAULT_CONFIG_KEY: &str = "epp";
const PICKER_PORT: u16 = 9002;
const CLAIM: &str = "managed-device";

/// JSON pointers into the spec of what was written here.
pub(crate) type Written = Vec<String>;

/// Before templates are rendered: the pool's selector and the picker's ServiceAccount.
pub(crate) fn before_templates(spec: &mut Value, service: &str, written: &mut Written) {
    let Some(scheduler) = at_mut(spec, "/router/scheduler") else { return };
    if let Some(pool) = at_mut(scheduler, "/pool/spec").filter(|pool| pool.is_object()) {
        let labels = &pool["selector"]["matchLabels"];
        if labels.as_object().is_none_or(serde_json::Map::is_empty) {
            pool["selector"]["matchLabels"] = json!({
                keys::APP_NAME: service,
                keys::APP_PART_OF: keys::PART_OF,
                "kserve.io/component": "workload",
            });
            written.push("/router/scheduler/pool/spec/selector/matchLabels".to_owned());
        }
    }
    if let Some(pod) = scheduler.get_mut("template").and_then(Value::as_object_mut) {
        let account = pod.entry("serviceAccountName").or_insert_with(|| json!(""));
        if account.as_str().is_none_or(str::is_empty) {
            *account = names::picker_service_account(service).into();
            written.push("/router/scheduler/template/serviceAccountName".to_owned());
        }
    }
}

/// After templates are rendered. The order is KServe's.
pub(crate) fn after_templates(
    spec: &mut Value,
    facts: &Facts,
    written: &mut Written,
) -> Result<Option<SchedulerConfig>, Error> {
    add_devices(spec, facts, written);
    set_parents(spec, written);
    set_back_ends(spec, facts.name(), written);
    let config = scheduler_config(spec, facts)?;
    if config.as_ref().is_some_and(|config| config.config_map.is_some()) {
        written.push("/router/scheduler/config/inline".to_owned());
    }
    set_picker_port(spec, written);
    Ok(config)
}

/// Managed devices: a claim in every pod, used by one container.
fn add_devices(spec: &mut Value, facts: &Facts, written: &mut Written) {
    let annotation = |key: &str| {
        let annotations = at(&facts.service, "/metadata/annotations")?;
        annotations.get(key)?.as_str().filter(|text| !text.is_empty())
    };
    if annotation(keys::DRA_DEVICE_CLASS).is_none() {
        return;
    }
    let container_name = annotation(keys::DRA_CONTAINER_NAME);
    let claim_template = names::managed_dra(facts.name());
    for pointer in ["/template", "/worker", "/prefill/template", "/prefill/worker"] {
        let Some(pod) = at_mut(spec, pointer).filter(|pod| pod.is_object()) else { continue };
        add_named(
            &mut pod["resourceClaims"],
            json!({"name": CLAIM, "resourceClaimTemplateName": claim_template}),
        );
        written.push(format!("{pointer}/resourceClaims"));
        let Some(containers) = pod["containers"].as_array_mut() else { continue };
        let index = match container_name {
            Some(name) => containers.iter().position(|container| container["name"] == name),
            None => Some(0),
        };
        if let Some(index) = index
            && let Some(container) = containers.get_mut(index)
        {
            written.push(format!("{pointer}/containers/{index}/resources/claims"));
            add_named(&mut container["resources"]["claims"], json!({"name": CLAIM}));
        }
    }
}

/// Appends `item` to `list` unless it has one of that name.
fn add_named(list: &mut Value, item: Value) {
    if !list.is_array() {
        *list = json!([]);
    }
    if let Some(items) = list.as_array_mut()
        && !items.iter().any(|known| known["name"] == item["name"])
    {
        items.push(item);
    }
}

/// Gateways that the service names replace those of the route.
fn set_parents(spec: &mut Value, written: &mut Written) {
    let refs = at(spec, "/router/gateway/refs").and_then(Value::as_array).cloned().unwrap_or_default();
    let Some(route) = at_mut(spec, "/router/route/http/spec").filter(|route| route.is_object()) else {
        return;
    };
    if refs.is_empty() {
        return;
    }
    let parents = refs.iter().map(|reference| {
        let mut parent = json!({
            "group": "gateway.networking.k8s.io",
            "kind": "Gateway",
            "name": reference["name"].as_str().unwrap_or_default(),
        });
        for field in ["namespace", "sectionName"] {
            if let Some(text) = reference[field].as_str().filter(|text| !text.is_empty()) {
                parent[field] = text.into();
            }
        }
        parent
    });
    route["parentRefs"] = parents.collect();
    written.push("/router/route/http/spec/parentRefs".to_owned());
}

/// Without a scheduler the route goes to the Service; with a pool of the user's it goes there.
fn set_back_ends(spec: &mut Value, service: &str, written: &mut Written) {
    let scheduler = at(spec, "/router/scheduler").filter(|scheduler| scheduler.is_object());
    let pool = scheduler.map(|scheduler| data::pool_name(scheduler, service));
    let own_pool = names::inference_pool(service);
    let Some(rules) = at_mut(spec, "/router/route/http/spec/rules").and_then(Value::as_array_mut) else {
        return;
    };
    let to_service = pool.is_none();
    for (rule, refs) in
        rules.iter_mut().enumerate().filter_map(|(i, rule)| Some((i, rule["backendRefs"].as_array_mut()?)))
    {
        for (index, back_end) in refs.iter_mut().enumerate() {
            if back_end["kind"] != "InferencePool" || back_end["name"] != own_pool.as_str() {
                continue;
            }
            if to_service {
                back_end["group"] = "".into();
                back_end["kind"] = "Service".into();
                back_end["name"] = names::workload_service(service).into();
            } else if let Some(pool) = pool.as_deref().filter(|pool| *pool != own_pool) {
                back_end["name"] = pool.into();
            } else {
                continue;
            }
            written.push(format!("/router/route/http/spec/rules/{rule}/backendRefs/{index}/name"));
        }
    }
}

/// The picker's configuration: a reference becomes inline.
fn scheduler_config(spec: &mut Value, facts: &Facts) -> Result<Option<SchedulerConfig>, Error> {
    let Some(config) = at_mut(spec, "/router/scheduler/config").and_then(Value::as_object_mut) else {
        return Ok(None);
    };
    let Some(reference) = config.get("ref").filter(|reference| reference.is_object()).cloned() else {
        return Ok(config
            .get("inline")
            .map(|inline| SchedulerConfig { text: go_json::write(inline), config_map: None }));
    };
    let name = reference["name"].as_str().unwrap_or_default();
    let key = reference["key"].as_str().filter(|key| !key.is_empty()).unwrap_or(DEFAULT_CONFIG_KEY);
    let get = |namespace: &str| {
        let found = facts.objects.get("v1", "ConfigMap", Some(namespace), name)?;
        Some((namespace.to_owned(), found))
    };
    let found = get(facts.namespace())
        .or_else(|| if name.starts_with(SHARED_CONFIG_PREFIX) { get(&facts.system_namespace) } else { None });
    let text = found.as_ref().and_then(|(_, map)| map["data"][key].as_str());
    let (Some((namespace, _)), Some(text)) = (&found, text) else {
        // KServe's words, which leave out the name of a ConfigMap that does not exist.
        let shown =
            found.as_ref().map_or_else(|| "/".to_owned(), |(namespace, _)| format!("{namespace}/{name}"));
        return Err(Error::CreateConfigMap {
            message: format!("ConfigMap {shown} doesn't have key {key:?} in data"),
            config_map: format!("{}/{name}", facts.namespace()),
            key: key.to_owned(),
        });
    };
    let inline = yaml::read_value(text).ok().filter(|value| !value.is_null()).unwrap_or_else(|| text.into());
    let resolved =
        SchedulerConfig { text: text.to_owned(), config_map: Some((namespace.clone(), name.to_owned())) };
    config.remove("ref");
    config.insert("inline".to_owned(), inline);
    Ok(Some(resolved))
}

/// The warning that a referenced configuration needs the latency predictor, which only an inline one brings.
pub(crate) fn lacks_latency_predictor(config: Option<&SchedulerConfig>) -> bool {
    config.is_some_and(|config| {
        config.config_map.is_some()
            && yaml::read_value(&config.text).is_ok_and(|config| select::needs_latency_predictor(&config))
    })
}

fn set_picker_port(spec: &mut Value, written: &mut Written) {
    let Some(picker) = at_mut(spec, "/router/scheduler/pool/spec/endpointPickerRef") else { return };
    let is_service = picker["kind"].as_str().is_none_or(|kind| kind.is_empty() || kind == "Service");
    if picker.is_object() && is_service && picker["port"]["number"].as_i64().unwrap_or(0) == 0 {
        picker["port"] = json!({"number": PICKER_PORT});
        written.push("/router/scheduler/pool/spec/endpointPickerRef/port".to_owned());
    }
}

/// Adapters that cannot be served. The words are KServe's, which status messages quote.
pub(crate) fn check_adapters(spec: &Value) -> Result<(), Error> {
    const MORE: &str =
        "(see https://github.com/kserve/kserve/blob/master/docs/samples/llmisvc/lora-adapters/README.md)";
    let downloads = at(spec, "/storageInitializer/enabled").and_then(Value::as_bool) != Some(false);
    let adapters = at(spec, "/model/lora/adapters").and_then(Value::as_array);
    for (index, adapter) in adapters.into_iter().flatten().enumerate() {
        let name = adapter["name"].as_str().unwrap_or_default();
        let uri = adapter["uri"].as_str().unwrap_or_default();
        let problem = match uri.split_once("://").map(|(scheme, _)| scheme) {
            None => format!("invalid URI {uri:?}"),
            Some("oci") => {
                format!(
                    "oci:// is not supported for LoRA adapters; use hf://, s3://, or pvc:// instead {MORE}"
                )
            }
            Some(scheme @ ("hf" | "s3" | "pvc")) if !downloads => {
                format!(
                    "{scheme}:// requires the storage initializer, which storageInitializer.enabled: false turns off"
                )
            }
            Some("hf" | "s3" | "pvc") => continue,
            Some(scheme) => {
                format!(
                    "unsupported URI scheme \"{scheme}://\"; supported schemes are hf://, s3://, pvc:// {MORE}"
                )
            }
        };
        return Err(Error::FixAdapter {
            message: format!("failed to enumerate LoRA adapters: LoRA adapter {name:?}: {problem}"),
            field: format!("/spec/model/lora/adapters/{index}/uri"),
        });
    }
    Ok(())
}
