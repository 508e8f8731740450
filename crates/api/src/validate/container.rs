//! The engine's container is called `main`.
//!
//! An API server takes any name: a container of another name is added beside the engine's. That is right for a sidecar. For
//! the only container, or for one without an image, it is a mistake that shows hours later, so the command line refuses it.

use kinds::schema::ViolationType;
use serde_json::Value;

use super::{Finding, Verdict, is_set, workloads};

/// The name of the engine's container in every preset.
pub const MAIN: &str = "main";

/// Pods whose containers cannot be what their author meant. Services that build on configs are not looked at: a config
/// may know those containers.
pub fn main_container(service: &Value) -> Vec<Finding> {
    let mut verdict = Verdict::default();
    let spec = &service["spec"];
    if super::is_filled(&spec["baseRefs"]) {
        return Vec::new();
    }
    for (base, workload) in workloads(spec) {
        for pod in ["template", "worker"] {
            let containers = workload[pod]["containers"].as_array().map(Vec::as_slice).unwrap_or_default();
            if containers.iter().any(|container| container["name"] == MAIN) {
                continue;
            }
            let is_only = containers.len() == 1;
            if let Some(index) =
                containers.iter().position(|container| is_only || !is_set(&container["image"]))
            {
                let name = &containers[index]["name"];
                verdict.find(
                    "container-main",
                    ViolationType::Invalid,
                    &format!("{base}.{pod}.containers[{index}].name"),
                    format!("Invalid value: {name}: the engine's container is called {MAIN}"),
                );
            }
        }
    }
    verdict.findings
}
