//! Every form of PATCH on whatever two documents the input holds: one JSON value a line, the object and the patch.
//!
//! Nothing may panic; a diff applied gives the other document wherever it can be expressed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use patch::apply::{Kind, Writer};
use patch::fields::PathSet;
use patch::{ListKeys, Schema, apply, json, keys, merge, strategic};
use serde_json::Value;

fuzz_target!(|text: &str| {
    let mut lines = text.lines().map(serde_json::from_str::<Value>);
    let (Some(Ok(object)), Some(Ok(patch))) = (lines.next(), lines.next()) else { return };
    let list_keys = ListKeys::of_kind("apps", "Deployment");
    let _ = merge::apply(&object, &patch);
    let _ = json::apply(&object, &patch);
    let _ = strategic::apply(&object, &patch, list_keys);
    let _ = strategic::diff(&object, &patch, list_keys);
    let schema = Schema::built_in(&Value::Null, list_keys);
    let at_version = |value: &Value, version: &str| (version == "apps/v1").then(|| (value.clone(), schema.clone()));
    let kind = Kind {
        api_version: "apps/v1",
        schema: &schema,
        zero: &keys::zero("apps", "Deployment"),
        ignored: &PathSet::default(),
        at_version: &at_version,
    };
    let writer = Writer { manager: "fuzz", subresource: None, now: None };
    if let Ok(once) = apply::apply(Some(&object), &patch, &kind, &writer, true) {
        let _ = apply::apply(Some(&once), &patch, &kind, &writer, false);
    }
    let _ = apply::update(Some(&object), &patch, &kind, &writer);
});
