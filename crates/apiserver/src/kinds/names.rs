//! The syntax of names, labels and annotations, with the original's words.

const NAME_PART: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

type Checked = Result<(), Vec<String>>;

fn done(errors: Vec<String>) -> Checked {
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

fn too_long(limit: usize) -> String {
    format!("must be no more than {limit} characters")
}

fn word(text: &str) -> bool {
    let bytes = text.as_bytes();
    let inside = |b: &u8| b.is_ascii_alphanumeric() || b"-_.".contains(b);
    match (bytes.first(), bytes.last()) {
        (Some(first), Some(last)) => {
            first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() && bytes.iter().all(inside)
        }
        _ => false,
    }
}

fn lower_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    let edge = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    match (bytes.first(), bytes.last()) {
        (Some(first), Some(last)) => edge(first) && edge(last) && bytes.iter().all(|b| edge(b) || *b == b'-'),
        _ => false,
    }
}

/// A key of labels and annotations: `[PREFIX/]NAME`.
pub(crate) fn qualified_name(text: &str) -> Checked {
    let mut errors = Vec::new();
    let name = match text.split('/').collect::<Vec<_>>().as_slice() {
        [name] => (*name).to_owned(),
        [prefix, name] => {
            if prefix.is_empty() {
                errors.push("prefix part must be non-empty".to_owned());
            } else if let Err(why) = subdomain(prefix) {
                errors.extend(why.into_iter().map(|w| format!("prefix part {w}")));
            }
            (*name).to_owned()
        }
        _ => {
            return Err(vec![format!(
                "a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )]);
        }
    };
    if name.is_empty() {
        errors.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        errors.push(format!("name part {}", too_long(63)));
    }
    if !word(&name) {
        errors.push(NAME_PART.to_owned());
    }
    done(errors)
}

pub(crate) fn label_value(text: &str) -> Checked {
    let mut errors = Vec::new();
    if text.len() > 63 {
        errors.push(too_long(63));
    }
    if !text.is_empty() && !word(text) {
        errors.push(LABEL_VALUE.to_owned());
    }
    done(errors)
}

/// A DNS name, as most objects are called.
pub(crate) fn subdomain(text: &str) -> Checked {
    let mut errors = Vec::new();
    if text.len() > 253 {
        errors.push(too_long(253));
    }
    if !text.split('.').all(lower_label) {
        errors.push(SUBDOMAIN.to_owned());
    }
    done(errors)
}

/// One part of a DNS name: namespaces, containers.
pub(crate) fn label(text: &str) -> Checked {
    let mut errors = Vec::new();
    if text.len() > 63 {
        errors.push(too_long(63));
    }
    if !lower_label(text) {
        errors.push(LABEL.to_owned());
    }
    done(errors)
}

/// Services: one part of a DNS name that starts with a letter.
pub(crate) fn label_1035(text: &str) -> Checked {
    let mut errors = Vec::new();
    if text.len() > 63 {
        errors.push(too_long(63));
    }
    if !(lower_label(text) && text.starts_with(|c: char| c.is_ascii_lowercase())) {
        errors.push(LABEL_1035.to_owned());
    }
    done(errors)
}

/// RBAC objects: anything that can be a segment of a path.
pub(crate) fn path_segment(text: &str) -> Checked {
    let mut errors = Vec::new();
    if text == "." || text == ".." {
        errors.push(format!("may not be '{text}'"));
    } else {
        for bad in ["/", "%"] {
            if text.contains(bad) {
                errors.push(format!("may not contain '{bad}'"));
            }
        }
    }
    done(errors)
}
