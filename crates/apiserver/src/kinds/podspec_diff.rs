//! The difference of two pod specs as the original shows it: a unified diff of Go's indented JSON.

use serde_json::Value;

/// Lines around a change.
const CONTEXT: usize = 3;

/// A unified diff without file names.
pub(super) fn unified(old: &Value, new: &Value) -> String {
    let (old, new) = (lines(old), lines(new));
    let start = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let tail = old[start..].iter().rev().zip(new[start..].iter().rev()).take_while(|(a, b)| a == b).count();
    let (old_end, new_end) = (old.len() - tail, new.len() - tail);
    let from = start.saturating_sub(CONTEXT);
    let after = tail.min(CONTEXT);
    let mut out =
        format!("@@ -{},{} +{},{} @@\n", from + 1, old_end + after - from, from + 1, new_end + after - from,);
    let mut push = |mark: char, line: &str| {
        out.push(mark);
        out.push_str(line);
        out.push('\n');
    };
    old[from..start].iter().for_each(|l| push(' ', l));
    old[start..old_end].iter().for_each(|l| push('-', l));
    new[start..new_end].iter().for_each(|l| push('+', l));
    old[old_end..old_end + after].iter().for_each(|l| push(' ', l));
    out
}

fn lines(value: &Value) -> Vec<String> {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}
