//! Two layers into one, as Kubernetes' strategic merge does it for these types, and who wrote what.
//!
//! KServe makes a patch from each layer as Go writes it, so a layer can add and replace but never delete: what Go leaves
//! out (nil, and zero values that are not behind a pointer) is not in the patch. Items of lists with a merge key are
//! matched by it; all other lists are replaced whole.

use std::borrow::Cow;
use std::collections::BTreeMap;

use api::shape::{Struct, Type};
use serde_json::{Map, Value};

/// Index into the layers of a composition, lowest precedence first.
pub(crate) type LayerId = u16;

/// Which layer each part of a document came from, in the shape of the document.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    /// This and all below.
    From(LayerId),
    /// Keys of their own, and the layer of all others.
    Map(LayerId, BTreeMap<String, Node>),
    /// By position.
    List(Vec<Node>),
}

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

impl Node {
    /// The keys of an object that are not of its common layer, and that layer.
    pub(crate) fn children(&mut self) -> (LayerId, &mut BTreeMap<String, Node>) {
        if !matches!(self, Node::Map(..)) {
            *self = Node::Map(self.highest(), BTreeMap::new());
        }
        match self {
            Node::Map(rest, own) => (*rest, own),
            _ => unreachable!("made a map above"),
        }
    }

    /// Whether the part at `pointer` is of that layer and of no other.
    pub(crate) fn is_from(&self, pointer: &str, layer: LayerId) -> bool {
        let mut node = self;
        for step in pointer.split('/').skip(1) {
            node = match node {
                Node::From(of) => return *of == layer,
                Node::Map(rest, own) => match own.get(&*key_of(step)) {
                    Some(child) => child,
                    None => return *rest == layer,
                },
                Node::List(items) => match step.parse().ok().and_then(|index: usize| items.get(index)) {
                    Some(child) => child,
                    None => return false,
                },
            };
        }
        *node == Node::From(layer)
    }

    /// The part at `pointer`, if it is known apart.
    fn find(&mut self, pointer: &str) -> Option<&mut Node> {
        let mut node = self;
        for step in pointer.split('/').skip(1) {
            node = match node {
                Node::From(_) => return None,
                Node::Map(_, own) => own.get_mut(&*key_of(step))?,
                Node::List(items) => step.parse().ok().and_then(|index: usize| items.get_mut(index))?,
            };
        }
        Some(node)
    }

    /// The list at `pointer` has an item less.
    pub(crate) fn remove_item(&mut self, pointer: &str, index: usize) {
        if let Some(Node::List(items)) = self.find(pointer)
            && index < items.len()
        {
            items.remove(index);
        }
    }

    /// A key of the object at `pointer` is called otherwise.
    pub(crate) fn rename(&mut self, pointer: &str, from: &str, to: &str) {
        if let Some(Node::Map(_, own)) = self.find(pointer)
            && let Some(node) = own.remove(from)
        {
            own.insert(to.to_owned(), node);
        }
    }

    /// The part under `key` of an object, or at `index` of a list; `self` if that is not known apart.
    pub(crate) fn at<'n>(&'n self, key: &str, index: Option<usize>, rest: &'n mut Option<Node>) -> &'n Node {
        match self {
            Node::From(_) => self,
            Node::Map(layer, own) => own.get(key).unwrap_or_else(|| rest.insert(Node::From(*layer))),
            Node::List(items) => index.and_then(|index| items.get(index)).unwrap_or(self),
        }
    }

    /// The items of a list, made explicit.
    fn items(&mut self, length: usize) -> &mut Vec<Node> {
        if let Node::From(layer) = *self {
            *self = Node::List(vec![Node::From(layer); length]);
        }
        if !matches!(self, Node::List(_)) {
            *self = Node::List(Vec::new());
        }
        match self {
            Node::List(items) => items,
            _ => unreachable!("made a list above"),
        }
    }

    /// Makes `layer` the writer of the part at `pointer`.
    pub(crate) fn set(&mut self, pointer: &str, layer: LayerId) {
        let Some((step, below)) =
            pointer.strip_prefix('/').map(|path| path.split_once('/').unwrap_or((path, "")))
        else {
            *self = Node::From(layer);
            return;
        };
        let below = &pointer[pointer.len() - below.len() - usize::from(!below.is_empty())..];
        if let Node::List(items) = self {
            if let Some(item) = step.parse().ok().and_then(|index: usize| items.get_mut(index)) {
                item.set(below, layer);
            }
            return;
        }
        let (rest, own) = self.children();
        own.entry(key_of(step).into_owned()).or_insert(Node::From(rest)).set(below, layer);
    }

    /// The highest layer in the part at `pointer`.
    pub(crate) fn layer_at(&self, pointer: &str) -> LayerId {
        let Some((step, below)) =
            pointer.strip_prefix('/').map(|path| path.split_once('/').unwrap_or((path, "")))
        else {
            return self.highest();
        };
        let below = &pointer[pointer.len() - below.len() - usize::from(!below.is_empty())..];
        match self {
            Node::From(layer) => *layer,
            Node::Map(layer, own) => own
                .get(&*step.replace("~1", "/").replace("~0", "~"))
                .map_or(*layer, |child| child.layer_at(below)),
            Node::List(items) => {
                let item = step.parse().ok().and_then(|index: usize| items.get(index));
                item.map_or_else(|| self.highest(), |child| child.layer_at(below))
            }
        }
    }

    /// Makes `layer` the writer of `more` items after the `length` ones of the list at `pointer`.
    pub(crate) fn append(&mut self, pointer: &str, length: usize, layer: LayerId, more: usize) {
        let mut node = self;
        for step in pointer.split('/').skip(1) {
            node = match node {
                Node::List(items) => match step.parse().ok().and_then(|index: usize| items.get_mut(index)) {
                    Some(item) => item,
                    None => return,
                },
                node => {
                    let (rest, own) = node.children();
                    own.entry(step.replace("~1", "/").replace("~0", "~")).or_insert(Node::From(rest))
                }
            };
        }
        node.items(length).extend(std::iter::repeat_n(Node::From(layer), more));
    }

    /// The highest layer in it.
    pub(crate) fn highest(&self) -> LayerId {
        match self {
            Node::From(layer) => *layer,
            Node::Map(rest, own) => own.values().map(Node::highest).max().unwrap_or(0).max(*rest),
            Node::List(items) => items.iter().map(Node::highest).max().unwrap_or(0),
        }
    }
}

/// The node of a key, made if there is none. Most are there already, and need no copy of the key.
fn own<'n>(children: &'n mut BTreeMap<String, Node>, key: &str, rest: LayerId) -> &'n mut Node {
    if !children.contains_key(key) {
        children.insert(key.to_owned(), Node::From(rest));
    }
    children.get_mut(key).unwrap_or_else(|| unreachable!("it was put in above"))
}

/// A step of a JSON pointer as the key that it is.
pub(crate) fn key_of(step: &str) -> Cow<'_, str> {
    if step.contains('~') { step.replace("~1", "/").replace("~0", "~").into() } else { step.into() }
}

/// Extends a JSON pointer by a key.
pub(crate) fn push_step(pointer: &mut String, key: &str) {
    pointer.push('/');
    // Keys are short.
    if key.bytes().any(|byte| byte == b'~' || byte == b'/') {
        pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
    } else {
        pointer.push_str(key);
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
            // An empty URI equals that of an empty spec, so it is not part of the patch.
            if key == "uri" && self.pointer == "/model" && theirs == "" {
                continue;
            }
            let field = type_.field(key);
            let merge_key = field.and_then(|field| field.merge_key);
            let child = own(children, key, rest);
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
            let child = own(children, key, rest);
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
