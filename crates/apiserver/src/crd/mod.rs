//! CustomResourceDefinitions: what they add to the catalog, and their schemas.

pub(crate) mod establish;
pub(crate) mod names;
pub(crate) mod validate;

use std::sync::{Arc, LazyLock, OnceLock};

use ::kinds::schema::Schema;
use serde_json::Value;

use crate::catalog::{Origin, Resource};

pub(crate) use names::judge;

/// What a CRD says about one of its versions.
pub(crate) struct CustomVersion {
    /// The version in which objects are kept.
    pub(crate) stored: String,
    pub(crate) status: bool,
    pub(crate) scale: Option<Scale>,
    pub(crate) schema: Arc<Schema>,
    /// `openAPIV3Schema` as JSON; few ever ask for it.
    pub(crate) document: Box<str>,
    /// `additionalPrinterColumns` as written.
    pub(crate) columns: Vec<Value>,
    /// JSON paths that field selectors may use, without the leading dot.
    pub(crate) selectable: Vec<String>,
    /// The warning on every use of a deprecated version.
    pub(crate) deprecation: Option<String>,
    /// Conversion by a hook, not by changing `apiVersion`.
    pub(crate) hooked: bool,
    apply: OnceLock<patch::Schema>,
}

impl CustomVersion {
    /// `openAPIV3Schema` as written.
    pub(crate) fn document(&self) -> Value {
        serde_json::from_str(&self.document).unwrap_or_default()
    }

    /// The schema by which applies are merged.
    pub(crate) fn apply_schema(&self) -> &patch::Schema {
        self.apply.get_or_init(|| patch::Schema::custom_resource(&self.document()))
    }
}

/// JSON paths of the scale subresource, without the leading dot.
pub(crate) struct Scale {
    pub(crate) spec_replicas: String,
    pub(crate) status_replicas: String,
    pub(crate) selector: Option<String>,
}

const VERBS: [&str; 8] = ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(text).collect()
}

fn path(value: &Value) -> Option<String> {
    value.as_str().map(|p| p.trim_start_matches('.').to_owned())
}

/// The resources of a CRD that is established; none of one that is not.
pub(crate) fn resources(crd: &Value) -> Vec<Arc<Resource>> {
    let established = crd["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|c| c["type"] == "Established" && c["status"] == "True");
    if !established {
        return Vec::new();
    }
    let spec = &crd["spec"];
    let names = &crd["status"]["acceptedNames"];
    let versions = spec["versions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let stored = versions.iter().find(|v| v["storage"] == true).map(|v| text(&v["name"])).unwrap_or_default();
    let group = text(&spec["group"]);
    let kind = text(&names["kind"]);
    versions
        .iter()
        .filter(|v| v["served"] == true)
        .map(|version| {
            let name = text(&version["name"]);
            let scale = version["subresources"].get("scale").map(|scale| Scale {
                spec_replicas: path(&scale["specReplicasPath"]).unwrap_or_default(),
                status_replicas: path(&scale["statusReplicasPath"]).unwrap_or_default(),
                selector: path(&scale["labelSelectorPath"]),
            });
            let deprecation =
                (version["deprecated"] == true).then(|| match version["deprecationWarning"].as_str() {
                    Some(warning) => warning.to_owned(),
                    None => {
                        let rank = crate::catalog::version_rank(&name);
                        let better = versions
                            .iter()
                            .filter(|v| v["served"] == true && v["deprecated"] != true)
                            .map(|v| text(&v["name"]))
                            .max_by_key(|v| crate::catalog::version_rank(v))
                            .filter(|v| crate::catalog::version_rank(v) > rank);
                        match better {
                            Some(better) => {
                                format!("{group}/{name} {kind} is deprecated; use {group}/{better} {kind}")
                            }
                            None => format!("{group}/{name} {kind} is deprecated"),
                        }
                    }
                });
            let document = &version["schema"]["openAPIV3Schema"];
            Arc::new(Resource {
                group: group.clone(),
                kind: kind.clone(),
                list_kind: text(&names["listKind"]),
                plural: text(&names["plural"]),
                singular: text(&names["singular"]),
                short_names: texts(&names["shortNames"]),
                categories: texts(&names["categories"]),
                namespaced: spec["scope"] == "Namespaced",
                verbs: &VERBS,
                origin: Origin::Custom(Box::new(CustomVersion {
                    stored: stored.clone(),
                    status: version["subresources"].get("status").is_some(),
                    scale,
                    schema: Arc::new(Schema::read(document)),
                    document: document.to_string().into(),
                    columns: version["additionalPrinterColumns"].as_array().cloned().unwrap_or_default(),
                    selectable: version["selectableFields"]
                        .as_array()
                        .into_iter()
                        .flatten()
                        .filter_map(|f| path(&f["jsonPath"]))
                        .collect(),
                    deprecation,
                    hooked: spec["conversion"]["strategy"] == "Webhook",
                    apply: OnceLock::new(),
                })),
                version: name,
            })
        })
        .collect()
}

/// The schema of `metadata`.
pub(crate) fn metadata_schema() -> &'static Schema {
    static METADATA: LazyLock<Schema> = LazyLock::new(crate::kinds::schema::metadata);
    &METADATA
}
