//! The data of a template, as Go's reflection would see it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::rc::Rc;

/// A value of one of Go's kinds.
///
/// Templates see the difference between a nil pointer and an absent map entry, and error messages name types, so both are
/// kept here.
#[derive(Clone, Default)]
pub enum Value<'a> {
    /// No value at all: an untyped nil, or the outcome of something that has none.
    #[default]
    Nothing,
    /// `bool`.
    Bool(bool),
    /// Any signed integer.
    Int(i64),
    /// Any unsigned integer.
    Uint(u64),
    /// Any float.
    Float(f64),
    /// A complex number: real and imaginary part.
    Complex(f64, f64),
    /// Any string type.
    String(Cow<'a, str>),
    /// A slice or an array.
    List(Rc<List<'a>>),
    /// A map with string keys.
    Map(Rc<Map<'a>>),
    /// A struct.
    Struct(Rc<dyn Struct<'a> + 'a>),
    /// A pointer, perhaps nil.
    Pointer(Rc<Pointer<'a>>),
    /// The content of an interface: an element of `[]any` or `map[string]any`. `None` is a nil interface.
    Any(Option<Rc<Value<'a>>>),
    /// A function, called with `call`.
    Function(Function<'a>),
}

/// A slice.
#[derive(Clone)]
pub struct List<'a> {
    /// Go type: `[]string`.
    pub type_name: Cow<'a, str>,
    /// The elements.
    pub items: Vec<Value<'a>>,
    /// A nil slice has no elements and differs from an empty one in comparisons alone.
    pub is_nil: bool,
}

/// A map with string keys.
#[derive(Clone)]
pub struct Map<'a> {
    /// Go type: `map[string]string`.
    pub type_name: Cow<'a, str>,
    /// The entries; Go's templates visit maps in order of their keys.
    pub entries: BTreeMap<Cow<'a, str>, Value<'a>>,
    /// What `index` gives for a missing key: the zero value of the element type.
    pub zero: Value<'a>,
    /// A nil map has no entries.
    pub is_nil: bool,
}

/// A pointer.
#[derive(Clone)]
pub struct Pointer<'a> {
    /// Go type: `*int32`.
    pub type_name: Cow<'a, str>,
    /// What it points to; `None` if it is nil.
    pub target: Option<Value<'a>>,
    /// The struct type it could point to: its fields and methods are known although the pointer is nil.
    pub element: Option<Rc<dyn Struct<'a> + 'a>>,
}

/// A struct: fields and methods by their Go names.
pub trait Struct<'a> {
    /// Go type: `v1.PodSpec`.
    fn type_name(&self) -> Cow<'a, str>;

    /// The field of that name, promoted ones included.
    fn field(&self, name: &str) -> Option<Value<'a>>;

    /// The names of all fields, in Go's order.
    fn field_names(&self) -> Vec<String>;

    /// The method of that name on a value (`is_nil`: on a nil pointer to this type).
    fn method(&self, _name: &str, _is_nil: bool) -> Option<Function<'a>> {
        None
    }

    /// What its `String` or `Error` method gives, if it has one.
    fn text(&self) -> Option<String> {
        None
    }

    /// Whether Go could take its address. A struct given by value as the data itself has none.
    fn is_addressable(&self) -> bool {
        true
    }
}

/// What a function accepts in one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Param {
    /// `any`.
    Any,
    /// `string`.
    String,
    /// `bool`.
    Bool,
    /// A signed integer of that type name.
    Int(&'static str),
    /// `float64`.
    Float,
    /// A named type, such as `*v1.PodSpec`.
    Named(Cow<'static, str>),
}

impl Param {
    pub(crate) fn type_name(&self) -> &str {
        match self {
            Param::Any => "interface {}",
            Param::String => "string",
            Param::Bool => "bool",
            Param::Int(name) => name,
            Param::Float => "float64",
            Param::Named(name) => name,
        }
    }

    pub(crate) fn can_be_nil(&self) -> bool {
        match self {
            Param::Any => true,
            Param::Named(name) => name.starts_with('*') || name.starts_with("[]") || name.starts_with("map["),
            _ => false,
        }
    }
}

/// What a function does: arguments to a value, or to the words of an error.
pub type Body<'a> = dyn Fn(&[Value<'a>]) -> Result<Value<'a>, String> + 'a;

/// A function that templates may call.
#[derive(Clone)]
pub struct Function<'a> {
    /// What it accepts.
    pub params: Vec<Param>,
    /// What it accepts beyond them, any number of times; `None` if it is not variadic.
    pub rest: Option<Param>,
    /// What it does.
    pub body: Rc<Body<'a>>,
}

impl<'a> Function<'a> {
    /// A function of a fixed number of parameters.
    pub fn new(
        params: impl Into<Vec<Param>>,
        body: impl Fn(&[Value<'a>]) -> Result<Value<'a>, String> + 'a,
    ) -> Function<'a> {
        Function { params: params.into(), rest: None, body: Rc::new(body) }
    }

    /// A function that also takes any number of `rest`.
    pub fn variadic(
        params: impl Into<Vec<Param>>,
        rest: Param,
        body: impl Fn(&[Value<'a>]) -> Result<Value<'a>, String> + 'a,
    ) -> Function<'a> {
        Function { params: params.into(), rest: Some(rest), body: Rc::new(body) }
    }

    /// What it accepts at that place.
    pub(crate) fn param(&self, index: usize) -> &Param {
        self.params.get(index).or(self.rest.as_ref()).unwrap_or(&Param::Any)
    }
}

impl<'a> Value<'a> {
    /// A string.
    pub fn string(text: impl Into<Cow<'a, str>>) -> Value<'a> {
        Value::String(text.into())
    }

    /// A struct.
    pub fn of_struct(data: impl Struct<'a> + 'a) -> Value<'a> {
        Value::Struct(Rc::new(data))
    }

    /// A pointer to `target`; `type_name` with its star.
    pub fn pointer(type_name: impl Into<Cow<'a, str>>, target: Value<'a>) -> Value<'a> {
        Value::Pointer(Rc::new(Pointer { type_name: type_name.into(), target: Some(target), element: None }))
    }

    /// A nil pointer; `element` is the struct type it could point to.
    pub fn nil_pointer(
        type_name: impl Into<Cow<'a, str>>,
        element: Option<Rc<dyn Struct<'a> + 'a>>,
    ) -> Value<'a> {
        Value::Pointer(Rc::new(Pointer { type_name: type_name.into(), target: None, element }))
    }

    /// What Go's decoder makes of JSON where no type is asked for: `map[string]interface {}`, `[]interface {}`, `string`,
    /// `float64`, `bool` and nil.
    pub fn from_json(json: &'a serde_json::Value) -> Value<'a> {
        use serde_json::Value as Json;
        let any = |value: &'a Json| match value {
            Json::Null => Value::Any(None),
            value => Value::Any(Some(Rc::new(Value::from_json(value)))),
        };
        match json {
            Json::Null => Value::Nothing,
            Json::Bool(truth) => Value::Bool(*truth),
            Json::Number(number) => Value::Float(number.as_f64().unwrap_or_default()),
            Json::String(text) => Value::String(Cow::Borrowed(text)),
            Json::Array(items) => Value::List(Rc::new(List {
                type_name: Cow::Borrowed("[]interface {}"),
                items: items.iter().map(any).collect(),
                is_nil: false,
            })),
            Json::Object(entries) => Value::Map(Rc::new(Map {
                type_name: Cow::Borrowed("map[string]interface {}"),
                entries: entries
                    .iter()
                    .map(|(key, value)| (Cow::Borrowed(key.as_str()), any(value)))
                    .collect(),
                zero: Value::Any(None),
                is_nil: false,
            })),
        }
    }

    /// The Go type, as error messages name it.
    pub fn type_name(&self) -> Cow<'a, str> {
        match self {
            Value::Nothing => Cow::Borrowed("<nil>"),
            Value::Bool(_) => Cow::Borrowed("bool"),
            Value::Int(_) => Cow::Borrowed("int"),
            Value::Uint(_) => Cow::Borrowed("uint8"),
            Value::Float(_) => Cow::Borrowed("float64"),
            Value::Complex(..) => Cow::Borrowed("complex128"),
            Value::String(_) => Cow::Borrowed("string"),
            Value::List(list) => list.type_name.clone(),
            Value::Map(map) => map.type_name.clone(),
            Value::Struct(data) => data.type_name(),
            Value::Pointer(pointer) => pointer.type_name.clone(),
            Value::Any(_) => Cow::Borrowed("interface {}"),
            Value::Function(_) => Cow::Borrowed("func"),
        }
    }

    /// What is in an interface; every other value is itself.
    pub fn concrete(&self) -> Value<'a> {
        match self {
            Value::Any(Some(value)) => Value::clone(value),
            Value::Any(None) => Value::Nothing,
            value => value.clone(),
        }
    }

    /// What remains after all pointers and interfaces are followed, and whether that is a nil one of them.
    pub(crate) fn indirect(&self) -> (Value<'a>, bool) {
        let mut value = self.clone();
        loop {
            let next = match &value {
                Value::Pointer(pointer) => match &pointer.target {
                    Some(target) => target.clone(),
                    None => return (value, true),
                },
                Value::Any(Some(inner)) => Value::clone(inner),
                Value::Any(None) => return (value, true),
                _ => return (value, false),
            };
            value = next;
        }
    }

    /// Go's idea of truth in templates: not empty, not zero, not nil.
    pub fn is_true(&self) -> bool {
        match self {
            Value::Nothing => false,
            Value::Bool(truth) => *truth,
            Value::Int(int) => *int != 0,
            Value::Uint(uint) => *uint != 0,
            Value::Float(float) => *float != 0.0,
            Value::Complex(real, imaginary) => *real != 0.0 || *imaginary != 0.0,
            Value::String(text) => !text.is_empty(),
            Value::List(list) => !list.items.is_empty(),
            Value::Map(map) => !map.entries.is_empty(),
            Value::Struct(_) | Value::Function(_) => true,
            Value::Pointer(pointer) => pointer.target.is_some(),
            Value::Any(inner) => inner.as_ref().is_some_and(|inner| inner.is_true()),
        }
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }
}

/// As `%v` prints it.
impl std::fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&crate::print::plain(self))
    }
}
