//! Server-side apply, and the record of field owners over every other write.
//!
//! [`apply`] merges what a manager wants into the live object: fields that it applied before and no longer does go, unless
//! another owns them; fields that another owns with another value are conflicts, unless forced. [`update`] is every
//! other write: whoever changes a field owns it. Both return the new object with `metadata.managedFields`.
//! The caller gives the clock, the schema and the conversion between versions, and carries out defaults and validation.

mod conflict;
mod last_applied;
mod managed;
mod owners;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

pub use conflict::{Conflict, Conflicts};
use managed::{Key, Managed, Operation};
use owners::Owners;

use crate::fields::PathSet;
use crate::schema::Schema;
use crate::typed;

/// The manager of the fields that were there before anyone kept a record.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";
/// The one manager that takes over from client-side apply.
const KUBECTL: &str = "kubectl";

/// Converts an object to the version named, and gives that version's schema.
pub type AtVersion<'a> = dyn Fn(&Value, &str) -> Option<(Value, Schema)> + 'a;

/// The kind that is written, at the version that the request names.
#[derive(Clone, Copy)]
pub struct Kind<'a> {
    /// `apps/v1`, `v1`.
    pub api_version: &'a str,
    /// Of this version.
    pub schema: &'a Schema,
    /// What an object holds before anything is set ([`crate::keys::zero`]); an empty object for custom resources.
    pub zero: &'a Value,
    /// Fields that this endpoint does not write, with all below them: `status`, or on `/status` everything else.
    pub ignored: &'a PathSet,
    /// An object of this version at another one, with that version's schema. None: there is no such version.
    pub at_version: &'a AtVersion<'a>,
}

/// Who writes, and when.
#[derive(Debug, Clone, Copy)]
pub struct Writer<'a> {
    /// The field manager.
    pub manager: &'a str,
    /// `status`, `scale`; None for the object itself.
    pub subresource: Option<&'a str>,
    /// RFC 3339 in UTC with seconds. None keeps no time (as for `scale`).
    pub now: Option<&'a str>,
}

/// Why an apply is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// Others own fields with other values; give them up, take them with force, or stop applying them. HTTP 409.
    #[error("{0}")]
    Conflict(Conflicts),
    /// The applied object is of another version than the request. HTTP 400.
    #[error(
        "incorrect version specified in apply patch. Specified patch version: {given}, expected: {expected}"
    )]
    Version {
        /// `apiVersion` of the applied object.
        given: String,
        /// The version that the request names.
        expected: String,
    },
    /// The applied object carries a record of owners; leave it out. HTTP 400.
    #[error("metadata.managedFields must be nil")]
    ManagedFieldsGiven,
    /// The applied object does not fit the schema. HTTP 500, as kube-apiserver answers.
    #[error("failed to create typed patch object ({object}): {why}")]
    Applied {
        /// Namespace, name and kind, as far as the applied object has them.
        object: String,
        /// Every field that does not fit.
        why: String,
    },
    /// The live object's record of owners cannot be read. HTTP 500.
    #[error("failed to decode managed fields: {0}")]
    Record(String),
}

/// The object after an apply. `live` is None where the object does not exist yet.
///
/// # Errors
/// See [`Error`]; nothing is changed then.
pub fn apply(
    live: Option<&Value>,
    applied: &Value,
    kind: &Kind<'_>,
    writer: &Writer<'_>,
    force: bool,
) -> Result<Value, Error> {
    let given = applied["apiVersion"].as_str().unwrap_or_default();
    if given != kind.api_version {
        return Err(Error::Version { given: given.to_owned(), expected: kind.api_version.to_owned() });
    }
    if !applied["metadata"]["managedFields"].is_null() {
        return Err(Error::ManagedFieldsGiven);
    }
    let attempt = |force| apply_once(live, applied, kind, writer, force);
    let mut result = attempt(force);
    if let (Err(Error::Conflict(conflicts)), KUBECTL, Some(live)) = (&result, writer.manager, live) {
        // What client-side apply set and nobody changed since is kubectl's already.
        let allowed = last_applied::untouched(live, kind);
        let rest = allowed.map(|allowed| conflicts.without(&allowed));
        match rest {
            Some(rest) if rest.is_empty() => result = attempt(true),
            Some(rest) => result = Err(Error::Conflict(rest)),
            None => {}
        }
    }
    let mut object = result?;
    if writer.manager == KUBECTL {
        last_applied::refresh(&mut object, applied);
    }
    Ok(object)
}

fn apply_once(
    live: Option<&Value>,
    applied: &Value,
    kind: &Kind<'_>,
    writer: &Writer<'_>,
    force: bool,
) -> Result<Value, Error> {
    let mut managed = live.map_or_else(|| Ok(Managed::default()), Managed::decode).map_err(Error::Record)?;
    let live = live.map_or_else(|| Value::Object(Map::new()), without_record);
    if managed.is_empty() && !live["metadata"]["uid"].is_null() {
        let first = Writer { manager: BEFORE_FIRST_APPLY, ..*writer };
        track(kind.zero, &live, kind, &first, &mut managed);
    }
    let why = typed::validate(applied, kind.schema, false);
    if !why.is_empty() {
        return Err(Error::Applied { object: described(applied), why: joined(&why) });
    }
    let key = Key::new(writer, Operation::Apply, kind.api_version);
    let owners = Owners { kind };
    let outcome = owners.apply(&live, applied, &mut managed, &key, force).map_err(Error::Conflict)?;
    managed.strip();
    let mut object = match outcome {
        Some(object) => {
            managed.stamp(&key, writer.now);
            object
        }
        // Nothing changes: the entry keeps the time that it had.
        None => live,
    };
    managed.encode(&mut object);
    Ok(object)
}

/// The object after any other write, with the record of owners brought up to date.
///
/// `live` is None for a creation. A record of owners inside `new` is honoured: absent or unreadable means the live one,
/// `[]` and `[{}]` clear it; on a subresource it is not looked at.
#[must_use]
pub fn update(live: Option<&Value>, new: &Value, kind: &Kind<'_>, writer: &Writer<'_>) -> Value {
    let live_managed =
        || live.map_or_else(Managed::default, |live| Managed::decode(live).unwrap_or_default());
    let given = new.pointer("/metadata/managedFields");
    let mut managed = match given {
        _ if writer.subresource.is_some() => live_managed(),
        None | Some(Value::Null) => live_managed(),
        Some(Value::Array(list))
            if list.iter().all(|entry| entry.as_object().is_some_and(Map::is_empty)) && list.len() < 2 =>
        {
            Managed::default()
        }
        Some(_) => match Managed::decode(new) {
            Ok(managed) if !managed.is_empty() => managed,
            _ => live_managed(),
        },
    };
    let mut object = without_record(new);
    if live.is_some() && managed.is_empty() {
        // Nobody keeps a record of this object: an update does not start one.
        return object;
    }
    let base = live.map_or_else(|| kind.zero.clone(), without_record);
    track(&base, &object, kind, writer, &mut managed);
    managed.encode(&mut object);
    object
}

/// Gives the writer what it changed, and takes it from the others.
fn track(old: &Value, new: &Value, kind: &Kind<'_>, writer: &Writer<'_>, managed: &mut Managed) {
    let mut taken = Owners { kind }.update(old, new, managed);
    managed.strip();
    managed::strip(&mut taken);
    if !taken.is_empty() {
        let key = Key::new(writer, Operation::Update, kind.api_version);
        managed.give(&key, &taken, kind.api_version);
        managed.stamp(&key, writer.now);
    }
    managed.cap();
}

fn without_record(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    object
}

/// `NAMESPACE/NAME; GROUP/VERSION, Kind=KIND`.
fn described(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let api_version = text(&object["apiVersion"]);
    let group_version = if api_version.contains('/') { api_version } else { format!("/{api_version}") };
    let (namespace, name) = (text(&object["metadata"]["namespace"]), text(&object["metadata"]["name"]));
    format!("{namespace}/{name}; {group_version}, Kind={}", text(&object["kind"]))
}

fn joined(errors: &[String]) -> String {
    match errors {
        [one] => one.clone(),
        many => format!("errors:\n  {}", many.join("\n  ")),
    }
}
