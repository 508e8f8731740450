//! Bodies: the gateway's own answers, an engine's answer on its way to the client, and a client's on its way to an engine.
//!
//! Frames are handed on as they arrive, trailers too; nothing is collected and nothing is boxed. An answer holds what
//! the request occupies until its end, however it ends: a client that goes away drops the body, and with it the
//! connection to the engine.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use tokio::time::Sleep;

use crate::live::Flight;
use crate::refusal::Refusal;

/// Any error of a body.
pub(crate) type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// The body of an answer to a client.
pub struct ReplyBody(Reply);

enum Reply {
    Whole(Option<Bytes>),
    Relayed(Box<Relayed>),
}

/// An engine's answer.
struct Relayed {
    /// `None` once it is over.
    engine: Option<Incoming>,
    flight: Flight,
    /// When the time limit of the route is over.
    deadline: Option<Pin<Box<Sleep>>>,
    /// The answer is a stream of events, so an error can be told in it.
    is_event_stream: bool,
}

impl ReplyBody {
    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self(Reply::Whole(Some(bytes)))
    }

    pub(crate) fn empty() -> Self {
        Self(Reply::Whole(None))
    }

    pub(crate) fn relayed(
        engine: Incoming,
        flight: Flight,
        deadline: Option<Pin<Box<Sleep>>>,
        is_event_stream: bool,
    ) -> Self {
        Self(Reply::Relayed(Box::new(Relayed { engine: Some(engine), flight, deadline, is_event_stream })))
    }
}

impl Relayed {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(engine) = self.engine.as_mut() else { return Poll::Ready(None) };
        if let Some(deadline) = self.deadline.as_mut()
            && deadline.as_mut().poll(cx).is_ready()
        {
            return self.broken("the time limit of the route is over".into());
        }
        match Pin::new(engine).poll_frame(cx) {
            Poll::Ready(Some(Err(error))) => self.broken(error.into()),
            Poll::Ready(None) => {
                self.engine = None;
                self.flight.end();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(frame))),
            Poll::Pending => Poll::Pending,
        }
    }

    /// The engine broke off. A client of an event stream learns it as vLLM tells it, in a last event; to others only the
    /// broken connection can say it.
    fn broken(&mut self, error: BodyError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.engine = None;
        let engine = self.flight.engine_name().to_owned();
        self.flight.end();
        tracing::warn!(engine, %error, "an answer broke off");
        if !self.is_event_stream {
            return Poll::Ready(Some(Err(error)));
        }
        let refusal = Refusal::upstream(format!("the engine {engine} broke off its answer: {error}"));
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(format!("data: {}\n\n", refusal.to_json()))))))
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.0 {
            Reply::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Reply::Relayed(relayed) => relayed.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Reply::Whole(bytes) => bytes.is_none(),
            Reply::Relayed(relayed) => relayed.engine.as_ref().is_none_or(Body::is_end_stream),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Reply::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Reply::Relayed(relayed) => relayed.engine.as_ref().map_or_else(SizeHint::new, Body::size_hint),
        }
    }
}

/// The body of a request to an engine.
pub(crate) enum SentBody {
    /// At hand as a whole, so that it can be sent again elsewhere.
    Whole(Option<Bytes>),
    /// Handed on as it comes.
    Streamed(Box<Limited<Incoming>>),
}

impl Body for SentBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Streamed(body) => Pin::new(body.as_mut()).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Streamed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Streamed(body) => body.size_hint(),
        }
    }
}

/// A client's body as a whole, of at most `limit_bytes`. One that came in one piece is not copied.
pub(crate) async fn read_whole(body: &mut Incoming, limit_bytes: usize) -> Result<Bytes, Refusal> {
    if body.size_hint().lower() > limit_bytes as u64 {
        return Err(Refusal::too_large(limit_bytes));
    }
    let mut first = Bytes::new();
    let mut all = Vec::new();
    while let Some(frame) = body.frame().await {
        let broken = |error: hyper::Error| {
            Refusal::bad_request("incomplete_body", format!("the request body ended too early: {error}"))
        };
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        if first.len() + all.len() + data.len() > limit_bytes {
            return Err(Refusal::too_large(limit_bytes));
        }
        if first.is_empty() && all.is_empty() {
            first = data;
            continue;
        }
        if all.is_empty() {
            let rest = usize::try_from(body.size_hint().lower()).unwrap_or(0).min(limit_bytes);
            all.reserve(first.len() + data.len() + rest);
            all.extend_from_slice(&first);
            first = Bytes::new();
        }
        all.extend_from_slice(&data);
    }
    Ok(if all.is_empty() { first } else { all.into() })
}
