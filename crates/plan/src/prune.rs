//! Leaves out of a document what Go's `omitempty` leaves out of the typed objects that KServe writes.

use serde_json::Value;

/// Mappings that Go leaves out when they are empty. Other empty objects are pointers to structs, which it writes.
const MAPS: [&str; 6] = ["limits", "requests", "labels", "annotations", "resources", "nodeSelector"];

/// Removes nulls, empty lists and empty mappings.
pub(crate) fn prune(value: &mut Value) {
    match value {
        Value::Object(fields) => fields.retain(|name, value| {
            prune(value);
            match value {
                Value::Null => false,
                Value::Array(items) => !items.is_empty(),
                Value::Object(fields) => !(fields.is_empty() && MAPS.contains(&name.as_str())),
                _ => true,
            }
        }),
        Value::Array(items) => items.iter_mut().for_each(prune),
        _ => {}
    }
}
