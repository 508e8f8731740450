//! What can go wrong, in Go's words and in parts.

/// Why a template cannot be parsed or rendered. `Display` is exactly what Go's `text/template` says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// Go's words.
    pub message: String,
    /// Where in the text, in bytes; `None` for a parse error, of which Go knows the line alone.
    pub at: Option<usize>,
    /// What kind of mistake it is.
    pub cause: Cause,
}

/// What kind of mistake it is, for those who want to say more than Go does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The text is not a template.
    Syntax,
    /// A name that the data does not have.
    UnknownField {
        /// The name.
        name: String,
        /// The names that it has there.
        known: Vec<String>,
    },
    /// A field of something that is absent.
    Nil {
        /// The field.
        name: String,
    },
    /// Anything else.
    Other,
}

impl Error {
    pub(crate) fn parse(message: String) -> Error {
        Error { message, at: None, cause: Cause::Syntax }
    }
}
