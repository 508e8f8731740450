//! The verbs.

mod body;
mod create;
mod delete;
mod get;
mod list;
mod patch;
mod subresource;
mod update;
mod watch;
mod write;

use std::sync::Arc;

use serde_json::Value;

use crate::catalog::Resource;
use crate::core::Core;
use crate::http::{Answer, Call};
use crate::media::Shape;
use crate::status::Failure;

pub(crate) use body::{Strictness, WriteOptions};
pub(crate) use write::{name_of, strings, tidy_metadata};

/// The resource that a request is about.
pub(crate) struct Scope {
    pub(crate) resource: Arc<Resource>,
    /// `None` for what belongs to the cluster, and across namespaces.
    pub(crate) namespace: Option<String>,
    pub(crate) subresource: Option<String>,
}

impl Scope {
    fn key(&self, name: &str) -> String {
        self.resource.key(self.namespace.as_deref(), name)
    }
}

impl Core {
    /// The object in the form that the caller asked for.
    pub(crate) fn present(
        &self,
        call: &Call,
        scope: &Scope,
        status: u16,
        value: Value,
    ) -> Result<Answer, Failure> {
        let value = match call.wanted.shape {
            Shape::Object => value,
            Shape::Table => crate::table::of_one(self, call, &scope.resource, &value),
            Shape::PartialObject => crate::table::partial(value),
            Shape::PartialList => return Err(Failure::internal("content is not a list")),
        };
        Ok(Answer::value(status, value))
    }
}
