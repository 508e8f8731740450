//! Where a value stands in a document. Most values are fine, so it is put into words only for those that are not.

use std::fmt::Write as _;

/// The way from the document to a value.
#[derive(Debug, Clone, Default)]
pub(super) struct Path<'v> {
    /// Where the way begins.
    from: String,
    steps: Vec<Step<'v>>,
}

#[derive(Debug, Clone, Copy)]
enum Step<'v> {
    Field(&'v str),
    /// A key of a map, where it is told from a field.
    Key(&'v str),
    Item(usize),
}

impl<'v> Path<'v> {
    /// A way that begins at a value inside a document.
    pub(super) fn from(from: String) -> Self {
        Path { from, steps: Vec::new() }
    }

    pub(super) fn push_field(&mut self, name: &'v str) {
        self.steps.push(Step::Field(name));
    }

    pub(super) fn push_key(&mut self, key: &'v str) {
        self.steps.push(Step::Key(key));
    }

    pub(super) fn push_item(&mut self, index: usize) {
        self.steps.push(Step::Item(index));
    }

    pub(super) fn pop(&mut self) {
        self.steps.pop();
    }

    /// `spec.router.gateway.refs[0].name`; empty for the document itself.
    pub(super) fn text(&self) -> String {
        let mut text = self.from.clone();
        for step in &self.steps {
            match step {
                Step::Field(name) => {
                    if !text.is_empty() {
                        text.push('.');
                    }
                    text.push_str(name);
                }
                Step::Key(key) => drop(write!(text, "[{key}]")),
                Step::Item(index) => drop(write!(text, "[{index}]")),
            }
        }
        text
    }
}
