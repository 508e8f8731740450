//! Parallelism, adapters, rolling updates, confidential models.

use serde_json::{Value, json};

use super::{Verdict, is_set, workloads};
use crate::v1alpha2::ParallelismSpec;

pub(super) fn parallelism(spec: &Value, verdict: &mut Verdict) {
    for (base, workload) in workloads(spec) {
        let parallelism = &workload["parallelism"];
        let path = format!("{base}.parallelism");
        let read = read(parallelism);
        if is_set(&workload["worker"]) && !read.is_data_parallel() && !read.is_pipeline_parallel() {
            verdict.find(
                "worker-without-parallelism",
                kinds::schema::ViolationType::Invalid,
                &format!("{base}.worker"),
                "Invalid value: when worker is specified, parallelism must be configured for either data parallelism or pipeline parallelism".to_owned(),
            );
        }
        if !is_set(parallelism) {
            continue;
        }
        if read.is_pipeline_parallel() && read.is_data_parallel() {
            verdict.invalid(
                "pipeline-and-data",
                &path,
                parallelism,
                "cannot set both pipeline parallelism and data parallelism (data or dataLocal) simultaneously",
            );
        }
        if read.data.is_some() && read.data_local.is_none() {
            verdict.invalid(
                "data-without-data-local",
                &format!("{path}.dataLocal"),
                &parallelism["dataLocal"],
                "dataLocal must be set when data is set",
            );
        }
        if read.data_local.is_some() && read.data.is_none() {
            verdict.invalid(
                "data-local-without-data",
                &format!("{path}.data"),
                &parallelism["data"],
                "data must be set when dataLocal is set",
            );
        }
        for (name, value, words) in [
            ("pipeline", read.pipeline, "pipeline parallelism must be greater than 0"),
            ("data", read.data, "data parallelism must be greater than 0"),
            ("dataLocal", read.data_local, "dataLocal parallelism must be greater than 0"),
        ] {
            if value.is_some_and(|value| value <= 0) {
                verdict.invalid(
                    "parallelism-not-positive",
                    &format!("{path}.{name}"),
                    &parallelism[name],
                    words,
                );
            }
        }
    }
}

fn read(parallelism: &Value) -> ParallelismSpec {
    serde_json::from_value(parallelism.clone()).unwrap_or_default()
}

/// The number of pods of one copy cannot change: pods of the old and the new size would not find each other.
pub(super) fn size_is_fixed(spec: &Value, old: &Value, verdict: &mut Verdict) {
    let size = |workload: &Value| read(&workload["parallelism"]).size().unwrap_or(1);
    let mut compare = |base: &str, new: &Value, old: &Value| {
        let (before, now) = (size(old), size(new));
        if before != now {
            let words =
                format!("total parallelism size is immutable, previous size {before}, curr size {now}");
            verdict.find(
                "size-is-fixed",
                kinds::schema::ViolationType::NotSupported,
                &format!("{base}.parallelism"),
                format!("Unsupported value: {}: {words}", new["parallelism"]),
            );
        }
    };
    compare("spec", spec, old);
    if is_set(&spec["prefill"]) && is_set(&old["prefill"]) {
        compare("spec.prefill", &spec["prefill"], &old["prefill"]);
    }
}

pub(super) fn adapters(service: &Value, verdict: &mut Verdict) {
    let model = &service["spec"]["model"];
    let lora = &model["lora"];
    const LORA: &str = "spec.model.lora";
    for name in ["maxRank", "maxAdapters", "maxCpuAdapters"] {
        if lora[name].as_i64().is_some_and(|value| value < 1) {
            verdict.invalid(
                "lora-limit",
                &format!("{LORA}.{name}"),
                &lora[name],
                &format!("{name} must be at least 1"),
            );
        }
    }
    let base_name = model["name"]
        .as_str()
        .filter(|name| !name.is_empty())
        .or(service["metadata"]["name"].as_str())
        .unwrap_or_default();
    let adapters = lora["adapters"].as_array().map(Vec::as_slice).unwrap_or_default();
    for (index, adapter) in adapters.iter().enumerate() {
        let path = format!("{LORA}.adapters[{index}].name");
        let name = adapter["name"].as_str().unwrap_or_default();
        if name.is_empty() {
            verdict.required("adapter-name", &path, "adapter name is required");
            continue;
        }
        if name == "." || name == ".." {
            let words =
                "adapter name must not be \".\" or \"..\": it becomes a folder, and these lead out of it";
            verdict.invalid("adapter-path", &path, &adapter["name"], words);
            continue;
        }
        if let Some(first) = adapters[..index].iter().position(|other| other["name"] == adapter["name"]) {
            let words = format!("duplicate name (same as adapters[{first}])");
            verdict.invalid("adapter-twice", &path, &adapter["name"], &words);
            continue;
        }
        if name == base_name {
            let words = format!("adapter name must differ from base model name {}", json!(base_name));
            verdict.invalid("adapter-like-model", &path, &adapter["name"], &words);
        }
    }
}

pub(super) fn rollouts(spec: &Value, verdict: &mut Verdict) {
    for (base, workload) in workloads(spec) {
        let strategy = &workload["rolloutStrategy"];
        if !is_set(strategy) {
            continue;
        }
        let path = format!("{base}.rolloutStrategy");
        let (unavailable, surge) = (&strategy["maxUnavailable"], &strategy["maxSurge"]);
        let mut is_readable = true;
        for (name, value) in [("maxUnavailable", unavailable), ("maxSurge", surge)] {
            if let Err(words) = check_amount(value) {
                is_readable = false;
                verdict.invalid("rollout-amount", &format!("{path}.{name}"), value, words);
            }
        }
        if !is_readable {
            continue;
        }
        // KServe scales percentages to one copy: down for what may be missing, up for what may be added.
        let no_unavailable = is_set(unavailable) && of_one(unavailable, false) == 0;
        if no_unavailable && is_set(surge) && of_one(surge, true) == 0 {
            verdict.invalid(
                "rollout-stuck",
                &path,
                strategy,
                "maxUnavailable and maxSurge cannot both be zero; this would prevent any rolling update progress",
            );
        }
        if no_unavailable && !is_set(surge) && is_set(&workload["worker"]) {
            verdict.required(
                "rollout-needs-surge",
                &format!("{path}.maxSurge"),
                "maxSurge is required for multi-node workloads when maxUnavailable is 0, because it is 0 by default there",
            );
        }
    }
}

fn check_amount(value: &Value) -> Result<(), &'static str> {
    match value {
        Value::Number(number) if number.as_i64().is_some_and(|number| number < 0) => {
            Err("must be greater than or equal to 0")
        }
        Value::String(text) => match percent(text) {
            None => Err(
                "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%', or '93%', regex used for validation is '[0-9]+%')",
            ),
            Some(percent) if percent > 100 => Err("must not be greater than 100%"),
            Some(_) => Ok(()),
        },
        _ => Ok(()),
    }
}

fn percent(text: &str) -> Option<i64> {
    let digits = text.strip_suffix('%').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    if digits.is_empty() { None } else { Some(digits.parse().unwrap_or(i64::MAX)) }
}

fn of_one(value: &Value, round_up: bool) -> i64 {
    match value {
        Value::String(text) => {
            let percent = percent(text).unwrap_or(0);
            if round_up { i64::from(percent > 0) } else { percent / 100 }
        }
        value => value.as_i64().unwrap_or(0),
    }
}

pub(super) fn confidential(spec: &Value, verdict: &mut Verdict) {
    let model = &spec["model"];
    let confidential = &model["confidential"];
    if confidential["enabled"] != true {
        return;
    }
    let uri = model["uri"].as_str().unwrap_or_default();
    if uri.starts_with("oci://") {
        verdict.warnings.push("spec.model.confidential has no effect with OCI URIs".to_owned());
    }
    if uri.starts_with("pvc://") {
        verdict.warnings.push("spec.model.confidential has no effect with PVC URIs".to_owned());
    }
    let resource = &confidential["resourceId"];
    if resource.as_str().is_some_and(|resource| !is_key(resource)) {
        verdict.invalid(
            "confidential-resource",
            "spec.model.confidential.resourceId",
            resource,
            "must be in the format kbs:///<repo>/<type>/<tag>",
        );
    }
}

fn is_key(resource: &str) -> bool {
    let Some(rest) = resource.strip_prefix("kbs:///") else { return false };
    let parts: Vec<&str> = rest.split('/').collect();
    let is_word = |part: &&str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
    };
    parts.len() == 3 && parts.iter().all(is_word)
}
