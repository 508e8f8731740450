//! Go templates in the strings of a merged document.
//!
//! KServe renders the JSON text of the whole object. Here each string is rendered by itself, quotes included, with the
//! same outcome: but an error names its field, one bad string does not spoil the others, and no value can break out of
//! its quotes. Constructs that begin in one string and end in another are rendered the way KServe does it, over the
//! whole text.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::LazyLock;

use gotmpl::{Cause, Functions, MissingKey, Template, Value as GoValue};
use serde_json::Value;

use crate::merge::Layered;
use crate::node::{LayerId, key_of, push_step};
use crate::{Error, Warning, data, go_json, presets};

/// What an item renders to that is to be left out of its list if it is otherwise empty.
pub(crate) const OMIT: char = '\u{f8ff}';

/// The longest text that counts as short.
const SHORT_BYTES: usize = 32;

/// The name of every template, as KServe's error messages have it.
const NAME: &str = "config";

/// A string that holds a template.
struct Text<'v> {
    text: &'v str,
    /// JSON pointer of what it stands in.
    parent: Rc<str>,
    step: Step<'v>,
    place: Place,
    template: Result<Parsed, gotmpl::Error>,
}

/// What the string is where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Item,
    Field,
    /// The key itself, at the pointer of its value.
    Key,
}

/// A step into a document.
#[derive(Clone, Copy)]
enum Step<'v> {
    Field(&'v str),
    Item(usize),
}

/// A template of this text alone, or one that is known.
enum Parsed {
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

/// The templates in the strings of the embedded presets, by their text. Whoever composes has most of them.
static KNOWN: LazyLock<HashMap<&'static str, Template>> = LazyLock::new(|| {
    let mut known = HashMap::new();
    presets::all().iter().for_each(|preset| add_templates(&preset.document["spec"], &mut known));
    known
});

fn add_templates(value: &'static Value, known: &mut HashMap<&'static str, Template>) {
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

/// What rendering did.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) warnings: Vec<Warning>,
    /// Whether the document has to be read again as Go would: a field became empty, or all was replaced.
    pub(crate) left_empty: bool,
}

/// What becomes of a string.
struct Rendered {
    parent: Rc<str>,
    step: OwnStep,
    place: Place,
    text: String,
}

/// A [`Step`] that outlives the document.
enum OwnStep {
    Field(String),
    Item(usize),
}

/// What rendering makes of a document.
enum Outcome {
    /// Each string by itself, in the order of the document.
    Strings(Vec<Rendered>, Vec<Warning>),
    /// KServe's way: the whole text at once.
    Whole(Value),
}

/// Renders all strings of `document`. Templates see `seen`, or the document itself; `service` is the layer of the user.
pub(crate) fn render(
    document: &mut Layered,
    seen: Option<&Value>,
    scope: &data::Scope<'_>,
    service: LayerId,
) -> Result<Report, Error> {
    match outcome(document, seen, scope, service)? {
        Outcome::Strings(rendered, warnings) => {
            Ok(Report { warnings, left_empty: put_in(document, rendered) })
        }
        Outcome::Whole(value) => {
            document.value = value;
            Ok(Report { warnings: Vec::new(), left_empty: true })
        }
    }
}

fn outcome(
    document: &Layered,
    seen: Option<&Value>,
    scope: &data::Scope<'_>,
    service: LayerId,
) -> Result<Outcome, Error> {
    let mut texts = Vec::new();
    Collect { path: Vec::new(), texts: &mut texts }.walk(&document.value);
    let functions = data::functions();
    let root = scope.root(seen.unwrap_or(&document.value));
    if texts.iter().any(|text| text.template.is_err())
        && let Some(whole) = render_whole(&document.value, &root, &functions)
    {
        return Ok(Outcome::Whole(whole));
    }
    // Go parses everything before it runs anything.
    for text in &texts {
        if let Err(error) = &text.template
            && !document.origin.is_from(&text.pointer(), service)
        {
            return Err(fix(text, "failed to parse template config", error));
        }
    }
    let mut warnings = Vec::new();
    let mut rendered = Vec::with_capacity(texts.len());
    for text in &texts {
        let in_metadata = text
            .parent
            .strip_prefix("/metadata")
            .is_some_and(|rest| matches!(rest.as_bytes(), [] | [b'/', ..]));
        match &text.template {
            Ok(template) => match template.render(&root, &functions, MissingKey::Error) {
                Ok(json) => rendered.push(Rendered {
                    parent: Rc::clone(&text.parent),
                    step: text.step.owned(),
                    place: text.place,
                    text: decode(text, &json)?,
                }),
                Err(_) if in_metadata => {}
                Err(error) => return Err(fix(text, "failed to merge config", &error)),
            },
            Err(error) if !in_metadata => warnings.push(literal(text, error)),
            Err(_) => {}
        }
    }
    Ok(Outcome::Strings(rendered, warnings))
}

/// A user's text in braces that is no template, such as Jinja.
fn literal(text: &Text<'_>, error: &gotmpl::Error) -> Warning {
    Warning {
        field: text.pointer(),
        message: format!(
            "is no Go template ({}), so it is taken literally; write {{{{ `{{{{` }}}} for literal braces",
            reason(error)
        ),
    }
}

/// A walk for the strings that hold templates. Most do not, so where one stands is put into words only when it is found.
struct Collect<'v, 't> {
    path: Vec<Step<'v>>,
    texts: &'t mut Vec<Text<'v>>,
}

impl<'v> Collect<'v, '_> {
    fn walk(&mut self, value: &'v Value) {
        // The pointer of the value, once something is found right in it.
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

    fn child(&mut self, step: Step<'v>, value: &'v Value, place: Place, here: &mut Option<Rc<str>>) {
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

    fn found(&mut self, text: &'v str, step: Step<'v>, place: Place, here: &mut Option<Rc<str>>) {
        let parent = here.get_or_insert_with(|| {
            let mut pointer = String::with_capacity(64);
            self.path.iter().for_each(|step| step.push_to(&mut pointer));
            pointer.into()
        });
        let template = match KNOWN.get(text) {
            Some(known) => Ok(Parsed::Known(known)),
            None => Template::parse(NAME, &json_of(text), data::FUNCTIONS).map(Parsed::Own),
        };
        self.texts.push(Text { text, parent: Rc::clone(parent), step, place, template });
    }
}

impl Text<'_> {
    /// JSON pointer of the string.
    fn pointer(&self) -> String {
        let mut pointer = self.parent.to_string();
        self.step.push_to(&mut pointer);
        pointer
    }
}

impl Step<'_> {
    fn push_to(&self, pointer: &mut String) {
        match self {
            Step::Field(key) => push_step(pointer, key),
            Step::Item(index) => drop(write!(pointer, "/{index}")),
        }
    }

    fn owned(&self) -> OwnStep {
        match self {
            Step::Field(key) => OwnStep::Field((*key).to_owned()),
            Step::Item(index) => OwnStep::Item(*index),
        }
    }
}

/// The string as JSON, with its quotes.
fn json_of(text: &str) -> String {
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
    brace.is_some_and(|at| text[at..].contains("{{"))
}

/// The rendered JSON text of one string, back as a string.
fn decode(text: &Text<'_>, json: &str) -> Result<String, Error> {
    let after = match text.place {
        Place::Item => "after array element",
        Place::Field | Place::Key => "after object key:value pair",
    };
    match serde_json::from_str::<Value>(json) {
        Ok(Value::String(decoded)) => Ok(decoded),
        _ => Err(Error::FixTemplate {
            message: format!("failed to unmarshal config from template: {}", break_out(json, after)),
            field: Some(text.pointer()),
            hint: Some(
                "a value that is put in has a quote or a backslash; pass it through js, or change it"
                    .to_owned(),
            ),
        }),
    }
}

/// What Go's decoder says about the character after a string that ended too early.
fn break_out(json: &str, place: &str) -> String {
    let mut chars = json.chars().skip(1);
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                let next = chars.find(|c| !c.is_whitespace());
                return match next {
                    Some(next) => format!("invalid character {next:?} {place}"),
                    None => "unexpected end of JSON input".to_owned(),
                };
            }
            '\\' => match chars.next() {
                Some('"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't' | 'u') => {}
                Some(escaped) => return format!("invalid character {escaped:?} in string escape code"),
                None => break,
            },
            c if c.is_control() => return format!("invalid character {c:?} in string literal"),
            _ => {}
        }
    }
    "unexpected end of JSON input".to_owned()
}

fn fix(text: &Text<'_>, what: &str, error: &gotmpl::Error) -> Error {
    let hint = match &error.cause {
        Cause::UnknownField { name, known } => {
            let near = api::shape::nearest(name, known.iter().map(String::as_str));
            near.map(|near| format!("did you mean .{near}?"))
        }
        Cause::Nil { name } => {
            Some(format!("guard it, as in {{{{ with … }}}}{{{{ .{name} }}}}{{{{ end }}}}, or set it"))
        }
        Cause::Syntax => Some(format!(
            "write {{{{ `{{{{` }}}} for literal braces, and `…` for strings inside them; the text is {}",
            json_of(text.text)
        ))
        .filter(|hint| hint.len() < 200),
        Cause::Other => None,
    };
    Error::FixTemplate { message: format!("{what}: {}", error.message), field: Some(text.pointer()), hint }
}

/// The message without the position, which means nothing to a user.
fn reason(error: &gotmpl::Error) -> &str {
    error.message.splitn(4, ": ").last().unwrap_or_default()
}

/// The part at a JSON pointer.
fn part_mut<'v>(value: &'v mut Value, pointer: &str) -> Option<&'v mut Value> {
    pointer.split('/').skip(1).try_fold(value, |part, step| match part {
        Value::Object(fields) => fields.get_mut(&*key_of(step)),
        Value::Array(items) => items.get_mut(step.parse::<usize>().ok()?),
        _ => None,
    })
}

/// KServe's way. `None` if that does not work either.
fn render_whole<'a>(document: &Value, root: &GoValue<'a>, functions: &Functions<'a>) -> Option<Value> {
    let text = go_json::write(document);
    let template = Template::parse(NAME, &text, data::FUNCTIONS).ok()?;
    let rendered = template.render(root, functions, MissingKey::Error).ok()?;
    serde_json::from_str(&rendered).ok()
}

/// Puts the rendered strings in, and takes out the items that are to be left out. Gives whether a field became empty.
fn put_in(document: &mut Layered, mut rendered: Vec<Rendered>) -> bool {
    let mut left_empty = false;
    let mut renamed = BTreeSet::new();
    // From the end, so that the pointers and indexes of what is still to come stay right.
    for siblings in rendered.chunk_by_mut(|a, b| Rc::ptr_eq(&a.parent, &b.parent)).rev() {
        let Some(parent) = siblings.first().map(|first| Rc::clone(&first.parent)) else { continue };
        let Some(container) = part_mut(&mut document.value, &parent) else { continue };
        for Rendered { step, place, text, .. } in siblings.iter_mut().rev() {
            let mut text = std::mem::take(text);
            let is_omitted = text.contains(OMIT);
            text.retain(|c| c != OMIT);
            match (place, &*step, &mut *container) {
                (Place::Item, OwnStep::Item(index), Value::Array(items)) => {
                    if is_omitted && text.is_empty() {
                        items.remove(*index);
                        document.origin.remove_item(&parent, *index);
                    } else {
                        items[*index] = text.into();
                    }
                }
                (Place::Field, OwnStep::Field(key), Value::Object(fields)) => {
                    left_empty |= text.is_empty();
                    if let Some(field) = fields.get_mut(key) {
                        *field = text.into();
                    }
                }
                (Place::Key, OwnStep::Field(key), Value::Object(fields)) => {
                    let Some(value) = fields.remove(key) else { continue };
                    document.origin.rename(&parent, key, &text);
                    // Of two keys that become one Go's decoder keeps what stood last.
                    let is_last = !fields.contains_key(&text) || *key > text;
                    if renamed.insert((Rc::clone(&parent), text.clone())) && is_last {
                        fields.insert(text, value);
                    }
                }
                _ => {}
            }
        }
    }
    left_empty
}
