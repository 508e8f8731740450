//! The functions that every template has. `and` and `or` are in the evaluator, as they do not evaluate all arguments.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::rc::Rc;

use crate::value::{Function, List, Param, Value};
use crate::{escape, print};

const NAMES: &[&str] = &[
    "and", "call", "eq", "ge", "gt", "html", "index", "js", "le", "len", "lt", "ne", "not", "or", "print",
    "printf", "println", "slice", "urlquery",
];

type Outcome<T> = Result<T, String>;

/// Whether every template has a function of that name.
pub(crate) fn is_builtin(name: &str) -> bool {
    NAMES.contains(&name)
}

/// The function of that name; `first_arg` is how the template writes its first argument, which `call` shows in errors.
pub(crate) fn get<'a>(name: &str, first_arg: Option<String>) -> Option<Function<'a>> {
    let any = Param::Any;
    let text = |f: fn(&str) -> String| {
        Function::variadic([], Param::Any, move |args: &[Value<'a>]| {
            Ok(Value::string(f(&arguments_text(args))))
        })
    };
    let compare = |f: fn(&Value<'a>, &Value<'a>) -> Outcome<bool>| {
        Function::new([Param::Any, Param::Any], move |args: &[Value<'a>]| {
            f(&args[0], &args[1]).map(Value::Bool)
        })
    };
    Some(match name {
        "call" => Function::variadic([any.clone()], any, move |args| call(first_arg.as_deref(), args)),
        "eq" => {
            Function::variadic([any.clone()], any, |args| equals_any(&args[0], &args[1..]).map(Value::Bool))
        }
        "ne" => compare(|a, b| equals_any(a, std::slice::from_ref(b)).map(|equal| !equal)),
        "lt" => compare(less),
        "le" => compare(less_or_equal),
        "gt" => compare(|a, b| less_or_equal(a, b).map(|le| !le)),
        "ge" => compare(|a, b| less(a, b).map(|lt| !lt)),
        "html" => text(escape::html),
        "js" => text(escape::js),
        "urlquery" => text(escape::url_query),
        "index" => Function::variadic([any.clone()], any, |args| index(&args[0], &args[1..])),
        "slice" => Function::variadic([any.clone()], any, |args| slice(&args[0], &args[1..])),
        "len" => Function::new([any], |args| length(&args[0])),
        "not" => Function::new([any], |args| Ok(Value::Bool(!args[0].concrete().is_true()))),
        "print" => Function::variadic([], any, |args| Ok(Value::string(print::sprint(args)))),
        "println" => Function::variadic([], any, |args| Ok(Value::string(print::sprintln(args)))),
        "printf" => Function::variadic([Param::String], any, |args| {
            let format = args[0].as_str().unwrap_or_default();
            Ok(Value::string(print::sprintf(format, &args[1..])))
        }),
        _ => return None,
    })
}

/// What the escaping functions escape.
fn arguments_text(args: &[Value<'_>]) -> String {
    match args {
        [Value::String(text)] => text.clone().into_owned(),
        args => print::sprint_printable(args),
    }
}

fn call<'a>(name: Option<&str>, args: &[Value<'a>]) -> Outcome<Value<'a>> {
    let name = name.unwrap_or("function");
    let function = match args[0].concrete() {
        Value::Function(function) => function,
        Value::Nothing => return Err("call of nil".to_owned()),
        other => return Err(format!("non-function {name} of type {}", other.type_name())),
    };
    let args = &args[1..];
    let (given, wanted) = (args.len(), function.params.len());
    if function.rest.is_some() && given < wanted {
        return Err(format!("wrong number of args for {name}: got {given} want at least {wanted}"));
    }
    if function.rest.is_none() && given != wanted {
        return Err(format!("wrong number of args for {name}: got {given} want {wanted}"));
    }
    let mut values = Vec::with_capacity(given);
    for (i, arg) in args.iter().enumerate() {
        let (arg, param) = (arg.concrete(), function.param(i));
        let fits = match (&arg, param) {
            (Value::Nothing, param) if param.can_be_nil() => true,
            (Value::Nothing, param) => {
                return Err(format!("arg {i}: value is nil; should be of type {}", param.type_name()));
            }
            (_, Param::Any)
            | (Value::String(_), Param::String)
            | (Value::Bool(_), Param::Bool)
            | (Value::Int(_) | Value::Uint(_), Param::Int(_))
            | (Value::Float(_), Param::Float) => true,
            (value, Param::Named(name)) => value.type_name() == *name,
            _ => false,
        };
        if !fits {
            return Err(format!(
                "arg {i}: value has type {}; should be {}",
                arg.type_name(),
                param.type_name()
            ));
        }
        values.push(arg);
    }
    (function.body)(&values)
}

fn length<'a>(item: &Value<'a>) -> Outcome<Value<'a>> {
    if matches!(item, Value::Nothing) {
        return Err("reflect: call of reflect.Value.Type on zero Value".to_owned());
    }
    let (item, is_nil) = item.indirect();
    if is_nil {
        return Err("len of nil pointer".to_owned());
    }
    let length = match &item {
        Value::String(text) => text.len(),
        Value::List(list) => list.items.len(),
        Value::Map(map) => map.entries.len(),
        item => return Err(format!("len of type {}", item.type_name())),
    };
    Ok(Value::Int(length as i64))
}

fn position(index: &Value<'_>, limit: usize) -> Outcome<usize> {
    let position = match index.concrete() {
        Value::Int(int) => int,
        Value::Uint(uint) => uint as i64,
        Value::Nothing => return Err("cannot index slice/array with nil".to_owned()),
        other => return Err(format!("cannot index slice/array with type {}", other.type_name())),
    };
    usize::try_from(position)
        .ok()
        .filter(|position| *position <= limit)
        .ok_or_else(|| format!("index out of range: {position}"))
}

fn index<'a>(item: &Value<'a>, indexes: &[Value<'a>]) -> Outcome<Value<'a>> {
    let mut item = item.concrete();
    if matches!(item, Value::Nothing) {
        return Err("index of untyped nil".to_owned());
    }
    for index in indexes {
        let (target, is_nil) = item.indirect();
        if is_nil {
            return Err("index of nil pointer".to_owned());
        }
        item = match &target {
            Value::List(list) => {
                let at = position(index, list.items.len())?;
                list.items.get(at).cloned().ok_or_else(|| "reflect: slice index out of range".to_owned())?
            }
            Value::String(text) => {
                let at = position(index, text.len())?;
                let byte =
                    text.as_bytes().get(at).ok_or_else(|| "reflect: string index out of range".to_owned())?;
                Value::Uint((*byte).into())
            }
            Value::Map(map) => match index.concrete() {
                Value::String(key) => map.entries.get(key.as_ref()).unwrap_or(&map.zero).clone(),
                Value::Nothing => return Err("value is nil; should be of type string".to_owned()),
                other => return Err(format!("value has type {}; should be string", other.type_name())),
            },
            Value::Nothing => return Err("index of nil pointer".to_owned()),
            other => return Err(format!("can't index item of type {}", other.type_name())),
        };
    }
    Ok(item)
}

fn slice<'a>(item: &Value<'a>, indexes: &[Value<'a>]) -> Outcome<Value<'a>> {
    let item = item.concrete();
    if matches!(item, Value::Nothing) {
        return Err("slice of untyped nil".to_owned());
    }
    let (item, is_nil) = item.indirect();
    if is_nil {
        return Err("slice of nil pointer".to_owned());
    }
    if indexes.len() > 3 {
        return Err(format!("too many slice indexes: {}", indexes.len()));
    }
    let length = match &item {
        Value::String(_) if indexes.len() == 3 => return Err("cannot 3-index slice a string".to_owned()),
        Value::String(text) => text.len(),
        Value::List(list) => list.items.len(),
        other => return Err(format!("can't slice item of type {}", other.type_name())),
    };
    let mut bounds = [0, length, length];
    for (bound, index) in bounds.iter_mut().zip(indexes) {
        *bound = position(index, length)?;
    }
    let [from, to, capacity] = bounds;
    if from > to {
        return Err(format!("invalid slice index: {from} > {to}"));
    }
    if to > capacity {
        return Err(format!("invalid slice index: {to} > {capacity}"));
    }
    Ok(match &item {
        Value::String(text) => {
            Value::String(Cow::Owned(String::from_utf8_lossy(&text.as_bytes()[from..to]).into_owned()))
        }
        Value::List(list) => Value::List(Rc::new(List {
            type_name: list.type_name.clone(),
            items: list.items[from..to].to_vec(),
            is_nil: false,
        })),
        _ => Value::Nothing,
    })
}

// ---- comparisons ----

#[derive(PartialEq, Clone, Copy)]
enum Basic {
    Bool,
    Complex,
    Int,
    Float,
    String,
    Uint,
}

fn basic(value: &Value<'_>) -> Option<Basic> {
    Some(match value {
        Value::Bool(_) => Basic::Bool,
        Value::Complex(..) => Basic::Complex,
        Value::Int(_) => Basic::Int,
        Value::Float(_) => Basic::Float,
        Value::String(_) => Basic::String,
        Value::Uint(_) => Basic::Uint,
        _ => return None,
    })
}

const BAD_TYPE: &str = "invalid type for comparison";

fn incompatible(a: &Value<'_>, b: &Value<'_>) -> String {
    format!("incompatible types for comparison: {} and {}", a.type_name(), b.type_name())
}

fn is_nil(value: &Value<'_>) -> bool {
    match value {
        Value::Nothing | Value::Any(None) => true,
        Value::Pointer(pointer) => pointer.target.is_none(),
        Value::List(list) => list.is_nil,
        Value::Map(map) => map.is_nil,
        _ => false,
    }
}

fn equals_any<'a>(first: &Value<'a>, others: &[Value<'a>]) -> Outcome<bool> {
    let first = first.concrete();
    if others.is_empty() {
        return Err("missing argument for comparison".to_owned());
    }
    for other in others {
        if equal(&first, &other.concrete())? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn equal<'a>(a: &Value<'a>, b: &Value<'a>) -> Outcome<bool> {
    Ok(match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Int(a), Value::Int(b)) => a == b,
        (Value::Uint(a), Value::Uint(b)) => a == b,
        (Value::Int(a), Value::Uint(b)) | (Value::Uint(b), Value::Int(a)) => {
            u64::try_from(*a).is_ok_and(|a| a == *b)
        }
        (Value::Float(a), Value::Float(b)) => a == b,
        (Value::Complex(a, x), Value::Complex(b, y)) => a == b && x == y,
        (Value::String(a), Value::String(b)) => a == b,
        (Value::Nothing, Value::Nothing) => true,
        (a, b) if basic(a) != basic(b) => {
            if matches!(a, Value::Nothing) || matches!(b, Value::Nothing) {
                return Ok(false);
            }
            return Err(incompatible(a, b));
        }
        (a, b) => {
            let either_is_nothing = matches!(a, Value::Nothing) || matches!(b, Value::Nothing);
            if !either_is_nothing && std::mem::discriminant(a) != std::mem::discriminant(b) {
                return Err(format!(
                    "non-comparable types {}: {}, {}: {}",
                    print::plain(a),
                    a.type_name(),
                    b.type_name(),
                    print::plain(b)
                ));
            }
            if is_nil(a) || is_nil(b) {
                return Ok(is_nil(a) == is_nil(b));
            }
            match (a, b) {
                (Value::Pointer(a), Value::Pointer(b)) => Rc::ptr_eq(a, b),
                (Value::Struct(a), Value::Struct(b)) => {
                    a.type_name() == b.type_name() && same_fields(&**a, &**b)?
                }
                (_, b) => {
                    return Err(format!(
                        "non-comparable type {}: {}",
                        print::sprintf("%s", std::slice::from_ref(b)),
                        b.type_name()
                    ));
                }
            }
        }
    })
}

fn same_fields<'a>(a: &(dyn crate::Struct<'a> + 'a), b: &(dyn crate::Struct<'a> + 'a)) -> Outcome<bool> {
    for name in a.field_names() {
        let (a, b) = (a.field(&name).unwrap_or_default(), b.field(&name).unwrap_or_default());
        if !equal(&a.concrete(), &b.concrete())? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn less<'a>(a: &Value<'a>, b: &Value<'a>) -> Outcome<bool> {
    let (a, b) = (a.concrete(), b.concrete());
    if basic(&a).is_none() || basic(&b).is_none() {
        return Err(BAD_TYPE.to_owned());
    }
    Ok(match (&a, &b) {
        (Value::Int(a), Value::Int(b)) => a < b,
        (Value::Uint(a), Value::Uint(b)) => a < b,
        (Value::Int(a), Value::Uint(b)) => u64::try_from(*a).map_or(true, |a| a < *b),
        (Value::Uint(a), Value::Int(b)) => u64::try_from(*b).is_ok_and(|b| *a < b),
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b) == Some(Ordering::Less),
        (Value::String(a), Value::String(b)) => a < b,
        (a, b) if basic(a) != basic(b) => return Err(incompatible(a, b)),
        _ => return Err(BAD_TYPE.to_owned()),
    })
}

fn less_or_equal<'a>(a: &Value<'a>, b: &Value<'a>) -> Outcome<bool> {
    Ok(less(a, b)? || equals_any(a, std::slice::from_ref(b))?)
}
