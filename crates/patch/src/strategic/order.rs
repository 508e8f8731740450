//! The order of a list after a merge.

use serde_json::Value;

use super::{Error, PATCH, go};

/// Puts a merged list in order: what `patch` names in its order, the rest in the order of `base`, interleaved so that
/// an item of the base comes before a named one only if it does so in the base.
pub(super) fn arrange(merged: Vec<Value>, patch: &[Value], base: &[Value], key: Option<&str>) -> Vec<Value> {
    let position = |list: &[Value], item: &Value| list.iter().position(|other| same_item(other, item, key));
    let (mut named, mut rest): (Vec<Value>, Vec<Value>) =
        merged.into_iter().partition(|item| position(patch, item).is_some());
    named.sort_by_key(|item| position(patch, item));
    rest.sort_by_key(|item| position(base, item).unwrap_or(usize::MAX));
    let mut out = Vec::with_capacity(named.len() + rest.len());
    let mut named = named.into_iter().peekable();
    for item in rest {
        let here = position(base, &item);
        while let Some(next) = named.peek() {
            let before = matches!((here, position(base, next)), (Some(here), Some(there)) if here < there);
            if before {
                break;
            }
            out.extend(named.next());
        }
        out.push(item);
    }
    out.extend(named);
    out
}

/// Refuses items that come in another order than the directive has them.
pub(super) fn check(items: &[Value], wanted: &[Value], key: Option<&str>) -> Result<(), Error> {
    let mut wanted_from = wanted.iter();
    let mut kept = items.iter().filter(|item| item.get(PATCH).is_none());
    let in_order = kept.all(|item| wanted_from.any(|other| same_item(other, item, key)));
    if in_order {
        return Ok(());
    }
    Err(Error::Order { items: go(&Value::Array(items.to_vec())), order: go(&Value::Array(wanted.to_vec())) })
}

fn same_item(a: &Value, b: &Value, key: Option<&str>) -> bool {
    match key {
        Some(key) => a.get(key).is_some() && a.get(key) == b.get(key),
        None => a == b,
    }
}
