//! A table of templates, against what Go's own text/template made of them (`go/main.go` wrote `go.jsonl`).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::rc::Rc;

use gotmpl::{Function, Functions, List, Map, MissingKey, Param, Struct, Template, Value};
use serde_json::Value as Json;

const DOCUMENT: &str = r#"{"s":"text","e":"","n":5,"f":1.5,"t":true,"z":false,"nil":null,"html":"<a href='x'>\"&\"</a>",
"list":[1,2,3],"words":["b","a","c"],"empty":[],"map":{"k":"v","a":"b"},"none":{},"deep":{"x":{"y":{"z":1}}},
"mixed":[1,"x",true,null,{"a":1}],"big":1e21,"small":1e-7,"unicode":"héllo 世界"}"#;

struct Parallelism;

impl<'a> Struct<'a> for Parallelism {
    fn type_name(&self) -> Cow<'a, str> {
        "main.Parallelism".into()
    }

    fn field(&self, name: &str) -> Option<Value<'a>> {
        match name {
            "Tensor" => Some(Value::nil_pointer("*int32", None)),
            "Expert" => Some(Value::Bool(true)),
            _ => None,
        }
    }

    fn field_names(&self) -> Vec<String> {
        vec!["Tensor".to_owned(), "Expert".to_owned()]
    }

    fn method(&self, name: &str, _is_nil: bool) -> Option<Function<'a>> {
        (name == "Size").then(|| Function::new([], |_| Ok(Value::Int(2))))
    }
}

struct Spec;

impl<'a> Struct<'a> for Spec {
    fn type_name(&self) -> Cow<'a, str> {
        "main.Spec".into()
    }

    fn field(&self, name: &str) -> Option<Value<'a>> {
        let labels = |entries: BTreeMap<Cow<'a, str>, Value<'a>>, is_nil| {
            let zero = Value::string("");
            Value::Map(Rc::new(Map { type_name: "map[string]string".into(), entries, zero, is_nil }))
        };
        Some(match name {
            "Name" => Value::string("svc"),
            "Replicas" => Value::pointer("*int32", Value::Int(2)),
            "Parallelism" => Value::pointer("*main.Parallelism", Value::of_struct(Parallelism)),
            "Missing" => Value::nil_pointer("*main.Parallelism", Some(Rc::new(Parallelism))),
            "Labels" => labels(BTreeMap::from([("a".into(), Value::string("b"))]), false),
            "Nil" => labels(BTreeMap::new(), true),
            "Args" => Value::List(Rc::new(List {
                type_name: "[]string".into(),
                items: vec![Value::string("x"), Value::string("y")],
                is_nil: false,
            })),
            _ => return None,
        })
    }

    fn field_names(&self) -> Vec<String> {
        ["Name", "Replicas", "Parallelism", "Missing", "Labels", "Nil", "Args"].map(str::to_owned).to_vec()
    }
}

struct Root<'a>(&'a Json);

impl<'a> Struct<'a> for Root<'a> {
    fn type_name(&self) -> Cow<'a, str> {
        "main.Root".into()
    }

    fn field(&self, name: &str) -> Option<Value<'a>> {
        match name {
            "Spec" => Some(Value::of_struct(Spec)),
            "Any" => Some(Value::Any(Some(Rc::new(Value::from_json(self.0))))),
            _ => None,
        }
    }

    fn field_names(&self) -> Vec<String> {
        vec!["Spec".to_owned(), "Any".to_owned()]
    }

    fn is_addressable(&self) -> bool {
        false
    }
}

fn functions<'a>() -> Functions<'a> {
    let words = |value: &Value<'_>| match value {
        Value::List(list) => list.items.iter().filter_map(|item| Some(item.as_str()?.to_owned())).collect(),
        _ => Vec::new(),
    };
    Functions::from([
        (
            "join",
            Function::new([Param::Named("[]string".into()), Param::String], move |args| {
                Ok(Value::string(words(&args[0]).join(args[1].as_str().unwrap_or_default())))
            }),
        ),
        (
            "add",
            Function::new([Param::Int("int"), Param::Int("int")], |args| match args {
                [Value::Int(a), Value::Int(b)] => Ok(Value::Int(a + b)),
                _ => Err("not integers".to_owned()),
            }),
        ),
        ("fail", Function::new([], |_| Err("on purpose".to_owned()))),
        (
            "greet",
            Function::variadic([], Param::String, |args| {
                let words: Vec<&str> = args.iter().filter_map(Value::as_str).collect();
                Ok(Value::string(format!("hi {}", words.join("+"))))
            }),
        ),
        (
            "isNil",
            Function::new([Param::Named("*main.Parallelism".into())], |args| {
                Ok(Value::Bool(!args[0].is_true()))
            }),
        ),
    ])
}

fn ours(case: &str, document: &Json) -> Result<String, String> {
    let (option, quoted) = case.split_once(' ').expect(case);
    let text: String = serde_json::from_str(quoted).expect(case);
    let missing = match option.rsplit('-').next() {
        Some("error") => MissingKey::Error,
        Some("zero") => MissingKey::Zero,
        _ => MissingKey::Nothing,
    };
    let root = if option.starts_with("typed") {
        Value::of_struct(Root(document))
    } else {
        Value::from_json(document)
    };
    let names = ["join", "add", "fail", "greet", "isNil"];
    let template = Template::parse("t", &text, &names).map_err(|error| error.message)?;
    template.render(&root, &functions(), missing).map_err(|error| error.message)
}

#[test]
fn every_template_of_the_table_gives_what_go_gives() {
    let document: Json = serde_json::from_str(DOCUMENT).unwrap();
    let templates = include_str!("templates.txt");
    let expected = include_str!("go.jsonl");
    let mut differences = Vec::new();
    let mut cases = 0;
    for line in expected.lines() {
        let go: Json = serde_json::from_str(line).unwrap();
        let case = go["case"].as_str().unwrap();
        assert!(templates.lines().any(|template| template == case), "{case} is not in templates.txt");
        cases += 1;
        let wanted = match go["out"].as_str() {
            Some(out) => Ok(out.to_owned()),
            None => Err(go["error"].as_str().unwrap_or_default().to_owned()),
        };
        let got = ours(case, &document);
        if got != wanted {
            differences.push(format!("{case}\n   go: {wanted:?}\n  ours: {got:?}"));
        }
    }
    assert!(cases >= 300, "{cases}");
    assert!(differences.is_empty(), "{} of {cases} differ\n{}", differences.len(), differences.join("\n"));
}
