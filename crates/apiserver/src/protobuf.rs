//! The protobuf form of Kubernetes, as far as kubectl insists on it: `kubectl create namespace|secret|configmap` and
//! `auth can-i` send their objects so. Answers are JSON, which they accept too; only a refusal to a client that accepts
//! nothing else is protobuf.

use base64::Engine;
use serde_json::{Map, Value, json};

use crate::status::Failure;

pub(crate) const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// `Status` inside the envelope `runtime.Unknown`.
pub(crate) fn status(failure: &Failure) -> Vec<u8> {
    let mut status = Vec::new();
    // ListMeta with its three strings, the first two empty and present.
    field(&mut status, 1, &[0x0a, 0, 0x12, 0, 0x1a, 0]);
    field(&mut status, 2, b"Failure");
    field(&mut status, 3, failure.message.as_bytes());
    field(&mut status, 4, failure.reason.as_deref().unwrap_or_default().as_bytes());
    status.push(6 << 3);
    varint(&mut status, failure.code.into());
    let mut kind = Vec::new();
    field(&mut kind, 1, b"v1");
    field(&mut kind, 2, b"Status");
    let mut out = b"k8s\0".to_vec();
    field(&mut out, 1, &kind);
    field(&mut out, 2, &status);
    field(&mut out, 3, b"");
    field(&mut out, 4, b"");
    out
}

fn field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push((number << 3) | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// What a field of a message becomes in JSON.
enum Field {
    Text(&'static str),
    Flag(&'static str),
    Bytes(&'static str),
    Texts(&'static str),
    Message(&'static str, &'static [(u64, Field)]),
    /// A map of texts, or of bytes in base64.
    Map(&'static str),
    BytesMap(&'static str),
}

const METADATA: &[(u64, Field)] = &[
    (1, Field::Text("name")),
    (2, Field::Text("generateName")),
    (3, Field::Text("namespace")),
    (5, Field::Text("uid")),
    (6, Field::Text("resourceVersion")),
    (11, Field::Map("labels")),
    (12, Field::Map("annotations")),
    (14, Field::Texts("finalizers")),
];
const RESOURCE: &[(u64, Field)] = &[
    (1, Field::Text("namespace")),
    (2, Field::Text("verb")),
    (3, Field::Text("group")),
    (4, Field::Text("version")),
    (5, Field::Text("resource")),
    (6, Field::Text("subresource")),
    (7, Field::Text("name")),
];
const REVIEW: &[(u64, Field)] = &[
    (1, Field::Message("resourceAttributes", RESOURCE)),
    (2, Field::Message("nonResourceAttributes", &[(1, Field::Text("path")), (2, Field::Text("verb"))])),
];

/// The fields of the kinds that can be read, by the numbers of the published `generated.proto` files.
fn fields(kind: &str) -> Option<&'static [(u64, Field)]> {
    Some(match kind {
        "Namespace" => &[(1, Field::Message("metadata", METADATA))],
        "ConfigMap" => &[
            (1, Field::Message("metadata", METADATA)),
            (2, Field::Map("data")),
            (3, Field::BytesMap("binaryData")),
            (4, Field::Flag("immutable")),
        ],
        "Secret" => &[
            (1, Field::Message("metadata", METADATA)),
            (2, Field::BytesMap("data")),
            (3, Field::Text("type")),
            (4, Field::Map("stringData")),
            (5, Field::Flag("immutable")),
        ],
        "ServiceAccount" => &[(1, Field::Message("metadata", METADATA))],
        "SelfSubjectAccessReview" => {
            &[(1, Field::Message("metadata", METADATA)), (2, Field::Message("spec", REVIEW))]
        }
        "SelfSubjectRulesReview" => &[
            (1, Field::Message("metadata", METADATA)),
            (2, Field::Message("spec", &[(1, Field::Text("namespace"))])),
        ],
        "SelfSubjectReview" => &[(1, Field::Message("metadata", METADATA))],
        _ => return None,
    })
}

/// Reads an object. `None`: not protobuf of Kubernetes, or of a kind that is not known here.
pub(crate) fn read(bytes: &[u8]) -> Option<Value> {
    let envelope = bytes.strip_prefix(b"k8s\0")?;
    let parts = split(envelope)?;
    let part = |number| parts.iter().find(|(n, _)| *n == number).and_then(|(_, raw)| raw.bytes());
    let names = message(part(1)?, &[(1, Field::Text("apiVersion")), (2, Field::Text("kind"))])?;
    let mut object = message(part(2)?, fields(names["kind"].as_str()?)?)?;
    object["apiVersion"] = names["apiVersion"].clone();
    object["kind"] = names["kind"].clone();
    Some(object)
}

enum Raw<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Raw<'a> {
    fn bytes(&self) -> Option<&'a [u8]> {
        match self {
            Raw::Bytes(bytes) => Some(bytes),
            Raw::Number(_) => None,
        }
    }
}

fn split(mut bytes: &[u8]) -> Option<Vec<(u64, Raw<'_>)>> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let tag = number(&mut bytes)?;
        let raw = match tag & 7 {
            0 => Raw::Number(number(&mut bytes)?),
            2 => {
                let length = usize::try_from(number(&mut bytes)?).ok()?;
                let (head, tail) = bytes.split_at_checked(length)?;
                bytes = tail;
                Raw::Bytes(head)
            }
            _ => return None,
        };
        out.push((tag >> 3, raw));
    }
    Some(out)
}

fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn message(bytes: &[u8], known: &[(u64, Field)]) -> Option<Value> {
    let mut out = Map::new();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    let encoded = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    for (at, raw) in split(bytes)? {
        let Some((_, field)) = known.iter().find(|(n, _)| *n == at) else { continue };
        match (field, &raw) {
            (Field::Text(name), Raw::Bytes(bytes)) if !bytes.is_empty() => {
                out.insert((*name).into(), json!(text(bytes)?));
            }
            (Field::Flag(name), Raw::Number(value)) => {
                out.insert((*name).into(), json!(*value != 0));
            }
            (Field::Bytes(name), Raw::Bytes(bytes)) => {
                out.insert((*name).into(), json!(encoded(bytes)));
            }
            (Field::Message(name, known), Raw::Bytes(bytes)) => {
                out.insert((*name).into(), message(bytes, known)?);
            }
            (Field::Texts(name), Raw::Bytes(bytes)) => {
                let list = out.entry(*name).or_insert_with(|| json!([]));
                list.as_array_mut()?.push(json!(text(bytes)?));
            }
            (Field::Map(name), Raw::Bytes(bytes)) => {
                let entry = message(bytes, &[(1, Field::Text("key")), (2, Field::Text("value"))])?;
                let value = if entry["value"].is_null() { json!("") } else { entry["value"].clone() };
                out.entry(*name).or_insert_with(|| json!({}))[entry["key"].as_str()?] = value;
            }
            (Field::BytesMap(name), Raw::Bytes(bytes)) => {
                let entry = message(bytes, &[(1, Field::Text("key")), (2, Field::Bytes("value"))])?;
                let value = if entry["value"].is_null() { json!("") } else { entry["value"].clone() };
                out.entry(*name).or_insert_with(|| json!({}))[entry["key"].as_str()?] = value;
            }
            _ => {}
        }
    }
    Some(Value::Object(out))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn a_secret_made_by_kubectl_is_read() {
        let bytes = b"k8s\0\n\x0c\n\x02v1\x12\x06Secret\x12$\n\x18\n\x01s\x12\0\x1a\x07kubectl\"\0*\x002\x008\0B\0\x12\x06\n\x01a\x12\x01b\x1a\0\x1a\0\"\0";
        let wanted = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "kubectl"}, "data": {"a": "Yg=="},
        });
        assert_eq!(super::read(bytes), Some(wanted));
        assert_eq!(super::read(b"k8s\0\n\xff"), None);
    }
}
