//! Label and field selectors.

use serde_json::Value;

use crate::status::{Failure, quoted};

/// A parsed label selector; all requirements must hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Labels(Vec<Requirement>);

#[derive(Clone, Debug)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
    Greater(String, i64),
    Less(String, i64),
}

impl Labels {
    pub(crate) fn matches(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        self.0.iter().all(|requirement| match requirement {
            Requirement::In(key, values) => {
                labels[key].as_str().is_some_and(|v| values.iter().any(|w| w == v))
            }
            Requirement::NotIn(key, values) => {
                labels[key].as_str().is_none_or(|v| values.iter().all(|w| w != v))
            }
            Requirement::Exists(key) => labels.get(key).is_some(),
            Requirement::Absent(key) => labels.get(key).is_none(),
            Requirement::Greater(key, n) => number(&labels[key]).is_some_and(|v| v > *n),
            Requirement::Less(key, n) => number(&labels[key]).is_some_and(|v| v < *n),
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn number(value: &Value) -> Option<i64> {
    value.as_str()?.parse().ok()
}

/// Parses `a=b,c!=d,e in (f,g),h,!i`.
pub(crate) fn labels(text: &str) -> Result<Labels, Failure> {
    Parser { tokens: tokens(text), at: 0 }.requirements().map(Labels).map_err(Failure::bad_request)
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Symbol(&'static str),
    End,
}

impl Token {
    fn text(&self) -> &str {
        match self {
            Self::Word(w) => w,
            Self::Symbol(s) => s,
            Self::End => "",
        }
    }
}

fn tokens(text: &str) -> Vec<Token> {
    const SYMBOLS: [&str; 9] = ["==", "!=", "=", "!", ">", "<", "(", ")", ","];
    let mut out = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        if let Some(symbol) = SYMBOLS.iter().find(|s| rest.starts_with(**s)) {
            out.push(Token::Symbol(symbol));
            rest = rest[symbol.len()..].trim_start();
            continue;
        }
        let end = rest.find(|c: char| c.is_whitespace() || "=!><(),".contains(c)).unwrap_or(rest.len());
        out.push(Token::Word(rest[..end].to_owned()));
        rest = rest[end..].trim_start();
    }
    out.push(Token::End);
    out
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).unwrap_or(&Token::End)
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn requirements(mut self) -> Result<Vec<Requirement>, String> {
        let mut out = Vec::new();
        if *self.peek() == Token::End {
            return Ok(out);
        }
        loop {
            match self.peek() {
                Token::Word(_) | Token::Symbol("!") => {
                    out.push(
                        self.requirement().map_err(|why| format!("unable to parse requirement: {why}"))?,
                    );
                    match self.next() {
                        Token::End => return Ok(out),
                        Token::Symbol(",") => {
                            if !matches!(self.peek(), Token::Word(_) | Token::Symbol("!")) {
                                return Err(format!(
                                    "found '{}', expected: identifier after ','",
                                    self.peek().text()
                                ));
                            }
                        }
                        other => {
                            return Err(format!(
                                "found '{}', expected: ',' or 'end of string'",
                                other.text()
                            ));
                        }
                    }
                }
                Token::End => return Ok(out),
                other => {
                    return Err(format!(
                        "found '{}', expected: !, identifier, or 'end of string'",
                        other.text()
                    ));
                }
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let absent = *self.peek() == Token::Symbol("!");
        if absent {
            self.next();
        }
        let Token::Word(key) = self.next() else {
            let found = self.tokens.get(self.at - 1).map(Token::text).unwrap_or_default();
            return Err(format!("found '{found}', expected: identifier"));
        };
        if let Err(why) = crate::kinds::names::qualified_name(&key) {
            return Err(format!("<nil>: Invalid value: {}: {}", quoted(&key), why.join("; ")));
        }
        if absent {
            return Ok(Requirement::Absent(key));
        }
        match self.next() {
            Token::End => {
                self.at -= 1;
                Ok(Requirement::Exists(key))
            }
            Token::Symbol(",") => {
                self.at -= 1;
                Ok(Requirement::Exists(key))
            }
            Token::Symbol("=" | "==") => Ok(Requirement::In(key.clone(), vec![self.value(&key)?])),
            Token::Symbol("!=") => Ok(Requirement::NotIn(key.clone(), vec![self.value(&key)?])),
            Token::Symbol(symbol @ (">" | "<")) => {
                let text = self.value(&key)?;
                let n: i64 = text.parse().map_err(|_| {
                    format!("values[0][{key}]: Invalid value: {}: for 'Gt', 'Lt' operators, the value must be an integer", quoted(&text))
                })?;
                Ok(if symbol == ">" { Requirement::Greater(key, n) } else { Requirement::Less(key, n) })
            }
            Token::Word(word) if word == "in" => Ok(Requirement::In(key.clone(), self.values(&key)?)),
            Token::Word(word) if word == "notin" => Ok(Requirement::NotIn(key.clone(), self.values(&key)?)),
            other => Err(format!("found '{}', expected: in, notin, =, ==, !=, gt, lt", other.text())),
        }
    }

    fn value(&mut self, key: &str) -> Result<String, String> {
        let text = match self.peek().clone() {
            Token::Word(word) => {
                self.next();
                word
            }
            Token::End | Token::Symbol(",") => String::new(),
            other => return Err(format!("found '{}', expected: identifier", other.text())),
        };
        checked(key, 0, text)
    }

    fn values(&mut self, key: &str) -> Result<Vec<String>, String> {
        let open = self.next();
        if open != Token::Symbol("(") {
            return Err(format!("found '{}' expected: '('", open.text()));
        }
        let mut out: Vec<String> = Vec::new();
        match self.peek().clone() {
            Token::Symbol(")") => {
                self.next();
                return Ok(vec![String::new()]);
            }
            Token::Word(_) | Token::Symbol(",") => {}
            other => return Err(format!("found '{}', expected: ',', ')' or identifier", other.text())),
        }
        loop {
            match self.next() {
                Token::Word(word) => {
                    out.push(word);
                    match self.peek() {
                        Token::Symbol(",") => {}
                        Token::Symbol(")") => break,
                        other => return Err(format!("found '{}', expected: ',' or ')'", other.text())),
                    }
                }
                Token::Symbol(",") => {
                    if out.is_empty() {
                        out.push(String::new());
                    }
                    match self.peek() {
                        Token::Symbol(")") => {
                            out.push(String::new());
                            break;
                        }
                        Token::Symbol(",") => {
                            self.next();
                            out.push(String::new());
                        }
                        _ => {}
                    }
                }
                other => return Err(format!("found '{}', expected: ',', or identifier", other.text())),
            }
        }
        self.next();
        out.into_iter().enumerate().map(|(i, v)| checked(key, i, v)).collect()
    }
}

fn checked(key: &str, index: usize, value: String) -> Result<String, String> {
    match crate::kinds::names::label_value(&value) {
        Ok(()) => Ok(value),
        Err(why) => {
            Err(format!("values[{index}][{key}]: Invalid value: {}: {}", quoted(&value), why.join("; ")))
        }
    }
}

/// A parsed field selector.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields(Vec<(String, String, bool)>);

impl Fields {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.0.iter().all(|(path, wanted, equal)| (value_at(object, path) == *wanted) == *equal)
    }

    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(path, _, _)| path.as_str())
    }
}

fn value_at(object: &Value, path: &str) -> String {
    let mut value = object;
    for part in path.split('.') {
        value = &value[part];
    }
    match value {
        Value::String(s) => s.clone(),
        Value::Null if path == "spec.unschedulable" => "false".into(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Parses `a.b=c,d!=e`.
pub(crate) fn fields(text: &str) -> Result<Fields, Failure> {
    let mut out = Vec::new();
    for term in text.split(',').map(str::trim).filter(|t| !t.is_empty()) {
        let (path, value, equal) = if let Some((p, v)) = term.split_once("!=") {
            (p, v, false)
        } else if let Some((p, v)) = term.split_once("==").or_else(|| term.split_once('=')) {
            (p, v, true)
        } else {
            return Err(Failure::bad_request(format!(
                "invalid selector: '{term}'; can't understand '{term}'"
            )));
        };
        out.push((path.trim().to_owned(), value.trim().to_owned(), equal));
    }
    Ok(Fields(out))
}
