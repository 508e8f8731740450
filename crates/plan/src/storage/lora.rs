//! LoRA adapters: where they lie in the pod and what the engine is told about them.

use std::collections::BTreeSet;

use api::v1alpha2::LLMInferenceServiceSpec;
use k8s_openapi::api::core::v1::PodSpec;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{Error, MAIN, container_mut};
use crate::subject::Subject;

/// One adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Adapter {
    /// Name by which clients ask for it.
    pub(crate) name: String,
    /// Its address.
    pub(crate) uri: String,
    /// Name of its folder.
    folder: String,
}

impl Adapter {
    /// Folder in the pod. It lies beside the model, not in it, since the model is mounted read-only.
    pub(crate) fn path(&self) -> String {
        format!("/mnt/lora/{}", self.folder)
    }

    /// Name of the volume if the adapter lies on a claim. A name that cannot be part of a volume's name, such as that of a
    /// model with its publisher, stands in it as its hash.
    pub(crate) fn volume(&self) -> String {
        let name = api::names::child_name("lora-pvc-", &self.name);
        let is_valid = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !name.ends_with('-');
        if is_valid { name } else { format!("lora-pvc-{}", short_hash(&self.name)) }
    }

    /// Whether the initializer fetches it.
    pub(crate) fn is_downloaded(&self) -> bool {
        self.uri.starts_with("hf://") || self.uri.starts_with("s3://")
    }
}

/// The adapters of a service, by name.
pub(crate) fn adapters(spec: &LLMInferenceServiceSpec) -> Vec<Adapter> {
    let mut adapters: Vec<Adapter> = spec
        .model
        .lora
        .iter()
        .flat_map(|lora| &lora.adapters)
        .map(|adapter| {
            let name = adapter.name.clone().unwrap_or_default();
            Adapter { folder: folder(&name), name, uri: adapter.uri.clone() }
        })
        .collect();
    adapters.sort_by(|a, b| a.name.cmp(&b.name));
    let mut taken = BTreeSet::new();
    for adapter in &mut adapters {
        // `a/b` and `a-b` would lie in one folder, each over the other.
        if !taken.insert(adapter.folder.clone()) {
            adapter.folder = format!("{}-{}", adapter.folder, short_hash(&adapter.name));
            taken.insert(adapter.folder.clone());
        }
    }
    adapters
}

fn folder(name: &str) -> String {
    let folder: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' })
        .collect();
    if matches!(folder.as_str(), "" | "." | "..") { "adapter".to_owned() } else { folder }
}

fn short_hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The name of a model that says who publishes it.
pub(crate) fn published_name(namespace: &str, model: &str) -> String {
    format!("publishers/{namespace}/models/{model}")
}

/// Puts the adapters before the user's own arguments, unless the user names modules already.
pub(super) fn inject_arguments(
    pod: &mut PodSpec,
    subject: &Subject,
    adapters: &[Adapter],
) -> Result<(), Error> {
    let main = container_mut(pod, MAIN).ok_or(Error::AddMainContainer)?;
    let names_modules = |text: &String| text.contains("--lora-modules");
    let in_variable = main
        .env
        .iter()
        .flatten()
        .filter(|variable| variable.name == "VLLM_ADDITIONAL_ARGS")
        .filter_map(|variable| variable.value.as_ref())
        .any(names_modules);
    if in_variable || main.command.iter().chain(&main.args).flatten().any(names_modules) {
        return Ok(());
    }
    let mut arguments = vec!["--enable-lora".to_owned()];
    if let Some(lora) = &subject.spec.model.lora {
        let limits = [
            ("--max-lora-rank", lora.max_rank),
            ("--max-loras", lora.max_adapters),
            ("--max-cpu-loras", lora.max_cpu_adapters),
        ];
        for (flag, limit) in limits {
            arguments.extend(limit.map(|limit| format!("{flag}={limit}")));
        }
    }
    arguments.push("--lora-modules".to_owned());
    let in_shell = main.command.iter().flatten().any(|word| word == "-c");
    for adapter in adapters {
        for name in [adapter.name.clone(), published_name(subject.namespace, &adapter.name)] {
            let module = json!({"name": name, "path": adapter.path()});
            // KServe's presets evaluate the arguments in a shell, so the JSON is quoted for it; a program gets it plain.
            arguments.push(if in_shell { format!("'{module}'") } else { module.to_string() });
        }
    }
    arguments.extend(main.args.take().unwrap_or_default());
    main.args = Some(arguments);
    Ok(())
}
