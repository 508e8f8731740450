use super::*;
use crate::table::{HeaderMatch, QueryMatch, Rule, ValueMatch};

fn route(name: &str, created_s: i64, hostnames: &[&str], rules: Vec<Vec<Match>>) -> Arc<Route> {
    Arc::new(Route {
        namespace: "team".to_owned(),
        name: name.to_owned(),
        created_s,
        hostnames: hostnames.iter().map(|&host| host.to_owned()).collect(),
        rules: rules.into_iter().map(|matches| Rule { matches, ..Rule::default() }).collect(),
    })
}

fn at(path: PathMatch) -> Match {
    Match { path, method: None, headers: Vec::new(), query: Vec::new() }
}

fn prefix(path: &str) -> Match {
    at(PathMatch::Prefix(path.to_owned()))
}

fn exact(path: &str) -> Match {
    at(PathMatch::Exact(path.to_owned()))
}

fn with_header(mut matching: Match, name: &'static str, value: &str) -> Match {
    let value = ValueMatch::Exact(value.to_owned());
    matching.headers.push(HeaderMatch { name: HeaderName::from_static(name), value });
    matching
}

fn find(
    index: &Index,
    url: &str,
    headers: &[(&'static str, &'static str)],
) -> Option<(String, usize, Option<usize>)> {
    let uri: http::Uri = url.parse().unwrap();
    let headers = headers
        .iter()
        .map(|&(name, value)| (HeaderName::from_static(name), http::HeaderValue::from_static(value)))
        .collect();
    let asked = Asked {
        host: uri.host(),
        path: uri.path(),
        query: uri.query(),
        method: &Method::POST,
        headers: &headers,
    };
    let found = index.find(&asked)?;
    Some((index.route(found.route).name.clone(), found.rule, found.prefix_bytes))
}

fn name(index: &Index, url: &str, headers: &[(&'static str, &'static str)]) -> String {
    find(index, url, headers).map_or_else(|| "none".to_owned(), |(name, rule, _)| format!("{name}/{rule}"))
}

#[test]
fn an_exact_path_wins_over_an_expression_over_the_longest_prefix() {
    let index = Index::new(vec![
        route("short", 1, &[], vec![vec![prefix("/a")]]),
        route("long", 2, &[], vec![vec![prefix("/a/b")]]),
        route("regex", 3, &[], vec![vec![at(PathMatch::regex("/a/b/c.*").unwrap())]]),
        route("exact", 4, &[], vec![vec![exact("/a/b/c")]]),
    ]);
    assert_eq!(name(&index, "http://h/a/b/c", &[]), "exact/0");
    assert_eq!(name(&index, "http://h/a/b/cd", &[]), "regex/0");
    assert_eq!(name(&index, "http://h/a/b/d", &[]), "long/0");
    assert_eq!(name(&index, "http://h/a/x", &[]), "short/0");
}

#[test]
fn a_prefix_is_of_whole_path_segments() {
    let index = Index::new(vec![route("r", 1, &[], vec![vec![prefix("/team/demo/")]])]);
    assert_eq!(name(&index, "http://h/team/demo", &[]), "r/0");
    assert_eq!(name(&index, "http://h/team/demo/", &[]), "r/0");
    assert_eq!(name(&index, "http://h/team/demo/v1", &[]), "r/0");
    assert_eq!(name(&index, "http://h/team/demo2/v1", &[]), "none");
    assert_eq!(name(&index, "http://h/team", &[]), "none");
    assert_eq!(find(&index, "http://h/team/demo/v1", &[]).unwrap().2, Some("/team/demo".len()));
}

#[test]
fn a_rule_with_more_headers_wins_on_the_same_path_and_any_header_rule_over_none() {
    let rules = vec![
        vec![prefix("/")],
        vec![with_header(prefix("/"), "x-a", "1")],
        vec![with_header(with_header(prefix("/"), "x-a", "1"), "x-b", "2")],
    ];
    let index = Index::new(vec![route("r", 1, &[], rules)]);
    assert_eq!(name(&index, "http://h/x", &[("x-a", "1"), ("x-b", "2")]), "r/2");
    assert_eq!(name(&index, "http://h/x", &[("x-a", "1")]), "r/1");
    assert_eq!(name(&index, "http://h/x", &[("x-a", "other")]), "r/0");
}

#[test]
fn a_longer_path_wins_over_headers_and_a_method_wins_over_headers() {
    let with_method = Match { method: Some(Method::POST), ..prefix("/a") };
    let index = Index::new(vec![
        route("headers", 1, &[], vec![vec![with_header(prefix("/a"), "x-a", "1")]]),
        route("method", 2, &[], vec![vec![with_method]]),
        route("longer", 3, &[], vec![vec![prefix("/a/b")]]),
    ]);
    assert_eq!(name(&index, "http://h/a/b", &[("x-a", "1")]), "longer/0");
    assert_eq!(name(&index, "http://h/a", &[("x-a", "1")]), "method/0");
}

#[test]
fn of_equal_matches_the_older_route_wins_then_the_alphabet_then_the_rule_order() {
    let rule = || vec![vec![prefix("/a")], vec![prefix("/a")]];
    let index = Index::new(vec![route("b", 5, &[], rule()), route("c", 4, &[], rule())]);
    assert_eq!(name(&index, "http://h/a", &[]), "c/0");
    let index = Index::new(vec![route("b", 5, &[], rule()), route("a", 5, &[], rule())]);
    assert_eq!(name(&index, "http://h/a", &[]), "a/0");
}

#[test]
fn the_most_specific_host_name_wins_and_others_are_tried_after_it() {
    let index = Index::new(vec![
        route("any", 1, &[], vec![vec![prefix("/")]]),
        route("wide", 2, &["*.example.com"], vec![vec![prefix("/a")]]),
        route("narrow", 3, &["*.eu.example.com"], vec![vec![prefix("/a")]]),
        route("exact", 4, &["m.eu.example.com"], vec![vec![prefix("/a")]]),
    ]);
    assert_eq!(name(&index, "http://M.eu.example.com:8080/a", &[]), "exact/0");
    assert_eq!(name(&index, "http://x.eu.example.com/a", &[]), "narrow/0");
    assert_eq!(name(&index, "http://x.example.com/a", &[]), "wide/0");
    assert_eq!(name(&index, "http://example.com/a", &[]), "any/0");
    assert_eq!(name(&index, "http://m.eu.example.com/other", &[]), "any/0");
}

#[test]
fn a_rule_without_matches_takes_everything_that_no_other_takes() {
    let index = Index::new(vec![route("r", 1, &[], vec![Vec::new(), vec![prefix("/a")]])]);
    assert_eq!(name(&index, "http://h/a", &[]), "r/1");
    assert_eq!(name(&index, "http://h/b", &[]), "r/0");
}

#[test]
fn query_parameters_are_compared_decoded_and_by_their_first_value() {
    let query = |value: &str| {
        vec![QueryMatch { name: "model name".to_owned(), value: ValueMatch::Exact(value.to_owned()) }]
    };
    let index =
        Index::new(vec![route("r", 1, &[], vec![vec![Match { query: query("a b"), ..prefix("/") }]])]);
    assert_eq!(name(&index, "http://h/?x=1&model%20name=a+b&model%20name=c", &[]), "r/0");
    assert_eq!(name(&index, "http://h/?model%20name=c&model%20name=a+b", &[]), "none");
}

#[test]
fn repeated_headers_are_compared_joined() {
    let rule = vec![vec![with_header(prefix("/"), "x-a", "1,2")]];
    let index = Index::new(vec![route("r", 1, &[], rule)]);
    assert_eq!(name(&index, "http://h/", &[("x-a", "1"), ("x-a", "2")]), "r/0");
    assert_eq!(name(&index, "http://h/", &[("x-a", "1")]), "none");
}
