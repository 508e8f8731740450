//! Answers of the gateway's own, in the shape that OpenAI clients understand: `{"error":{"message","type","code"}}`.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};

use crate::body::ReplyBody;

/// Why a request is not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: StatusCode,
    /// OpenAI's class of the error, such as `invalid_request_error`.
    pub kind: &'static str,
    /// A word for programs, such as `model_not_found`.
    pub code: &'static str,
    /// What is wrong and what to do, for people.
    pub message: String,
    /// When it is worth to try again, in seconds; `None` if trying again changes nothing.
    pub retry_after_s: Option<u32>,
    /// The value of `x-llm-d-request-dropped-reason`; `None` leaves the header out.
    pub dropped_reason: Option<&'static str>,
}

impl Refusal {
    fn new(status: StatusCode, kind: &'static str, code: &'static str, message: String) -> Self {
        Self { status, kind, code, message, retry_after_s: None, dropped_reason: None }
    }

    pub(crate) fn bad_request(code: &'static str, message: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", code, message)
    }

    pub(crate) fn forbidden(message: String) -> Self {
        Self::new(StatusCode::FORBIDDEN, "invalid_request_error", "forbidden", message)
    }

    pub(crate) fn not_found(code: &'static str, message: String) -> Self {
        Self::new(StatusCode::NOT_FOUND, "invalid_request_error", code, message)
    }

    pub(crate) fn method_not_allowed(message: String) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "invalid_request_error", "method_not_allowed", message)
    }

    pub(crate) fn too_large(limit_bytes: usize) -> Self {
        let message =
            format!("the request body is larger than the {limit_bytes} bytes that this gateway takes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "invalid_request_error", "request_too_large", message)
    }

    pub(crate) fn broken_route(message: String) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "api_error", "invalid_route", message)
    }

    pub(crate) fn not_ready(message: String) -> Self {
        let refusal = Self::new(StatusCode::SERVICE_UNAVAILABLE, "api_error", "no_ready_endpoint", message);
        Self { retry_after_s: Some(2), ..refusal }
    }

    pub(crate) fn overloaded(message: String) -> Self {
        let refusal = Self::new(StatusCode::SERVICE_UNAVAILABLE, "api_error", "overloaded", message);
        Self { retry_after_s: Some(1), ..refusal }
    }

    pub(crate) fn saturated(message: String) -> Self {
        let refusal =
            Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", "no_eligible_endpoint", message);
        Self { retry_after_s: Some(1), ..refusal }
    }

    pub(crate) fn dropped(self, reason: &'static str) -> Self {
        Self { dropped_reason: Some(reason), ..self }
    }

    pub(crate) fn upstream(message: String) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, "api_error", "upstream_error", message)
    }

    pub(crate) fn timed_out(message: String) -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, "api_error", "upstream_timeout", message)
    }

    /// The JSON text of the error.
    pub fn to_json(&self) -> String {
        let error = serde_json::json!({
            "error": { "message": self.message, "type": self.kind, "code": self.code }
        });
        error.to_string()
    }

    /// The whole answer.
    pub fn into_response(self) -> Response<ReplyBody> {
        let mut response = Response::new(ReplyBody::whole(Bytes::from(self.to_json())));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(reason) = self.dropped_reason {
            headers.insert(crate::headers::X_DROPPED_REASON, HeaderValue::from_static(reason));
        }
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        response
    }
}
