//! Any bytes as YAML.
//!
//! Nothing may panic; positions lie in the text; a key that stands twice names a value; what is written is read
//! as the same documents.

use serde_json::Value;
use yaml::Position;

pub(crate) fn hold(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let documents = match yaml::read_documents(text) {
        Ok(documents) => documents,
        Err(error) => {
            if let Some(position) = error.position() {
                assert_in_text(position, text);
            }
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    for document in &documents {
        assert_marked(&document.value, &mut String::new(), document, text);
        for (pointer, position) in &document.duplicates {
            // What stood in the first of two values of a key is gone.
            let is_gone = document.duplicates.iter().any(|(above, _)| {
                pointer.strip_prefix(above.as_str()).is_some_and(|rest| rest.starts_with('/'))
            });
            assert!(
                is_gone || document.value.pointer(pointer).is_some(),
                "duplicate {pointer:?} names nothing"
            );
            assert_in_text(*position, text);
        }
        let written = yaml::write(&document.value);
        assert_eq!(yaml::read_value(&written).as_ref(), Ok(&document.value), "{written}");
    }
    let values: Vec<Value> = documents.into_iter().map(|document| document.value).collect();
    let written = yaml::write_documents(&values);
    let again = yaml::read_documents(&written).unwrap_or_else(|error| panic!("{error}\n{written}"));
    assert!(again.iter().map(|document| &document.value).eq(&values), "{written}");
}

fn assert_marked(value: &Value, pointer: &mut String, document: &yaml::Document, text: &str) {
    match document.marks.position(pointer) {
        Some(position) => assert_in_text(position, text),
        None => panic!("{pointer:?} has no position"),
    }
    let mut step = |name: &str, child: &Value| {
        let length = pointer.len();
        pointer.push('/');
        pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
        assert_marked(child, pointer, document, text);
        pointer.truncate(length);
    };
    match value {
        Value::Array(items) => items.iter().enumerate().for_each(|(i, item)| step(&i.to_string(), item)),
        Value::Object(fields) => fields.iter().for_each(|(name, field)| step(name, field)),
        _ => {}
    }
}

/// Lines end as YAML says: LF, CRLF or CR. The end of the text is a place, too.
fn assert_in_text(position: Position, text: &str) {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let line = text.split('\n').nth(position.line.wrapping_sub(1));
    let length = line.map(|line| line.chars().count());
    assert!(
        position.column >= 1 && length.is_some_and(|length| position.column <= length + 1),
        "{position} is not in the text, whose line has {length:?} characters"
    );
}
