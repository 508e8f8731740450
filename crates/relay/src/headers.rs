//! Which headers travel on: not those of one connection (RFC 9110 §7.6.1), not those that a client may not set.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING,
    UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// The identifier of a request; made here if the client sent none.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static(wire::headers::REQUEST_ID);
/// Why a request was dropped.
pub(crate) const X_DROPPED_REASON: HeaderName =
    HeaderName::from_static(wire::headers::REQUEST_DROPPED_REASON);

/// Takes away what belongs to the connection the message came on.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .filter_map(|name| name.trim().parse().ok())
        // `Connection: te` is how HTTP/1.1 says that TE is of this hop; what of it travels is decided below.
        .filter(|name| *name != TE)
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in [
        CONNECTION,
        KEEP_ALIVE,
        PROXY_CONNECTION,
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
        TRANSFER_ENCODING,
        UPGRADE,
    ] {
        headers.remove(name);
    }
    // Trailers are passed on, so the wish for them is too; no other transfer coding is.
    let trailers = headers.get(TE).is_some_and(|te| {
        te.to_str().is_ok_and(|te| te.split(',').any(|coding| coding.trim().eq_ignore_ascii_case("trailers")))
    });
    headers.remove(TE);
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

/// Makes a client's headers those of the request to an engine. The scheduler has read its own before.
pub(crate) fn prepare_request(headers: &mut HeaderMap, authority: Option<&str>, client: Option<IpAddr>) {
    strip_hop_by_hop(headers);
    wire::headers::strip_client_control(headers);
    // The body is here already, or follows at once.
    headers.remove(EXPECT);
    if !headers.contains_key(HOST)
        && let Some(host) = authority.and_then(|authority| HeaderValue::from_str(authority).ok())
    {
        headers.insert(HOST, host);
    }
    if let Some(client) = client {
        let known = headers.get(&X_FORWARDED_FOR).and_then(|value| value.to_str().ok());
        let all = known.map_or_else(|| client.to_string(), |known| format!("{known}, {client}"));
        if let Ok(value) = HeaderValue::from_str(&all) {
            headers.insert(X_FORWARDED_FOR, value);
        }
    }
    if !headers.contains_key(&X_FORWARDED_PROTO) {
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
    }
}

/// Makes an engine's headers those of the answer to a client.
pub(crate) fn prepare_answer(headers: &mut HeaderMap) {
    strip_hop_by_hop(headers);
}

/// The length that a whole body has, in place of what the client announced.
pub(crate) fn set_length(headers: &mut HeaderMap, bytes: usize) {
    if bytes > 0 || headers.contains_key(CONTENT_LENGTH) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes));
    }
}

/// The identifier of the request: the client's own, or a new one, which is then in the headers.
pub(crate) fn request_id(headers: &mut HeaderMap) -> HeaderValue {
    if let Some(known) = headers.get(&X_REQUEST_ID).filter(|value| !value.is_empty()) {
        return known.clone();
    }
    let made = new_request_id();
    headers.insert(X_REQUEST_ID, made.clone());
    made
}

/// A version 4 UUID. It has to be unlike others, not unguessable, so the keyed hash of the standard library is enough.
fn new_request_id() -> HeaderValue {
    static KEYS: LazyLock<(RandomState, RandomState)> =
        LazyLock::new(|| (RandomState::new(), RandomState::new()));
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let (high, low) = (KEYS.0.hash_one(count), KEYS.1.hash_one(count));
    let text = format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        0x8000 | (low >> 48) & 0x3fff,
        low & 0xffff_ffff_ffff,
    );
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        list.iter()
            .map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn headers_of_the_connection_stay_behind_and_so_do_those_it_names() {
        let mut given = headers(&[
            ("connection", "close, x-private, te"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("te", "gzip, trailers"),
            ("x-private", "1"),
            ("authorization", "Bearer t"),
        ]);
        strip_hop_by_hop(&mut given);
        assert_eq!(given, headers(&[("te", "trailers"), ("authorization", "Bearer t")]));
    }

    #[test]
    fn an_engine_sees_the_host_the_client_asked_for_and_who_asked() {
        let mut given = headers(&[
            ("x-forwarded-for", "10.0.0.1"),
            ("x-gateway-destination-endpoint", "10.0.0.9:1"),
            ("expect", "100-continue"),
        ]);
        prepare_request(&mut given, Some("models.example"), Some([127, 0, 0, 1].into()));
        let wanted = headers(&[
            ("x-forwarded-for", "10.0.0.1, 127.0.0.1"),
            ("host", "models.example"),
            ("x-forwarded-proto", "http"),
        ]);
        assert_eq!(given, wanted);
    }

    #[test]
    fn a_request_keeps_its_own_identifier_and_otherwise_gets_one_like_no_other() {
        let mut given = headers(&[("x-request-id", "mine")]);
        assert_eq!(request_id(&mut given), "mine");
        let (mut first, mut second) = (HeaderMap::new(), HeaderMap::new());
        assert_ne!(request_id(&mut first), request_id(&mut second));
        assert_eq!(first["x-request-id"].len(), 36);
    }
}
