//! The inline InferencePool, which has another shape in each version.

use serde_json::{Map, Value, json};

use super::kept::keep;

/// The pool; of one that leaves something out, what that was.
pub(super) const SPEC: &str = "/spec/router/scheduler/pool/spec";
/// All ports of a pool, where the older version can only say one.
pub(super) const PORTS: &str = "/spec/router/scheduler/pool/spec/targetPorts";
/// The port that a picker has when an older pool does not say.
const PICKER_PORT: i64 = 9002;

/// Parts of a pool that the older version has to say, in its own shape.
const PARTS: [&str; 3] = ["selector", "targetPorts", "endpointPickerRef"];

/// Parts of a reference to a picker that have the same name in both versions.
const REFERENCE: [&str; 4] = ["group", "kind", "name", "failureMode"];

pub(super) fn to_new(object: &mut Value, lost: &mut Map<String, Value>) {
    let Some(old) = object.pointer_mut(SPEC) else { return };
    let Some(fields) = old.as_object_mut() else { return };
    let selector = fields.remove("selector").unwrap_or_else(|| json!({}));
    let port = fields.remove("targetPortNumber");
    let mut reference = fields.remove("extensionRef").unwrap_or_else(|| json!({}));
    let mut picker = json!({});
    for name in REFERENCE {
        if let Some(value) = reference.as_object_mut().and_then(|fields| fields.remove(name)) {
            picker[name] = value;
        }
    }
    let kind = text(&picker, "kind").unwrap_or("Service").to_owned();
    picker["kind"] = kind.as_str().into();
    // KServe defaults what is absent; an empty word, which its own older form has for "not said", stays unsaid.
    match picker["failureMode"].as_str() {
        None => picker["failureMode"] = "FailClose".into(),
        Some("") => picker["failureMode"] = Value::Null,
        Some(_) => {}
    }
    if let Some(fields) = picker.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    let number = reference
        .as_object_mut()
        .and_then(|fields| fields.remove("portNumber"))
        .and_then(|port| port.as_i64());
    match number.filter(|number| *number != 0) {
        Some(number) => picker["port"] = json!({"number": number}),
        None if kind == "Service" => picker["port"] = json!({"number": PICKER_PORT}),
        None => {}
    }
    let mut rest = std::mem::take(fields);
    rest.insert("selector".to_owned(), json!({"matchLabels": selector}));
    if let Some(port) = port.filter(|port| !port.is_null()) {
        rest.insert("targetPorts".to_owned(), json!([{"number": port}]));
    }
    rest.insert("endpointPickerRef".to_owned(), picker);
    *old = Value::Object(rest);
    if let Some(left) = reference.as_object().filter(|left| !left.is_empty()) {
        for (name, value) in left {
            keep(lost, &format!("{SPEC}/extensionRef/{name}"), value.clone());
        }
    }
}

pub(super) fn to_old(object: &mut Value, lost: &mut Map<String, Value>) {
    let Some(new) = object.pointer_mut(SPEC) else { return };
    let left_out = left_out(new);
    let Some(fields) = new.as_object_mut() else { return };
    let labels =
        fields.get_mut("selector").and_then(|selector| selector.as_object_mut()?.remove("matchLabels"));
    let is_spent = fields.get("selector").and_then(Value::as_object).is_none_or(Map::is_empty);
    if is_spent {
        fields.remove("selector");
    }
    let ports = fields.remove("targetPorts");
    let mut picker = fields.remove("endpointPickerRef").unwrap_or_else(|| json!({}));
    let mut reference = json!({});
    for name in REFERENCE {
        if let Some(value) = picker.as_object_mut().and_then(|fields| fields.remove(name)) {
            reference[name] = value;
        }
    }
    if reference["failureMode"].is_null() {
        reference["failureMode"] = "".into();
    }
    let port = picker.as_object_mut().and_then(|fields| fields.remove("port"));
    if let Some(number) = port.as_ref().and_then(|port| port.get("number")).filter(|number| !number.is_null())
    {
        reference["portNumber"] = number.clone();
    }
    let mut rest = std::mem::take(fields);
    rest.insert("selector".to_owned(), labels.unwrap_or_else(|| json!({})));
    let ports = ports.and_then(|ports| ports.as_array().cloned()).unwrap_or_default();
    let first = ports.first().and_then(|port| port.get("number")).cloned();
    rest.insert("targetPortNumber".to_owned(), first.unwrap_or_else(|| json!(0)));
    rest.insert("extensionRef".to_owned(), reference);
    *new = Value::Object(rest);
    if ports.len() != 1 && !left_out.contains_key("targetPorts") {
        keep(lost, PORTS, Value::Array(ports));
    }
    if !left_out.is_empty() {
        keep(lost, SPEC, Value::Object(left_out));
    }
}

/// What a pool does not say that the older version has to, with what stands in its place, if only `null`. A config may say
/// a part of a pool; the older version has no way to leave something out.
fn left_out(pool: &Value) -> Map<String, Value> {
    let is_absent = |name: &&str| match *name {
        "selector" => pool.pointer("/selector/matchLabels").is_none_or(Value::is_null),
        name => pool.get(name).is_none_or(Value::is_null),
    };
    let value = |name: &str| pool.get(name).cloned().unwrap_or_default();
    PARTS.into_iter().filter(is_absent).map(|name| (name.to_owned(), value(name))).collect()
}

/// Leaves out again what was left out, unless somebody has said it meanwhile.
pub(super) fn leave_out(object: &mut Value, left_out: &Value) {
    // What the two conversions make up where nothing is said.
    let mut made_up = json!({"spec": {"router": {"scheduler": {"pool": {"spec": {}}}}}});
    to_old(&mut made_up, &mut Map::new());
    to_new(&mut made_up, &mut Map::new());
    let Some(pool) = object.pointer_mut(SPEC).and_then(Value::as_object_mut) else { return };
    for name in PARTS {
        let made_up = made_up.pointer(SPEC).and_then(|pool| pool.get(name));
        let Some(before) = left_out.get(name).filter(|_| pool.get(name) == made_up) else { continue };
        if before.is_null() {
            pool.remove(name);
        } else {
            pool.insert(name.to_owned(), before.clone());
        }
    }
}

/// Puts all ports back, unless the one that the older version can say was changed meanwhile.
pub(super) fn restore_ports(object: &mut Value, ports: &Value) {
    let first = ports.pointer("/0/number").cloned().unwrap_or_else(|| json!(0));
    if let Some(fields) = object.pointer_mut(SPEC).and_then(Value::as_object_mut) {
        let current = fields.get("targetPorts").and_then(|ports| ports.pointer("/0/number"));
        if current.is_none_or(|current| *current == first) {
            fields.insert("targetPorts".to_owned(), ports.clone());
        }
    }
}

fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name)?.as_str().filter(|text| !text.is_empty())
}
