//! Tokens into trees.

use std::collections::HashMap;

use crate::ast::{Branch, Command, List, Node, Operand, Pipe, Word};
use crate::lex::{Kind, Syntax, Token, lex};
use crate::literal::{Number, unquote};
use crate::{Error, builtins};

/// Nested parentheses and blocks beyond this are refused, as they would exhaust the stack.
const MAX_DEPTH: usize = 200;
/// Variables that can be seen from one place; each use of one looks through all.
const MAX_VARIABLES: usize = 1_000;

/// Name → tree, of the template itself and of all that it defines.
pub(crate) type Trees = HashMap<String, List>;

/// Parses `text`; `functions` are the names that a caller will give besides the built-in ones.
pub(crate) fn parse(name: &str, text: &str, marks: (&str, &str), functions: &[&str]) -> Result<Trees, Error> {
    let syntax = Syntax {
        left: marks.0,
        right: marks.1,
        break_is_keyword: !functions.contains(&"break"),
        continue_is_keyword: !functions.contains(&"continue"),
    };
    let mut parser = Parser {
        name,
        functions,
        tokens: lex(text, &syntax),
        next: 0,
        furthest: 0,
        variables: vec!["$".to_owned()],
        range_depth: 0,
        depth: 0,
        action_line: None,
        trees: Trees::new(),
    };
    let root = parser.top()?;
    parser.add(name.to_owned(), root)?;
    Ok(parser.trees)
}

struct Parser<'t> {
    name: &'t str,
    functions: &'t [&'t str],
    tokens: Vec<Token<'t>>,
    next: usize,
    /// The last token looked at; Go reports its line.
    furthest: usize,
    variables: Vec<String>,
    range_depth: usize,
    depth: usize,
    action_line: Option<usize>,
    trees: Trees,
}

/// How a list of nodes ended.
enum Ending {
    End,
    /// `else`; with the keyword that follows, if one does.
    Else(Option<Kind>),
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Ending::End => "{{end}}",
            Ending::Else(_) => "{{else}}",
        })
    }
}

enum Parsed {
    Node(Node),
    Ending(Ending),
}

impl<'t> Parser<'t> {
    // ---- tokens ----

    fn token(&mut self, index: usize) -> &Token<'t> {
        let index = index.min(self.tokens.len() - 1);
        self.furthest = self.furthest.max(index);
        &self.tokens[index]
    }

    fn take(&mut self) -> Token<'t> {
        let token = self.token(self.next).clone();
        self.next += 1;
        token
    }

    fn peek(&mut self) -> &Token<'t> {
        self.token(self.next)
    }

    fn skip_space(&mut self) {
        while self.peek().kind == Kind::Space {
            self.next += 1;
        }
    }

    fn take_non_space(&mut self) -> Token<'t> {
        self.skip_space();
        self.take()
    }

    fn peek_non_space(&mut self) -> &Token<'t> {
        self.skip_space();
        self.peek()
    }

    fn error<T>(&self, message: impl std::fmt::Display) -> Result<T, Error> {
        Err(Error::parse(format!("template: {}:{}: {message}", self.name, self.tokens[self.furthest].line)))
    }

    fn unexpected<T>(&self, token: &Token<'_>, context: &str) -> Result<T, Error> {
        if token.kind != Kind::Error {
            return self.error(format!("unexpected {token} in {context}"));
        }
        let started = match self.action_line {
            Some(line) if line != token.line => {
                let action = if token.text.ends_with(" action") { "" } else { " in action" };
                format!("{action} started at {}:{line}", self.name)
            }
            _ => String::new(),
        };
        self.error(format!("{token}{started}"))
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Result<Token<'t>, Error> {
        let token = self.take_non_space();
        if token.kind == kind { Ok(token) } else { self.unexpected(&token, context) }
    }

    // ---- lists ----

    fn top(&mut self) -> Result<List, Error> {
        let mut list = List::default();
        while self.peek().kind != Kind::Eof {
            if self.peek().kind == Kind::LeftDelim {
                let delim = self.next;
                self.next += 1;
                if self.take_non_space().kind == Kind::Define {
                    self.definition()?;
                    continue;
                }
                self.next = delim;
            }
            match self.text_or_action()? {
                Parsed::Node(node) => list.nodes.push(node),
                Parsed::Ending(ending) => return self.error(format!("unexpected {ending}")),
            }
        }
        Ok(list)
    }

    fn item_list(&mut self) -> Result<(List, Ending), Error> {
        self.enter()?;
        let mut list = List::default();
        while self.peek_non_space().kind != Kind::Eof {
            match self.text_or_action()? {
                Parsed::Node(node) => list.nodes.push(node),
                Parsed::Ending(ending) => {
                    self.depth -= 1;
                    return Ok((list, ending));
                }
            }
        }
        self.error("unexpected EOF")
    }

    fn enter(&mut self) -> Result<(), Error> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { self.error("max expression depth exceeded") } else { Ok(()) }
    }

    fn text_or_action(&mut self) -> Result<Parsed, Error> {
        let token = self.take_non_space();
        match token.kind {
            Kind::Text => Ok(Parsed::Node(Node::Text { at: token.at, text: token.text.into_owned() })),
            Kind::LeftDelim => {
                self.action_line = Some(token.line);
                let action = self.action();
                self.action_line = None;
                action
            }
            _ => self.unexpected(&token, "input"),
        }
    }

    fn action(&mut self) -> Result<Parsed, Error> {
        let token = self.take_non_space();
        Ok(match token.kind {
            Kind::Block => Parsed::Node(self.block()?),
            Kind::Break => Parsed::Node(self.loop_control(Node::Break)?),
            Kind::Continue => Parsed::Node(self.loop_control(Node::Continue)?),
            Kind::Else => {
                let next = self.peek_non_space().kind;
                if matches!(next, Kind::If | Kind::With) {
                    return Ok(Parsed::Ending(Ending::Else(Some(next))));
                }
                self.expect(Kind::RightDelim, "else")?;
                Parsed::Ending(Ending::Else(None))
            }
            Kind::End => {
                self.expect(Kind::RightDelim, "end")?;
                Parsed::Ending(Ending::End)
            }
            Kind::If => Parsed::Node(Node::If(self.control("if")?)),
            Kind::Range => Parsed::Node(Node::Range(self.control("range")?)),
            Kind::With => Parsed::Node(Node::With(self.control("with")?)),
            Kind::Template => {
                let token = self.take_non_space();
                let name = self.template_name(&token, "template clause")?;
                let pipe = if self.peek_non_space().kind == Kind::RightDelim {
                    self.next += 1;
                    None
                } else {
                    Some(self.pipeline("template clause", Kind::RightDelim)?)
                };
                Parsed::Node(Node::Template { at: token.at, name, pipe })
            }
            _ => {
                self.next -= 1;
                let at = self.peek().at;
                Parsed::Node(Node::Action { at, pipe: self.pipeline("command", Kind::RightDelim)? })
            }
        })
    }

    fn loop_control(&mut self, node: Node) -> Result<Node, Error> {
        let token = self.take_non_space();
        if token.kind != Kind::RightDelim {
            return self.unexpected(&token, &node.to_string());
        }
        if self.range_depth == 0 {
            return self.error(format!("{node} outside {{{{range}}}}"));
        }
        Ok(node)
    }

    fn control(&mut self, context: &'static str) -> Result<Branch, Error> {
        let variables = self.variables.len();
        let pipe = self.pipeline(context, Kind::RightDelim)?;
        if context == "range" {
            self.range_depth += 1;
        }
        let (list, ending) = self.item_list()?;
        if context == "range" {
            self.range_depth -= 1;
        }
        let otherwise = match ending {
            Ending::End => None,
            Ending::Else(Some(Kind::If)) if context == "if" => {
                self.next += 1;
                self.enter()?;
                let chained = Node::If(self.control("if")?);
                self.depth -= 1;
                Some(List { nodes: vec![chained] })
            }
            Ending::Else(Some(Kind::With)) if context == "with" => {
                self.next += 1;
                self.enter()?;
                let chained = Node::With(self.control("with")?);
                self.depth -= 1;
                Some(List { nodes: vec![chained] })
            }
            Ending::Else(_) => {
                let (list, ending) = self.item_list()?;
                if !matches!(ending, Ending::End) {
                    return self.error(format!("expected end; found {ending}"));
                }
                Some(list)
            }
        };
        self.variables.truncate(variables);
        Ok(Branch { at: pipe.at, pipe, list, otherwise })
    }

    fn template_name(&mut self, token: &Token<'_>, context: &str) -> Result<String, Error> {
        match token.kind {
            Kind::String | Kind::RawString => unquote(&token.text).or_else(|error| self.error(error)),
            _ => self.unexpected(token, context),
        }
    }

    /// A definition knows neither the variables nor the loops around it.
    fn own_scope(&mut self, context: &str) -> Result<List, Error> {
        let variables = std::mem::replace(&mut self.variables, vec!["$".to_owned()]);
        let range_depth = std::mem::take(&mut self.range_depth);
        let (list, ending) = self.item_list()?;
        if !matches!(ending, Ending::End) {
            return self.error(format!("unexpected {ending} in {context}"));
        }
        self.variables = variables;
        self.range_depth = range_depth;
        Ok(list)
    }

    fn definition(&mut self) -> Result<(), Error> {
        let token = self.take_non_space();
        let name = self.template_name(&token, "define clause")?;
        self.expect(Kind::RightDelim, "define clause")?;
        let list = self.own_scope("define clause")?;
        self.add(name, list)
    }

    fn block(&mut self) -> Result<Node, Error> {
        let token = self.take_non_space();
        let name = self.template_name(&token, "block clause")?;
        let pipe = self.pipeline("block clause", Kind::RightDelim)?;
        let list = self.own_scope("block clause")?;
        self.add(name.clone(), list)?;
        Ok(Node::Template { at: token.at, name, pipe: Some(pipe) })
    }

    fn add(&mut self, name: String, list: List) -> Result<(), Error> {
        match self.trees.get(&name) {
            Some(earlier) if !earlier.is_empty() => {
                if list.is_empty() {
                    return Ok(());
                }
                let name = crate::literal::quote(&name);
                self.error(format!("template: multiple definition of template {name}"))
            }
            _ => {
                self.trees.insert(name, list);
                Ok(())
            }
        }
    }

    // ---- pipelines ----

    fn pipeline(&mut self, context: &str, end: Kind) -> Result<Pipe, Error> {
        let at = self.peek_non_space().at;
        let mut pipe = Pipe { at, is_assign: false, variables: Vec::new(), commands: Vec::new() };
        while self.peek_non_space().kind == Kind::Variable {
            let before = self.next;
            let variable = self.take();
            let next = self.peek_non_space().clone();
            if matches!(next.kind, Kind::Assign | Kind::Declare) {
                pipe.is_assign = next.kind == Kind::Assign;
                self.next += 1;
                self.declare(&mut pipe, variable)?;
                break;
            }
            if next.kind == Kind::Char && next.text == "," {
                self.next += 1;
                self.declare(&mut pipe, variable)?;
                if context == "range" && pipe.variables.len() < 2 {
                    match self.peek_non_space().kind {
                        Kind::Variable | Kind::RightDelim | Kind::RightParen => continue,
                        _ => return self.error("range can only initialize variables"),
                    }
                }
                return self.error(format!("too many declarations in {context}"));
            }
            self.next = before;
            break;
        }
        loop {
            let token = self.take_non_space();
            match token.kind {
                kind if kind == end => {
                    self.check_pipeline(&pipe, context)?;
                    return Ok(pipe);
                }
                Kind::Bool
                | Kind::CharConstant
                | Kind::Complex
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Nil
                | Kind::RawString
                | Kind::String
                | Kind::Variable
                | Kind::LeftParen => {
                    self.next -= 1;
                    let command = self.command()?;
                    pipe.commands.push(command);
                }
                _ => return self.unexpected(&token, context),
            }
        }
    }

    fn declare(&mut self, pipe: &mut Pipe, variable: Token<'_>) -> Result<(), Error> {
        if self.variables.len() == MAX_VARIABLES {
            return self.error(format!("more than {MAX_VARIABLES} variables"));
        }
        pipe.variables.push(variable.text.to_string());
        self.variables.push(variable.text.into_owned());
        Ok(())
    }

    fn check_pipeline(&self, pipe: &Pipe, context: &str) -> Result<(), Error> {
        if pipe.commands.is_empty() {
            return self.error(format!("missing value for {context}"));
        }
        for (i, command) in pipe.commands.iter().enumerate().skip(1) {
            if matches!(
                command.args[0].word,
                Word::Bool(_) | Word::Dot | Word::Nil | Word::Number(_) | Word::String { .. }
            ) {
                return self.error(format!("non executable command in pipeline stage {}", i + 1));
            }
        }
        Ok(())
    }

    fn command(&mut self) -> Result<Command, Error> {
        let mut command = Command { args: Vec::new() };
        loop {
            self.skip_space();
            if let Some(operand) = self.operand()? {
                command.args.push(operand);
            }
            let token = self.take();
            match token.kind {
                Kind::Space => continue,
                Kind::RightDelim | Kind::RightParen => self.next -= 1,
                Kind::Pipe => {}
                _ => return self.unexpected(&token, "operand"),
            }
            break;
        }
        if command.args.is_empty() { self.error("empty command") } else { Ok(command) }
    }

    fn operand(&mut self) -> Result<Option<Operand>, Error> {
        let Some(mut operand) = self.term()? else { return Ok(None) };
        if self.peek().kind != Kind::Field {
            return Ok(Some(operand));
        }
        let at = self.peek().at;
        let mut names = Vec::new();
        while self.peek().kind == Kind::Field {
            names.push(self.take().text[1..].to_owned());
        }
        match &mut operand.word {
            Word::Field(fields) | Word::Variable(fields) => {
                fields.extend(names);
                operand.at = at;
            }
            Word::Bool(_) | Word::String { .. } | Word::Number(_) | Word::Nil | Word::Dot => {
                let word = crate::literal::quote(&operand.word.to_string());
                return self.error(format!("unexpected . after term {word}"));
            }
            Word::Identifier(_) | Word::Chain(..) | Word::Pipe(_) => {
                operand = Operand { at, word: Word::Chain(Box::new(operand), names) };
            }
        }
        Ok(Some(operand))
    }

    fn term(&mut self) -> Result<Option<Operand>, Error> {
        let token = self.take_non_space();
        let word = match token.kind {
            Kind::Identifier => {
                if !self.functions.contains(&token.text.as_ref()) && !builtins::is_builtin(&token.text) {
                    return self
                        .error(format!("function {} not defined", crate::literal::quote(&token.text)));
                }
                Word::Identifier(token.text.into_owned())
            }
            Kind::Dot => Word::Dot,
            Kind::Nil => Word::Nil,
            Kind::Variable => {
                if !self.variables.iter().any(|known| *known == token.text) {
                    return self.error(format!("undefined variable {}", crate::literal::quote(&token.text)));
                }
                Word::Variable(vec![token.text.into_owned()])
            }
            Kind::Field => Word::Field(vec![token.text[1..].to_owned()]),
            Kind::Bool => Word::Bool(token.text == "true"),
            Kind::CharConstant => {
                Word::Number(Number::from_char(&token.text).or_else(|error| self.error(error))?)
            }
            Kind::Complex => {
                Word::Number(Number::from_complex(&token.text).or_else(|error| self.error(error))?)
            }
            Kind::Number => Word::Number(Number::from_text(&token.text).or_else(|error| self.error(error))?),
            Kind::LeftParen => {
                self.enter()?;
                let pipe = self.pipeline("parenthesized pipeline", Kind::RightParen)?;
                self.depth -= 1;
                return Ok(Some(Operand { at: pipe.at, word: Word::Pipe(pipe) }));
            }
            Kind::String | Kind::RawString => {
                let text = unquote(&token.text).or_else(|error| self.error(error))?;
                Word::String { quoted: token.text.into_owned(), text }
            }
            _ => {
                self.next -= 1;
                return Ok(None);
            }
        };
        Ok(Some(Operand { at: token.at, word }))
    }
}
