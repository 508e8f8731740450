//! The configs that are compiled in. They stand in for objects that a cluster does not have.
//!
//! Most are presets, which the shape of a service chooses. Those that end with the name of an accelerator are for baseRefs.

use std::sync::LazyLock;

use serde_json::Value;

/// One preset.
#[derive(Debug, Clone)]
pub struct Preset {
    /// Name without the installation's prefix: `config-llm-template`.
    pub name: &'static str,
    /// The LLMInferenceServiceConfig in v1alpha2; name and namespace are those of a default installation.
    pub document: Value,
}

/// Name without prefix, and the text.
const SOURCES: &[(&str, &str)] = &[
    ("config-llm-decode-template", include_str!("../presets/config-llm-decode-template.yaml")),
    (
        "config-llm-decode-worker-data-parallel",
        include_str!("../presets/config-llm-decode-worker-data-parallel.yaml"),
    ),
    (
        "config-llm-decode-worker-pipeline-parallel",
        include_str!("../presets/config-llm-decode-worker-pipeline-parallel.yaml"),
    ),
    (
        "config-llm-multi-node-pd-template-nvidia-cuda",
        include_str!("../presets/config-llm-multi-node-pd-template-nvidia-cuda.yaml"),
    ),
    (
        "config-llm-multi-node-template-nvidia-cuda",
        include_str!("../presets/config-llm-multi-node-template-nvidia-cuda.yaml"),
    ),
    ("config-llm-prefill-template", include_str!("../presets/config-llm-prefill-template.yaml")),
    (
        "config-llm-prefill-worker-data-parallel",
        include_str!("../presets/config-llm-prefill-worker-data-parallel.yaml"),
    ),
    (
        "config-llm-prefill-worker-pipeline-parallel",
        include_str!("../presets/config-llm-prefill-worker-pipeline-parallel.yaml"),
    ),
    ("config-llm-router-route", include_str!("../presets/config-llm-router-route.yaml")),
    ("config-llm-scheduler", include_str!("../presets/config-llm-scheduler.yaml")),
    (
        "config-llm-scheduler-latency-predictor",
        include_str!("../presets/config-llm-scheduler-latency-predictor.yaml"),
    ),
    (
        "config-llm-single-node-pd-template-nvidia-cuda",
        include_str!("../presets/config-llm-single-node-pd-template-nvidia-cuda.yaml"),
    ),
    (
        "config-llm-single-node-template-nvidia-cuda",
        include_str!("../presets/config-llm-single-node-template-nvidia-cuda.yaml"),
    ),
    ("config-llm-template", include_str!("../presets/config-llm-template.yaml")),
    ("config-llm-template-amd-rocm", include_str!("../presets/config-llm-template-amd-rocm.yaml")),
    ("config-llm-template-cpu", include_str!("../presets/config-llm-template-cpu.yaml")),
    (
        "config-llm-template-ibm-spyre-ppc64le",
        include_str!("../presets/config-llm-template-ibm-spyre-ppc64le.yaml"),
    ),
    (
        "config-llm-template-ibm-spyre-s390x",
        include_str!("../presets/config-llm-template-ibm-spyre-s390x.yaml"),
    ),
    ("config-llm-template-ibm-spyre-x86", include_str!("../presets/config-llm-template-ibm-spyre-x86.yaml")),
    ("config-llm-template-intel-gaudi", include_str!("../presets/config-llm-template-intel-gaudi.yaml")),
    ("config-llm-template-nvidia-cuda", include_str!("../presets/config-llm-template-nvidia-cuda.yaml")),
    ("config-llm-tokenizer", include_str!("../presets/config-llm-tokenizer.yaml")),
    ("config-llm-tracing", include_str!("../presets/config-llm-tracing.yaml")),
    ("config-llm-worker-data-parallel", include_str!("../presets/config-llm-worker-data-parallel.yaml")),
    (
        "config-llm-worker-pipeline-parallel",
        include_str!("../presets/config-llm-worker-pipeline-parallel.yaml"),
    ),
];

static ALL: LazyLock<Vec<Preset>> = LazyLock::new(|| {
    SOURCES
        .iter()
        .filter_map(|(name, text)| Some(Preset { name, document: yaml::read_value(text).ok()? }))
        .collect()
});

/// All of them, in order of their names.
pub fn all() -> &'static [Preset] {
    &ALL
}

/// The preset of that name, given without the installation's prefix.
pub fn get(name: &str) -> Option<&'static Preset> {
    all().iter().find(|preset| preset.name == name)
}
