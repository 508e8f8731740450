//! Who asks, and may they.

use http::HeaderMap;
use serde_json::Value;

use crate::core::Core;
use crate::http::{Answer, Asker, Call};
use crate::path::Place;
use crate::rest::Scope;
use crate::status::Failure;

impl Core {
    /// The user of a request. The trusted handle without a header is the administrator.
    pub(crate) fn authenticate(&self, headers: &HeaderMap, trusted: bool) -> Result<Asker, Failure> {
        let header = headers.get(http::header::AUTHORIZATION).and_then(|v| v.to_str().ok()).filter(|h| !h.is_empty());
        match header.map(|h| h.strip_prefix("Bearer ").unwrap_or_default()) {
            None if trusted => Ok(Asker { name: "admin".into(), groups: vec!["system:masters".into(), "system:authenticated".into()] }),
            None if self.options.anonymous => {
                Ok(Asker { name: "system:anonymous".into(), groups: vec!["system:unauthenticated".into()] })
            }
            None => Err(Failure::unauthorized()),
            Some(token) => match self.options.users.iter().find(|u| same(&u.token, token)) {
                Some(user) => {
                    let mut groups = user.groups.clone();
                    groups.push("system:authenticated".into());
                    Ok(Asker { name: user.name.clone(), groups })
                }
                None => Err(Failure::unauthorized()),
            },
        }
    }

    pub(crate) fn authorize(&self, call: &Call, _place: &Place) -> Result<(), Failure> {
        if call.user.groups.iter().any(|g| g == "system:masters") {
            return Ok(());
        }
        Ok(())
    }

    /// Answers the review kinds, which are questions and are not stored.
    pub(crate) fn review(&self, _call: &Call, _scope: &Scope, _value: &Value) -> Result<Option<Answer>, Failure> {
        Ok(None)
    }
}

/// Compares without telling by its time how much is right.
fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |acc, (x, y)| acc | (x ^ y)) == 0
}
