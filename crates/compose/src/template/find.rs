//! Where the templates of a document are, and what they say.

use std::collections::HashMap;
use std::fmt::Write;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::LazyLock;

use foldhash::fast::RandomState;
use gotmpl::Template;
use serde_json::Value;

use crate::node::push_step;
use crate::{data, go_json, presets};

/// The templates of a document.
#[derive(Default)]
pub(super) struct Found<'v> {
    pub(super) sources: Vec<Source<'v>>,
    /// In the order of the document.
    pub(super) texts: Vec<Text<'v>>,
}

/// All strings of `document` that hold templates.
pub(super) fn templates(document: &Value) -> Found<'_> {
    let mut collect = Collect::default();
    collect.walk(document);
    collect.found
}

/// The longest text that counts as short.
const SHORT_BYTES: usize = 32;

/// The name of every template, as KServe's error messages have it.
pub(super) const NAME: &str = "config";

/// The template that strings hold: the pods of a service say the same in many places.
pub(super) struct Source<'v> {
    pub(super) text: &'v str,
    pub(super) template: Result<Parsed, gotmpl::Error>,
}

/// A string that holds a template.
pub(super) struct Text<'v> {
    /// Index of its source.
    pub(super) source: usize,
    /// The way to what it stands in.
    pub(super) parent: Rc<[Step<&'v str>]>,
    pub(super) step: Step<&'v str>,
    pub(super) place: Place,
}

/// What the string is where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Item,
    Field,
    /// The key itself, at the pointer of its value.
    Key,
}

/// A step into a document, whose key is borrowed from it or outlives it.
#[derive(Clone, Copy)]
pub(super) enum Step<K> {
    Field(K),
    Item(usize),
}

/// A template of this text alone, or one that is known.
pub(super) enum Parsed {
    Own(Template),
    Known(&'static Template),
}

impl Deref for Parsed {
    type Target = Template;

    fn deref(&self) -> &Template {
        match self {
            Parsed::Own(template) => template,
            Parsed::Known(template) => template,
        }
    }
}

/// By the text of a template.
type ByText<'v, T> = HashMap<&'v str, T, RandomState>;

/// The templates in the strings of the embedded presets. Whoever composes has most of them.
static KNOWN: LazyLock<ByText<'static, Template>> = LazyLock::new(|| {
    let mut known = ByText::default();
    presets::all().iter().for_each(|preset| add_templates(&preset.document["spec"], &mut known));
    known
});

fn add_templates(value: &'static Value, known: &mut ByText<'static, Template>) {
    match value {
        Value::String(text) if is_template(text) => {
            if let Ok(template) = Template::parse(NAME, &json_of(text), data::FUNCTIONS) {
                known.insert(text, template);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| add_templates(item, known)),
        Value::Object(fields) => fields.values().for_each(|field| add_templates(field, known)),
        _ => {}
    }
}

/// A walk through a document. Most strings hold no template, so the way to one is kept only when it is found.
#[derive(Default)]
struct Collect<'v> {
    path: Vec<Step<&'v str>>,
    found: Found<'v>,
    /// The indexes of the sources.
    by_text: ByText<'v, usize>,
}

impl<'v> Collect<'v> {
    fn walk(&mut self, value: &'v Value) {
        // The way to the value, once something is found right in it.
        let mut here = None;
        match value {
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.child(Step::Item(index), item, Place::Item, &mut here);
                }
            }
            Value::Object(fields) => {
                for (key, field) in fields {
                    if is_template(key) {
                        self.found(key, Step::Field(key), Place::Key, &mut here);
                    }
                    self.child(Step::Field(key), field, Place::Field, &mut here);
                }
            }
            _ => {}
        }
    }

    fn child(
        &mut self,
        step: Step<&'v str>,
        value: &'v Value,
        place: Place,
        here: &mut Option<Rc<[Step<&'v str>]>>,
    ) {
        match value {
            Value::String(text) if is_template(text) => self.found(text, step, place, here),
            Value::Array(_) | Value::Object(_) => {
                self.path.push(step);
                self.walk(value);
                self.path.pop();
            }
            _ => {}
        }
    }

    fn found(
        &mut self,
        text: &'v str,
        step: Step<&'v str>,
        place: Place,
        here: &mut Option<Rc<[Step<&'v str>]>>,
    ) {
        let parent = here.get_or_insert_with(|| self.path.as_slice().into());
        let source = *self.by_text.entry(text).or_insert_with(|| {
            let template = match KNOWN.get(text) {
                Some(known) => Ok(Parsed::Known(known)),
                None => Template::parse(NAME, &json_of(text), data::FUNCTIONS).map(Parsed::Own),
            };
            self.found.sources.push(Source { text, template });
            self.found.sources.len() - 1
        });
        self.found.texts.push(Text { source, parent: Rc::clone(parent), step, place });
    }
}

impl Text<'_> {
    /// JSON pointer of the string.
    pub(super) fn pointer(&self) -> String {
        pointer(self.parent.iter().chain([&self.step]))
    }
}

impl Step<&str> {
    pub(super) fn owned(self) -> Step<String> {
        match self {
            Step::Field(key) => Step::Field(key.to_owned()),
            Step::Item(index) => Step::Item(index),
        }
    }
}

/// The steps as a JSON pointer.
pub(super) fn pointer<'s, K: AsRef<str> + 's>(steps: impl IntoIterator<Item = &'s Step<K>>) -> String {
    let mut pointer = String::new();
    for step in steps {
        match step {
            Step::Field(key) => push_step(&mut pointer, key.as_ref()),
            Step::Item(index) => drop(write!(pointer, "/{index}")),
        }
    }
    pointer
}

/// The string as JSON, with its quotes.
pub(super) fn json_of(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 16);
    go_json::write_string(&mut json, text);
    json
}

fn is_template(text: &str) -> bool {
    // Most texts are a word, for which a search that looks at many bytes at a time only begins.
    let brace = match text.len() {
        ..=SHORT_BYTES => text.bytes().position(|byte| byte == b'{'),
        _ => memchr::memchr(b'{', text.as_bytes()),
    };
    brace.is_some_and(|at| text.as_bytes()[at..].windows(2).any(|two| two == b"{{"))
}
