//! Go's `text/template`: the same language, the same outcome, the same words when something is wrong.
//!
//! A text is parsed once and rendered with data that knows Go's types: struct names, pointers that may be nil, maps.
//! Functions are given by the caller; `and`, `call`, `eq`, `html`, `index`, `js`, `len`, `not`, `or`, `print`, `printf`,
//! `println`, `slice`, `urlquery` and the comparisons are built in.
//!
//! ```
//! use gotmpl::{Functions, MissingKey, Template, Value};
//!
//! let data = serde_json::json!({"name": "tiny", "replicas": [1, 2]});
//! let template = Template::parse("greeting", "{{ .name | printf `%q` }} x{{ len .replicas }}", &[])?;
//! let text = template.render(&Value::from_json(&data), &Functions::new(), MissingKey::Error)?;
//! assert_eq!(text, r#""tiny" x2"#);
//! # Ok::<(), gotmpl::Error>(())
//! ```
//!
//! What it does not have: channels and iterator functions to range over, and data whose maps have other keys than strings.
#![cfg_attr(not(test), warn(unused_crate_dependencies))]

mod ast;
mod builtins;
mod error;
mod escape;
mod exec;
mod format;
mod lex;
mod literal;
mod parse;
mod print;
mod value;

use std::collections::HashMap;

pub use error::{Cause, Error};
pub use value::{Body, Function, List, Map, Param, Pointer, Struct, Value};

/// Functions by name.
pub type Functions<'a> = HashMap<&'static str, Function<'a>>;

/// What an absent key of a map is: the template option `missingkey`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MissingKey {
    /// No value; it prints as `<no value>`. Go's default.
    #[default]
    Nothing,
    /// The zero value of the map's elements.
    Zero,
    /// An error.
    Error,
}

/// A parsed template, with all that it defines.
#[derive(Debug)]
pub struct Template {
    name: String,
    text: String,
    trees: parse::Trees,
}

impl Template {
    /// Parses `text`. `functions` are the names of the functions that rendering will be given.
    pub fn parse(name: &str, text: &str, functions: &[&str]) -> Result<Template, Error> {
        Self::parse_with_marks(name, text, ("{{", "}}"), functions)
    }

    /// [`Template::parse`] with other marks around an action than `{{` and `}}`.
    pub fn parse_with_marks(
        name: &str,
        text: &str,
        marks: (&str, &str),
        functions: &[&str],
    ) -> Result<Template, Error> {
        let trees = parse::parse(name, text, marks, functions)?;
        Ok(Template { name: name.to_owned(), text: text.to_owned(), trees })
    }

    /// Renders it with `data` as dot.
    pub fn render<'a>(
        &self,
        data: &Value<'a>,
        functions: &Functions<'a>,
        missing_key: MissingKey,
    ) -> Result<String, Error> {
        exec::render(self, data, functions, missing_key)
    }
}

#[cfg(test)]
mod tests;
