//! The presets that are compiled in. They stand in for objects that a cluster does not have.

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
const SOURCES: &[(&str, &str)] = &[];

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
