//! What the parser makes. Every node knows where it began; its `Display` is what Go shows in error messages.

use std::fmt;

use crate::literal::{Number, quote};

/// A sequence of nodes.
#[derive(Debug, Default)]
pub(crate) struct List {
    pub(crate) nodes: Vec<Node>,
}

/// Something that stands between, or is, an action.
#[derive(Debug)]
pub(crate) enum Node {
    Text { at: usize, text: String },
    Action { at: usize, pipe: Pipe },
    If(Branch),
    With(Branch),
    Range(Branch),
    Template { at: usize, name: String, pipe: Option<Pipe> },
    Break,
    Continue,
}

/// `if`, `with` or `range`.
#[derive(Debug)]
pub(crate) struct Branch {
    pub(crate) at: usize,
    pub(crate) pipe: Pipe,
    pub(crate) list: List,
    pub(crate) otherwise: Option<List>,
}

/// Commands joined by `|`, whose outcome may go into variables.
#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) at: usize,
    pub(crate) is_assign: bool,
    pub(crate) variables: Vec<String>,
    pub(crate) commands: Vec<Command>,
}

/// A function, method or field and its arguments.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) args: Vec<Operand>,
}

/// One word of a command.
#[derive(Debug)]
pub(crate) struct Operand {
    pub(crate) at: usize,
    pub(crate) word: Word,
}

/// What a word is.
#[derive(Debug)]
pub(crate) enum Word {
    Bool(bool),
    Dot,
    Nil,
    Number(Number),
    String { quoted: String, text: String },
    Field(Vec<String>),
    Variable(Vec<String>),
    Identifier(String),
    Chain(Box<Operand>, Vec<String>),
    Pipe(Pipe),
}

impl Node {
    pub(crate) fn at(&self) -> usize {
        match self {
            Node::Text { at, .. } | Node::Action { at, .. } | Node::Template { at, .. } => *at,
            Node::If(branch) | Node::With(branch) | Node::Range(branch) => branch.at,
            Node::Break | Node::Continue => 0,
        }
    }

    /// Go keeps an earlier definition if a later one is empty in this sense.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Node::Text { text, .. } if text.trim().is_empty())
    }
}

impl List {
    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.iter().all(Node::is_empty)
    }
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.nodes.iter().try_for_each(|node| node.fmt(f))
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Node::Text { text, .. } => f.write_str(text),
            Node::Action { pipe, .. } => write!(f, "{{{{{pipe}}}}}"),
            Node::If(branch) => branch.write("if", f),
            Node::With(branch) => branch.write("with", f),
            Node::Range(branch) => branch.write("range", f),
            Node::Template { name, pipe: None, .. } => write!(f, "{{{{template {}}}}}", quote(name)),
            Node::Template { name, pipe: Some(pipe), .. } => {
                write!(f, "{{{{template {} {pipe}}}}}", quote(name))
            }
            Node::Break => f.write_str("{{break}}"),
            Node::Continue => f.write_str("{{continue}}"),
        }
    }
}

impl Branch {
    fn write(&self, word: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{{{word} {}}}}}{}", self.pipe, self.list)?;
        if let Some(otherwise) = &self.otherwise {
            write!(f, "{{{{else}}}}{otherwise}")?;
        }
        f.write_str("{{end}}")
    }
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.variables.is_empty() {
            write!(f, "{} {} ", self.variables.join(", "), if self.is_assign { "=" } else { ":=" })?;
        }
        for (i, command) in self.commands.iter().enumerate() {
            if i > 0 {
                f.write_str(" | ")?;
            }
            command.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, operand) in self.args.iter().enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            match &operand.word {
                Word::Pipe(pipe) => write!(f, "({pipe})")?,
                word => word.fmt(f)?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Word::Bool(truth) => truth.fmt(f),
            Word::Dot => f.write_str("."),
            Word::Nil => f.write_str("nil"),
            Word::Number(number) => f.write_str(&number.text),
            Word::String { quoted, .. } => f.write_str(quoted),
            Word::Field(names) => names.iter().try_for_each(|name| write!(f, ".{name}")),
            Word::Variable(names) => f.write_str(&names.join(".")),
            Word::Identifier(name) => f.write_str(name),
            Word::Chain(operand, names) => {
                match &operand.word {
                    Word::Pipe(pipe) => write!(f, "({pipe})")?,
                    word => word.fmt(f)?,
                }
                names.iter().try_for_each(|name| write!(f, ".{name}"))
            }
            Word::Pipe(pipe) => pipe.fmt(f),
        }
    }
}
