//! Comparison with placeholders.

use std::collections::BTreeMap;

use serde_json::Value;

use super::exchange::{Answer, Exchange};

/// What each placeholder stands for in this run.
#[derive(Default)]
pub(super) struct Bindings {
    values: BTreeMap<String, String>,
    invented: u64,
    /// uids that the recording shows inside field names, where they were not replaced.
    uids: Vec<String>,
}

/// Placeholders that stand for anything.
const FREE: [&str; 7] = ["<time>", "<hash>", "<age>", "<address>", "<rv-current>", "<nodePort>", "<name>"];

impl Bindings {
    pub(super) fn new(recording: &str) -> Self {
        let mut uids: Vec<String> = Vec::new();
        for part in recording.split("uid").skip(1) {
            let uid: String = part
                .trim_start_matches(['\\', '"', ':'])
                .chars()
                .take_while(|c| c.is_ascii_hexdigit() || *c == '-')
                .collect();
            if uid.len() == 36 && !uids.contains(&uid) {
                uids.push(uid);
            }
        }
        uids.sort();
        Self { uids, ..Self::default() }
    }

    /// A text of a request with the values of this run in the place of placeholders.
    pub(super) fn filled(&mut self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(start) = rest.find('<') {
            out.push_str(&rest[..start]);
            rest = &rest[start..];
            let Some(end) = rest.find('>') else { break };
            let token = &rest[..=end];
            match self.value(token) {
                Some(value) => {
                    out.push_str(&value);
                    rest = &rest[end + 1..];
                }
                None => {
                    out.push('<');
                    rest = &rest[1..];
                }
            }
        }
        out.push_str(rest);
        out
    }

    /// A recorded document with values in the place of placeholders.
    pub(super) fn filled_value(&mut self, recorded: &Value) -> Result<Value, serde_json::Error> {
        serde_json::from_str(&self.filled(&recorded.to_string()))
    }

    /// Compares two documents whose free orders have not been settled yet.
    pub(super) fn compare_sorted(&mut self, theirs: &Value, ours: &Value, differences: &mut Vec<String>) {
        let (mut theirs, mut ours) = (theirs.clone(), ours.clone());
        sort(&mut theirs);
        sort(&mut ours);
        self.compare(&theirs, &ours, "", differences);
    }

    fn value(&mut self, token: &str) -> Option<String> {
        if let Some(value) = self.values.get(token) {
            return Some(value.clone());
        }
        let name = token.trim_matches(['<', '>']);
        if let Some((letter, count)) = name.split_once('*') {
            return Some(letter.repeat(count.parse().ok()?));
        }
        self.invented += 1;
        // A value that no answer gave before: one that no server would give.
        let value = match name.split('-').next()? {
            "time" => return Some("2026-01-01T00:00:00Z".into()),
            "hash" => return Some("0".into()),
            "uid" if self.uids.len() as u64 >= self.invented => self.uids[self.invented as usize - 1].clone(),
            "uid" => format!("00000000-0000-4000-8000-{:012}", self.invented),
            "ip" => format!("10.96.200.{}", self.invented),
            "rv" => "1".into(),
            _ => return None,
        };
        self.values.insert(token.to_owned(), value.clone());
        Some(value)
    }

    /// Compares an answer with the recorded one.
    pub(super) fn answer(&mut self, exchange: &Exchange, answer: &mut Answer, differences: &mut Vec<String>) {
        let recorded = &exchange.response;
        if recorded.status != answer.status {
            differences.push(format!(
                "status {} instead of {}: {}",
                answer.status,
                recorded.status,
                short(&answer.body)
            ));
            return;
        }
        for (name, value) in &recorded.headers {
            let ours = answer.headers.get(&name.to_ascii_lowercase()).cloned().unwrap_or_default();
            let theirs: Vec<&str> = match value {
                Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
                other => other.as_str().into_iter().collect(),
            };
            if ours.len() != theirs.len() || !theirs.iter().zip(&ours).all(|(t, o)| self.texts(t, o)) {
                differences.push(format!("{name}: {ours:?} instead of {theirs:?}"));
            }
        }
        if !recorded.headers.contains_key("Warning")
            && let Some(warning) = answer.headers.get("warning")
        {
            differences.push(format!("unexpected Warning {warning:?}"));
        }
        let Some(body) = recorded.body.as_ref().filter(|b| **b != "<not kept>") else { return };
        let mut ours = answer.body.take();
        sort(&mut ours);
        let mut theirs = body.clone();
        sort(&mut theirs);
        if ours["kind"] == "APIGroupDiscoveryList" || exchange.request.path == "/openapi/v3" {
            cut(&theirs, &mut ours);
        }
        self.compare(&theirs, &ours, "", differences);
        answer.body = ours;
    }

    /// Adds the differences of two documents, recorded and ours.
    pub(super) fn compare(
        &mut self,
        theirs: &Value,
        ours: &Value,
        path: &str,
        differences: &mut Vec<String>,
    ) {
        match (theirs, ours) {
            (Value::Object(a), Value::Object(b)) => {
                let filled: Vec<(String, &Value)> =
                    a.iter().map(|(key, value)| (self.bound(key), value)).collect();
                for (key, value) in &filled {
                    if key == "storageVersionHash" {
                        continue;
                    }
                    // A list's revision may be any that is not older.
                    let free =
                        key.as_str() == "resourceVersion" && path == ".metadata" && differences_allowed(ours);
                    match b.get(key) {
                        Some(other) if free => self.bind_if_new(value, other),
                        Some(other) if key == "message" => self.message(value, other, path, differences),
                        Some(other) => self.compare(value, other, &format!("{path}.{key}"), differences),
                        None => differences.push(format!("{path}.{key} is missing: {}", short(value))),
                    }
                }
                for (key, value) in b {
                    if !filled.iter().any(|(k, _)| k == key) && key != "storageVersionHash" {
                        differences.push(format!("{path}.{key} is too much: {}", short(value)));
                    }
                }
            }
            (Value::Array(a), Value::Array(b)) => {
                if a.len() != b.len() {
                    differences.push(format!(
                        "{path} has {} items instead of {}: {} instead of {}",
                        b.len(),
                        a.len(),
                        short(ours),
                        short(theirs)
                    ));
                    return;
                }
                for (index, (a, b)) in a.iter().zip(b).enumerate() {
                    self.compare(a, b, &format!("{path}[{index}]"), differences);
                }
            }
            (Value::String(a), Value::String(b)) => {
                if !self.texts(a, b) {
                    differences.push(format!("{path} is {b:?} instead of {a:?}"));
                }
            }
            (Value::String(a), Value::Number(_)) if a == "<nodePort>" => {}
            (a, b) if a == b => {}
            (a, b) => differences.push(format!("{path} is {} instead of {}", short(b), short(a))),
        }
    }

    /// A field name with the values that are known so far.
    fn bound(&self, name: &str) -> String {
        let mut out = name.to_owned();
        if name.contains('<') {
            for (token, value) in &self.values {
                out = out.replace(token, value);
            }
        }
        out
    }

    fn bind_if_new(&mut self, theirs: &Value, ours: &Value) {
        if let (Some(token), Some(value)) = (theirs.as_str(), ours.as_str())
            && is_placeholder(token)
        {
            self.values.entry(token.to_owned()).or_insert_with(|| value.to_owned());
        }
    }

    /// Messages that list several causes are sets.
    fn message(&mut self, theirs: &Value, ours: &Value, path: &str, differences: &mut Vec<String>) {
        let (Value::String(a), Value::String(b)) = (theirs, ours) else {
            return self.compare(theirs, ours, path, differences);
        };
        if self.texts(a, b) {
            return;
        }
        let parts = |text: &str| {
            let mut parts: Vec<String> =
                text.replace(['[', ']'], "").split([',', '\n']).map(|p| p.trim().to_owned()).collect();
            parts.sort();
            let (prefix, mut rest): (Vec<_>, Vec<_>) =
                parts.into_iter().partition(|p| p.contains("is invalid: "));
            rest.extend(prefix.iter().flat_map(|p| p.split("is invalid: ").map(str::to_owned)));
            rest.sort();
            rest
        };
        let (x, y) = (parts(a), parts(b));
        if x.len() != y.len() || !x.iter().zip(&y).all(|(x, y)| self.texts(x, y)) {
            differences.push(format!("{path}.message is {b:?} instead of {a:?}"));
        }
    }

    fn texts(&mut self, theirs: &str, ours: &str) -> bool {
        let Some(start) = theirs.find('<') else { return theirs == ours };
        let Some(rest) = ours.strip_prefix(&theirs[..start]) else { return false };
        let after = &theirs[start..];
        let token_end = after.find('>').map(|end| end + 1);
        let Some(token) = token_end.map(|end| &after[..end]).filter(|t| is_placeholder(t)) else {
            return rest.starts_with('<') && self.texts(&after[1..], &rest[1..]);
        };
        let tail = &after[token.len()..];
        if let Some(value) = self.values.get(token).cloned() {
            return rest.strip_prefix(&value).is_some_and(|rest| self.texts(tail, rest));
        }
        if let Some((letter, count)) = token.trim_matches(['<', '>']).split_once('*') {
            let value = letter.repeat(count.parse().unwrap_or(0));
            return rest.strip_prefix(&value).is_some_and(|rest| self.texts(tail, rest));
        }
        // The shortest text that lets the rest fit; what it is gets bound.
        let literal: String = tail.chars().take_while(|c| *c != '<').collect();
        let ends: Vec<usize> = if tail.is_empty() {
            vec![rest.len()]
        } else {
            rest.match_indices(literal.as_str()).map(|(at, _)| at).collect()
        };
        for end in ends {
            let value = &rest[..end];
            let kind = token.trim_matches(['<', '>']).split('-').next().unwrap_or_default();
            let fits = match kind {
                "time" => value.len() >= 20 && value.ends_with('Z'),
                "rv" => value.parse::<u64>().is_ok(),
                "uid" => value.len() == 36,
                _ => !value.is_empty(),
            };
            if !fits {
                continue;
            }
            let distinct = FREE.contains(&token) || self.values.values().all(|v| v != value);
            if !distinct {
                continue;
            }
            if !FREE.contains(&token) {
                self.values.insert(token.to_owned(), value.to_owned());
            }
            return self.texts(tail, &rest[end..]);
        }
        false
    }
}

fn is_placeholder(token: &str) -> bool {
    if FREE.contains(&token) {
        return true;
    }
    let name = token.trim_matches(['<', '>']);
    match name.split_once(['-', '*']) {
        Some((kind, number)) => {
            (matches!(kind, "uid" | "rv" | "suffix" | "ip" | "continue") || kind.len() == 1)
                && !number.is_empty()
                && number.chars().all(|c| c.is_ascii_digit())
        }
        None => false,
    }
}

fn differences_allowed(ours: &Value) -> bool {
    ours.get("uid").is_none() && ours.get("name").is_none()
}

/// Leaves of ours only the groups that the recorded, cut answer has.
fn cut(theirs: &Value, ours: &mut Value) {
    if let (Some(kept), Some(items)) =
        (theirs["items"].as_array(), ours.get_mut("items").and_then(Value::as_array_mut))
    {
        items.retain(|item| kept.iter().any(|k| k["metadata"] == item["metadata"]));
    }
    if let (Some(kept), Some(paths)) =
        (theirs["paths"].as_object(), ours.get_mut("paths").and_then(Value::as_object_mut))
    {
        paths.retain(|path, _| kept.contains_key(path));
    }
}

/// Sorts what the recordings sort.
pub(super) fn sort(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, member) in map.iter_mut() {
                sort(member);
                let Value::Array(list) = member else { continue };
                let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
                match key.as_str() {
                    "managedFields" => list.sort_by_key(|e| {
                        (
                            text(&e["operation"]),
                            text(&e["manager"]),
                            text(&e["apiVersion"]),
                            text(&e["subresource"]),
                        )
                    }),
                    "causes" => list.sort_by_key(|e| (text(&e["field"]), text(&e["message"]))),
                    "resources" => list.sort_by_key(|e| (text(&e["name"]), text(&e["resource"]))),
                    _ => {}
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(sort),
        _ => {}
    }
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(300) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
