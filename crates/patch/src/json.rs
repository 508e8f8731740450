//! JSON patch (RFC 6902) as kube-apiserver applies it.
//!
//! kube-apiserver uses evanphx/json-patch v4, which departs from the RFC: `replace` of a missing key of an object adds
//! it, negative list indices count from the end, and a `test` for null passes where nothing is. The texts of the errors
//! are that library's. Either the whole patch applies or nothing does.

use serde_json::Value;

use crate::typed::same;

/// Why a JSON patch does not apply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The patch is not a list of operations; the client must send one.
    #[error("json: cannot unmarshal {0} into Go value of type jsonpatch.Patch")]
    NotAList(&'static str),
    /// `op` is missing or none of the six; use add, remove, replace, move, copy or test.
    #[error("Unexpected kind: {0}")]
    UnknownOperation(String),
    /// An operation lacks a member that it needs, or the member is no string.
    #[error("{op} operation failed to decode {member}: missing value")]
    Member {
        /// The operation's `op`.
        op: String,
        /// The member: `path`, `from` or `value`.
        member: &'static str,
    },
    /// The parent of the path does not exist.
    #[error("{op} operation does not apply: doc is missing {role}: {path}: missing value")]
    MissingPath {
        /// The operation's `op`.
        op: String,
        /// `path` or `from path`.
        role: &'static str,
        /// The pointer as given.
        path: String,
    },
    /// The last step of the path does not exist.
    #[error("error in {op} for path: '{path}': {why}")]
    Target {
        /// The operation's `op`.
        op: String,
        /// The pointer as given.
        path: String,
        /// What is wrong with its last step.
        why: String,
    },
    /// A `test` saw another value.
    #[error("testing value {0} failed: test failed")]
    TestFailed(String),
}

/// The document after all operations.
///
/// # Errors
/// The first operation that cannot be read or does not apply.
pub fn apply(base: &Value, patch: &Value) -> Result<Value, Error> {
    // Go reads null as a patch without operations.
    if patch.is_null() {
        return Ok(base.clone());
    }
    let operations = patch.as_array().ok_or_else(|| Error::NotAList(go_kind(patch)))?;
    let mut document = base.clone();
    for operation in operations {
        step(&mut document, operation)?;
    }
    Ok(document)
}

fn step(document: &mut Value, operation: &Value) -> Result<(), Error> {
    let op = operation.get("op").and_then(Value::as_str).unwrap_or("unknown");
    let member = |name: &'static str| {
        operation
            .get(name)
            .and_then(Value::as_str)
            .ok_or_else(|| Error::Member { op: op.to_owned(), member: name })
    };
    let value = || {
        operation.get("value").cloned().ok_or_else(|| Error::Member { op: op.to_owned(), member: "value" })
    };
    match op {
        "add" => {
            let path = member("path")?;
            put(document, op, path, value()?, true)
        }
        "replace" => {
            let path = member("path")?;
            put(document, op, path, value()?, false)
        }
        "remove" => take(document, op, member("path")?, "path").map(drop),
        "move" => {
            let (from, path) = (member("from")?, member("path")?);
            let moved = take(document, op, from, "from path")?;
            put(document, op, path, moved, true)
        }
        "copy" => {
            let (from, path) = (member("from")?, member("path")?);
            let copied = look(document, op, from, "from path")?.unwrap_or(Value::Null);
            put(document, op, path, copied, true)
        }
        "test" => {
            let path = member("path")?;
            let seen = look(document, op, path, "path")?.unwrap_or(Value::Null);
            let wanted = operation.get("value").unwrap_or(&Value::Null);
            if same(&seen, wanted) { Ok(()) } else { Err(Error::TestFailed(path.to_owned())) }
        }
        _ => Err(Error::UnknownOperation(op.to_owned())),
    }
}

/// The object or list that the last step of a path belongs to, and that step.
fn parent<'d>(
    document: &'d mut Value,
    op: &str,
    path: &str,
    role: &'static str,
) -> Result<(&'d mut Value, String), Error> {
    let missing = || Error::MissingPath { op: op.to_owned(), role, path: path.to_owned() };
    let mut steps: Vec<String> = path.split('/').map(unescape).collect();
    // Like the library, do not look at what is before the first slash, but demand the slash.
    if steps.len() < 2 {
        return Err(missing());
    }
    let last = steps.pop().unwrap_or_default();
    let mut at = document;
    for step in &steps[1..] {
        at = match at {
            Value::Object(map) => map.get_mut(step),
            Value::Array(list) => position(step, list.len()).and_then(|index| list.get_mut(index)),
            _ => None,
        }
        .ok_or_else(missing)?;
    }
    if at.is_object() || at.is_array() { Ok((at, last)) } else { Err(missing()) }
}

fn put(document: &mut Value, op: &str, path: &str, value: Value, insert: bool) -> Result<(), Error> {
    if path.is_empty() {
        *document = value;
        return Ok(());
    }
    let (parent, last) = parent(document, op, path, "path")?;
    let target = |why: String| Error::Target { op: op.to_owned(), path: path.to_owned(), why };
    match parent {
        Value::Object(map) => {
            map.insert(last, value);
        }
        Value::Array(list) if insert => {
            let room = list.len() + 1;
            let index = if last == "-" { Some(list.len()) } else { position(&last, room) };
            let index = index.ok_or_else(|| target(out_of_range(&last)))?;
            list.insert(index, value);
        }
        Value::Array(list) => {
            let slot = position(&last, list.len()).and_then(|index| list.get_mut(index));
            *slot.ok_or_else(|| target(out_of_range(&last)))? = value;
        }
        _ => {}
    }
    Ok(())
}

fn take(document: &mut Value, op: &str, path: &str, role: &'static str) -> Result<Value, Error> {
    let (parent, last) = parent(document, op, path, role)?;
    let target = |why: String| Error::Target { op: op.to_owned(), path: path.to_owned(), why };
    match parent {
        Value::Object(map) => map
            .remove(&last)
            .ok_or_else(|| target(format!("Unable to remove nonexistent key: {last}: missing value"))),
        Value::Array(list) => {
            let index = position(&last, list.len()).ok_or_else(|| target(out_of_range(&last)))?;
            Ok(list.remove(index))
        }
        _ => Ok(Value::Null),
    }
}

/// The value at a path; none where a key is missing in an object that exists.
fn look(document: &mut Value, op: &str, path: &str, role: &'static str) -> Result<Option<Value>, Error> {
    if path.is_empty() {
        return Ok(Some(document.clone()));
    }
    let (parent, last) = parent(document, op, path, role)?;
    match parent {
        Value::Object(map) => Ok(map.get(&last).cloned()),
        Value::Array(list) => match position(&last, list.len()).and_then(|index| list.get(index)) {
            Some(item) => Ok(Some(item.clone())),
            None => Err(Error::Target { op: op.to_owned(), path: path.to_owned(), why: out_of_range(&last) }),
        },
        _ => Ok(None),
    }
}

/// A list index below `length`; negative ones count from the end.
fn position(step: &str, length: usize) -> Option<usize> {
    let index: i64 = step.parse().ok()?;
    let length = i64::try_from(length).ok()?;
    let index = if index < 0 { index + length } else { index };
    (0..length).contains(&index).then(|| usize::try_from(index).ok())?
}

fn out_of_range(step: &str) -> String {
    match step.parse::<i64>() {
        Ok(_) => format!("Unable to access invalid index: {step}: invalid index referenced"),
        Err(_) => format!("strconv.Atoi: parsing \"{step}\": invalid syntax"),
    }
}

fn unescape(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

fn go_kind(value: &Value) -> &'static str {
    match value {
        Value::Object(_) => "object",
        Value::String(_) => "string",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::Null | Value::Array(_) => "null",
    }
}
