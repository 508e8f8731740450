//! How a fault in the input is said: file, line, field, reason, hint.

use std::fmt::Write as _;
use std::path::PathBuf;

/// A line to stderr. Nobody may be listening any more, which is no reason to end.
pub(crate) fn say(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// One fault in the input. The process ends with exit code 2 for it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The file, or the argument, as the user named it.
    pub(crate) file: Option<PathBuf>,
    /// Line and column, from 1.
    pub(crate) position: Option<yaml::Position>,
    /// Path of the field, as Kubernetes writes it: `spec.template.containers[0].name`.
    pub(crate) field: Option<String>,
    /// What is wrong.
    pub(crate) reason: String,
    /// What to do.
    pub(crate) hint: Option<String>,
}

impl Problem {
    /// A fault of the command line or of a whole file.
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), ..Self::default() }
    }

    pub(crate) fn in_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.file = Some(file.into());
        self
    }

    pub(crate) fn at(mut self, position: Option<yaml::Position>) -> Self {
        self.position = position;
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// `error: service.yaml:12:9: spec.template.containers[0].name: reason`, and a hint line if there is one.
    pub(crate) fn text(&self) -> String {
        let mut text = String::from("error: ");
        if let Some(file) = &self.file {
            let _ = write!(text, "{}", file.display());
            if let Some(position) = self.position {
                let _ = write!(text, ":{position}");
            }
            text.push_str(": ");
        }
        if let Some(field) = &self.field {
            let _ = write!(text, "{field}: ");
        }
        text.push_str(&self.reason);
        if let Some(hint) = &self.hint {
            let _ = write!(text, "\nhint: {hint}");
        }
        text
    }
}

/// Why a command ended without success.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The input is at fault: exit code 2.
    Input(Vec<Problem>),
    /// It ran and failed: exit code 1.
    Run(anyhow::Error),
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Input(vec![problem])
    }
}

impl From<Vec<Problem>> for Failure {
    fn from(problems: Vec<Problem>) -> Self {
        Self::Input(problems)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Run(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_file_line_field_reason_and_what_to_do() {
        let problem = Problem {
            field: Some("spec.replicas".to_owned()),
            ..Problem::new("expected an integer, found \"two\"")
                .in_file("a.yaml")
                .at(Some(yaml::Position { line: 3, column: 5 }))
                .hint("write 2")
        };
        assert_eq!(
            problem.text(),
            "error: a.yaml:3:5: spec.replicas: expected an integer, found \"two\"\nhint: write 2"
        );
    }
}
