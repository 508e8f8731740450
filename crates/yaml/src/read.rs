//! Text to documents: JSON values, and where each of them stands.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};
use serde_json::{Map, Value};

use crate::scalar::resolve_plain;

/// Nodes that one text may expand to. Aliases multiply; this stops a bomb long before memory does.
const MAX_NODES: usize = 2_000_000;
/// Nesting that one text may have. `serde_json` reads 128 levels, so nothing deeper can be an API object.
const MAX_DEPTH: usize = 128;

/// One YAML document of a text.
#[derive(Debug, Clone)]
pub struct Document {
    /// The document as JSON. Of a key that stands twice the last value counts, as for kubectl.
    pub value: Value,
    /// Where each value stands in the text.
    pub marks: Marks,
    /// Keys that stand twice in one mapping: JSON pointer of the value, position of the second key.
    pub duplicates: Vec<(String, Position)>,
}

/// Line and column, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line of the text, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Positions by JSON pointer. For a mapping's entry it is the position of the key, which is where an editor
/// should jump; for a list's item, that of the item.
#[derive(Debug, Clone, Default)]
pub struct Marks(BTreeMap<String, Position>);

impl Marks {
    /// Where the value at `pointer` (RFC 6901) stands, or its nearest ancestor that the text has.
    pub fn position(&self, pointer: &str) -> Option<Position> {
        let mut pointer = pointer;
        loop {
            if let Some(position) = self.0.get(pointer) {
                return Some(*position);
            }
            pointer = &pointer[..pointer.rfind('/')?];
        }
    }
}

/// Why a text cannot be read. `position` is where to look.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text breaks YAML's grammar.
    #[error("not YAML: {reason}")]
    FixSyntax {
        /// What the parser expected.
        reason: String,
        /// Where.
        position: Position,
    },
    /// Aliases or nesting make the text too large.
    #[error("{reason}")]
    MakeSmaller {
        /// Which limit.
        reason: String,
        /// Where it was passed.
        position: Position,
    },
    /// A mapping's key is itself a mapping or list.
    #[error("a key must be a scalar, not a mapping or a list")]
    UseScalarKey {
        /// Where the key stands.
        position: Position,
    },
    /// One document was expected.
    #[error("expected one YAML document, found {found}")]
    KeepOneDocument {
        /// How many there are.
        found: usize,
    },
}

impl Error {
    /// Where in the text the fault is, if it is at one place.
    pub fn position(&self) -> Option<Position> {
        match self {
            Self::FixSyntax { position, .. }
            | Self::MakeSmaller { position, .. }
            | Self::UseScalarKey { position } => Some(*position),
            Self::KeepOneDocument { .. } => None,
        }
    }
}

/// All documents of a text; those that hold nothing (only comments, `---` alone) are left out.
///
/// # Errors
/// [`Error`] with the position of the first fault.
pub fn read_documents(text: &str) -> Result<Vec<Document>, Error> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    Reader::default().run(text)
}

/// The one document of a text; `null` if it has none.
///
/// # Errors
/// As [`read_documents`], and if there is more than one document.
pub fn read_value(text: &str) -> Result<Value, Error> {
    let mut documents = read_documents(text)?;
    match documents.len() {
        0 => Ok(Value::Null),
        1 => Ok(documents.remove(0).value),
        found => Err(Error::KeepOneDocument { found }),
    }
}

/// A collection that is being filled.
enum Open {
    List { items: Vec<Value>, anchor: usize },
    Map { entries: Map<String, Value>, merged: Vec<Value>, key: Option<Key>, anchor: usize },
}

enum Key {
    Name(String),
    Merge,
}

#[derive(Default)]
struct Reader {
    open: Vec<Open>,
    /// Length of `pointer` before each open collection's current entry was appended.
    pointer: String,
    bases: Vec<usize>,
    marks: BTreeMap<String, Position>,
    duplicates: Vec<(String, Position)>,
    anchors: HashMap<usize, (Value, usize)>,
    nodes: usize,
    root: Option<Value>,
    documents: Vec<Document>,
}

impl Reader {
    fn run(mut self, text: &str) -> Result<Vec<Document>, Error> {
        let end = end_of(text);
        let mut parser = Parser::new_from_str(text);
        while let Some(next) = parser.next_event() {
            let (event, span) = next.map_err(|e| Error::FixSyntax {
                reason: e.info().to_owned(),
                position: on_its_line(
                    text,
                    end.min(Position { line: e.marker().line(), column: e.marker().col() + 1 }),
                ),
            })?;
            self.event(event, end.min(Position { line: span.start.line(), column: span.start.col() + 1 }))?;
        }
        Ok(self.documents)
    }

    fn event(&mut self, event: Event<'_>, at: Position) -> Result<(), Error> {
        match event {
            Event::DocumentEnd => self.end_document(),
            Event::Scalar(text, style, anchor, tag) => {
                self.before_value(at, true)?;
                if self.take_as_key(&text, style, at) {
                    return Ok(());
                }
                self.close(scalar_value(text, style, tag.as_deref()), anchor, at, 1)?;
            }
            Event::Alias(id) => {
                self.before_value(at, false)?;
                let (value, size) = self.anchors.get(&id).cloned().unwrap_or((Value::Null, 1));
                self.close(value, 0, at, size)?;
            }
            Event::SequenceStart(anchor, _) => self.begin(at, Open::List { items: Vec::new(), anchor })?,
            Event::MappingStart(anchor, _) => {
                self.begin(at, Open::Map { entries: Map::new(), merged: Vec::new(), key: None, anchor })?
            }
            Event::SequenceEnd | Event::MappingEnd => self.end_collection(at)?,
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) => {}
        }
        Ok(())
    }

    fn begin(&mut self, at: Position, collection: Open) -> Result<(), Error> {
        self.before_value(at, false)?;
        if self.open.len() >= MAX_DEPTH {
            return Err(Error::MakeSmaller {
                reason: format!("nested deeper than {MAX_DEPTH} levels"),
                position: at,
            });
        }
        self.bases.push(self.pointer.len());
        self.open.push(collection);
        Ok(())
    }

    /// Extends the pointer to the value that starts now and notes where it stands.
    fn before_value(&mut self, at: Position, may_be_key: bool) -> Result<(), Error> {
        match self.open.last() {
            None => {
                self.marks.insert(String::new(), at);
            }
            Some(Open::List { items, .. }) => {
                self.pointer.truncate(*self.bases.last().unwrap_or(&0));
                self.pointer.push('/');
                self.pointer.push_str(&items.len().to_string());
                self.marks.insert(self.pointer.clone(), at);
            }
            Some(Open::Map { key: None, .. }) if !may_be_key => {
                return Err(Error::UseScalarKey { position: at });
            }
            Some(Open::Map { .. }) => {}
        }
        Ok(())
    }

    /// In a mapping that waits for a key, the scalar is that key.
    fn take_as_key(&mut self, text: &str, style: ScalarStyle, at: Position) -> bool {
        let base = *self.bases.last().unwrap_or(&0);
        let Some(Open::Map { entries, key, .. }) = self.open.last_mut() else { return false };
        if key.is_some() {
            return false;
        }
        if text == "<<" && style == ScalarStyle::Plain {
            *key = Some(Key::Merge);
            return true;
        }
        let name = key_text(text, style);
        self.pointer.truncate(base);
        self.pointer.push('/');
        self.pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
        if entries.contains_key(&name) {
            self.duplicates.push((self.pointer.clone(), at));
        }
        self.marks.insert(self.pointer.clone(), at);
        *key = Some(Key::Name(name));
        true
    }

    fn end_collection(&mut self, at: Position) -> Result<(), Error> {
        let base = self.bases.pop().unwrap_or(0);
        self.pointer.truncate(base);
        match self.open.pop() {
            Some(Open::List { items, anchor }) => {
                let size = 1 + items.len();
                self.close(Value::Array(items), anchor, at, size)
            }
            Some(Open::Map { mut entries, merged, anchor, .. }) => {
                // A merge key gives way to the mapping's own keys, and an earlier source to a later one.
                for source in merged {
                    if let Value::Object(source) = source {
                        for (name, value) in source {
                            entries.entry(name).or_insert(value);
                        }
                    }
                }
                let size = 1 + entries.len();
                self.close(Value::Object(entries), anchor, at, size)
            }
            None => Ok(()),
        }
    }

    /// A value is complete: it goes into the collection around it, or is the document.
    fn close(&mut self, value: Value, anchor: usize, at: Position, size: usize) -> Result<(), Error> {
        self.nodes += size;
        if self.nodes > MAX_NODES {
            return Err(Error::MakeSmaller {
                reason: format!("the aliases of this text expand to more than {MAX_NODES} values"),
                position: at,
            });
        }
        if anchor != 0 {
            let nodes = count(&value);
            self.anchors.insert(anchor, (value.clone(), nodes));
        }
        match self.open.last_mut() {
            None => self.root = Some(value),
            Some(Open::List { items, .. }) => items.push(value),
            Some(Open::Map { entries, merged, key, .. }) => match key.take() {
                Some(Key::Name(name)) => {
                    entries.insert(name, value);
                }
                Some(Key::Merge) => match value {
                    Value::Array(sources) => merged.extend(sources),
                    source => merged.push(source),
                },
                None => {}
            },
        }
        Ok(())
    }

    fn end_document(&mut self) {
        let value = self.root.take().unwrap_or(Value::Null);
        let marks = Marks(std::mem::take(&mut self.marks));
        let duplicates = std::mem::take(&mut self.duplicates);
        self.pointer.clear();
        self.anchors.clear();
        if !value.is_null() {
            self.documents.push(Document { value, marks, duplicates });
        }
    }
}

/// Where the text ends. There the parser looks ahead into a line that is not there, and names that.
fn end_of(text: &str) -> Position {
    let mut end = Position { line: 1, column: 1 };
    let mut before = ' ';
    for c in text.chars() {
        match c {
            '\n' if before == '\r' => {}
            '\n' | '\r' => end = Position { line: end.line + 1, column: 1 },
            _ => end.column += 1,
        }
        before = c;
    }
    end
}

/// The parser may name a column behind the end of a line.
fn on_its_line(text: &str, at: Position) -> Position {
    let mut lines = text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'));
    let length = lines.nth(at.line.saturating_sub(1)).map_or(0, |line| line.chars().count());
    Position { column: at.column.clamp(1, length + 1), ..at }
}

fn count(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(count).sum::<usize>(),
        Value::Object(entries) => 1 + entries.values().map(count).sum::<usize>(),
        _ => 1,
    }
}

fn scalar_value(text: Cow<'_, str>, style: ScalarStyle, tag: Option<&Tag>) -> Value {
    let core = tag.filter(|t| t.is_yaml_core_schema()).map(|t| t.suffix.as_str());
    match core {
        Some("str") => Value::String(text.into_owned()),
        Some("null") => Value::Null,
        Some("int" | "float" | "bool") => resolve_plain(&text),
        _ if style == ScalarStyle::Plain => resolve_plain(&text),
        _ => Value::String(text.into_owned()),
    }
}

/// JSON keys are strings: `8080:` becomes "8080" and `yes:` becomes "true", as in `sigs.k8s.io/yaml`.
fn key_text(text: &str, style: ScalarStyle) -> String {
    if style != ScalarStyle::Plain {
        return text.to_owned();
    }
    match resolve_plain(text) {
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => n.to_string(),
        Value::Null => "null".to_owned(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn documents_keep_the_line_and_column_of_every_key() {
        let text = "# head\nkind: A\nspec:\n  list:\n  - name: x\n    v: [1, 2]\n---\n---\nkind: B\n";
        let documents = read_documents(text).unwrap();
        assert_eq!(documents.len(), 2);
        assert_eq!(documents[0].value, json!({"kind": "A", "spec": {"list": [{"name": "x", "v": [1, 2]}]}}));
        let at = |pointer: &str| documents[0].marks.position(pointer).map(|p| (p.line, p.column));
        assert_eq!(at("/kind"), Some((2, 1)));
        assert_eq!(at("/spec/list/0/v"), Some((6, 5)));
        assert_eq!(at("/spec/list/0/v/1"), Some((6, 12)));
        assert_eq!(at("/spec/list/0/absent/deeper"), Some((5, 5)), "the nearest ancestor");
        assert_eq!(documents[1].marks.position("/kind").map(|p| p.line), Some(9));
    }

    #[test]
    fn a_key_that_stands_twice_is_reported_and_the_last_value_counts() {
        let document = read_documents("a: 1\nb: {c: 1, c: 2}\na: 3\n").unwrap().remove(0);
        assert_eq!(document.value, json!({"a": 3, "b": {"c": 2}}));
        let found: Vec<_> = document.duplicates.iter().map(|(p, at)| (p.as_str(), at.line)).collect();
        assert_eq!(found, [("/b/c", 2), ("/a", 3)]);
    }

    #[test]
    fn an_error_at_the_end_of_the_text_is_on_its_last_line() {
        let at = |text: &str| read_documents(text).unwrap_err().position().map(|p| (p.line, p.column));
        assert_eq!(at("a: 1\nb"), Some((2, 2)));
        assert_eq!(at("a: [1,\r\n  2"), Some((2, 4)));
        let open = read_documents("? ").unwrap().remove(0);
        assert_eq!(open.marks.position("/null").map(|p| (p.line, p.column)), Some((1, 3)));
    }

    #[test]
    fn anchors_and_merge_keys_expand() {
        let value = read_value("base: &b {x: 1, z: 2}\nuse:\n  <<: *b\n  z: 3\nlist: [*b]\n").unwrap();
        assert_eq!(value["use"], json!({"x": 1, "z": 3}));
        assert_eq!(value["list"][0], json!({"x": 1, "z": 2}));
    }

    #[test]
    fn an_alias_bomb_is_refused_before_it_costs_memory() {
        let mut text = String::from("a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n");
        for i in 1..12 {
            let refs = vec![format!("*a{}", i - 1); 10].join(",");
            text.push_str(&format!("a{i}: &a{i} [{refs}]\n"));
        }
        assert!(matches!(read_documents(&text), Err(Error::MakeSmaller { .. })));
        let deep = "[".repeat(5000);
        assert!(read_documents(&deep).is_err());
    }

    #[test]
    fn a_syntax_error_says_where() {
        let error = read_documents("a: 1\n  b: [\n").unwrap_err();
        assert!(error.position().is_some_and(|p| p.line >= 2), "{error:?}");
    }

    #[test]
    fn keys_that_are_not_strings_become_their_text() {
        assert_eq!(
            read_value("8080: a\nyes: b\n\"on\": c\n").unwrap(),
            json!({"8080": "a", "true": "b", "on": "c"})
        );
        assert!(matches!(read_value("? [a]\n: b\n"), Err(Error::UseScalarKey { .. })));
    }
}
