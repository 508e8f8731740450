//! Managed devices (dynamic resource allocation), which annotations ask for.

use serde_json::Value;

use super::Verdict;
use super::names::{LABEL, SUBDOMAIN, is_label, is_subdomain};
use crate::keys;

pub(super) fn all(service: &Value, verdict: &mut Verdict) {
    let annotations = &service["metadata"]["annotations"];
    let get = |key: &str| annotations.get(key).and_then(Value::as_str);
    let path = |key: &str| format!("metadata.annotations[{key}]");
    let class = get(keys::DRA_DEVICE_CLASS);
    let others = [keys::DRA_DEVICE_COUNT, keys::DRA_CEL_SELECTOR, keys::DRA_CONTAINER_NAME];
    if class.is_none() && others.iter().any(|key| get(key).is_some()) {
        let words = format!(
            "{} is required to enable managed DRA when {}, {}, or {} is set",
            keys::DRA_DEVICE_CLASS,
            others[0],
            others[1],
            others[2]
        );
        verdict.required("device-class-missing", &path(keys::DRA_DEVICE_CLASS), &words);
    }
    if let Some(class) = class {
        let trimmed = class.trim();
        let at = path(keys::DRA_DEVICE_CLASS);
        if trimmed.is_empty() {
            verdict.invalid("device-class", &at, &class.into(), "device class must not be empty");
        } else if !is_subdomain(trimmed) {
            let words = format!("device class must be a DNS subdomain: {SUBDOMAIN}");
            verdict.invalid("device-class", &at, &class.into(), &words);
        }
    }
    if let Some(count) = get(keys::DRA_DEVICE_COUNT).filter(|count| !count.trim().is_empty()) {
        let problem = match count.trim().parse::<i64>() {
            Err(_) => Some("it is not a number"),
            Ok(number) if number < 1 => Some("must be >= 1"),
            Ok(_) => None,
        };
        if let Some(problem) = problem {
            let key = keys::DRA_DEVICE_COUNT;
            let words = format!("invalid {key} value {}: {problem}", Value::from(count));
            verdict.invalid("device-count", &path(key), &count.into(), &words);
        }
    }
    if let Some(selector) = get(keys::DRA_CEL_SELECTOR).filter(|selector| selector.trim().is_empty()) {
        let words = "cel selector must contain at least one non-empty CEL expression";
        verdict.invalid("device-selector", &path(keys::DRA_CEL_SELECTOR), &selector.into(), words);
    }
    if let Some(container) = get(keys::DRA_CONTAINER_NAME) {
        let trimmed = container.trim();
        let at = path(keys::DRA_CONTAINER_NAME);
        if trimmed.is_empty() {
            verdict.invalid("device-container", &at, &container.into(), "container name must not be empty");
        } else if !is_label(trimmed) {
            let words = format!("container name must be a DNS label: {LABEL}");
            verdict.invalid("device-container", &at, &container.into(), &words);
        }
    }
}
