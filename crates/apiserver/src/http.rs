//! The server as a `tower` service: bytes in, bytes or a stream of bytes out.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::core::Core;
use crate::media::Wanted;
use crate::query::Query;
use crate::status::Failure;

/// The largest body that is read.
const BODY_LIMIT_BYTES: usize = 3 * 1024 * 1024;

/// The Kubernetes API in this process.
///
/// A clone is another handle on the same server. Given to `kube::Client::new` it acts as the administrator unless a
/// request carries an `Authorization` header; see [`ApiServer::guarded`] for the handle that a listener serves.
#[derive(Clone)]
pub struct ApiServer {
    pub(crate) core: Arc<Core>,
    pub(crate) trusted: bool,
}

/// Body of an answer.
#[derive(Debug)]
pub enum Body {
    /// Everything at once; `None` after it was taken.
    Full(Option<Bytes>),
    /// A watch or a log.
    Stream(mpsc::Receiver<Bytes>),
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Full(bytes) => {
                Poll::Ready(bytes.take().filter(|b| !b.is_empty()).map(|b| Ok(http_body::Frame::data(b))))
            }
            Self::Stream(receiver) => {
                receiver.poll_recv(cx).map(|chunk| chunk.map(|b| Ok(http_body::Frame::data(b))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Self::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match self {
            Self::Full(bytes) => http_body::SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Stream(_) => http_body::SizeHint::default(),
        }
    }
}

/// Who asks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asker {
    pub(crate) name: String,
    /// Empty where there is none.
    pub(crate) uid: String,
    pub(crate) groups: Vec<String>,
}

/// A request as the rest of the crate sees it.
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: Query,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) user: Asker,
    pub(crate) wanted: Wanted,
}

impl Call {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// An answer before it becomes bytes.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) warnings: Vec<String>,
    pub(crate) content: Content,
}

pub(crate) enum Content {
    /// In the form that the caller asked for.
    Value(Value),
    /// Ready-made bytes.
    Bytes(&'static str, Bytes),
    /// A stream with its content type.
    Stream(&'static str, mpsc::Receiver<Bytes>),
    None,
}

impl Answer {
    pub(crate) fn ok(value: Value) -> Self {
        Self::value(200, value)
    }

    pub(crate) fn value(status: u16, value: Value) -> Self {
        Self { status, warnings: Vec::new(), content: Content::Value(value) }
    }

    pub(crate) fn text(status: u16, text: &str) -> Self {
        let content = Content::Bytes("text/plain; charset=utf-8", Bytes::copy_from_slice(text.as_bytes()));
        Self { status, warnings: Vec::new(), content }
    }

    pub(crate) fn warned(mut self, warnings: Vec<String>) -> Self {
        for warning in warnings {
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
        self
    }
}

impl<B> tower::Service<Request<B>> for ApiServer
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: std::fmt::Display,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let server = self.clone();
        Box::pin(async move { Ok(server.handle(request).await) })
    }
}

impl ApiServer {
    async fn handle<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: std::fmt::Display,
    {
        let (parts, body) = request.into_parts();
        let accept = parts.headers.get(http::header::ACCEPT).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        let mut wanted = crate::media::wanted(accept.as_deref());
        if let Ok(wanted) = &mut wanted
            && query.flag("pretty")
        {
            wanted.pretty = true;
        }
        let form = *wanted.as_ref().unwrap_or(&Wanted::JSON);
        let cached = is_cached(&parts.method, parts.uri.path())
            .then(|| parts.headers.get(http::header::IF_NONE_MATCH).cloned());
        let answer = async {
            let user = self.core.authenticate(&parts.headers, self.trusted)?;
            let body = collect(body).await?;
            let call = Call {
                method: parts.method,
                path: parts.uri.path().to_owned(),
                query,
                headers: parts.headers,
                body,
                user,
                wanted: form,
            };
            self.core.answer(call, wanted.err()).await
        }
        .await;
        let only_protobuf = accept.as_deref() == Some(crate::protobuf::MEDIA_TYPE);
        match answer {
            Err(failure) if only_protobuf => protobuf_refusal(&failure),
            answer => {
                let response = respond(answer, form);
                match cached {
                    Some(known) => tagged(response, known.as_ref()),
                    None => response,
                }
            }
        }
    }
}

/// What kubectl keeps on disk and asks for again: discovery and the API documents.
fn is_cached(method: &Method, path: &str) -> bool {
    method == Method::GET && (matches!(path, "/api" | "/apis") || path.starts_with("/openapi/v3"))
}

/// Names the content in `ETag`; a caller that has it gets a 304 instead.
fn tagged(mut response: Response<Body>, known: Option<&http::HeaderValue>) -> Response<Body> {
    use sha2::Digest;
    use std::fmt::Write;
    let Body::Full(Some(bytes)) = response.body() else { return response };
    if response.status() != StatusCode::OK {
        return response;
    }
    let mut tag = String::from("\"");
    for byte in sha2::Sha256::digest(bytes) {
        // Writing to a string does not fail.
        let _ = write!(tag, "{byte:02X}");
    }
    tag.push('"');
    let Ok(tag) = http::HeaderValue::from_str(&tag) else { return response };
    if known == Some(&tag) {
        response = Response::new(Body::Full(None));
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    response.headers_mut().insert(http::header::ETAG, tag);
    response
}

/// The one thing that is said in protobuf: that protobuf is not.
fn protobuf_refusal(failure: &Failure) -> Response<Body> {
    let mut response = Response::new(Body::Full(Some(crate::protobuf::status(failure).into())));
    *response.status_mut() = StatusCode::from_u16(failure.code).unwrap_or(StatusCode::NOT_ACCEPTABLE);
    let media = http::HeaderValue::from_static(crate::protobuf::MEDIA_TYPE);
    response.headers_mut().insert(http::header::CONTENT_TYPE, media);
    response
}

async fn collect<B>(body: B) -> Result<Bytes, Failure>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    let mut body = std::pin::pin!(body);
    let mut out = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| Failure::bad_request(format!("the body cannot be read: {e}")))?;
        if let Some(data) = frame.data_ref() {
            if out.len() + data.len() > BODY_LIMIT_BYTES {
                return Err(Failure::new(
                    413,
                    Some("RequestEntityTooLarge"),
                    format!("Request entity too large: limit is {BODY_LIMIT_BYTES}"),
                ));
            }
            out.extend_from_slice(data);
        }
    }
    Ok(out.freeze())
}

fn respond(answer: Result<Answer, Failure>, form: Wanted) -> Response<Body> {
    let plain = Wanted { shape: crate::media::Shape::Object, ..form };
    let (status, warnings, content_type, body, retry) = match answer {
        Ok(answer) => {
            let (content_type, body) = match answer.content {
                Content::Value(value) => {
                    (Some(form.content_type()), Body::Full(Some(form.encode(&value).into())))
                }
                Content::Bytes(content_type, bytes) => (Some(content_type), Body::Full(Some(bytes))),
                Content::Stream(content_type, receiver) => (Some(content_type), Body::Stream(receiver)),
                Content::None => (None, Body::Full(None)),
            };
            (answer.status, answer.warnings, content_type, body, None)
        }
        Err(failure) => {
            let body = Body::Full(Some(plain.encode(&failure.body()).into()));
            let retry = failure.details.as_ref().and_then(|d| d["retryAfterSeconds"].as_u64());
            (failure.code, failure.warnings.into_vec(), Some(plain.content_type()), body, retry)
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    if let Some(content_type) = content_type {
        headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    }
    for warning in warnings {
        if let Ok(value) = http::HeaderValue::from_str(&format!("299 - {}", crate::status::quoted(&warning)))
        {
            headers.append(http::header::WARNING, value);
        }
    }
    if let Some(seconds) = retry {
        headers.insert(http::header::RETRY_AFTER, seconds.into());
    }
    if status == 401 {
        headers.insert(
            http::header::WWW_AUTHENTICATE,
            http::HeaderValue::from_static("Basic realm=\"kubernetes-master\""),
        );
    }
    response
}
