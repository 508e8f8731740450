//! Words of a command line, as a POSIX shell tells them apart. Nothing is expanded.

/// What a text comes to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Split {
    pub(crate) words: Vec<String>,
    /// Whether a shell would have put variables in. `$(NAME)` is Kubernetes', which does so in any word.
    pub(crate) has_variables: bool,
}

/// Blanks separate; quotes join, double ones with backslashes that escape what has a meaning there; elsewhere a backslash
/// takes the next character as it is. `None` if a quote is not closed.
pub(crate) fn split(text: &str) -> Option<Split> {
    let mut split = Split::default();
    let mut word: Option<String> = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_ascii_whitespace() => split.words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '"' => break,
                        '\\' => match chars.next()? {
                            '\n' => {}
                            c @ ('$' | '`' | '"' | '\\') => word.push(c),
                            c => word.extend(['\\', c]),
                        },
                        c => {
                            split.has_variables |= c == '$' && begins_variable(chars.peek());
                            word.push(c);
                        }
                    }
                }
            }
            '\\' => match chars.next() {
                Some('\n') => {}
                next => word.get_or_insert_default().push(next.unwrap_or('\\')),
            },
            c => {
                split.has_variables |= c == '$' && begins_variable(chars.peek());
                word.get_or_insert_default().push(c);
            }
        }
    }
    split.words.extend(word);
    Some(split)
}

fn begins_variable(next: Option<&char>) -> bool {
    next.is_some_and(|next| next.is_ascii_alphabetic() || matches!(next, '_' | '{'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_told_apart_as_a_shell_does_it() {
        for (text, words) in [
            ("", &[][..]),
            ("  --a  b\n--c=d\t", &["--a", "b", "--c=d"]),
            (r#"--kv '{"a": "b c"}' --x"#, &["--kv", r#"{"a": "b c"}"#, "--x"]),
            (r#"--kv="{\"a\": 1}" "\d" '\"'"#, &["--kv={\"a\": 1}", r"\d", r#"\""#]),
            (r"a\ b \'", &["a b", "'"]),
            ("'' \"\"", &["", ""]),
            ("a\\\nb \"c\\\nd\"", &["ab", "cd"]),
            ("--host=$(POD_IP) $5", &["--host=$(POD_IP)", "$5"]),
            ("é'è'", &["éè"]),
            ("a\\", &["a\\"]),
        ] {
            let split = split(text).unwrap();
            assert_eq!(split.words, words, "{text}");
            assert!(!split.has_variables, "{text}");
        }
    }

    #[test]
    fn variables_of_a_shell_and_open_quotes_are_noticed() {
        for text in ["$A", "\"x${A}\"", "a$_b"] {
            assert!(split(text).unwrap().has_variables, "{text}");
        }
        for text in [r"\$A", "'$A'", r#""\$A""#] {
            assert!(!split(text).unwrap().has_variables, "{text}");
        }
        for text in ["'a", "\"a", "b 'c\" d", "\"a\\"] {
            assert_eq!(split(text), None, "{text}");
        }
    }
}
