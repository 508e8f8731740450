//! Names as Kubernetes wants them.

use kinds::schema::{Violation, ViolationType};
use serde_json::Value;

/// What Kubernetes says about a bad DNS subdomain.
pub(super) const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
/// What Kubernetes says about a bad DNS label.
pub(super) const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";

const SUBDOMAIN_BYTES: usize = 253;
const LABEL_BYTES: usize = 63;

/// Whether the text is a DNS label of at most 63 bytes.
pub(super) fn is_label(text: &str) -> bool {
    text.len() <= LABEL_BYTES && is_label_of_any_length(text)
}

/// Whether the text is labels joined by dots, at most 253 bytes.
pub(super) fn is_subdomain(text: &str) -> bool {
    text.len() <= SUBDOMAIN_BYTES && text.split('.').all(is_label_of_any_length)
}

fn is_label_of_any_length(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    match (text.bytes().next(), text.bytes().last()) {
        (Some(first), Some(last)) => {
            is_word(first) && is_word(last) && text.bytes().all(|byte| is_word(byte) || byte == b'-')
        }
        _ => false,
    }
}

/// What an API server says about the name of an object, if it cannot have that name. `None` if it can; a name that is still
/// to be generated is not looked at.
pub fn name_violation(object: &Value) -> Option<Violation> {
    let metadata = &object["metadata"];
    let name = metadata["name"].as_str().unwrap_or_default();
    const FIELD: &str = "metadata.name";
    if name.is_empty() {
        let is_generated = metadata["generateName"].as_str().is_some_and(|prefix| !prefix.is_empty());
        let words = "Required value: name or generateName is required".to_owned();
        return (!is_generated).then(|| Violation::new(ViolationType::Required, FIELD, words));
    }
    if is_subdomain(name) {
        return None;
    }
    let words = if name.len() > SUBDOMAIN_BYTES {
        format!("Invalid value: {}: must be no more than {SUBDOMAIN_BYTES} bytes", Value::from(name))
    } else {
        format!("Invalid value: {}: {SUBDOMAIN}", Value::from(name))
    };
    Some(Violation::new(ViolationType::Invalid, FIELD, words))
}
