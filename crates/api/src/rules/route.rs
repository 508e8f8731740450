//! Rules of the Gateway API about HTTPRoutes.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::{CelRule, Check, has, items, number, rule};
use crate::shape;

/// A kind of filter: a type, and the one field that goes with it.
struct Filter {
    type_: &'static str,
    field: &'static str,
    only: &'static str,
    given: &'static str,
    /// The rule that there is one at most; `None` where several are allowed.
    once: Option<&'static str>,
}

const FILTERS: &[Filter] = &[
    Filter { type_: "CORS", field: "cors", only: "cors-only", given: "cors-given", once: Some("cors-once") },
    Filter {
        type_: "RequestHeaderModifier",
        field: "requestHeaderModifier",
        only: "request-headers-only",
        given: "request-headers-given",
        once: Some("request-headers-once"),
    },
    Filter {
        type_: "ResponseHeaderModifier",
        field: "responseHeaderModifier",
        only: "response-headers-only",
        given: "response-headers-given",
        once: Some("response-headers-once"),
    },
    Filter {
        type_: "RequestMirror",
        field: "requestMirror",
        only: "mirror-only",
        given: "mirror-given",
        once: None,
    },
    Filter {
        type_: "RequestRedirect",
        field: "requestRedirect",
        only: "redirect-only",
        given: "redirect-given",
        once: Some("redirect-once"),
    },
    Filter {
        type_: "URLRewrite",
        field: "urlRewrite",
        only: "rewrite-only",
        given: "rewrite-given",
        once: Some("rewrite-once"),
    },
    Filter {
        type_: "ExtensionRef",
        field: "extensionRef",
        only: "extension-only",
        given: "extension-given",
        once: None,
    },
];

/// Parts that no exact path or prefix may have, with the name of the rule that says so.
const NOT_IN_PATHS: &[(&str, &str)] = &[
    ("path-no-double-slash", "//"),
    ("path-no-dot", "/./"),
    ("path-no-dot-dot", "/../"),
    ("path-no-2f", "%2f"),
    ("path-no-2F", "%2F"),
    ("path-no-hash", "#"),
];

/// A route has at most 16 rules.
const RULES: usize = 16;
const MATCHES: usize = 128;

pub(super) fn rules() -> Vec<CelRule> {
    let mut rules = plain();
    let sizes: Vec<String> = (0..RULES)
        .map(|index| format!("(self.size() > {index} ? self[{index}].matches.size() : 0)"))
        .collect();
    rules.push(rule(
        "route-matches",
        format!("{} <= {MATCHES}", sizes.join(" + ")),
        "While 16 rules and 64 matches per rule are allowed, the total number of matches across all rules in a route must be less than 128",
        |rules| items(rules).map(|rule| items(&rule["matches"]).count()).sum::<usize>() <= MATCHES,
    ));
    for Filter { type_, field, only, given, once } in FILTERS {
        rules.push(CelRule {
            id: only,
            rule: format!("!(has(self.{field}) && self.type != '{type_}')"),
            message: format!("filter.{field} must be nil if the filter.type is not {type_}"),
            holds: Check::Only(field, type_),
        });
        rules.push(CelRule {
            id: given,
            rule: format!("!(!has(self.{field}) && self.type == '{type_}')"),
            message: format!("filter.{field} must be specified for {type_} filter.type"),
            holds: Check::Given(field, type_),
        });
        rules.extend(once.map(|id| CelRule {
            id,
            rule: format!("self.filter(f, f.type == '{type_}').size() <= 1"),
            message: format!("{type_} filter cannot be repeated"),
            holds: Check::Once(type_),
        }));
    }
    rules.extend(NOT_IN_PATHS.iter().map(|(id, part)| CelRule {
        id,
        rule: format!("(self.type in ['Exact','PathPrefix']) ? !self.value.contains('{part}') : true"),
        message: format!("must not contain '{part}' when type one of ['Exact', 'PathPrefix']"),
        holds: Check::PathWithout(part),
    }));
    rules
}

fn plain() -> Vec<CelRule> {
    vec![
        rule(
            "redirect-without-backends",
            "(has(self.backendRefs) && size(self.backendRefs) > 0) ? (!has(self.filters) || self.filters.all(f, !has(f.requestRedirect))): true",
            "RequestRedirect filter must not be used together with backendRefs",
            |rule| {
                items(&rule["backendRefs"]).next().is_none()
                    || items(&rule["filters"]).all(|filter| !has(filter, "requestRedirect"))
            },
        ),
        rule(
            "redirect-prefix",
            "(has(self.filters) && self.filters.exists_one(f, has(f.requestRedirect) && has(f.requestRedirect.path) && f.requestRedirect.path.type == 'ReplacePrefixMatch' && has(f.requestRedirect.path.replacePrefixMatch))) ? ((size(self.matches) != 1 || !has(self.matches[0].path) || self.matches[0].path.type != 'PathPrefix') ? false : true) : true",
            "When using RequestRedirect filter with path.replacePrefixMatch, exactly one PathPrefix match must be specified",
            |rule| !one_replaces_prefix(&rule["filters"], "requestRedirect") || has_one_prefix_match(rule),
        ),
        rule(
            "rewrite-prefix",
            "(has(self.filters) && self.filters.exists_one(f, has(f.urlRewrite) && has(f.urlRewrite.path) && f.urlRewrite.path.type == 'ReplacePrefixMatch' && has(f.urlRewrite.path.replacePrefixMatch))) ? ((size(self.matches) != 1 || !has(self.matches[0].path) || self.matches[0].path.type != 'PathPrefix') ? false : true) : true",
            "When using URLRewrite filter with path.replacePrefixMatch, exactly one PathPrefix match must be specified",
            |rule| !one_replaces_prefix(&rule["filters"], "urlRewrite") || has_one_prefix_match(rule),
        ),
        rule(
            "backend-redirect-prefix",
            "(has(self.backendRefs) && self.backendRefs.exists_one(b, (has(b.filters) && b.filters.exists_one(f, has(f.requestRedirect) && has(f.requestRedirect.path) && f.requestRedirect.path.type == 'ReplacePrefixMatch' && has(f.requestRedirect.path.replacePrefixMatch))) )) ? ((size(self.matches) != 1 || !has(self.matches[0].path) || self.matches[0].path.type != 'PathPrefix') ? false : true) : true",
            "Within backendRefs, when using RequestRedirect filter with path.replacePrefixMatch, exactly one PathPrefix match must be specified",
            |rule| !one_backend_replaces_prefix(rule, "requestRedirect") || has_one_prefix_match(rule),
        ),
        rule(
            "backend-rewrite-prefix",
            "(has(self.backendRefs) && self.backendRefs.exists_one(b, (has(b.filters) && b.filters.exists_one(f, has(f.urlRewrite) && has(f.urlRewrite.path) && f.urlRewrite.path.type == 'ReplacePrefixMatch' && has(f.urlRewrite.path.replacePrefixMatch))) )) ? ((size(self.matches) != 1 || !has(self.matches[0].path) || self.matches[0].path.type != 'PathPrefix') ? false : true) : true",
            "Within backendRefs, When using URLRewrite filter with path.replacePrefixMatch, exactly one PathPrefix match must be specified",
            |rule| !one_backend_replaces_prefix(rule, "urlRewrite") || has_one_prefix_match(rule),
        ),
        rule(
            "path-absolute",
            "(self.type in ['Exact','PathPrefix']) ? self.value.startsWith('/') : true",
            "value must be an absolute path and start with '/' when type one of ['Exact', 'PathPrefix']",
            |value| is_any_path_type(value) || path(value).starts_with('/'),
        ),
        rule(
            "path-no-dot-dot-end",
            "(self.type in ['Exact','PathPrefix']) ? !self.value.endsWith('/..') : true",
            "must not end with '/..' when type one of ['Exact', 'PathPrefix']",
            |value| is_any_path_type(value) || !path(value).ends_with("/.."),
        ),
        rule(
            "path-no-dot-end",
            "(self.type in ['Exact','PathPrefix']) ? !self.value.endsWith('/.') : true",
            "must not end with '/.' when type one of ['Exact', 'PathPrefix']",
            |value| is_any_path_type(value) || !path(value).ends_with("/."),
        ),
        rule(
            "path-type",
            "self.type in ['Exact','PathPrefix'] || self.type == 'RegularExpression'",
            "type must be one of ['Exact', 'PathPrefix', 'RegularExpression']",
            |value| !is_any_path_type(value) || value["type"] == "RegularExpression",
        ),
        rule(
            "path-characters",
            r#"(self.type in ['Exact','PathPrefix']) ? self.value.matches(r"""^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|[%][0-9a-fA-F]{2})+$""") : true"#,
            "must only contain valid characters (matching ^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|[%][0-9a-fA-F]{2})+$) for types ['Exact', 'PathPrefix']",
            |value| is_any_path_type(value) || has_path_characters(path(value)),
        ),
        rule(
            "redirect-or-rewrite",
            "!(self.exists(f, f.type == 'RequestRedirect') && self.exists(f, f.type == 'URLRewrite'))",
            "May specify either httpRouteFilterRequestRedirect or httpRouteFilterRequestRewrite, but not both",
            |filters| !(has_type(filters, "RequestRedirect") && has_type(filters, "URLRewrite")),
        ),
        rule(
            "mirror-share",
            "!(has(self.percent) && has(self.fraction))",
            "Only one of percent or fraction may be specified in HTTPRequestMirrorFilter",
            |mirror| !(has(mirror, "percent") && has(mirror, "fraction")),
        ),
        rule(
            "service-port",
            "(size(self.group) == 0 && self.kind == 'Service') ? has(self.port) : true",
            "Must have port for Service reference",
            |backend| !is_service(backend) || has(backend, "port"),
        ),
        rule(
            "fraction",
            "self.numerator <= self.denominator",
            "numerator must be less than or equal to denominator",
            |fraction| number(fraction, "numerator") <= Some(number(fraction, "denominator").unwrap_or(100)),
        ),
        rule(
            "full-path-given",
            "self.type == 'ReplaceFullPath' ? has(self.replaceFullPath) : true",
            "replaceFullPath must be specified when type is set to 'ReplaceFullPath'",
            |change| change["type"] != "ReplaceFullPath" || has(change, "replaceFullPath"),
        ),
        rule(
            "full-path-only",
            "has(self.replaceFullPath) ? self.type == 'ReplaceFullPath' : true",
            "type must be 'ReplaceFullPath' when replaceFullPath is set",
            |change| !has(change, "replaceFullPath") || change["type"] == "ReplaceFullPath",
        ),
        rule(
            "prefix-given",
            "self.type == 'ReplacePrefixMatch' ? has(self.replacePrefixMatch) : true",
            "replacePrefixMatch must be specified when type is set to 'ReplacePrefixMatch'",
            |change| change["type"] != "ReplacePrefixMatch" || has(change, "replacePrefixMatch"),
        ),
        rule(
            "prefix-only",
            "has(self.replacePrefixMatch) ? self.type == 'ReplacePrefixMatch' : true",
            "type must be 'ReplacePrefixMatch' when replacePrefixMatch is set",
            |change| !has(change, "replacePrefixMatch") || change["type"] == "ReplacePrefixMatch",
        ),
        rule(
            "any-origin",
            "!('*' in self && self.size() > 1)",
            "AllowOrigins cannot contain '*' alongside other origins",
            star_stands_alone,
        ),
        rule(
            "any-method",
            "!('*' in self && self.size() > 1)",
            "AllowMethods cannot contain '*' alongside other methods",
            star_stands_alone,
        ),
        rule(
            "any-header",
            "!('*' in self && self.size() > 1)",
            "AllowHeaders cannot contain '*' alongside other methods",
            star_stands_alone,
        ),
        rule(
            "grpc-given",
            "self.protocol == 'GRPC' ? has(self.grpc) : true",
            "grpc must be specified when protocol is set to 'GRPC'",
            |auth| auth["protocol"] != "GRPC" || has(auth, "grpc"),
        ),
        rule(
            "grpc-only",
            "has(self.grpc) ? self.protocol == 'GRPC' : true",
            "protocol must be 'GRPC' when grpc is set",
            |auth| !has(auth, "grpc") || auth["protocol"] == "GRPC",
        ),
        rule(
            "http-given",
            "self.protocol == 'HTTP' ? has(self.http) : true",
            "http must be specified when protocol is set to 'HTTP'",
            |auth| auth["protocol"] != "HTTP" || has(auth, "http"),
        ),
        rule(
            "http-only",
            "has(self.http) ? self.protocol == 'HTTP' : true",
            "protocol must be 'HTTP' when http is set",
            |auth| !has(auth, "http") || auth["protocol"] == "HTTP",
        ),
        rule(
            "timeouts",
            "!(has(self.request) && has(self.backendRequest) && duration(self.request) != duration('0s') && duration(self.backendRequest) > duration(self.request))",
            "backendRequest timeout cannot be longer than request timeout",
            has_fitting_timeouts,
        ),
        rule(
            "permanent-cookie",
            "!has(self.cookieConfig) || !has(self.cookieConfig.lifetimeType) || self.cookieConfig.lifetimeType != 'Permanent' || has(self.absoluteTimeout)",
            "AbsoluteTimeout must be specified when cookie lifetimeType is Permanent",
            |session| {
                session["cookieConfig"]["lifetimeType"] != "Permanent" || has(session, "absoluteTimeout")
            },
        ),
        rule(
            "cookie-type",
            "!has(self.cookieConfig) || self.type == 'Cookie'",
            "cookieConfig can only be set with type Cookie",
            |session| !has(session, "cookieConfig") || session["type"] == "Cookie",
        ),
    ]
}

/// Whether the path is neither exact nor a prefix, so that rules about paths do not apply.
pub(super) fn is_any_path_type(value: &Value) -> bool {
    !matches!(value["type"].as_str().unwrap_or("PathPrefix"), "Exact" | "PathPrefix")
}

/// The value of a path match.
pub(super) fn path(value: &Value) -> &str {
    value["value"].as_str().unwrap_or("/")
}

fn has_path_characters(path: &str) -> bool {
    static CHARACTERS: LazyLock<Option<Regex>> =
        LazyLock::new(|| shape::pattern("path").and_then(|text| Regex::new(text).ok()));
    CHARACTERS.as_ref().is_none_or(|expression| expression.is_match(path))
}

fn has_type(filters: &Value, type_: &str) -> bool {
    items(filters).any(|filter| filter["type"] == type_)
}

fn is_service(backend: &Value) -> bool {
    backend["group"].as_str().unwrap_or_default().is_empty()
        && backend["kind"].as_str().unwrap_or("Service") == "Service"
}

fn one_replaces_prefix(filters: &Value, field: &str) -> bool {
    items(filters).filter(|filter| replaces_prefix(filter, field)).count() == 1
}

fn one_backend_replaces_prefix(rule: &Value, field: &str) -> bool {
    items(&rule["backendRefs"]).filter(|backend| one_replaces_prefix(&backend["filters"], field)).count() == 1
}

fn replaces_prefix(filter: &Value, field: &str) -> bool {
    let path = &filter[field]["path"];
    path["type"] == "ReplacePrefixMatch" && has(path, "replacePrefixMatch")
}

fn has_one_prefix_match(rule: &Value) -> bool {
    match rule["matches"].as_array().map(Vec::as_slice) {
        Some([only]) => only["path"]["type"] == "PathPrefix",
        _ => false,
    }
}

fn star_stands_alone(values: &Value) -> bool {
    !(items(values).any(|value| value == "*") && items(values).count() > 1)
}

fn has_fitting_timeouts(timeouts: &Value) -> bool {
    let duration = |name: &str| timeouts[name].as_str().map(millis);
    match (duration("request"), duration("backendRequest")) {
        (Some(request), Some(backend)) => request == 0 || backend <= request,
        _ => true,
    }
}

/// Milliseconds of a Gateway API duration (`1h30m`, `500ms`). What is no duration is the schema's business.
fn millis(duration: &str) -> u64 {
    let mut total = 0u64;
    let mut rest = duration;
    while let Some(unit_start) = rest.find(|c: char| !c.is_ascii_digit()) {
        let amount: u64 = rest[..unit_start].parse().unwrap_or(0);
        let unit_end =
            rest[unit_start..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |end| unit_start + end);
        let factor = match &rest[unit_start..unit_end] {
            "h" => 3_600_000,
            "m" => 60_000,
            "s" => 1_000,
            _ => 1,
        };
        total = total.saturating_add(amount.saturating_mul(factor));
        rest = &rest[unit_end..];
    }
    total
}
