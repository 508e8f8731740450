//! JSON pointers (`/spec/model/name`) that are looked up often. Those of `serde_json` copy each step to read its escapes.

use serde_json::Value;

/// The part of `value` at `pointer`, as [`Value::pointer`] finds it.
pub fn at<'v>(value: &'v Value, pointer: &str) -> Option<&'v Value> {
    let Some(steps) = plain_steps(pointer) else { return value.pointer(pointer) };
    steps.split('/').try_fold(value, |part, step| match part {
        Value::Object(fields) => fields.get(step),
        Value::Array(items) => items.get(index(step)?),
        _ => None,
    })
}

/// The part of `value` at `pointer`, as [`Value::pointer_mut`] finds it.
pub fn at_mut<'v>(value: &'v mut Value, pointer: &str) -> Option<&'v mut Value> {
    let Some(steps) = plain_steps(pointer) else { return value.pointer_mut(pointer) };
    steps.split('/').try_fold(value, |part, step| match part {
        Value::Object(fields) => fields.get_mut(step),
        Value::Array(items) => items.get_mut(index(step)?),
        _ => None,
    })
}

/// The steps, if there are any and none has an escape.
fn plain_steps(pointer: &str) -> Option<&str> {
    pointer.strip_prefix('/').filter(|steps| !steps.contains('~'))
}

/// A place in a list has one spelling.
fn index(step: &str) -> Option<usize> {
    let is_plain = !step.starts_with('+') && (step == "0" || !step.starts_with('0'));
    step.parse().ok().filter(|_| is_plain)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn they_lead_where_those_of_serde_json_lead() {
        let mut value = json!({"a": {"b/c": [1], "": {"~": 3}}, "": 4, "0": 5, "l": [1, {"": [2]}]});
        let pointers = [
            "",
            "/",
            "/a",
            "/a/",
            "/a//~0",
            "/a/b~1c/0",
            "/a/b~1c/01",
            "/0",
            "a",
            "/a/x",
            "/0/0",
            "/l/0",
            "/l/1/",
            "/l/1//0",
            "/l/01",
            "/l/00",
            "/l/+0",
            "/l/-0",
            "/l/-1",
            "/l/",
            "/l/2",
            "/l/x",
            "/l/99999999999999999999",
        ];
        for pointer in pointers {
            assert_eq!(at(&value, pointer), value.pointer(pointer), "{pointer}");
            let expected = value.pointer_mut(pointer).cloned();
            assert_eq!(at_mut(&mut value, pointer).cloned(), expected, "{pointer}");
        }
    }
}
