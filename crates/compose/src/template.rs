//! Go templates in the strings of a merged document.
//!
//! KServe renders the JSON text of the whole object. Here each string is rendered by itself, quotes included, with the
//! same outcome: but an error names its field, one bad string does not spoil the others, and no value can break out of
//! its quotes. Constructs that begin in one string and end in another are rendered the way KServe does it, over the
//! whole text.

use std::collections::HashMap;
use std::fmt::Write;
use std::ops::Deref;
use std::sync::LazyLock;

use gotmpl::{Cause, Functions, MissingKey, Template, Value as GoValue};
use serde_json::{Map, Value};

use crate::merge::{LayerId, Layered, Node, push_step};
use crate::{Error, Warning, data, go_json, presets};

/// What an item renders to that is to be left out of its list if it is otherwise empty.
pub(crate) const OMIT: char = '\u{f8ff}';

/// The name of every template, as KServe's error messages have it.
const NAME: &str = "config";

/// A string that holds a template.
struct Text {
    pointer: String,
    /// As JSON with its quotes.
    json: String,
    /// Whether the user wrote it, in the service itself.
    is_users: bool,
    /// How KServe says that something follows it: as an array's element, or as an object's pair.
    place: &'static str,
    template: Result<Parsed, gotmpl::Error>,
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
        Value::String(text) if text.contains("{{") => {
            let mut json = String::new();
            go_json::write_string(&mut json, text);
            if let Ok(template) = Template::parse(NAME, &json, data::FUNCTIONS) {
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

/// What becomes of a string, in the order of the walk.
enum Rendered {
    Text(String),
    AsWritten,
}

/// What rendering makes of a document.
enum Outcome {
    /// Each string by itself.
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
            let mut left_empty = false;
            if !rendered.is_empty() {
                let origin = Some(&mut document.origin);
                apply(&mut document.value, origin, &mut rendered.into_iter(), &mut left_empty);
            }
            Ok(Report { warnings, left_empty })
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
    collect(&document.value, &document.origin, service, &mut String::new(), false, &mut texts);
    let functions = data::functions();
    let root = scope.root(seen.unwrap_or(&document.value));
    if texts.iter().any(|text| text.template.is_err())
        && let Some(whole) = render_whole(&document.value, &root, &functions)
    {
        return Ok(Outcome::Whole(whole));
    }
    // Go parses everything before it runs anything.
    for text in texts.iter().filter(|text| !text.is_users) {
        if let Err(error) = &text.template {
            return Err(fix(text, "failed to parse template config", error));
        }
    }
    let mut warnings = Vec::new();
    let mut rendered = Vec::with_capacity(texts.len());
    for text in &texts {
        let in_metadata = text.pointer.starts_with("/metadata/");
        rendered.push(match &text.template {
            Ok(template) => match template.render(&root, &functions, MissingKey::Error) {
                Ok(json) => decode(text, &json)?,
                Err(_) if in_metadata => Rendered::AsWritten,
                Err(error) => return Err(fix(text, "failed to merge config", &error)),
            },
            Err(error) => {
                if !in_metadata {
                    warnings.push(literal(text, error));
                }
                Rendered::AsWritten
            }
        });
    }
    Ok(Outcome::Strings(rendered, warnings))
}

/// A user's text in braces that is no template, such as Jinja.
fn literal(text: &Text, error: &gotmpl::Error) -> Warning {
    Warning {
        field: text.pointer.clone(),
        message: format!(
            "is no Go template ({}), so it is taken literally; write {{{{ `{{{{` }}}} for literal braces",
            reason(error)
        ),
    }
}

fn collect(
    value: &Value,
    origin: &Node,
    service: LayerId,
    pointer: &mut String,
    in_list: bool,
    texts: &mut Vec<Text>,
) {
    match value {
        Value::String(text) if text.contains("{{") => {
            texts.push(Text::new(text, pointer, *origin == Node::From(service), in_list));
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let mut rest = None;
                let child = origin.at("", Some(index), &mut rest);
                let length = pointer.len();
                let _ = write!(pointer, "/{index}");
                collect(item, child, service, pointer, true, texts);
                pointer.truncate(length);
            }
        }
        Value::Object(fields) => {
            for (key, field) in fields {
                let mut rest = None;
                let child = origin.at(key, None, &mut rest);
                let length = pointer.len();
                push_step(pointer, key);
                if key.contains("{{") {
                    texts.push(Text::new(key, pointer, *child == Node::From(service), false));
                }
                collect(field, child, service, pointer, false, texts);
                pointer.truncate(length);
            }
        }
        _ => {}
    }
}

impl Text {
    fn new(text: &str, pointer: &str, is_users: bool, in_list: bool) -> Text {
        let mut json = String::with_capacity(text.len() + 16);
        go_json::write_string(&mut json, text);
        let template = match KNOWN.get(text) {
            Some(known) => Ok(Parsed::Known(known)),
            None => Template::parse(NAME, &json, data::FUNCTIONS).map(Parsed::Own),
        };
        Text {
            pointer: pointer.to_owned(),
            json,
            is_users,
            place: if in_list { "after array element" } else { "after object key:value pair" },
            template,
        }
    }
}

/// The rendered JSON text of one string, back as a string.
fn decode(text: &Text, json: &str) -> Result<Rendered, Error> {
    match serde_json::from_str::<Value>(json) {
        Ok(Value::String(decoded)) => Ok(Rendered::Text(decoded)),
        _ => Err(Error::FixTemplate {
            message: format!("failed to unmarshal config from template: {}", break_out(json, text.place)),
            field: Some(text.pointer.clone()),
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

fn fix(text: &Text, what: &str, error: &gotmpl::Error) -> Error {
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
            text.json
        ))
        .filter(|hint| hint.len() < 200),
        Cause::Other => None,
    };
    Error::FixTemplate {
        message: format!("{what}: {}", error.message),
        field: Some(text.pointer.clone()),
        hint,
    }
}

/// The message without the position, which means nothing to a user.
fn reason(error: &gotmpl::Error) -> &str {
    error.message.splitn(4, ": ").last().unwrap_or_default()
}

/// KServe's way. `None` if that does not work either.
fn render_whole<'a>(document: &Value, root: &GoValue<'a>, functions: &Functions<'a>) -> Option<Value> {
    let text = go_json::write(document);
    let template = Template::parse(NAME, &text, data::FUNCTIONS).ok()?;
    let rendered = template.render(root, functions, MissingKey::Error).ok()?;
    serde_json::from_str(&rendered).ok()
}

/// Puts the rendered strings in, and takes out the items that are to be left out.
fn apply(
    value: &mut Value,
    origin: Option<&mut Node>,
    rendered: &mut impl Iterator<Item = Rendered>,
    left_empty: &mut bool,
) {
    match value {
        Value::String(text) if text.contains("{{") => {
            if let Some(Rendered::Text(new)) = rendered.next() {
                *text = new;
            }
        }
        Value::Array(items) => {
            let mut nodes = match origin {
                Some(Node::List(nodes)) if nodes.len() == items.len() => Some(nodes),
                _ => None,
            };
            for (index, item) in items.iter_mut().enumerate() {
                let node = nodes.as_mut().and_then(|nodes| nodes.get_mut(index));
                apply(item, node, rendered, left_empty);
            }
            let mut index = 0;
            items.retain_mut(|item| {
                let keep = keep_item(item);
                if keep {
                    index += 1;
                } else if let Some(nodes) = nodes.as_mut() {
                    nodes.remove(index);
                }
                keep
            });
        }
        Value::Object(fields) => {
            let mut nodes = match origin {
                Some(Node::Map(_, nodes)) => Some(nodes),
                _ => None,
            };
            let mut renamed = Map::new();
            for (key, field) in fields.iter_mut() {
                let is_template = field.as_str().is_some_and(|text| text.contains("{{"));
                let new_key = if key.contains("{{") { rendered.next() } else { None };
                let node = nodes.as_mut().and_then(|nodes| nodes.get_mut(key));
                apply(field, node, rendered, left_empty);
                if let Value::String(text) = field
                    && text.contains(OMIT)
                {
                    text.retain(|c| c != OMIT);
                }
                *left_empty |= is_template && field.as_str() == Some("");
                if let Some(Rendered::Text(new_key)) = new_key {
                    renamed.insert(new_key, field.take());
                    if let Some(nodes) = nodes.as_mut()
                        && let Some(node) = nodes.remove(key)
                    {
                        nodes.insert(renamed.keys().next_back().cloned().unwrap_or_default(), node);
                    }
                }
            }
            if !renamed.is_empty() {
                fields.retain(|key, _| !key.contains("{{"));
                fields.extend(renamed);
            }
        }
        _ => {}
    }
}

/// Whether an item stays in its list; the mark itself never does.
fn keep_item(item: &mut Value) -> bool {
    let Value::String(text) = item else { return true };
    if !text.contains(OMIT) {
        return true;
    }
    text.retain(|c| c != OMIT);
    !text.is_empty()
}
