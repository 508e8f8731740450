//! Fields that another manager owns with another value.

use std::fmt;

use super::managed::{Key, Operation};
use crate::fields::{PathSet, Step, display};

/// One field that another manager owns.
#[derive(Debug, Clone, PartialEq)]
pub struct Conflict {
    /// The owner as messages print it: `"hpa" with subresource "scale" using apps/v1`.
    pub owner: String,
    /// The field as messages print it: `.spec.replicas`.
    pub field: String,
    pub(crate) path: Vec<Step>,
}

impl Conflict {
    /// `conflict with "alpha"`, the message of the cause in a Status.
    #[must_use]
    pub fn message(&self) -> String {
        format!("conflict with {}", self.owner)
    }
}

/// All conflicts of an apply, by owner and field. Displays as kube-apiserver's message.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Conflicts(Vec<Conflict>);

impl Conflicts {
    pub(super) fn of(owners: impl Iterator<Item = (Key, PathSet)>) -> Self {
        let mut all = Vec::new();
        for (key, fields) in owners {
            let owner = owner(&key);
            let conflict = |path: Vec<Step>| Conflict { owner: owner.clone(), field: display(&path), path };
            all.extend(fields.paths().into_iter().map(conflict));
        }
        Self(all)
    }

    /// Each conflict.
    pub fn iter(&self) -> impl Iterator<Item = &Conflict> {
        self.0.iter()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn without(&self, allowed: &PathSet) -> Self {
        Self(self.0.iter().filter(|conflict| !allowed.contains(&conflict.path)).cloned().collect())
    }
}

impl fmt::Display for Conflicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [only] = self.0.as_slice() {
            return write!(f, "Apply failed with 1 conflict: conflict with {}: {}", only.owner, only.field);
        }
        write!(f, "Apply failed with {} conflicts: ", self.0.len())?;
        let mut last: Option<&str> = None;
        for conflict in &self.0 {
            if last != Some(conflict.owner.as_str()) {
                let break_ = if last.is_some() { "\n" } else { "" };
                write!(f, "{break_}conflicts with {}:", conflict.owner)?;
                last = Some(&conflict.owner);
            }
            write!(f, "\n- {}", conflict.field)?;
        }
        Ok(())
    }
}

fn owner(key: &Key) -> String {
    let mut text = format!("{:?}", key.manager);
    if !key.subresource.is_empty() {
        text += &format!(" with subresource {:?}", key.subresource);
    }
    if key.operation == Operation::Update {
        text += &format!(" using {}", key.api_version);
    }
    text
}
