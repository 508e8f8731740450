//! KV-cache offloading.

use kinds::quantity::Quantity;
use serde_json::Value;

use super::{Verdict, is_set, workloads};

pub(super) fn all(spec: &Value, verdict: &mut Verdict) {
    for (base, workload) in workloads(spec) {
        let cache = &workload["kvCacheOffloading"];
        let path = format!("{base}.kvCacheOffloading");
        let tiers = cache["secondary"].as_array().map(Vec::as_slice).unwrap_or_default();
        let cpu = cache["cpu"].as_str().and_then(|cpu| Quantity::parse(cpu).ok());
        if !tiers.is_empty() && cpu.is_none_or(|cpu| cpu.is_zero()) {
            verdict.required(
                "cache-without-cpu",
                &format!("{path}.cpu"),
                "cpu must be set when secondary tiers are configured",
            );
        }
        for (index, tier) in tiers.iter().enumerate() {
            check_tier(&format!("{path}.secondary[{index}].fileSystem"), &tier["fileSystem"], verdict);
        }
    }
}

fn check_tier(path: &str, files: &Value, verdict: &mut Verdict) {
    if !is_set(files) {
        verdict.required(
            "cache-tier-kind",
            path,
            "only fileSystem tiers are supported; fileSystem must be set",
        );
        return;
    }
    let claim = &files["pvc"];
    match (is_set(&files["emptyDir"]), is_set(claim)) {
        (false, false) => {
            verdict.required("cache-tier-volume", path, "exactly one of emptyDir or pvc must be set");
        }
        (true, true) => {
            let words = "exactly one of emptyDir or pvc must be set; multiple are set";
            verdict.invalid("cache-tier-volume", path, files, words);
        }
        _ => {}
    }
    if !is_set(claim) {
        return;
    }
    let path = format!("{path}.pvc");
    match (is_set(&claim["spec"]), is_set(&claim["ref"])) {
        (false, false) => {
            verdict.required("cache-tier-claim", &path, "exactly one of spec or ref must be set")
        }
        (true, true) => {
            let words = "exactly one of spec or ref must be set; both are set";
            verdict.invalid("cache-tier-claim", &path, claim, words);
        }
        _ => {}
    }
    if is_set(&claim["ref"]) && claim["ref"]["name"].as_str().unwrap_or_default().is_empty() {
        verdict.required("cache-tier-claim-name", &format!("{path}.ref.name"), "name is required");
    }
}
