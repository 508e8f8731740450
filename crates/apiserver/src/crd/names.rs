//! The conditions of CRDs: are the names free, is the kind served.

use std::collections::BTreeSet;

use serde_json::{Value, json};

/// The `status` that a CRD should have, given those of the same group that came before it.
pub(crate) fn judge(crd: &Value, others: &[&Value], now: &str) -> Value {
    let spec = &crd["spec"];
    let wanted = &spec["names"];
    let (mut resources, mut kinds) = (BTreeSet::new(), BTreeSet::new());
    for other in others {
        let names = &other["status"]["acceptedNames"];
        for name in [&names["plural"], &names["singular"]]
            .into_iter()
            .chain(names["shortNames"].as_array().into_iter().flatten())
        {
            resources.extend(name.as_str().filter(|n| !n.is_empty()));
        }
        for name in [&names["kind"], &names["listKind"]] {
            kinds.extend(name.as_str().filter(|n| !n.is_empty()));
        }
    }
    let mut accepted = crd["status"]["acceptedNames"].clone();
    if !accepted.is_object() {
        accepted = json!({"plural": "", "kind": ""});
    }
    let mut conflict: Option<(&str, String)> = None;
    let in_use = |name: &str| format!("{} is already in use", crate::status::quoted(name));
    for (field, taken, reason) in [
        ("plural", &resources, "PluralConflict"),
        ("singular", &resources, "SingularConflict"),
        ("shortNames", &resources, "ShortNamesConflict"),
        ("kind", &kinds, "KindConflict"),
        ("listKind", &kinds, "ListKindConflict"),
    ] {
        let given: Vec<&str> = match &wanted[field] {
            Value::String(name) => vec![name],
            Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
            _ => continue,
        };
        match given.iter().find(|name| taken.contains(*name)) {
            Some(name) => conflict = Some((reason, in_use(name))),
            None => accepted[field] = wanted[field].clone(),
        }
    }
    if conflict.is_none() {
        if let Some(categories) = wanted.get("categories") {
            accepted["categories"] = categories.clone();
        }
        if wanted.get("shortNames").is_none()
            && let Some(map) = accepted.as_object_mut()
        {
            map.remove("shortNames");
        }
    }
    let mut status = crd["status"].clone();
    let mut conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    let was_established = conditions.iter().any(|c| c["type"] == "Established" && c["status"] == "True");
    match &conflict {
        None => {
            set(&mut conditions, now, "NamesAccepted", "True", "NoConflicts", "no conflicts found");
            set(
                &mut conditions,
                now,
                "Established",
                "True",
                "InitialNamesAccepted",
                "the initial names have been accepted",
            );
        }
        Some((reason, message)) => {
            set(&mut conditions, now, "NamesAccepted", "False", reason, message);
            if !was_established {
                set(
                    &mut conditions,
                    now,
                    "Established",
                    "False",
                    "NotAccepted",
                    "not all names are accepted",
                );
            }
        }
    }
    status["conditions"] = json!(conditions);
    status["acceptedNames"] = accepted;
    let mut stored: Vec<Value> = status["storedVersions"].as_array().cloned().unwrap_or_default();
    for version in spec["versions"].as_array().into_iter().flatten() {
        if version["storage"] == true && !stored.contains(&version["name"]) {
            stored.push(version["name"].clone());
        }
    }
    status["storedVersions"] = json!(stored);
    status
}

/// Sets a condition; its time moves only with its status.
pub(crate) fn set(
    conditions: &mut Vec<Value>,
    now: &str,
    kind: &str,
    status: &str,
    reason: &str,
    message: &str,
) {
    let fresh = json!({"type": kind, "status": status, "lastTransitionTime": now, "reason": reason, "message": message});
    match conditions.iter_mut().find(|c| c["type"] == kind) {
        Some(old) => {
            let time = if old["status"] == status { old["lastTransitionTime"].clone() } else { json!(now) };
            *old = fresh;
            old["lastTransitionTime"] = time;
        }
        None => conditions.push(fresh),
    }
}
