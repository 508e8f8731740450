//! Go templates in the strings of a merged document.
//!
//! KServe renders the JSON text of the whole object. Here each string is rendered by itself, quotes included, with the
//! same outcome: but an error names its field, one bad string does not spoil the others, and no value can break out of
//! its quotes. Constructs that begin in one string and end in another are rendered the way KServe does it, over the
//! whole text.

mod find;

use std::collections::BTreeSet;
use std::rc::Rc;

use gotmpl::{Cause, Functions, MissingKey, Template, Value as GoValue};
use serde_json::Value;

use self::find::{Found, NAME, Place, Source, Step, Text, json_of};
use crate::merge::Layered;
use crate::node::LayerId;
use crate::{Error, Warning, data, go_json};

/// What an item renders to that is to be left out of its list if it is otherwise empty.
pub(crate) const OMIT: char = '\u{f8ff}';

/// What rendering did.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) warnings: Vec<Warning>,
    /// Whether the document has to be read again as Go would: a field became empty, or all was replaced.
    pub(crate) left_empty: bool,
}

/// What becomes of the strings in an object or a list.
struct Siblings {
    parent: Vec<Step<String>>,
    strings: Vec<Rendered>,
}

/// What becomes of a string.
struct Rendered {
    step: Step<String>,
    place: Place,
    text: Rc<str>,
}

/// What rendering makes of a document.
enum Outcome {
    /// Each string by itself, in the order of the document.
    Strings(Vec<Siblings>, Vec<Warning>),
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
            Ok(Report { warnings, left_empty: put_in(document, &rendered) })
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
    let Found { sources, texts } = find::templates(&document.value);
    let functions = data::functions();
    let root = scope.root(seen.unwrap_or(&document.value));
    if sources.iter().any(|source| source.template.is_err())
        && let Some(whole) = render_whole(&document.value, &root, &functions)
    {
        return Ok(Outcome::Whole(whole));
    }
    // Go parses everything before it runs anything.
    for text in &texts {
        if let Err(error) = &sources[text.source].template
            && !document.origin.is_from(&text.pointer(), service)
        {
            return Err(fix(text, &sources, "failed to parse template config", error));
        }
    }
    let mut warnings = Vec::new();
    let mut rendered = Vec::new();
    let mut done: Vec<Option<Rc<str>>> = vec![None; sources.len()];
    for siblings in texts.chunk_by(|a, b| Rc::ptr_eq(&a.parent, &b.parent)) {
        let in_metadata = matches!(siblings[0].parent.first(), Some(Step::Field("metadata")));
        let mut strings = Vec::with_capacity(siblings.len());
        for text in siblings {
            let rendering = match (&done[text.source], &sources[text.source].template) {
                (Some(done), _) => Rc::clone(done),
                (None, Ok(template)) => match template.render(&root, &functions, MissingKey::Error) {
                    Ok(json) => Rc::clone(done[text.source].insert(decode(text, &json)?.into())),
                    Err(_) if in_metadata => continue,
                    Err(error) => return Err(fix(text, &sources, "failed to merge config", &error)),
                },
                (None, Err(_)) if in_metadata => continue,
                (None, Err(error)) => {
                    warnings.push(literal(text, error));
                    continue;
                }
            };
            strings.push(Rendered { step: text.step.owned(), place: text.place, text: rendering });
        }
        if !strings.is_empty() {
            let parent = siblings[0].parent.iter().map(|step| step.owned()).collect();
            rendered.push(Siblings { parent, strings });
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

fn fix(text: &Text<'_>, sources: &[Source<'_>], what: &str, error: &gotmpl::Error) -> Error {
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
            json_of(sources[text.source].text)
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

/// The part to which those steps lead.
fn part_mut<'v>(value: &'v mut Value, way: &[Step<String>]) -> Option<&'v mut Value> {
    way.iter().try_fold(value, |part, step| match (part, step) {
        (Value::Object(fields), Step::Field(key)) => fields.get_mut(key),
        (Value::Array(items), Step::Item(index)) => items.get_mut(*index),
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
fn put_in(document: &mut Layered, rendered: &[Siblings]) -> bool {
    let mut left_empty = false;
    let mut renamed = BTreeSet::new();
    // From the end, so that the keys and indexes of what is still to come stay right.
    for siblings in rendered.iter().rev() {
        let Some(container) = part_mut(&mut document.value, &siblings.parent) else { continue };
        let mut left_out = Vec::new();
        for Rendered { step, place, text } in siblings.strings.iter().rev() {
            let is_omitted = text.contains(OMIT);
            let text = if is_omitted { text.replace(OMIT, "") } else { String::from(&**text) };
            match (place, step, &mut *container) {
                (Place::Item, Step::Item(index), Value::Array(items)) => {
                    if is_omitted && text.is_empty() {
                        items.remove(*index);
                        left_out.push(*index);
                    } else {
                        items[*index] = text.into();
                    }
                }
                (Place::Field, Step::Field(key), Value::Object(fields)) => {
                    left_empty |= text.is_empty();
                    if let Some(field) = fields.get_mut(key) {
                        *field = text.into();
                    }
                }
                (Place::Key, Step::Field(key), Value::Object(fields)) => {
                    let Some(value) = fields.remove(key) else { continue };
                    let pointer = find::pointer(&siblings.parent);
                    document.origin.rename(&pointer, key, &text);
                    // Of two keys that become one Go's decoder keeps what stood last.
                    let is_last = !fields.contains_key(&text) || *key > text;
                    if renamed.insert((pointer, text.clone())) && is_last {
                        fields.insert(text, value);
                    }
                }
                _ => {}
            }
        }
        if !left_out.is_empty() {
            document.origin.remove_items(&find::pointer(&siblings.parent), &left_out);
        }
    }
    left_empty
}
