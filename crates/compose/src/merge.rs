//! Two layers into one, as Kubernetes' strategic merge does it for these types, and who wrote what.
//!
//! KServe makes a patch from each layer as Go writes it, so a layer can add and replace but never delete: what Go leaves
//! out (nil, and zero values that are not behind a pointer) is not in the patch. Items of lists with a merge key are
//! matched by it; all other lists are replaced whole.

use api::shape::{Struct, Type};
use serde_json::{Map, Value};

use crate::node::{self, LayerId, Node, push_step};

/// A list of which a later layer took the place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Replaced {
    /// JSON pointer into the spec.
    pub(crate) pointer: String,
    /// Who had written it.
    pub(crate) before: LayerId,
    /// How many of its items are not in the new list.
    pub(crate) dropped: usize,
    /// Who wrote the new list.
    pub(crate) by: LayerId,
}

/// A document under construction.
#[derive(Debug, Clone)]
pub(crate) struct Layered {
    pub(crate) value: Value,
    pub(crate) origin: Node,
    pub(crate) replaced: Vec<Replaced>,
}

impl Layered {
    /// The lowest layer.
    pub(crate) fn new(value: Value, layer: LayerId) -> Layered {
        Layered { value, origin: Node::From(layer), replaced: Vec::new() }
    }

    /// Puts `overlay` over it.
    pub(crate) fn merge(&mut self, type_: &Struct, overlay: &Value, layer: LayerId) -> Result<(), String> {
        let mut walk = Walk { layer, pointer: String::new(), replaced: &mut self.replaced };
        if let (Value::Object(base), Value::Object(overlay)) = (&mut self.value, overlay) {
            walk.merge_struct(type_, base, &mut self.origin, overlay)?;
        }
        Ok(())
    }
}

struct Walk<'w> {
    layer: LayerId,
    pointer: String,
    replaced: &'w mut Vec<Replaced>,
}

impl Walk<'_> {
    fn within<T>(&mut self, key: &str, work: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.pointer.len();
        push_step(&mut self.pointer, key);
        let outcome = work(self);
        self.pointer.truncate(length);
        outcome
    }

    fn merge_struct(
        &mut self,
        type_: &Struct,
        base: &mut Map<String, Value>,
        origin: &mut Node,
        overlay: &Map<String, Value>,
    ) -> Result<(), String> {
        let (rest, children) = origin.children();
        for (key, theirs) in overlay {
            let Some(ours) = base.get_mut(key) else {
                children.insert(key.clone(), Node::From(self.layer));
                base.insert(key.clone(), theirs.clone());
                continue;
            };
            let field = type_.field(key);
            let merge_key = field.and_then(|field| field.merge_key);
            let child = node::child(children, key, rest);
            self.within(key, |walk| {
                walk.merge_value(field.map(|field| &field.type_), merge_key, ours, child, theirs)
            })?;
        }
        Ok(())
    }

    fn merge_value(
        &mut self,
        type_: Option<&Type>,
        merge_key: Option<&str>,
        ours: &mut Value,
        origin: &mut Node,
        theirs: &Value,
    ) -> Result<(), String> {
        let type_ = match type_ {
            Some(Type::Pointer(inner)) => Some(inner.as_ref()),
            type_ => type_,
        };
        match (type_, &mut *ours, theirs) {
            (Some(Type::Any), Value::Object(base), Value::Object(overlay)) => {
                return self.merge_any(base, origin, overlay);
            }
            (Some(Type::Map(element)), Value::Object(base), Value::Object(overlay)) => {
                return self.merge_map(element, base, origin, overlay);
            }
            (Some(type_), Value::Object(base), Value::Object(overlay)) => {
                if let Some(struct_) = type_.as_struct() {
                    return self.merge_struct(struct_, base, origin, overlay);
                }
            }
            (Some(Type::List(element)), Value::Array(base), Value::Array(overlay)) => {
                if let (Some(struct_), Some(merge_key)) = (element.as_struct(), merge_key) {
                    return self.merge_list(struct_, merge_key, base, origin, overlay);
                }
                let dropped = base.iter().filter(|item| !overlay.contains(item)).count();
                if dropped > 0 {
                    let (pointer, before) = (self.pointer.clone(), origin.highest());
                    self.replaced.push(Replaced { pointer, before, dropped, by: self.layer });
                }
            }
            _ => {}
        }
        ours.clone_from(theirs);
        *origin = Node::From(self.layer);
        Ok(())
    }

    fn merge_map(
        &mut self,
        element: &Type,
        base: &mut Map<String, Value>,
        origin: &mut Node,
        overlay: &Map<String, Value>,
    ) -> Result<(), String> {
        let (rest, children) = origin.children();
        for (key, theirs) in overlay {
            let Some(ours) = base.get_mut(key) else {
                children.insert(key.clone(), Node::From(self.layer));
                base.insert(key.clone(), theirs.clone());
                continue;
            };
            let child = node::child(children, key, rest);
            self.within(key, |walk| walk.merge_value(Some(element), None, ours, child, theirs))?;
        }
        Ok(())
    }

    /// Free JSON has no merge rules: Kubernetes adds and replaces, and gives up where both have a map or both a list.
    fn merge_any(
        &mut self,
        base: &mut Map<String, Value>,
        origin: &mut Node,
        overlay: &Map<String, Value>,
    ) -> Result<(), String> {
        let (_, children) = origin.children();
        for (key, theirs) in overlay {
            if let Some(ours) = base.get(key)
                && ((ours.is_object() && theirs.is_object()) || (ours.is_array() && theirs.is_array()))
            {
                return Err(format!(
                    "unable to find api field in struct RawExtension for the json field \"{key}\""
                ));
            }
            children.insert(key.clone(), Node::From(self.layer));
            base.insert(key.clone(), theirs.clone());
        }
        Ok(())
    }

    fn merge_list(
        &mut self,
        element: &Struct,
        merge_key: &str,
        base: &mut Vec<Value>,
        origin: &mut Node,
        overlay: &[Value],
    ) -> Result<(), String> {
        if overlay.is_empty() {
            return Ok(());
        }
        let before = base.len();
        let wanted: Vec<&Value> = overlay.iter().map(|item| &item[merge_key]).collect();
        let origins = origin.items(base.len());
        for (theirs, key) in overlay.iter().zip(&wanted) {
            let found = base.iter().position(|item| item[merge_key] == **key);
            match (found, theirs) {
                (Some(at), Value::Object(overlay)) => {
                    let child = &mut origins[at];
                    if let Some(Value::Object(item)) = base.get_mut(at) {
                        self.within(&at.to_string(), |walk| {
                            walk.merge_struct(element, item, child, overlay)
                        })?;
                    }
                }
                (_, theirs) => {
                    base.push(theirs.clone());
                    origins.push(Node::From(self.layer));
                }
            }
        }
        let order = order(base, merge_key, before, &wanted);
        let mut items: Vec<Option<Value>> = std::mem::take(base).into_iter().map(Some).collect();
        let mut nodes: Vec<Option<Node>> = std::mem::take(origins).into_iter().map(Some).collect();
        for index in order {
            base.extend(items[index].take());
            origins.extend(nodes[index].take());
        }
        Ok(())
    }
}

/// The order of a merged list, as indexes into `merged`, whose first `before` items were there before: items of the overlay in its order; an item that only the base
/// has goes before an overlay's item if that one stood after it in the base, and else comes last.
fn order(merged: &[Value], merge_key: &str, before: usize, wanted: &[&Value]) -> Vec<usize> {
    let key = |index: usize| &merged[index][merge_key];
    let rank = |key: &Value| wanted.iter().position(|known| *known == key);
    let old_place = |index: usize| (0..before).find(|old| key(*old) == key(index));
    let (mut theirs, ours): (Vec<usize>, Vec<usize>) =
        (0..merged.len()).partition(|index| wanted.contains(&key(*index)));
    theirs.sort_by_cached_key(|index| rank(key(*index)));
    let mut ordered = Vec::with_capacity(merged.len());
    let (mut ours, mut theirs) = (ours.into_iter().peekable(), theirs.into_iter().peekable());
    loop {
        match (ours.peek(), theirs.peek()) {
            (Some(left), Some(right)) => {
                let stays_before = match (old_place(*left), old_place(*right)) {
                    (Some(left), Some(right)) => left < right,
                    _ => false,
                };
                ordered.extend(if stays_before { ours.next() } else { theirs.next() });
            }
            (Some(_), None) => ordered.extend(ours.next()),
            (None, Some(_)) => ordered.extend(theirs.next()),
            (None, None) => return ordered,
        }
    }
}
