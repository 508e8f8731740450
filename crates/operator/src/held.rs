//! Whether an object already is what we want, by its own record. Pure: the wanted and the live object go in.
//!
//! An operator that starts anew remembers nothing. The API server does: `metadata.managedFields` lists every field that
//! a manager applied last. If that list is exactly what is wanted now, and the values are there, an apply would change
//! nothing and is not worth a request.

use serde_json::{Map, Value};

/// What names an object; nobody owns these fields.
const IDENTITY: [&str; 2] = ["apiVersion", "kind"];
const IDENTITY_IN_METADATA: [&str; 2] = ["name", "namespace"];

/// What a manager applied last, as the object's `metadata.managedFields` had it. Kept as text: it is read once, after a
/// start, and a tree of it would be as large as the object.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    api_version: Box<str>,
    fields: Box<str>,
}

impl Record {
    /// `None` if the manager never applied.
    pub(crate) fn of(live: &Value, manager: &str) -> Option<Self> {
        let mut entries = live["metadata"]["managedFields"].as_array()?.iter().filter(|entry| {
            entry["manager"] == manager && entry["operation"] == "Apply" && entry.get("subresource").is_none()
        });
        let (entry, None) = (entries.next()?, entries.next()) else { return None };
        Some(Self {
            api_version: entry["apiVersion"].as_str()?.into(),
            fields: entry["fieldsV1"].to_string().into(),
        })
    }
}

/// Whether exactly the fields of `wanted` were applied to `live`, and `live` still has their values.
///
/// `false` costs one apply, so whatever cannot be told without the schema is `false`. Values that the server writes in
/// another way than we do (`1024Mi` for `1Gi`) are among that.
pub(crate) fn is_held(wanted: &Value, live: &Value, record: &Record) -> bool {
    let (Some(wanted_fields), Some(live_fields)) = (wanted.as_object(), live.as_object()) else {
        return false;
    };
    let Ok(fields) = serde_json::from_str::<Map<String, Value>>(&record.fields) else { return false };
    wanted["apiVersion"] == *record.api_version && has_fields(wanted_fields, live_fields, &fields, &IDENTITY)
}

fn has_fields(
    wanted: &Map<String, Value>,
    live: &Map<String, Value>,
    record: &Map<String, Value>,
    identity: &[&str],
) -> bool {
    let mut held = 0;
    for (name, value) in wanted.iter().filter(|(name, _)| !identity.contains(&name.as_str())) {
        let is_metadata = name == "metadata" && identity == IDENTITY;
        let fields = record.get(&format!("f:{name}")).and_then(Value::as_object);
        let holds = match (value, live.get(name), fields) {
            (Value::Object(value), Some(Value::Object(live)), Some(fields)) if is_metadata => {
                has_fields(value, live, fields, &IDENTITY_IN_METADATA)
            }
            (Value::Object(value), Some(_), None) if is_metadata => {
                if value.keys().all(|name| IDENTITY_IN_METADATA.contains(&name.as_str())) {
                    continue;
                }
                false
            }
            (value, Some(live), Some(fields)) => has(value, live, fields),
            _ => false,
        };
        if !holds {
            return false;
        }
        held += 1;
    }
    record.keys().filter(|step| *step != ".").count() == held
}

fn has(wanted: &Value, live: &Value, record: &Map<String, Value>) -> bool {
    if record.is_empty() {
        // A scalar, something that is owned as a whole, or an empty container.
        return contains(live, wanted);
    }
    match (wanted, live) {
        (Value::Object(wanted), Value::Object(live)) => has_fields(wanted, live, record, &[]),
        (Value::Array(wanted), Value::Array(live)) => has_items(wanted, live, record),
        _ => false,
    }
}

/// Items by key or by value, each recorded, and in the order in which they are wanted: for variables it matters.
fn has_items(wanted: &[Value], live: &[Value], record: &Map<String, Value>) -> bool {
    let mut places = Vec::with_capacity(wanted.len());
    for (step, fields) in record.iter().filter(|(step, _)| *step != ".") {
        let Some(place) = item(wanted, live, step, fields) else { return false };
        places.push(place);
    }
    places.sort_unstable();
    places.len() == wanted.len()
        && places.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1)
}

/// Where the recorded item stands in both lists, if it is held.
fn item(wanted: &[Value], live: &[Value], step: &str, fields: &Value) -> Option<(usize, usize)> {
    if let Some(value) = step.strip_prefix("v:") {
        let value: Value = serde_json::from_str(value).ok()?;
        let place = |items: &[Value]| items.iter().position(|item| *item == value);
        return Some((place(wanted)?, place(live)?));
    }
    let key: Map<String, Value> = serde_json::from_str(step.strip_prefix("k:")?).ok()?;
    // The server fills in parts of a key that we leave out, such as the protocol of a port.
    let mut candidates = wanted.iter().enumerate().filter(|(_, item)| {
        key.iter().all(|(name, value)| item.get(name).is_none_or(|known| known == value))
    });
    let ((wanted_at, wanted), None) = (candidates.next()?, candidates.next()) else { return None };
    let (live_at, live) = live
        .iter()
        .enumerate()
        .find(|(_, item)| key.iter().all(|(name, value)| item.get(name) == Some(value)))?;
    has(wanted, live, fields.as_object()?).then_some((wanted_at, live_at))
}

/// Whether `live` says what `wanted` says, and maybe more: the server adds defaults even in what is owned as a whole.
fn contains(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => {
            wanted.iter().all(|(name, value)| live.get(name).is_some_and(|live| contains(live, value)))
        }
        (Value::Array(live), Value::Array(wanted)) => {
            live.len() == wanted.len() && live.iter().zip(wanted).all(|(live, wanted)| contains(live, wanted))
        }
        (live, wanted) => live == wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn wanted() -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "d", "namespace": "a", "labels": {"app": "d"}},
            "spec": {
                "selector": {"matchLabels": {"app": "d"}},
                "template": {"spec": {"containers": [{
                    "name": "main", "args": ["--port", "8000"],
                    "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)"}],
                    "ports": [{"containerPort": 8000}],
                }], "volumes": [{"name": "home", "emptyDir": {}}]}},
            },
        })
    }

    fn live() -> Value {
        let mut live = wanted();
        live["metadata"]["uid"] = json!("u");
        live["metadata"]["annotations"] = json!({"deployment.kubernetes.io/revision": "1"});
        live["spec"]["replicas"] = json!(3);
        let container = &mut live["spec"]["template"]["spec"]["containers"][0];
        container["ports"][0]["protocol"] = json!("TCP");
        container["imagePullPolicy"] = json!("Always");
        live["metadata"]["managedFields"] = json!([
            {"manager": "llmisvc", "operation": "Apply", "apiVersion": "apps/v1", "fieldsV1": {
                "f:metadata": {"f:labels": {"f:app": {}}},
                "f:spec": {
                    "f:selector": {},
                    "f:template": {"f:spec": {
                        "f:containers": {"k:{\"name\":\"main\"}": {
                            ".": {}, "f:name": {}, "f:args": {},
                            "f:env": {
                                "k:{\"name\":\"A\"}": {".": {}, "f:name": {}, "f:value": {}},
                                "k:{\"name\":\"B\"}": {".": {}, "f:name": {}, "f:value": {}},
                            },
                            "f:ports": {"k:{\"containerPort\":8000,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}},
                        }},
                        "f:volumes": {"k:{\"name\":\"home\"}": {".": {}, "f:name": {}, "f:emptyDir": {}}},
                    }},
                },
            }},
            {"manager": "kube-controller-manager", "operation": "Update", "apiVersion": "apps/v1", "fieldsV1": {
                "f:metadata": {"f:annotations": {"f:deployment.kubernetes.io/revision": {}}},
            }},
        ]);
        live
    }

    fn held(change: impl FnOnce(&mut Value, &mut Value)) -> bool {
        let (mut wanted, mut live) = (wanted(), live());
        change(&mut wanted, &mut live);
        Record::of(&live, "llmisvc").is_some_and(|record| is_held(&wanted, &live, &record))
    }

    fn container(object: &mut Value) -> &mut Value {
        &mut object["spec"]["template"]["spec"]["containers"][0]
    }

    #[test]
    fn defaults_and_the_fields_of_others_do_not_matter() {
        assert!(held(|_, _| ()));
        assert!(held(|_, live| live["spec"]["replicas"] = json!(7)));
    }

    #[test]
    fn another_value_is_to_be_applied() {
        assert!(!held(|_, live| container(live)["args"][1] = json!("9000")));
        assert!(!held(|wanted, _| container(wanted)["env"][0]["value"] = json!("2")));
        assert!(!held(|_, live| live["metadata"]["labels"] = json!({})));
    }

    #[test]
    fn a_field_that_is_wanted_and_not_ours_is_to_be_applied() {
        assert!(!held(|wanted, _| wanted["spec"]["replicas"] = json!(3)));
        assert!(!held(
            |wanted, _| wanted["metadata"]["annotations"] = json!({"deployment.kubernetes.io/revision": "1"})
        ));
    }

    #[test]
    fn a_field_that_is_ours_and_no_longer_wanted_is_to_be_given_up() {
        assert!(!held(|wanted, _| wanted["metadata"]["labels"] = json!({})));
        assert!(!held(|wanted, _| container(wanted)["env"] = json!([{"name": "A", "value": "1"}])));
    }

    #[test]
    fn the_order_of_variables_counts() {
        let swap = |object: &mut Value| container(object)["env"].as_array_mut().unwrap().swap(0, 1);
        assert!(!held(|wanted, _| swap(wanted)));
        assert!(held(|wanted, live| {
            swap(wanted);
            swap(live);
        }));
    }

    #[test]
    fn only_an_apply_of_the_same_manager_and_version_counts() {
        let entry = "managedFields";
        assert!(!held(|_, live| live["metadata"][entry][0]["operation"] = json!("Update")));
        assert!(!held(|_, live| live["metadata"][entry][0]["manager"] = json!("manager")));
        assert!(!held(|_, live| live["metadata"][entry][0]["apiVersion"] = json!("apps/v1beta1")));
        assert!(!held(|_, live| live["metadata"][entry] = Value::Null));
    }
}
