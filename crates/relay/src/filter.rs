//! What a rule's filters do to the path, the headers and the answer.

use http::header::{HOST, LOCATION};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, StatusCode, Uri};

use crate::refusal::Refusal;
use crate::table::{Filter, HeaderEdits, PathRewrite, Redirect};

/// A request on its way through the filters.
pub(crate) struct Way<'a> {
    /// Path and query as the client sent them.
    pub(crate) asked: &'a PathAndQuery,
    /// Bytes of the path that the matching prefix took; `None` for other matches.
    pub(crate) prefix_bytes: Option<usize>,
    /// Path and query that the engine sees.
    pub(crate) sent: PathAndQuery,
}

/// What came of the filters.
pub(crate) enum Outcome {
    /// The request goes on.
    On,
    /// It is answered with this status and location.
    Redirected(StatusCode, HeaderValue),
}

/// Applies filters in their order to the request's path and headers.
pub(crate) fn apply(
    filters: &[Filter],
    way: &mut Way<'_>,
    headers: &mut HeaderMap,
) -> Result<Outcome, Refusal> {
    for filter in filters {
        match filter {
            Filter::RequestHeaders(edits) => edit(edits, headers),
            Filter::ResponseHeaders(_) => {}
            Filter::Rewrite(rewrite) => {
                if let Some(host) = &rewrite.hostname {
                    headers.insert(HOST, text_value(host)?);
                }
                if let Some(path) = &rewrite.path {
                    way.sent = rewritten(path, way.asked, way.prefix_bytes)?;
                }
            }
            Filter::Redirect(redirect) => {
                let location = location(redirect, way, headers)?;
                let status = StatusCode::from_u16(redirect.status).unwrap_or(StatusCode::FOUND);
                return Ok(Outcome::Redirected(status, location));
            }
            Filter::Unsupported(words) => return Err(Refusal::broken_route(words.clone())),
        }
    }
    Ok(Outcome::On)
}

/// Applies the filters of the answer.
pub(crate) fn apply_to_answer(filters: &[Filter], headers: &mut HeaderMap) {
    for filter in filters {
        if let Filter::ResponseHeaders(edits) = filter {
            edit(edits, headers);
        }
    }
}

fn edit(edits: &HeaderEdits, headers: &mut HeaderMap) {
    for (name, value) in &edits.set {
        headers.insert(name.clone(), value.clone());
    }
    for (name, value) in &edits.add {
        headers.append(name.clone(), value.clone());
    }
    for name in &edits.remove {
        headers.remove(name);
    }
}

/// The path after a rewrite; the query stays. A prefix is replaced by whole segments: `/foo` → `/` makes `/bar` of
/// `/foo/bar` and `/` of `/foo`.
fn rewritten(
    rewrite: &PathRewrite,
    asked: &PathAndQuery,
    prefix_bytes: Option<usize>,
) -> Result<PathAndQuery, Refusal> {
    let path = match rewrite {
        PathRewrite::Full(path) => path.clone(),
        PathRewrite::Prefix(replacement) => {
            // A rule whose match is no prefix cannot replace one; the API refuses it, so the path stays.
            let Some(prefix_bytes) = prefix_bytes else { return Ok(asked.clone()) };
            let rest = &asked.path()[prefix_bytes..];
            let begin = replacement.trim_end_matches('/');
            // At the prefix itself the replacement is taken as it stands.
            let end = if rest.is_empty() { &replacement[begin.len()..] } else { rest };
            format!("{begin}{end}")
        }
    };
    let slash = if path.starts_with('/') { "" } else { "/" };
    let text = match asked.query() {
        Some(query) => format!("{slash}{path}?{query}"),
        None => format!("{slash}{path}"),
    };
    PathAndQuery::try_from(text)
        .map_err(|error| Refusal::broken_route(format!("the route's rewrite makes no path: {error}")))
}

fn location(redirect: &Redirect, way: &Way<'_>, headers: &HeaderMap) -> Result<HeaderValue, Refusal> {
    let path = match &redirect.path {
        Some(path) => rewritten(path, way.asked, way.prefix_bytes)?,
        None => way.asked.clone(),
    };
    let asked_host = headers.get(HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let asked_host: Option<Uri> = asked_host.parse().ok();
    let scheme = redirect.scheme.as_deref().unwrap_or("http");
    let host = redirect.hostname.as_deref().or_else(|| asked_host.as_ref()?.host()).unwrap_or_default();
    let own_port = if scheme == "https" { 443 } else { 80 };
    // A redirect to another scheme leaves the port that belonged to the first one.
    let asked_port =
        asked_host.as_ref().and_then(|host| host.port_u16()).filter(|_| redirect.scheme.is_none());
    let port = match redirect.port.or(asked_port) {
        Some(port) if port != own_port => format!(":{port}"),
        _ => String::new(),
    };
    text_value(&format!("{scheme}://{host}{port}{path}"))
}

fn text_value(text: &str) -> Result<HeaderValue, Refusal> {
    HeaderValue::from_str(text).map_err(|_| {
        Refusal::broken_route(format!("the route makes the header value {text:?}, which is not allowed"))
    })
}

/// The answer of a redirect, without body.
pub(crate) fn redirect_headers(location: HeaderValue) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(LOCATION, location);
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(prefix: &str, replacement: &str, asked: &str) -> String {
        let asked: PathAndQuery = asked.parse().unwrap();
        rewritten(&PathRewrite::Prefix(replacement.to_owned()), &asked, Some(prefix.len()))
            .unwrap()
            .to_string()
    }

    #[test]
    fn a_prefix_is_replaced_as_the_table_of_the_gateway_api_says() {
        for (asked, prefix, replacement, sent) in [
            ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
            ("/foo", "/foo", "/xyz", "/xyz"),
            ("/foo/", "/foo", "/xyz", "/xyz/"),
            ("/foo/bar", "/foo", "", "/bar"),
            ("/foo/", "/foo", "", "/"),
            ("/foo", "/foo", "", "/"),
            ("/foo/", "/foo", "/", "/"),
            ("/foo", "/foo", "/", "/"),
            ("/foo/bar?a=/foo", "/foo", "/", "/bar?a=/foo"),
            ("/bar", "", "/xyz", "/xyz/bar"),
        ] {
            assert_eq!(replaced(prefix, replacement, asked), sent, "{asked} {prefix} {replacement}");
        }
    }

    #[test]
    fn a_redirect_keeps_what_it_does_not_name_and_leaves_out_the_schemes_own_port() {
        let asked: PathAndQuery = "/a?b=c".parse().unwrap();
        let way = Way { sent: asked.clone(), asked: &asked, prefix_bytes: Some(2) };
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("models.example:8080"));
        let redirect = Redirect { scheme: None, hostname: None, path: None, port: None, status: 302 };
        assert_eq!(location(&redirect, &way, &headers).ok().unwrap(), "http://models.example:8080/a?b=c");
        let to_https = Redirect { scheme: Some("https".to_owned()), port: Some(443), ..redirect };
        assert_eq!(location(&to_https, &way, &headers).ok().unwrap(), "https://models.example/a?b=c");
    }
}
