//! Leaves out of a document what Go's `omitempty` leaves out of the typed objects that KServe writes.

use serde_json::Value;

/// Fields that Go writes even if they are empty.
const KEPT_EMPTY_OBJECTS: [&str; 6] =
    ["emptyDir", "metadata", "template", "podInfo", "podSelector", "namespaceSelector"];

/// Removes nulls, empty lists and empty texts; empty objects stay, since a pointer to an empty struct is written.
pub(crate) fn prune(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, value| {
                prune(value);
                match value {
                    Value::Null => false,
                    Value::Array(items) => !items.is_empty(),
                    Value::Object(fields) if fields.is_empty() => {
                        KEPT_EMPTY_OBJECTS.contains(&name.as_str())
                            || !matches!(
                                name.as_str(),
                                "limits"
                                    | "requests"
                                    | "labels"
                                    | "annotations"
                                    | "resources"
                                    | "nodeSelector"
                            )
                    }
                    _ => true,
                }
            });
        }
        Value::Array(items) => items.iter_mut().for_each(prune),
        _ => {}
    }
}
