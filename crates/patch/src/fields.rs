//! Sets of field paths, and `fieldsV1`, the form in which managed fields travel.
//!
//! A path names a field by steps: an object's key, a list item by its key fields, a list item by its value. In
//! `fieldsV1` these are `f:NAME`, `k:{"name":"main"}` and `v:"x"`; `.` marks that the parent itself is in the set.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Map, Value};

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The key of an object.
    Field(String),
    /// The item of a keyed list: its key fields, sorted by name.
    Key(Vec<(String, Scalar)>),
    /// The item of a set: its value.
    Value(Scalar),
    /// The item of another list: its position.
    Index(usize),
}

/// A number, string or boolean that names a list item; ordered, numbers by value.
#[derive(Debug, Clone)]
pub struct Scalar(pub Value);

impl Ord for Scalar {
    fn cmp(&self, other: &Self) -> Ordering {
        let rank = |value: &Value| match value {
            Value::Number(_) => 0,
            Value::String(_) => 1,
            Value::Bool(_) => 2,
            Value::Array(_) => 3,
            Value::Object(_) => 4,
            Value::Null => 5,
        };
        match (&self.0, &other.0) {
            (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
                (Some(a), Some(b)) => a.cmp(&b),
                _ => a.as_f64().unwrap_or_default().total_cmp(&b.as_f64().unwrap_or_default()),
            },
            (Value::String(a), Value::String(b)) => a.cmp(b),
            (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
            (a, b) if rank(a) != rank(b) => rank(a).cmp(&rank(b)),
            (a, b) => a.to_string().cmp(&b.to_string()),
        }
    }
}

impl PartialOrd for Scalar {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Scalar {}

/// As conflict messages print it: `.name`, `[name="main"]`, `[="x"]`, `[3]`.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Key(fields) => {
                f.write_str("[")?;
                for (at, (name, value)) in fields.iter().enumerate() {
                    let comma = if at > 0 { "," } else { "" };
                    write!(f, "{comma}{name}={}", value.0)?;
                }
                f.write_str("]")
            }
            Self::Value(value) => write!(f, "[={}]", value.0),
            Self::Index(index) => write!(f, "[{index}]"),
        }
    }
}

/// A path as conflict messages print it: `.spec.containers[name="main"].image`.
#[must_use]
pub fn display(path: &[Step]) -> String {
    path.iter().map(ToString::to_string).collect()
}

/// A path of object keys alone.
#[must_use]
pub fn path(names: &[&str]) -> Vec<Step> {
    names.iter().map(|name| Step::Field((*name).to_owned())).collect()
}

/// A set of paths. A path and a longer one below it are members independently of each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PathSet {
    pub(crate) members: BTreeSet<Step>,
    pub(crate) children: BTreeMap<Step, PathSet>,
}

impl PathSet {
    /// The set of these paths.
    #[must_use]
    pub fn of(paths: &[&[&str]]) -> Self {
        let mut set = Self::default();
        for names in paths {
            set.insert(&path(names));
        }
        set
    }

    /// Without any path?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty() && self.children.values().all(Self::is_empty)
    }

    /// Adds a path; the empty path is never a member.
    pub fn insert(&mut self, path: &[Step]) {
        match path {
            [] => {}
            [last] => {
                self.members.insert(last.clone());
            }
            [first, rest @ ..] => self.children.entry(first.clone()).or_default().insert(rest),
        }
    }

    /// Is this very path a member?
    #[must_use]
    pub fn contains(&self, path: &[Step]) -> bool {
        match path {
            [] => false,
            [last] => self.members.contains(last),
            [first, rest @ ..] => self.children.get(first).is_some_and(|child| child.contains(rest)),
        }
    }

    /// Are all members also those of the other?
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        self.members.is_subset(&other.members)
            && self.children.iter().all(|(step, child)| match other.children.get(step) {
                Some(theirs) => child.is_within(theirs),
                None => child.is_empty(),
            })
    }

    /// The members below a step, as paths from there.
    #[must_use]
    pub fn below(&self, step: &Step) -> Option<&Self> {
        self.children.get(step).filter(|child| !child.is_empty())
    }

    /// Members of either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut out = self.clone();
        out.members.extend(other.members.iter().cloned());
        for (step, child) in &other.children {
            let merged = out.children.get(step).map_or_else(|| child.clone(), |mine| mine.union(child));
            out.children.insert(step.clone(), merged);
        }
        out
    }

    /// Members of both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let children = self.children.iter().filter_map(|(step, child)| {
            let both = child.intersection(other.children.get(step)?);
            (!both.is_empty()).then(|| (step.clone(), both))
        });
        Self {
            members: self.members.intersection(&other.members).cloned().collect(),
            children: children.collect(),
        }
    }

    /// Members of this that the other has not.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let children = self.children.iter().filter_map(|(step, child)| {
            let rest =
                other.children.get(step).map_or_else(|| child.clone(), |theirs| child.difference(theirs));
            (!rest.is_empty()).then(|| (step.clone(), rest))
        });
        Self {
            members: self.members.difference(&other.members).cloned().collect(),
            children: children.collect(),
        }
    }

    /// Members of this that are neither members of the other nor below one.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let children = self.children.iter().filter(|(step, _)| !other.members.contains(step));
        let children = children.filter_map(|(step, child)| {
            let rest = other.children.get(step).map_or_else(|| child.clone(), |theirs| child.without(theirs));
            (!rest.is_empty()).then(|| (step.clone(), rest))
        });
        Self {
            members: self.members.difference(&other.members).cloned().collect(),
            children: children.collect(),
        }
    }

    /// All paths, in order: a parent before what is below it.
    #[must_use]
    pub fn paths(&self) -> Vec<Vec<Step>> {
        let mut out = Vec::new();
        self.collect(&mut Vec::new(), &mut out);
        out
    }

    fn collect(&self, prefix: &mut Vec<Step>, out: &mut Vec<Vec<Step>>) {
        let both: BTreeSet<&Step> = self.members.iter().chain(self.children.keys()).collect();
        for step in both {
            prefix.push(step.clone());
            if self.members.contains(step) {
                out.push(prefix.clone());
            }
            if let Some(child) = self.children.get(step) {
                child.collect(prefix, out);
            }
            prefix.pop();
        }
    }

    /// As `fieldsV1`.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut out = Map::new();
        for step in &self.members {
            out.insert(encode(step), Value::Object(Map::new()));
        }
        for (step, child) in self.children.iter().filter(|(_, child)| !child.is_empty()) {
            let mut inner = child.to_value();
            if let (true, Value::Object(inner)) = (self.members.contains(step), &mut inner) {
                inner.insert(".".into(), Value::Object(Map::new()));
            }
            out.insert(encode(step), inner);
        }
        Value::Object(out)
    }

    /// From `fieldsV1`. None if it is not that.
    #[must_use]
    pub fn from_value(value: &Value) -> Option<Self> {
        Self::from_map(value.as_object()?)
    }

    fn from_map(map: &Map<String, Value>) -> Option<Self> {
        let mut set = Self::default();
        for (key, inner) in map {
            if key == "." {
                continue;
            }
            let step = decode(key)?;
            let inner = inner.as_object()?;
            if inner.is_empty() || inner.contains_key(".") {
                set.members.insert(step.clone());
            }
            let child = Self::from_map(inner)?;
            if !child.is_empty() {
                set.children.insert(step, child);
            }
        }
        Some(set)
    }
}

fn encode(step: &Step) -> String {
    match step {
        Step::Field(name) => format!("f:{name}"),
        Step::Key(fields) => {
            let map: Map<String, Value> =
                fields.iter().map(|(name, value)| (name.clone(), value.0.clone())).collect();
            format!("k:{}", Value::Object(map))
        }
        Step::Value(value) => format!("v:{}", value.0),
        Step::Index(index) => format!("i:{index}"),
    }
}

fn decode(key: &str) -> Option<Step> {
    let (kind, rest) = key.split_once(':')?;
    match kind {
        "f" => Some(Step::Field(rest.to_owned())),
        "v" => Some(Step::Value(Scalar(serde_json::from_str(rest).ok()?))),
        "i" => Some(Step::Index(rest.parse().ok()?)),
        "k" => match serde_json::from_str(rest).ok()? {
            Value::Object(map) => {
                Some(Step::Key(map.into_iter().map(|(name, value)| (name, Scalar(value))).collect()))
            }
            _ => None,
        },
        _ => None,
    }
}
