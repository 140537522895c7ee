//! What every call passes on its way to a service, from the outside in.
//!
//! 1. [`well_formed_ids`]: an `xbook-request-id` that no log should carry is dropped.
//! 2. [`request_ids`]: a call without one gets one.
//! 3. [`spans`]: a span with method, account and request id, which gets status and latency, and at
//!    DEBUG what the call [concerns](concern). Where nobody listens to DEBUG a call has none, unless it is a
//!    stream or [fails](failures).
//! 4. [`answered_ids`]: the id goes back in the answer's headers.
//! 5. [`blamed_requests`]: what can't be decoded is the caller's fault and not this node's.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri};
use tonic::{Code, Status};
use tower::util::{MapRequestLayer, MapResponseLayer};
use tower::{Layer, Service};
use tower_http::classify::{GrpcErrorsAsFailures, SharedClassifier};
use tower_http::request_id::{MakeRequestId, PropagateRequestIdLayer, RequestId, SetRequestIdLayer};
use tower_http::trace::{MakeSpan, OnEos, OnResponse, TraceLayer};
use tracing::{Span, field};
use xbook_proto::v1::Reason;

use crate::api::DEFAULT_ACCOUNT;
use crate::api::error::Refusal;
use crate::types::Micros;

/// The metadata with a call's request id.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("xbook-request-id");

/// The metadata with a call's account.
const ACCOUNT: HeaderName = HeaderName::from_static("xbook-account");

/// The metadata with a call's status.
const STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Longest part of a caller's text that a log line repeats, in bytes.
const MAX_LOGGED: usize = 64;

/// Drops request ids that are not 1 to 64 visible ASCII characters.
#[must_use]
pub fn well_formed_ids() -> MapRequestLayer<fn(Request<Body>) -> Request<Body>> {
    MapRequestLayer::new(drop_malformed_id)
}

fn drop_malformed_id(mut request: Request<Body>) -> Request<Body> {
    let malformed = |id: &HeaderValue| {
        let id = id.as_bytes();
        id.is_empty() || id.len() > MAX_LOGGED || !id.iter().all(u8::is_ascii_graphic)
    };
    if request.headers().get(REQUEST_ID).is_some_and(malformed) {
        request.headers_mut().remove(REQUEST_ID);
    }
    request
}

/// Gives an id to each call without one. `started` tells this process' ids from others'.
#[must_use]
pub fn request_ids(started: Micros) -> SetRequestIdLayer<Ids> {
    SetRequestIdLayer::new(REQUEST_ID, Ids { started, made: Arc::default() })
}

/// Makes request ids: when the process started, and a number.
#[derive(Clone, Debug)]
pub struct Ids {
    started: Micros,
    made: Arc<AtomicU64>,
}

impl MakeRequestId for Ids {
    fn make_request_id<B>(&mut self, _request: &Request<B>) -> Option<RequestId> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let id = format!("{:x}-{number}", self.started.0);
        HeaderValue::try_from(id).ok().map(RequestId::new)
    }
}

/// Sends a call's id back.
#[must_use]
pub fn answered_ids() -> PropagateRequestIdLayer {
    PropagateRequestIdLayer::new(REQUEST_ID)
}

/// Tells a caller whose request could not be decoded that it is an invalid argument.
#[must_use]
pub fn blamed_requests() -> MapResponseLayer<fn(Response<Body>) -> Response<Body>> {
    MapResponseLayer::new(blame_request)
}

/// The transport says INTERNAL then, as it does for nothing else before a service is called. A service
/// always says more than a code.
fn blame_request(response: Response<Body>) -> Response<Body> {
    match Status::from_header_map(response.headers()) {
        Some(status) if status.code() == Code::Internal && status.details().is_empty() => {
            let words = format!("must be a message of this call: {}", status.message());
            Status::from(Refusal::new(Reason::MalformedText, words).field("request")).into_http()
        }
        _ => response,
    }
}

/// Puts each call into a span of its own.
#[must_use]
pub fn spans() -> SpanLayer {
    TraceLayer::new_for_grpc()
        .make_span_with(CallSpan)
        .on_request(())
        .on_response(Finish)
        .on_body_chunk(())
        .on_eos(Finish)
        .on_failure(())
}

/// The layer that [`spans`] makes.
pub type SpanLayer = TraceLayer<SharedClassifier<GrpcErrorsAsFailures>, CallSpan, (), Finish, (), Finish, ()>;

/// Makes a call's span.
#[derive(Clone, Copy, Debug)]
pub struct CallSpan;

impl<B> MakeSpan<B> for CallSpan {
    fn make_span(&mut self, request: &Request<B>) -> Span {
        if has_span(request.uri().path()) { CallOf::read(request).span() } else { Span::none() }
    }
}

/// Whether a call has a span from its beginning. One of a call that is done well and of which nothing is
/// logged would be made for nobody.
fn has_span(path: &str) -> bool {
    let method = path.rsplit('/').next().unwrap_or_default();
    let is_stream = ["Trade", "Subscribe"].contains(&method) || method.starts_with("Stream");
    is_stream
        || tracing::enabled!(tracing::Level::DEBUG)
        || tracing::enabled!(target: "xbook::api", tracing::Level::DEBUG)
}

/// Whose call it is, as its headers say. Cheap to make.
struct CallOf {
    uri: Uri,
    account: Option<HeaderValue>,
    request: Option<HeaderValue>,
}

impl CallOf {
    fn read<B>(request: &Request<B>) -> Self {
        let header = |name| request.headers().get(name).cloned();
        Self { uri: request.uri().clone(), account: header(ACCOUNT), request: header(REQUEST_ID) }
    }

    fn span(&self) -> Span {
        let text = |header: &Option<HeaderValue>| header.as_ref().map(|value| shown(value.as_bytes()));
        let path = self.uri.path().as_bytes();
        let account = match text(&self.account).unwrap_or_default() {
            // Peers and health checks act for nobody.
            none if none.is_empty() && path.starts_with(b"/xbook.v1.") => DEFAULT_ACCOUNT.to_owned(),
            named => named,
        };
        tracing::info_span!(
            "call",
            method = shown(&path[1.min(path.len())..]),
            account,
            request = text(&self.request).unwrap_or_default(),
            market = field::Empty,
            order = field::Empty,
            status = field::Empty,
            latency_us = field::Empty,
        )
    }
}

/// Gives a span to a call that had none and fails by this node's fault, so that what is logged says which it is.
#[must_use]
pub fn failures() -> FailureLayer {
    FailureLayer
}

/// The layer that [`failures`] makes.
#[derive(Clone, Copy, Debug)]
pub struct FailureLayer;

impl<S> Layer<S> for FailureLayer {
    type Service = Failures<S>;

    fn layer(&self, inner: S) -> Failures<S> {
        Failures(inner)
    }
}

/// The service that [`FailureLayer`] makes.
#[derive(Clone, Debug)]
pub struct Failures<S>(S);

impl<S, B, R> Service<Request<B>> for Failures<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let call = (!has_span(request.uri().path())).then(|| CallOf::read(&request));
        let answer = self.0.call(request);
        Box::pin(async move {
            let response = answer.await?;
            if let (Some(call), Some(code)) = (call, code_in(response.headers()))
                && is_failure(code)
            {
                let span = call.span();
                span.record("status", field::debug(code));
                tracing::error!(parent: &span, "failed");
            }
            Ok(response)
        })
    }
}

fn is_failure(code: Code) -> bool {
    matches!(code, Code::Internal | Code::Unknown | Code::DataLoss)
}

/// The beginning of what a caller sent.
fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_LOGGED)]).into_owned()
}

/// Notes in the call's span which market and which order it is about, once a call and only where
/// refusals are logged; what is empty is left out.
pub fn concern(market: &str, order: &str) {
    if !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }
    let span = Span::current();
    for (field, value) in [("market", market), ("order", order)] {
        if !value.is_empty() {
            span.record(field, shown(value.as_bytes()));
        }
    }
}

/// Notes how a call ended: in the headers if there was nothing to send, else in the trailers.
#[derive(Clone, Copy, Debug)]
pub struct Finish;

impl<B> OnResponse<B> for Finish {
    fn on_response(self, response: &Response<B>, latency: Duration, span: &Span) {
        if let Some(code) = code_in(response.headers()) {
            finish(code, latency, span);
        }
    }
}

impl OnEos for Finish {
    fn on_eos(self, trailers: Option<&HeaderMap>, duration: Duration, span: &Span) {
        finish(trailers.and_then(code_in).unwrap_or(Code::Unknown), duration, span);
    }
}

fn code_in(headers: &HeaderMap) -> Option<Code> {
    headers.get(STATUS).map(|status| Code::from_bytes(status.as_bytes()))
}

fn finish(code: Code, latency: Duration, span: &Span) {
    if span.is_none() {
        return;
    }
    span.record("status", field::debug(code));
    span.record("latency_us", u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
    match code {
        Code::Ok => tracing::debug!(parent: span, "done"),
        _ if is_failure(code) => tracing::error!(parent: span, "failed"),
        // Why is told where the reason becomes a status.
        _ => tracing::debug!(parent: span, "refused"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_ids_differ_and_malformed_ones_are_dropped() {
        let mut ids = Ids { started: Micros(0x5f), made: Arc::default() };
        let mut make = || ids.make_request_id(&Request::new(())).unwrap().into_header_value();
        assert_eq!((make(), make()), (HeaderValue::from_static("5f-0"), HeaderValue::from_static("5f-1")));
        for (id, kept) in [("my-id", true), ("two words", false), ("", false), (&"x".repeat(65), false)] {
            let request = Request::builder().header(REQUEST_ID, id).body(Body::empty()).unwrap();
            assert_eq!(drop_malformed_id(request).headers().contains_key(REQUEST_ID), kept, "{id}");
        }
    }
}
