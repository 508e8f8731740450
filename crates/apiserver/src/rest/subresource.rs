//! The subresources that are not the object itself: scale, log, binding, finalize, token.

use http::Method;

use super::Scope;
use crate::core::Core;
use crate::http::{Answer, Call};
use crate::status::Failure;

impl Core {
    pub(crate) async fn subresource(&self, call: &Call, scope: &Scope, name: &str, subresource: &str) -> Result<Answer, Failure> {
        if !scope.resource.has(subresource) {
            return Ok(Answer::text(404, "404 page not found\n"));
        }
        match (&call.method, subresource) {
            (&Method::GET, "log") => self.log(call, scope, name).await,
            _ => Err(Failure::method_not_allowed()),
        }
    }
}
