//! Functions and methods: their arguments evaluated, checked and passed.

use std::borrow::Cow;

use super::{Context, Done, Run};
use crate::ast::{Operand, Word};
use crate::builtins;
use crate::literal::{Number, quote};
use crate::value::{Function, Param, Value};

impl<'t, 'a> Run<'t, '_, 'a> {
    pub(super) fn function(
        &mut self,
        dot: &Value<'a>,
        name: &'t str,
        context: Context<'t>,
        at: usize,
        args: &'t [Operand],
        last: Option<Value<'a>>,
    ) -> Done<Value<'a>> {
        if let Some(function) = self.functions.get(name) {
            let function = function.clone();
            return self.call(dot, &function, name, context, at, args, last);
        }
        match name {
            "and" | "or" => self.and_or(dot, name, args, last),
            _ => match builtins::get(name, args.first().map(|arg| arg.word.to_string())) {
                Some(function) => self.call(dot, &function, name, context, at, args, last),
                None => self.fail(format!("{} is not a defined function", quote(name))),
            },
        }
    }

    /// They stop at the first argument that decides.
    fn and_or(
        &mut self,
        dot: &Value<'a>,
        name: &str,
        args: &'t [Operand],
        last: Option<Value<'a>>,
    ) -> Done<Value<'a>> {
        if args.is_empty() && last.is_none() {
            return self.fail(format!("wrong number of args for {name}: want at least 1 got 0"));
        }
        let mut value = Value::Nothing;
        for arg in args {
            value = self.arg(dot, Some(&Param::Any), arg)?;
            if value.is_true() == (name == "or") {
                return Ok(value);
            }
        }
        Ok(last.unwrap_or(value))
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "what a call needs: function, its name and place, arguments"
    )]
    pub(super) fn call(
        &mut self,
        dot: &Value<'a>,
        function: &Function<'a>,
        name: &str,
        context: Context<'t>,
        at: usize,
        args: &'t [Operand],
        last: Option<Value<'a>>,
    ) -> Done<Value<'a>> {
        let given = args.len() + usize::from(last.is_some());
        let wanted = function.params.len();
        if function.rest.is_some() {
            if given < wanted {
                let args = args.len();
                return self
                    .fail(format!("wrong number of args for {name}: want at least {wanted} got {args}"));
            }
        } else if given != wanted {
            return self.fail(format!("wrong number of args for {name}: want {wanted} got {given}"));
        }
        let mut values = Vec::with_capacity(given);
        for (i, arg) in args.iter().enumerate() {
            values.push(self.arg(dot, Some(function.param(i)), arg)?);
        }
        if let Some(last) = last {
            let checked = self.check(last, Some(function.param(args.len())))?;
            values.push(checked);
        }
        match (function.body)(&values) {
            Ok(value) => Ok(value),
            Err(message) => {
                self.at(at, context);
                self.fail(format!("error calling {name}: {message}"))
            }
        }
    }

    pub(super) fn arg(
        &mut self,
        dot: &Value<'a>,
        param: Option<&Param>,
        operand: &'t Operand,
    ) -> Done<Value<'a>> {
        self.at_word(operand);
        self.step()?;
        let value = match &operand.word {
            Word::Dot => dot.clone(),
            Word::Nil => {
                return match param {
                    Some(param) if param.can_be_nil() => Ok(Value::Nothing),
                    param => {
                        let name = param.map_or("<nil>", Param::type_name).to_owned();
                        self.fail(format!("cannot assign nil to {name}"))
                    }
                };
            }
            Word::Field(names) => self.chain(dot, dot.clone(), operand, names, &[], None)?,
            Word::Variable(names) => self.variable_word(dot, operand, names, &[], None)?,
            Word::Pipe(pipe) => self.pipeline(dot, pipe)?,
            Word::Identifier(name) => {
                self.function(dot, name, Context::Word(&operand.word), operand.at, &[], None)?
            }
            Word::Chain(inner, names) => self.chain_word(dot, operand, inner, names, &[], None)?,
            _ => return self.constant_arg(dot, param, operand),
        };
        let value = self.made(value)?;
        self.check(value, param)
    }

    /// A constant takes the type that is asked for.
    fn constant_arg(
        &mut self,
        dot: &Value<'a>,
        param: Option<&Param>,
        operand: &'t Operand,
    ) -> Done<Value<'a>> {
        match (param.unwrap_or(&Param::Any), &operand.word) {
            (Param::Any, _) => {
                let value = self.constant(dot, operand)?;
                self.made(value)
            }
            (Param::String, Word::String { text, .. }) => self.made(Value::String(Cow::Owned(text.clone()))),
            (Param::String, word) => self.fail(format!("expected string; found {word}")),
            (Param::Bool, Word::Bool(truth)) => Ok(Value::Bool(*truth)),
            (Param::Bool, word) => self.fail(format!("expected bool; found {word}")),
            (Param::Int(_), Word::Number(Number { int: Some(int), .. })) => Ok(Value::Int(*int)),
            (Param::Int(_), word) => self.fail(format!("expected integer; found {word}")),
            (Param::Float, Word::Number(Number { float: Some(float), .. })) => Ok(Value::Float(*float)),
            (Param::Float, word) => self.fail(format!("expected float; found {word}")),
            (Param::Named(name), word) => self.fail(format!("can't handle {word} for arg of type {name}")),
        }
    }

    /// Whether `value` can be given where `param` is asked for, pointers followed or taken as Go does.
    fn check(&self, value: Value<'a>, param: Option<&Param>) -> Done<Value<'a>> {
        let Some(param) = param else { return Ok(value) };
        let fits = |value: &Value<'a>| match (param, value) {
            (Param::Any, _)
            | (Param::String, Value::String(_))
            | (Param::Bool, Value::Bool(_))
            | (Param::Int(_), Value::Int(_))
            | (Param::Float, Value::Float(_)) => true,
            (Param::Named(name), value) => value.type_name() == *name,
            _ => false,
        };
        match &value {
            Value::Nothing if param.can_be_nil() => return Ok(value),
            Value::Nothing => return self.fail(format!("invalid value; expected {}", param.type_name())),
            Value::Any(Some(inner)) if *param == Param::Any || fits(inner) => return Ok(Value::clone(inner)),
            Value::Any(None) if *param == Param::Any => return Ok(value),
            value if fits(value) => return Ok(value.clone()),
            _ => {}
        }
        let value = match value {
            Value::Any(Some(inner)) => Value::clone(&inner),
            value => value,
        };
        match &value {
            Value::Pointer(pointer) => match &pointer.target {
                Some(target)
                    if fits(target) && pointer.type_name.strip_prefix('*') == Some(param.type_name()) =>
                {
                    return Ok(target.clone());
                }
                None if pointer.type_name.strip_prefix('*') == Some(param.type_name()) => {
                    return self.fail(format!("dereference of nil pointer of type {}", param.type_name()));
                }
                _ => {}
            },
            Value::Struct(data)
                if data.is_addressable()
                    && param.type_name().strip_prefix('*') == Some(data.type_name().as_ref()) =>
            {
                return Ok(Value::pointer(param.type_name().to_owned(), value.clone()));
            }
            _ => {}
        }
        self.fail(format!("wrong type for value; expected {}; got {}", param.type_name(), value.type_name()))
    }
}
