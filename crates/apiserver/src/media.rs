//! In which form an answer is wanted and a body is sent.

use serde_json::Value;

use crate::status::Failure;

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Object,
    Table,
    PartialObject,
    PartialList,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) shape: Shape,
    pub(crate) yaml: bool,
    pub(crate) pretty: bool,
}

impl Wanted {
    pub(crate) const JSON: Self = Self { shape: Shape::Object, yaml: false, pretty: false };

    pub(crate) fn content_type(self) -> &'static str {
        if self.yaml { "application/yaml" } else { "application/json" }
    }

    pub(crate) fn encode(self, value: &Value) -> Vec<u8> {
        if self.yaml {
            return yaml::write(value).into_bytes();
        }
        let mut bytes = if self.pretty {
            serde_json::to_vec_pretty(value).unwrap_or_default()
        } else {
            serde_json::to_vec(value).unwrap_or_default()
        };
        bytes.push(b'\n');
        bytes
    }
}

/// The refusal of the layer that serves the built-in kinds.
pub(crate) fn not_acceptable() -> Failure {
    Failure::new(
        406,
        Some("NotAcceptable"),
        "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/vnd.kubernetes.protobuf",
    )
    .with(serde_json::json!({}))
}

/// Picks the first acceptable form of an `Accept` header. `None` takes anything.
pub(crate) fn wanted(accept: Option<&str>) -> Result<Wanted, Failure> {
    let Some(accept) = accept.filter(|a| !a.trim().is_empty()) else { return Ok(Wanted::JSON) };
    for clause in accept.split(',') {
        let mut parts = clause.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        let yaml = match media {
            "application/json" | "*/*" | "application/*" => false,
            "application/yaml" => true,
            _ => continue,
        };
        let (mut kind, mut group, mut version, mut pretty) = (None, None, None, false);
        for parameter in parts {
            match parameter.split_once('=') {
                Some(("as", v)) => kind = Some(v),
                Some(("g", v)) => group = Some(v),
                Some(("v", v)) => version = Some(v),
                Some(("pretty", v)) => pretty = v != "0",
                _ => {}
            }
        }
        let shape = match (kind, group, version) {
            (None, _, _) => Shape::Object,
            (Some("Table"), Some("meta.k8s.io"), Some("v1" | "v1beta1")) => Shape::Table,
            (Some("PartialObjectMetadata"), Some("meta.k8s.io"), Some("v1" | "v1beta1")) => {
                Shape::PartialObject
            }
            (Some("PartialObjectMetadataList"), Some("meta.k8s.io"), Some("v1" | "v1beta1")) => {
                Shape::PartialList
            }
            _ => continue,
        };
        return Ok(Wanted { shape, yaml, pretty });
    }
    Err(Failure::new(
        406,
        Some("NotAcceptable"),
        "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf",
    ))
}
