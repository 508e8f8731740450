//! An HTTPRoute in the words of the relay.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use kinds::gateway::{HTTPBackendRef, HTTPRouteMatch, HTTPRouteRule};
use relay::{
    Backend, Filter, HeaderEdits, HeaderMatch, Match, PathMatch, PathRewrite, QueryMatch, Redirect, Rewrite,
    Rule, Target, ValueMatch,
};
use serde_json::Value;

/// Where the back-end of a route is looked up.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum BackendKey {
    /// An InferencePool; `is_old` for the group `inference.networking.x-k8s.io`.
    Pool { namespace: String, name: String, is_old: bool },
    /// A port of a Service.
    Service { namespace: String, name: String, port: i32 },
    /// A kind that this gateway does not know.
    Other(String),
}

impl BackendKey {
    pub(crate) fn of(backend: &HTTPBackendRef, route_namespace: &str) -> Self {
        let group = backend.group.as_deref().unwrap_or_default();
        let kind = backend.kind.as_deref().unwrap_or("Service");
        let namespace = backend.namespace.as_deref().unwrap_or(route_namespace).to_owned();
        let name = backend.name.clone();
        match (group, kind) {
            ("", "Service") => Self::Service { namespace, name, port: backend.port.unwrap_or_default() },
            (kinds::inference::GROUP, "InferencePool") => Self::Pool { namespace, name, is_old: false },
            (kinds::inference::OLD_GROUP, "InferencePool") => Self::Pool { namespace, name, is_old: true },
            _ => Self::Other(format!("{group}/{kind}")),
        }
    }

    /// The key in the relay's table.
    pub(crate) fn target(&self) -> Target {
        match self {
            Self::Pool { namespace, name, .. } => Target::Pool(format!("{namespace}/{name}")),
            Self::Service { namespace, name, port } => Target::Service(format!("{namespace}/{name}:{port}")),
            Self::Other(kind) => {
                Target::Unresolved(format!("this gateway knows no back-ends of kind {kind}"))
            }
        }
    }
}

/// A rule of a route. What cannot be done becomes a filter that refuses; the words go to the route's status too.
pub(crate) fn rule(rule: &HTTPRouteRule, namespace: &str) -> (Rule, Vec<String>) {
    let mut trouble = Vec::new();
    let mut taken = Vec::new();
    for matching in &rule.matches {
        match self::matching(matching) {
            Ok(matching) => taken.push(matching),
            Err(words) => trouble.push(words),
        }
    }
    let mut filters = self::filters(&rule.filters, &mut trouble);
    if taken.is_empty() && !rule.matches.is_empty() {
        // None of its matches can be understood: a rule without matches would take everything.
        let words = trouble.join("; ");
        return (
            Rule { filters: vec![Filter::Unsupported(words)], matches: vec![never()], ..Rule::default() },
            trouble,
        );
    }
    let timeout = |text: &Option<String>| text.as_deref().and_then(duration).filter(|limit| !limit.is_zero());
    let backends = rule.backend_refs.iter().map(|backend| Backend {
        weight: u32::try_from(backend.weight.unwrap_or(1)).unwrap_or(0),
        filters: match backend.rest.get("filters").and_then(Value::as_array) {
            Some(filters) => self::filters(filters, &mut trouble),
            None => Vec::new(),
        },
        target: BackendKey::of(backend, namespace).target(),
    });
    let backends = backends.collect();
    filters.shrink_to_fit();
    let rule = Rule {
        matches: taken,
        filters,
        backends,
        request_timeout: rule.timeouts.as_ref().and_then(|timeouts| timeout(&timeouts.request)),
        backend_timeout: rule.timeouts.as_ref().and_then(|timeouts| timeout(&timeouts.backend_request)),
    };
    (rule, trouble)
}

/// Holds for no request: no path is empty.
fn never() -> Match {
    Match { path: PathMatch::Exact(String::new()), method: None, headers: Vec::new(), query: Vec::new() }
}

fn matching(matching: &HTTPRouteMatch) -> Result<Match, String> {
    let path = matching.path.clone().unwrap_or_default();
    let value = path.value.unwrap_or_else(|| "/".to_owned());
    let path = match path.type_.as_deref().unwrap_or("PathPrefix") {
        "Exact" => PathMatch::Exact(value),
        "PathPrefix" => PathMatch::Prefix(value),
        "RegularExpression" => {
            PathMatch::regex(&value).map_err(|error| format!("path {value:?}: {error}"))?
        }
        other => return Err(format!("the path match type {other} is not known")),
    };
    let method = match &matching.method {
        Some(method) => {
            Some(Method::from_bytes(method.as_bytes()).map_err(|_| format!("method {method:?}"))?)
        }
        None => None,
    };
    let mut headers = Vec::new();
    for header in &matching.headers {
        let name: HeaderName = header.name.parse().map_err(|_| format!("header name {:?}", header.name))?;
        // "Only the first entry with an equivalent name is considered" (HTTPHeaderMatch).
        if headers.iter().any(|known: &HeaderMatch| known.name == name) {
            continue;
        }
        headers.push(HeaderMatch { name, value: value_match(header.type_.as_deref(), &header.value)? });
    }
    let mut query: Vec<QueryMatch> = Vec::new();
    for parameter in matching.rest.get("queryParams").and_then(Value::as_array).into_iter().flatten() {
        let text = |field: &str| parameter.get(field).and_then(Value::as_str);
        let name = text("name").unwrap_or_default().to_owned();
        if query.iter().all(|known| known.name != name) {
            query.push(QueryMatch {
                name,
                value: value_match(text("type"), text("value").unwrap_or_default())?,
            });
        }
    }
    Ok(Match { path, method, headers, query })
}

fn value_match(kind: Option<&str>, value: &str) -> Result<ValueMatch, String> {
    match kind.unwrap_or("Exact") {
        "Exact" => Ok(ValueMatch::Exact(value.to_owned())),
        "RegularExpression" => ValueMatch::regex(value).map_err(|error| format!("value {value:?}: {error}")),
        other => Err(format!("the match type {other} is not known")),
    }
}

fn filters(filters: &[Value], trouble: &mut Vec<String>) -> Vec<Filter> {
    let read = filters.iter().map(|filter| {
        self::filter(filter).unwrap_or_else(|words| {
            trouble.push(words.clone());
            Filter::Unsupported(words)
        })
    });
    read.collect()
}

fn filter(filter: &Value) -> Result<Filter, String> {
    let kind = filter.get("type").and_then(Value::as_str).unwrap_or_default();
    let part = |name: &str| filter.get(name).unwrap_or(&Value::Null);
    match kind {
        "RequestHeaderModifier" => Ok(Filter::RequestHeaders(header_edits(part("requestHeaderModifier"))?)),
        "ResponseHeaderModifier" => {
            Ok(Filter::ResponseHeaders(header_edits(part("responseHeaderModifier"))?))
        }
        "URLRewrite" => {
            let rewrite = part("urlRewrite");
            Ok(Filter::Rewrite(Rewrite { hostname: text(rewrite, "hostname"), path: path_rewrite(rewrite) }))
        }
        "RequestRedirect" => {
            let redirect = part("requestRedirect");
            let number = |field: &str| redirect.get(field).and_then(Value::as_u64);
            Ok(Filter::Redirect(Redirect {
                scheme: text(redirect, "scheme"),
                hostname: text(redirect, "hostname"),
                path: path_rewrite(redirect),
                port: number("port").and_then(|port| u16::try_from(port).ok()),
                status: number("statusCode").and_then(|status| u16::try_from(status).ok()).unwrap_or(302),
            }))
        }
        other => Err(format!("this gateway does not know filters of type {other}")),
    }
}

fn text(value: &Value, field: &str) -> Option<String> {
    value.get(field).and_then(Value::as_str).map(str::to_owned)
}

fn path_rewrite(value: &Value) -> Option<PathRewrite> {
    let path = value.get("path")?;
    match path.get("type").and_then(Value::as_str)? {
        "ReplaceFullPath" => text(path, "replaceFullPath").map(PathRewrite::Full),
        "ReplacePrefixMatch" => text(path, "replacePrefixMatch").map(PathRewrite::Prefix),
        _ => None,
    }
}

fn header_edits(value: &Value) -> Result<HeaderEdits, String> {
    let pairs = |field: &str| -> Result<Vec<(HeaderName, HeaderValue)>, String> {
        let list = value.get(field).and_then(Value::as_array).into_iter().flatten();
        list.map(|pair| {
            let part = |name: &str| pair.get(name).and_then(Value::as_str).unwrap_or_default();
            let name = part("name").parse().map_err(|_| format!("header name {:?}", part("name")))?;
            let value =
                part("value").parse().map_err(|_| format!("value {:?} of a header", part("value")))?;
            Ok((name, value))
        })
        .collect()
    };
    let removed =
        value.get("remove").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    Ok(HeaderEdits {
        set: pairs("set")?,
        add: pairs("add")?,
        remove: removed
            .map(|name| name.parse().map_err(|_| format!("header name {name:?}")))
            .collect::<Result<_, String>>()?,
    })
}

/// A duration of the Gateway API (GEP-2257): up to four numbers with units, `1h30m`, `0s`. `None` if it is none.
fn duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let (milliseconds, unit_bytes) = match rest.as_bytes() {
            [b'm', b's', ..] => (1, 2),
            [b'h', ..] => (3_600_000, 1),
            [b'm', ..] => (60_000, 1),
            [b's', ..] => (1000, 1),
            _ => return None,
        };
        total = total.checked_add(Duration::from_millis(number.checked_mul(milliseconds)?))?;
        rest = &rest[unit_bytes..];
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_the_gateway_api() {
        assert_eq!(duration("0s"), Some(Duration::ZERO));
        assert_eq!(duration("1h30m"), Some(Duration::from_secs(5400)));
        assert_eq!(duration("1s500ms"), Some(Duration::from_millis(1500)));
        assert_eq!(duration("5"), None);
        assert_eq!(duration(""), None);
    }

    #[test]
    fn a_rule_whose_matches_are_not_understood_takes_nothing_and_says_so() {
        let given: HTTPRouteRule = serde_json::from_value(serde_json::json!({
            "matches": [{ "path": { "type": "RegularExpression", "value": "(" } }],
            "backendRefs": [{ "name": "a", "port": 80 }],
        }))
        .unwrap();
        let (rule, trouble) = rule(&given, "team");
        assert!(matches!(&rule.matches[..], [Match { path: PathMatch::Exact(path), .. }] if path.is_empty()));
        assert_eq!(trouble.len(), 1);
    }

    #[test]
    fn backends_are_found_by_group_and_kind_in_the_routes_namespace() {
        let backend = |group: Option<&str>, kind: Option<&str>| HTTPBackendRef {
            group: group.map(str::to_owned),
            kind: kind.map(str::to_owned),
            name: "x".to_owned(),
            port: Some(8000),
            ..HTTPBackendRef::default()
        };
        let of = |group, kind| BackendKey::of(&backend(group, kind), "team").target();
        assert_eq!(of(None, None), Target::Service("team/x:8000".to_owned()));
        let pool = Target::Pool("team/x".to_owned());
        assert_eq!(of(Some("inference.networking.k8s.io"), Some("InferencePool")), pool);
        assert_eq!(of(Some("inference.networking.x-k8s.io"), Some("InferencePool")), pool);
        assert!(matches!(of(Some("example.com"), Some("Thing")), Target::Unresolved(_)));
    }
}
