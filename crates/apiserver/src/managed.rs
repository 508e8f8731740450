//! Who owns which field: the record in `metadata.managedFields`.

use serde_json::Value;

use crate::catalog::Resource;
use crate::rest::WriteOptions;

/// Records the fields of a new object.
pub(crate) fn created(_resource: &Resource, _value: &mut Value, _options: &WriteOptions, _subresource: Option<&str>, _now: &str) {}

/// Records what an update changed.
pub(crate) fn updated(
    _resource: &Resource,
    _value: &mut Value,
    _old: &Value,
    _options: &WriteOptions,
    _subresource: Option<&str>,
    _now: &str,
) {
}

/// Equal but for the times.
pub(crate) fn same(a: Option<&Value>, b: Option<&Value>) -> bool {
    let strip = |v: Option<&Value>| -> Vec<Value> {
        let mut list = v.and_then(Value::as_array).cloned().unwrap_or_default();
        for entry in &mut list {
            if let Some(map) = entry.as_object_mut() {
                map.remove("time");
            }
        }
        list
    };
    strip(a) == strip(b)
}
