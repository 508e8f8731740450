//! Who wrote which part of a document.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Index into the layers of a composition, lowest precedence first.
pub(crate) type LayerId = u16;

/// Which layer each part of a document came from, in the shape of the document. Copies share their
/// parts until one of them changes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    /// This and all below.
    From(LayerId),
    /// Keys of their own, and the layer of all others.
    Map(LayerId, Arc<BTreeMap<String, Node>>),
    /// By position.
    List(Arc<Vec<Node>>),
}

/// Where a pointer leads.
pub(crate) enum Reached<'n> {
    /// To a part that is known apart.
    Part(&'n Node),
    /// Into a part that one layer wrote.
    Within(LayerId),
    /// Beside the items of this list.
    Beside(&'n Node),
}

impl Node {
    /// What is known of the part at `pointer`.
    pub(crate) fn reach(&self, pointer: &str) -> Reached<'_> {
        let mut node = self;
        for step in pointer.split('/').skip(1) {
            node = match node {
                Node::From(layer) => return Reached::Within(*layer),
                Node::Map(rest, own) => match own.get(&*key_of(step)) {
                    Some(child) => child,
                    None => return Reached::Within(*rest),
                },
                Node::List(items) => match step.parse().ok().and_then(|index: usize| items.get(index)) {
                    Some(child) => child,
                    None => return Reached::Beside(node),
                },
            };
        }
        Reached::Part(node)
    }

    /// Whether the part at `pointer` is of that layer and of no other.
    pub(crate) fn is_from(&self, pointer: &str, layer: LayerId) -> bool {
        match self.reach(pointer) {
            Reached::Part(node) => *node == Node::From(layer),
            Reached::Within(of) => of == layer,
            Reached::Beside(_) => false,
        }
    }

    /// The highest layer in the part at `pointer`.
    pub(crate) fn layer_at(&self, pointer: &str) -> LayerId {
        match self.reach(pointer) {
            Reached::Part(node) | Reached::Beside(node) => node.highest(),
            Reached::Within(layer) => layer,
        }
    }

    /// The part at `pointer`, made to be known apart; `None` beside the items of a list.
    fn apart(&mut self, pointer: &str) -> Option<&mut Node> {
        pointer.split('/').skip(1).try_fold(self, |node, step| match node {
            Node::List(items) => Arc::make_mut(items).get_mut(step.parse::<usize>().ok()?),
            node => {
                let (rest, own) = node.children();
                Some(child(own, &key_of(step), rest))
            }
        })
    }

    /// Makes `layer` the writer of the part at `pointer`.
    pub(crate) fn set(&mut self, pointer: &str, layer: LayerId) {
        if let Some(node) = self.apart(pointer) {
            *node = Node::From(layer);
        }
    }

    /// Makes `layer` the writer of `more` items after the `length` ones of the list at `pointer`.
    pub(crate) fn append(&mut self, pointer: &str, length: usize, layer: LayerId, more: usize) {
        if let Some(node) = self.apart(pointer) {
            node.items(length).extend(std::iter::repeat_n(Node::From(layer), more));
        }
    }

    /// The part at `pointer`, if it is known apart.
    fn find(&mut self, pointer: &str) -> Option<&mut Node> {
        // Parts that are shared are copied on the way, so it has to lead somewhere.
        let Reached::Part(_) = self.reach(pointer) else { return None };
        pointer.split('/').skip(1).try_fold(self, |node, step| match node {
            Node::From(_) => None,
            Node::Map(_, own) => Arc::make_mut(own).get_mut(&*key_of(step)),
            Node::List(items) => Arc::make_mut(items).get_mut(step.parse::<usize>().ok()?),
        })
    }

    /// The list at `pointer` has no items at `indexes` any more, which are given from the last one on.
    pub(crate) fn remove_items(&mut self, pointer: &str, indexes: &[usize]) {
        let Some(Node::List(items)) = self.find(pointer) else { return };
        let items = Arc::make_mut(items);
        for &index in indexes {
            if index < items.len() {
                items.remove(index);
            }
        }
    }

    /// A key of the object at `pointer` is called otherwise.
    pub(crate) fn rename(&mut self, pointer: &str, from: &str, to: &str) {
        let Some(Node::Map(_, own)) = self.find(pointer) else { return };
        if own.contains_key(from)
            && let Some(node) = Arc::make_mut(own).remove(from)
        {
            Arc::make_mut(own).insert(to.to_owned(), node);
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

    /// The keys of an object that are not of its common layer, and that layer.
    pub(crate) fn children(&mut self) -> (LayerId, &mut BTreeMap<String, Node>) {
        if !matches!(self, Node::Map(..)) {
            *self = Node::Map(self.highest(), Arc::default());
        }
        match self {
            Node::Map(rest, own) => (*rest, Arc::make_mut(own)),
            _ => unreachable!("made a map above"),
        }
    }

    /// The items of a list, made explicit.
    pub(crate) fn items(&mut self, length: usize) -> &mut Vec<Node> {
        if let Node::From(layer) = *self {
            *self = Node::List(Arc::new(vec![Node::From(layer); length]));
        }
        if !matches!(self, Node::List(_)) {
            *self = Node::List(Arc::default());
        }
        match self {
            Node::List(items) => Arc::make_mut(items),
            _ => unreachable!("made a list above"),
        }
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
pub(crate) fn child<'n>(own: &'n mut BTreeMap<String, Node>, key: &str, rest: LayerId) -> &'n mut Node {
    if !own.contains_key(key) {
        own.insert(key.to_owned(), Node::From(rest));
    }
    own.get_mut(key).unwrap_or_else(|| unreachable!("it was put in above"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_changes_alone() {
        let mut below = Node::From(0);
        below
            .children()
            .1
            .insert("args".to_owned(), Node::List(Arc::new(vec![Node::From(1), Node::From(2)])));
        let mut above = below.clone();
        above.remove_items("/args", &[0]);
        above.set("/name", 3);
        above.rename("", "name", "title");
        assert_eq!(
            (below.layer_at("/args/0"), below.layer_at("/args/1"), below.layer_at("/name")),
            (1, 2, 0)
        );
        assert_eq!((above.layer_at("/args/0"), above.layer_at("/title"), above.layer_at("/name")), (2, 3, 0));
    }
}
