//! A tree and data into text.
//!
//! The order of evaluation, the places that errors name and the words of the errors follow Go's `text/template/exec.go`.

mod call;

use std::borrow::Cow;
use std::rc::Rc;

use crate::ast::{Branch, Command, List, Node, Operand, Pipe, Word};
use crate::literal::{Number, quote};
use crate::value::Value;
use crate::{Cause, Error, Functions, MissingKey, Template, print};

/// Templates that call each other deeper than this would exhaust the stack. Go allows more.
const MAX_DEPTH: usize = 500;
/// The same for blocks and templates together: a template that calls itself does so from within an `if`.
const MAX_LISTS: usize = 1_000;
/// Nodes, arguments and rounds of loops that one rendering may evaluate. Go has no bound, and a template that anybody may
/// write can loop for years there.
const MAX_STEPS: usize = 1_000_000;

/// Why evaluation left the usual way.
pub(crate) enum Leave {
    Error(Box<Error>),
    Break,
    Continue,
}

type Done<T> = Result<T, Leave>;

/// Renders `template` itself or, with a name, one of its definitions.
pub(crate) fn render<'a>(
    template: &Template,
    data: &Value<'a>,
    functions: &Functions<'a>,
    missing_key: MissingKey,
) -> Result<String, Error> {
    let mut run = Run {
        template,
        functions,
        missing_key,
        name: &template.name,
        output: String::with_capacity(template.text.len()),
        variables: vec![("$", data.clone())],
        place: Place { at: 0, context: Context::List },
        depth: 0,
        lists: 0,
        steps: 0,
        bytes: 0,
    };
    let Some(root) = template.trees.get(&template.name) else {
        return Err(Error::parse(format!("template: {}: incomplete or empty template", template.name)));
    };
    match run.list(data, root) {
        Ok(()) => Ok(run.output),
        Err(Leave::Error(error)) => Err(*error),
        // The parser lets neither stand outside a range.
        Err(Leave::Break | Leave::Continue) => Ok(run.output),
    }
}

/// What an error shows of the template.
#[derive(Clone, Copy)]
enum Context<'t> {
    List,
    Node(&'t Node),
    Pipe(&'t Pipe),
    Word(&'t Word),
    Command(&'t Command),
}

#[derive(Clone, Copy)]
struct Place<'t> {
    at: usize,
    context: Context<'t>,
}

struct Run<'t, 'f, 'a> {
    template: &'t Template,
    functions: &'f Functions<'a>,
    missing_key: MissingKey,
    name: &'t str,
    output: String,
    variables: Vec<(&'t str, Value<'a>)>,
    place: Place<'t>,
    depth: usize,
    /// Lists of nodes that are being evaluated, one within the other.
    lists: usize,
    /// What was evaluated so far.
    steps: usize,
    /// Text that was printed or copied so far.
    bytes: usize,
}

impl<'t, 'a> Run<'t, '_, 'a> {
    // ---- errors ----

    fn fail<T>(&self, message: impl std::fmt::Display) -> Done<T> {
        self.fail_because(Cause::Other, message)
    }

    fn fail_because<T>(&self, cause: Cause, message: impl std::fmt::Display) -> Done<T> {
        let at = self.place.at.min(self.template.text.len());
        let before = self.template.text.get(..at).unwrap_or_default();
        let column = before.rfind('\n').map_or(at, |newline| at - newline - 1);
        let line = 1 + before.matches('\n').count();
        let context = match self.place.context {
            Context::List => String::new(),
            Context::Node(node) => node.to_string(),
            Context::Pipe(pipe) => pipe.to_string(),
            Context::Word(word) => word.to_string(),
            Context::Command(command) => command.to_string(),
        };
        let message = format!(
            "template: {}:{line}:{column}: executing {} at <{context}>: {message}",
            self.template.name,
            quote(self.name)
        );
        Err(Leave::Error(Box::new(Error { message, at: Some(at), cause })))
    }

    fn at(&mut self, at: usize, context: Context<'t>) {
        self.place = Place { at, context };
    }

    fn at_word(&mut self, operand: &'t Operand) {
        self.at(operand.at, Context::Word(&operand.word));
    }

    // ---- limits ----

    fn step(&mut self) -> Done<()> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return self.fail(format!("exceeded maximum number of steps ({MAX_STEPS})"));
        }
        Ok(())
    }

    /// A value that was made or copied. Of lists and maps only the reference is.
    fn made(&mut self, value: Value<'a>) -> Done<Value<'a>> {
        if let Value::String(Cow::Owned(text)) = &value {
            self.count_bytes(text.len())?;
        }
        Ok(value)
    }

    fn count_bytes(&mut self, bytes: usize) -> Done<()> {
        self.bytes += bytes;
        if self.bytes > print::MAX_BYTES {
            return self.fail(format!("exceeded maximum length of text ({} bytes)", print::MAX_BYTES));
        }
        Ok(())
    }

    fn print(&mut self, text: &str) -> Done<()> {
        self.count_bytes(text.len())?;
        self.output.push_str(text);
        Ok(())
    }

    // ---- nodes ----

    fn list(&mut self, dot: &Value<'a>, list: &'t List) -> Done<()> {
        if self.lists == MAX_LISTS {
            return self.fail(format!("exceeded maximum depth of blocks ({MAX_LISTS})"));
        }
        self.lists += 1;
        let outcome = list.nodes.iter().try_for_each(|node| self.node(dot, node));
        self.lists -= 1;
        outcome
    }

    fn node(&mut self, dot: &Value<'a>, node: &'t Node) -> Done<()> {
        self.at(node.at(), Context::Node(node));
        self.step()?;
        match node {
            Node::Text { text, .. } => self.print(text),
            Node::Action { pipe, .. } => {
                let value = self.pipeline(dot, pipe)?;
                if pipe.variables.is_empty() {
                    self.at(node.at(), Context::Node(node));
                    match print::printable(&value) {
                        Some(text) => self.print(&text)?,
                        None => {
                            return self.fail(format!("can't print {node} of type {}", value.type_name()));
                        }
                    }
                }
                Ok(())
            }
            Node::If(branch) => self.branch(dot, branch, false),
            Node::With(branch) => self.branch(dot, branch, true),
            Node::Range(branch) => {
                let mark = self.variables.len();
                let outcome = match self.range(dot, branch) {
                    Err(Leave::Break) => Ok(()),
                    outcome => outcome,
                };
                self.variables.truncate(mark);
                outcome
            }
            Node::Template { name, pipe, .. } => self.call_template(dot, name, pipe.as_ref()),
            Node::Break => Err(Leave::Break),
            Node::Continue => Err(Leave::Continue),
        }
    }

    fn branch(&mut self, dot: &Value<'a>, branch: &'t Branch, sets_dot: bool) -> Done<()> {
        let mark = self.variables.len();
        let value = self.pipeline(dot, &branch.pipe)?;
        let outcome = if value.concrete().is_true() {
            self.list(if sets_dot { &value } else { dot }, &branch.list)
        } else {
            match &branch.otherwise {
                Some(otherwise) => self.list(dot, otherwise),
                None => Ok(()),
            }
        };
        self.variables.truncate(mark);
        outcome
    }

    fn range(&mut self, dot: &Value<'a>, branch: &'t Branch) -> Done<()> {
        let (value, _) = self.pipeline(dot, &branch.pipe)?.indirect();
        let mark = self.variables.len();
        let once = |run: &mut Self, index: Value<'a>, item: &Value<'a>| -> Done<()> {
            run.step()?;
            run.set_loop_variables(&branch.pipe, index, item)?;
            let outcome = run.list(item, &branch.list);
            run.variables.truncate(mark);
            match outcome {
                Err(Leave::Continue) => Ok(()),
                outcome => outcome,
            }
        };
        let empty = match &value {
            Value::Int(_) | Value::Uint(_) => {
                if branch.pipe.variables.len() > 1 {
                    let value = print::plain(&value);
                    return self.fail(format!("can't use {value} to iterate over more than one variable"));
                }
                let mut count = 0u64;
                let limit = match value {
                    Value::Int(int) => u64::try_from(int).unwrap_or(0),
                    Value::Uint(uint) => uint,
                    _ => 0,
                };
                while count < limit {
                    let item = match value {
                        Value::Uint(_) => Value::Uint(count),
                        _ => Value::Int(count as i64),
                    };
                    once(self, Value::Nothing, &item)?;
                    count += 1;
                }
                limit == 0
            }
            Value::List(list) => {
                for (i, item) in list.items.iter().enumerate() {
                    once(self, Value::Int(i as i64), item)?;
                }
                list.items.is_empty()
            }
            Value::Map(map) => {
                for (key, item) in &map.entries {
                    once(self, Value::String(key.clone()), item)?;
                }
                map.entries.is_empty()
            }
            Value::Nothing => true,
            value => return self.fail(format!("range can't iterate over {}", print::plain(value))),
        };
        match &branch.otherwise {
            Some(otherwise) if empty => self.list(dot, otherwise),
            _ => Ok(()),
        }
    }

    /// `range $item := …` and `range $index, $item := …`, or the same with `=`.
    fn set_loop_variables(&mut self, pipe: &'t Pipe, index: Value<'a>, item: &Value<'a>) -> Done<()> {
        match (pipe.variables.as_slice(), pipe.is_assign) {
            ([], _) => Ok(()),
            ([only], true) => self.set_variable(only, item.clone()),
            ([first, second, ..], true) => {
                self.set_variable(first, index)?;
                self.set_variable(second, item.clone())
            }
            (declared, false) => {
                let top = self.variables.len();
                if let Some(variable) = self.variables.get_mut(top - 1) {
                    variable.1 = item.clone();
                }
                if declared.len() > 1
                    && let Some(variable) = self.variables.get_mut(top - 2)
                {
                    variable.1 = index;
                }
                Ok(())
            }
        }
    }

    fn call_template(&mut self, dot: &Value<'a>, name: &'t str, pipe: Option<&'t Pipe>) -> Done<()> {
        let Some((name, tree)) = self.template.trees.get_key_value(name) else {
            return self.fail(format!("template {} not defined", quote(name)));
        };
        if self.depth == MAX_DEPTH {
            return self.fail(format!("exceeded maximum template depth ({MAX_DEPTH})"));
        }
        let dot = match pipe {
            Some(pipe) => self.pipeline(dot, pipe)?,
            None => Value::Nothing,
        };
        let outer_name = std::mem::replace(&mut self.name, name);
        let outer_variables = std::mem::replace(&mut self.variables, vec![("$", dot.clone())]);
        self.depth += 1;
        let outcome = self.list(&dot, tree);
        self.depth -= 1;
        self.name = outer_name;
        self.variables = outer_variables;
        outcome
    }

    // ---- variables ----

    fn set_variable(&mut self, name: &str, value: Value<'a>) -> Done<()> {
        match self.variables.iter_mut().rev().find(|(known, _)| *known == name) {
            Some(variable) => {
                variable.1 = value;
                Ok(())
            }
            None => self.fail(format!("undefined variable: {name}")),
        }
    }

    fn variable(&self, name: &str) -> Done<Value<'a>> {
        match self.variables.iter().rev().find(|(known, _)| *known == name) {
            Some((_, value)) => Ok(value.clone()),
            None => self.fail(format!("undefined variable: {name}")),
        }
    }

    // ---- pipelines ----

    fn pipeline(&mut self, dot: &Value<'a>, pipe: &'t Pipe) -> Done<Value<'a>> {
        self.at(pipe.at, Context::Pipe(pipe));
        let mut value = None;
        for command in &pipe.commands {
            self.step()?;
            let outcome = self.command(dot, command, value)?.concrete();
            value = Some(self.made(outcome)?);
        }
        let value = value.unwrap_or_default();
        for name in &pipe.variables {
            if pipe.is_assign {
                self.set_variable(name, value.clone())?;
            } else {
                self.variables.push((name, value.clone()));
            }
        }
        Ok(value)
    }

    /// `last` is the value of the command before, the last argument of this one.
    fn command(&mut self, dot: &Value<'a>, command: &'t Command, last: Option<Value<'a>>) -> Done<Value<'a>> {
        let first = &command.args[0];
        let args = &command.args[1..];
        match &first.word {
            Word::Field(names) => {
                self.at_word(first);
                return self.chain(dot, dot.clone(), first, names, args, last);
            }
            Word::Chain(operand, names) => return self.chain_word(dot, first, operand, names, args, last),
            Word::Identifier(name) => {
                self.at_word(first);
                return self.function(dot, name, Context::Command(command), first.at, args, last);
            }
            Word::Pipe(pipe) => {
                self.not_a_function(first, args, last.is_some())?;
                return self.pipeline(dot, pipe);
            }
            Word::Variable(names) => return self.variable_word(dot, first, names, args, last),
            _ => {}
        }
        self.at_word(first);
        self.not_a_function(first, args, last.is_some())?;
        match &first.word {
            Word::Nil => self.fail("nil is not a command"),
            _ => self.constant(dot, first),
        }
    }

    fn not_a_function(&self, first: &Operand, args: &[Operand], has_last: bool) -> Done<()> {
        if args.is_empty() && !has_last {
            return Ok(());
        }
        self.fail(format!("can't give argument to non-function {}", first.word))
    }

    fn constant(&mut self, dot: &Value<'a>, operand: &'t Operand) -> Done<Value<'a>> {
        match &operand.word {
            Word::Bool(truth) => Ok(Value::Bool(*truth)),
            Word::Dot => Ok(dot.clone()),
            Word::Number(number) => {
                self.at_word(operand);
                self.ideal(number)
            }
            Word::String { text, .. } => Ok(Value::String(Cow::Owned(text.clone()))),
            word => self.fail(format!("can't evaluate command {}", quote(&word.to_string()))),
        }
    }

    /// A number where no type is asked for.
    fn ideal(&self, number: &Number) -> Done<Value<'a>> {
        if let Some((real, imaginary)) = number.complex {
            return Ok(Value::Complex(real, imaginary));
        }
        match (number.float, number.int) {
            (Some(float), _) if number.is_ideal_float() => Ok(Value::Float(float)),
            (_, Some(int)) => Ok(Value::Int(int)),
            _ => self.fail(format!("{} overflows int", number.text)),
        }
    }

    fn variable_word(
        &mut self,
        dot: &Value<'a>,
        operand: &'t Operand,
        names: &'t [String],
        args: &'t [Operand],
        last: Option<Value<'a>>,
    ) -> Done<Value<'a>> {
        self.at_word(operand);
        let value = self.variable(&names[0])?;
        if names.len() == 1 {
            self.not_a_function(operand, args, last.is_some())?;
            return Ok(value);
        }
        self.chain(dot, value, operand, &names[1..], args, last)
    }

    fn chain_word(
        &mut self,
        dot: &Value<'a>,
        operand: &'t Operand,
        inner: &'t Operand,
        names: &'t [String],
        args: &'t [Operand],
        last: Option<Value<'a>>,
    ) -> Done<Value<'a>> {
        self.at_word(operand);
        if matches!(inner.word, Word::Nil) {
            return self.fail(format!("indirection through explicit nil in {}", operand.word));
        }
        let receiver = self.arg(dot, None, inner)?;
        self.chain(dot, receiver, operand, names, args, last)
    }

    fn chain(
        &mut self,
        dot: &Value<'a>,
        mut receiver: Value<'a>,
        node: &'t Operand,
        names: &'t [String],
        args: &'t [Operand],
        last: Option<Value<'a>>,
    ) -> Done<Value<'a>> {
        let Some((final_name, inner)) = names.split_last() else { return Ok(receiver) };
        for name in inner {
            receiver = self.field(dot, name, node, &[], None, &receiver)?;
        }
        self.field(dot, final_name, node, args, last, &receiver)
    }

    fn field(
        &mut self,
        dot: &Value<'a>,
        name: &'t str,
        node: &'t Operand,
        args: &'t [Operand],
        last: Option<Value<'a>>,
        receiver: &Value<'a>,
    ) -> Done<Value<'a>> {
        if matches!(receiver, Value::Nothing) {
            if self.missing_key == MissingKey::Error {
                let cause = Cause::Nil { name: name.to_owned() };
                return self.fail_because(cause, format!("nil data; no entry for key {}", quote(name)));
            }
            return Ok(Value::Nothing);
        }
        let type_name = || receiver.type_name();
        let (target, is_nil) = receiver.indirect();
        let nil = |run: &Self| {
            let cause = Cause::Nil { name: name.to_owned() };
            run.fail_because(cause, format!("nil pointer evaluating {}.{name}", type_name()))
        };
        if let (Value::Any(_), true) = (&target, is_nil) {
            return nil(self);
        }
        let known = match &target {
            Value::Struct(data) => Some(Rc::clone(data)),
            Value::Pointer(pointer) => pointer.element.clone(),
            _ => None,
        };
        if let Some(method) = known.as_ref().and_then(|data| data.method(name, is_nil)) {
            return self.call(dot, &method, name, Context::Word(&node.word), node.at, args, last);
        }
        let has_args = !args.is_empty() || last.is_some();
        match &target {
            Value::Struct(data) => {
                if let Some(value) = data.field(name) {
                    if has_args {
                        return self.fail(format!("{name} has arguments but cannot be invoked as function"));
                    }
                    return Ok(value);
                }
            }
            Value::Map(map) => {
                if has_args {
                    return self.fail(format!("{name} is not a method but has arguments"));
                }
                return match (map.entries.get(name), self.missing_key) {
                    (Some(value), _) => Ok(value.clone()),
                    (None, MissingKey::Nothing) => Ok(Value::Nothing),
                    (None, MissingKey::Zero) => Ok(map.zero.clone()),
                    (None, MissingKey::Error) => {
                        let known = map.entries.keys().map(|key| key.clone().into_owned()).collect();
                        let cause = Cause::UnknownField { name: name.to_owned(), known };
                        self.fail_because(cause, format!("map has no entry for key {}", quote(name)))
                    }
                };
            }
            Value::Pointer(pointer) => {
                let has_field = pointer.element.as_ref().is_none_or(|data| data.field(name).is_some());
                if has_field {
                    return nil(self);
                }
            }
            _ => {}
        }
        let known = known.map(|data| data.field_names()).unwrap_or_default();
        let cause = Cause::UnknownField { name: name.to_owned(), known };
        self.fail_because(cause, format!("can't evaluate field {name} in type {}", type_name()))
    }
}
