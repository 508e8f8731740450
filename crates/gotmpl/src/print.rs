//! Values as text: what an action prints, and `print`, `println` and `%v`.

use crate::value::Value;

pub(crate) use crate::format::sprintf;

/// Bytes of text that one rendering may print and copy. What makes a text stops soon after it has become longer, and
/// whoever asked for it fails.
pub(crate) const MAX_BYTES: usize = 8 << 20;

/// What an action prints; `None` for functions, which cannot be printed.
pub(crate) fn printable(value: &Value<'_>) -> Option<String> {
    match value {
        Value::Nothing => Some("<no value>".to_owned()),
        Value::Pointer(_) => {
            let (target, _) = value.indirect();
            Some(plain(&target))
        }
        Value::Function(_) => None,
        value => Some(plain(value)),
    }
}

/// As `%v`.
pub(crate) fn plain(value: &Value<'_>) -> String {
    let mut out = String::new();
    write_plain(&mut out, value, Style::Plain, 0);
    out
}

/// How much `%v` tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// `%v`
    Plain,
    /// `%+v`: field names too
    Names,
}

pub(crate) fn write_plain(out: &mut String, value: &Value<'_>, style: Style, depth: usize) {
    if out.len() > MAX_BYTES {
        return;
    }
    match value {
        Value::Nothing | Value::Any(None) => out.push_str("<nil>"),
        Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Value::Int(int) => out.push_str(&int.to_string()),
        Value::Uint(uint) => out.push_str(&uint.to_string()),
        Value::Float(float) => out.push_str(&crate::format::float_g(*float, None)),
        Value::Complex(real, imaginary) => {
            let imaginary_text = crate::format::float_g(*imaginary, None);
            let sign = if imaginary_text.starts_with(['-', '+']) { "" } else { "+" };
            out.push_str(&format!("({}{sign}{imaginary_text}i)", crate::format::float_g(*real, None)));
        }
        Value::String(text) => out.push_str(text),
        Value::Any(Some(inner)) => write_plain(out, inner, style, depth),
        Value::List(list) => {
            out.push('[');
            for (i, item) in list.items.iter().enumerate() {
                if i > 0 {
                    out.push(' ');
                }
                write_plain(out, item, style, depth + 1);
            }
            out.push(']');
        }
        Value::Map(map) => {
            out.push_str("map[");
            for (i, (key, item)) in map.entries.iter().enumerate() {
                if i > 0 {
                    out.push(' ');
                }
                out.push_str(key);
                out.push(':');
                write_plain(out, item, style, depth + 1);
            }
            out.push(']');
        }
        Value::Struct(data) => {
            if let Some(text) = data.text() {
                out.push_str(&text);
                return;
            }
            out.push('{');
            for (i, name) in data.field_names().iter().enumerate() {
                if i > 0 {
                    out.push(' ');
                }
                if style == Style::Names {
                    out.push_str(name);
                    out.push(':');
                }
                write_plain(out, &data.field(name).unwrap_or_default(), style, depth + 1);
            }
            out.push('}');
        }
        Value::Pointer(pointer) => match &pointer.target {
            None => out.push_str("<nil>"),
            Some(Value::Struct(data)) if data.text().is_some() => {
                out.push_str(&data.text().unwrap_or_default())
            }
            Some(target @ (Value::Struct(_) | Value::Map(_) | Value::List(_))) if depth == 0 => {
                out.push('&');
                write_plain(out, target, style, depth + 1);
            }
            // An address, which nobody can rely on.
            Some(_) => out.push_str("0xc000000000"),
        },
        Value::Function(_) => out.push_str("0x1000000"),
    }
}

/// `print`: spaces between operands of which neither is a string.
pub(crate) fn sprint(args: &[Value<'_>]) -> String {
    let mut out = String::new();
    for (i, arg) in args.iter().enumerate() {
        let arg = arg.concrete();
        if i > 0 && !matches!(arg, Value::String(_)) && !matches!(args[i - 1].concrete(), Value::String(_)) {
            out.push(' ');
        }
        write_plain(&mut out, &arg, Style::Plain, 0);
    }
    out
}

/// [`sprint`] of what actions would print.
pub(crate) fn sprint_printable(args: &[Value<'_>]) -> String {
    let printed: Vec<Value<'_>> = args
        .iter()
        .map(|arg| match arg {
            Value::Nothing | Value::Any(None) => Value::string("<no value>"),
            Value::Pointer(_) => arg.indirect().0,
            arg => arg.clone(),
        })
        .collect();
    sprint(&printed)
}

/// `println`: spaces between all, and a newline.
pub(crate) fn sprintln(args: &[Value<'_>]) -> String {
    let mut out = String::new();
    for (i, arg) in args.iter().enumerate() {
        if i > 0 {
            out.push(' ');
        }
        write_plain(&mut out, arg, Style::Plain, 0);
    }
    out.push('\n');
    out
}
