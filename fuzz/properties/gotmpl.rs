//! Any text as a template, with any data: the first line is the data as JSON, the rest the template.
//!
//! Nothing may panic, loop for ever or fill the memory, and the same template gives the same text.

use std::borrow::Cow;
use std::rc::Rc;

use gotmpl::{Function, Functions, MissingKey, Param, Struct, Template, Value};
use serde_json::Value as Json;

/// More than one rendering may print.
const MOST_BYTES: usize = 9 << 20;

pub(crate) fn hold(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (data, template) = text.split_once('\n').unwrap_or(("null", text));
    let Ok(data) = serde_json::from_str::<Json>(data) else { return };
    let Ok(template) = Template::parse("t", template, &["join", "pointer"]) else { return };
    let plain = Value::from_json(&data);
    let typed = Value::of_struct(Typed(&data));
    for (root, missing) in
        [(&plain, MissingKey::Nothing), (&plain, MissingKey::Error), (&typed, MissingKey::Zero)]
    {
        let once = template.render(root, &functions(), missing);
        if let Ok(text) = &once {
            assert!(text.len() <= MOST_BYTES, "{} bytes of text", text.len());
        }
        assert_eq!(once, template.render(root, &functions(), missing));
    }
}

fn functions<'a>() -> Functions<'a> {
    Functions::from([
        (
            "join",
            Function::variadic([Param::String], Param::String, |args| {
                let words: Vec<&str> = args.iter().filter_map(Value::as_str).collect();
                Ok(Value::string(words.join("+")))
            }),
        ),
        (
            "pointer",
            Function::new([Param::Named("*main.Typed".into())], |args| Ok(Value::Bool(args[0].is_true()))),
        ),
    ])
}

/// The data as a Go struct: fields, methods, pointers, nil pointers.
struct Typed<'a>(&'a Json);

impl<'a> Struct<'a> for Typed<'a> {
    fn type_name(&self) -> Cow<'a, str> {
        "main.Typed".into()
    }

    fn field(&self, name: &str) -> Option<Value<'a>> {
        Some(match name {
            "Any" => Value::Any(Some(Rc::new(Value::from_json(self.0)))),
            "Inner" => Value::pointer("*main.Typed", Value::of_struct(Typed(self.0))),
            "Nil" => Value::nil_pointer("*main.Typed", Some(Rc::new(Typed(self.0)))),
            "Number" => Value::pointer("*int32", Value::Int(self.0.as_i64().unwrap_or(3))),
            _ => return None,
        })
    }

    fn field_names(&self) -> Vec<String> {
        // `Inner` is left out: Go's data cannot hold itself by value either.
        ["Any", "Nil", "Number"].map(str::to_owned).to_vec()
    }

    fn method(&self, name: &str, is_nil: bool) -> Option<Function<'a>> {
        (name == "IsNil").then(|| Function::new([], move |_| Ok(Value::Bool(is_nil))))
    }
}
