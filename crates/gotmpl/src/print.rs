//! Values as text: what an action prints, and `print`, `println` and `%v`.

pub(crate) use crate::format::sprintf;
use crate::format::write_plain;
use crate::value::Value;

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
    write_plain(&mut out, value);
    out
}

/// `print`: spaces between operands of which neither is a string.
pub(crate) fn sprint(args: &[Value<'_>]) -> String {
    let mut out = String::new();
    for (i, arg) in args.iter().enumerate() {
        let arg = arg.concrete();
        if i > 0 && !matches!(arg, Value::String(_)) && !matches!(args[i - 1].concrete(), Value::String(_)) {
            out.push(' ');
        }
        write_plain(&mut out, &arg);
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
        write_plain(&mut out, arg);
    }
    out.push('\n');
    out
}
