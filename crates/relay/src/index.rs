//! Which rule takes a request, by the Gateway API's order of precedence.
//!
//! The most specific host name first; then an exact path before a regular expression before the longest prefix; then
//! a match with a method, the most headers, the most query parameters; then the older route, then `namespace/name` in
//! the alphabet, then the rule's place. Paths are found by hash, so a thousand routes cost what ten do.

use std::collections::HashMap;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, Method};
use regex::Regex;

use crate::table::{Match, PathMatch, Route};

/// The routes of a table, ready for look-up.
#[derive(Debug, Default)]
pub(crate) struct Index {
    routes: Vec<Arc<Route>>,
    exact_hosts: HashMap<String, Paths>,
    /// Without the `*`, longest first: `.example.com`.
    wildcard_hosts: Vec<(String, Paths)>,
    any_host: Paths,
}

/// What of a request decides its way.
pub(crate) struct Asked<'a> {
    /// Host without port; `None` if the client gave none.
    pub(crate) host: Option<&'a str>,
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
    pub(crate) method: &'a Method,
    pub(crate) headers: &'a HeaderMap,
}

/// The rule that takes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) route: usize,
    pub(crate) rule: usize,
    /// How many bytes of the path the matching prefix took; `None` if it was no prefix match.
    pub(crate) prefix_bytes: Option<usize>,
}

#[derive(Debug, Default)]
struct Paths {
    exact: HashMap<String, Vec<Entry>>,
    regex: Vec<(Regex, Entry)>,
    /// Without slash at the end: `/` is the empty text.
    prefix: HashMap<String, Vec<Entry>>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    route: usize,
    rule: usize,
    /// `None`: a rule without matches.
    matching: Option<usize>,
}

impl Index {
    pub(crate) fn new(routes: Vec<Arc<Route>>) -> Self {
        let mut index = Self { routes, ..Self::default() };
        let routes = index.routes.clone();
        let mut wildcard: HashMap<String, Paths> = HashMap::new();
        for (number, route) in routes.iter().enumerate() {
            if route.hostnames.is_empty() {
                index.any_host.add(number, route);
            }
            for host in &route.hostnames {
                let paths = match host.strip_prefix('*') {
                    Some("") => &mut index.any_host,
                    Some(suffix) => wildcard.entry(suffix.to_owned()).or_default(),
                    None => index.exact_hosts.entry(host.clone()).or_default(),
                };
                paths.add(number, route);
            }
        }
        index.wildcard_hosts = wildcard.into_iter().collect();
        index.wildcard_hosts.sort_by(|(a, _), (b, _)| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        let hosts =
            index.exact_hosts.values_mut().chain(index.wildcard_hosts.iter_mut().map(|(_, paths)| paths));
        for paths in hosts.chain(std::iter::once(&mut index.any_host)) {
            paths.sort(&routes);
        }
        index
    }

    pub(crate) fn route(&self, number: usize) -> &Arc<Route> {
        &self.routes[number]
    }

    pub(crate) fn find(&self, asked: &Asked<'_>) -> Option<Found> {
        let by_host = asked.host.filter(|_| !self.exact_hosts.is_empty() || !self.wildcard_hosts.is_empty());
        if let Some(host) = by_host {
            let host = host.to_ascii_lowercase();
            if let Some(found) = self.exact_hosts.get(&host).and_then(|paths| paths.find(&self.routes, asked))
            {
                return Some(found);
            }
            let below = self
                .wildcard_hosts
                .iter()
                .filter(|(suffix, _)| host.len() > suffix.len() && host.ends_with(suffix.as_str()));
            for (_, paths) in below {
                if let Some(found) = paths.find(&self.routes, asked) {
                    return Some(found);
                }
            }
        }
        self.any_host.find(&self.routes, asked)
    }
}

impl Paths {
    fn add(&mut self, route_number: usize, route: &Route) {
        for (rule_number, rule) in route.rules.iter().enumerate() {
            let entry = |matching| Entry { route: route_number, rule: rule_number, matching };
            if rule.matches.is_empty() {
                self.prefix.entry(String::new()).or_default().push(entry(None));
            }
            for (number, matching) in rule.matches.iter().enumerate() {
                let entry = entry(Some(number));
                match &matching.path {
                    PathMatch::Exact(path) => self.exact.entry(path.clone()).or_default().push(entry),
                    PathMatch::Prefix(path) => {
                        self.prefix.entry(path.trim_end_matches('/').to_owned()).or_default().push(entry);
                    }
                    PathMatch::Regex(regex) => self.regex.push((regex.clone(), entry)),
                }
            }
        }
    }

    fn sort(&mut self, routes: &[Arc<Route>]) {
        for entries in self.exact.values_mut().chain(self.prefix.values_mut()) {
            entries.sort_by(|a, b| a.rank(routes).cmp(&b.rank(routes)));
        }
        self.regex.sort_by(|(a_regex, a), (b_regex, b)| {
            let longest = b_regex.as_str().len().cmp(&a_regex.as_str().len());
            longest.then_with(|| a.rank(routes).cmp(&b.rank(routes)))
        });
    }

    fn find(&self, routes: &[Arc<Route>], asked: &Asked<'_>) -> Option<Found> {
        let holds = |entry: &&Entry| entry.holds(routes, asked);
        if let Some(entry) = self.exact.get(asked.path).and_then(|entries| entries.iter().find(holds)) {
            return Some(entry.found(None));
        }
        let by_regex = self.regex.iter().find(|(regex, entry)| regex.is_match(asked.path) && holds(&entry));
        if let Some((_, entry)) = by_regex {
            return Some(entry.found(None));
        }
        let mut prefix = asked.path.trim_end_matches('/');
        loop {
            if let Some(entry) = self.prefix.get(prefix).and_then(|entries| entries.iter().find(holds)) {
                return Some(entry.found(Some(prefix.len())));
            }
            // `a//b` is below `a/` and `a`: one segment less at each step, the empty one too.
            prefix = &prefix[..prefix.rfind('/')?];
        }
    }
}

/// Smaller goes first.
type Rank<'a> = (bool, usize, usize, i64, (&'a str, &'a str), usize, Option<usize>);

impl Entry {
    fn matching<'a>(&self, routes: &'a [Arc<Route>]) -> Option<&'a Match> {
        self.matching.map(|number| &routes[self.route].rules[self.rule].matches[number])
    }

    fn rank<'a>(&self, routes: &'a [Arc<Route>]) -> Rank<'a> {
        let route = &routes[self.route];
        let matching = self.matching(routes);
        (
            matching.is_none_or(|matching| matching.method.is_none()),
            usize::MAX - matching.map_or(0, |matching| matching.headers.len()),
            usize::MAX - matching.map_or(0, |matching| matching.query.len()),
            route.created_s,
            (&route.namespace, &route.name),
            self.rule,
            self.matching,
        )
    }

    fn holds(&self, routes: &[Arc<Route>], asked: &Asked<'_>) -> bool {
        let Some(matching) = self.matching(routes) else { return true };
        matching.method.as_ref().is_none_or(|method| method == asked.method)
            && matching.headers.iter().all(|header| {
                header_text(asked.headers, &header.name).is_some_and(|text| header.value.holds(&text))
            })
            && matching.query.iter().all(|parameter| {
                query_value(asked.query, &parameter.name).is_some_and(|text| parameter.value.holds(&text))
            })
    }

    fn found(&self, prefix_bytes: Option<usize>) -> Found {
        Found { route: self.route, rule: self.rule, prefix_bytes }
    }
}

fn header_text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<std::borrow::Cow<'a, str>> {
    let mut values = headers.get_all(name).iter().map(http::HeaderValue::to_str);
    let first = values.next()?.ok()?;
    let mut joined = std::borrow::Cow::Borrowed(first);
    for value in values {
        let text = joined.to_mut();
        text.push(',');
        text.push_str(value.ok()?);
    }
    Some(joined)
}

fn query_value(query: Option<&str>, name: &str) -> Option<String> {
    query?.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (percent_decoded(key).as_deref() == Some(name)).then(|| percent_decoded(value))?
    })
}

/// `%20` and `+` as they are meant in a query; `None` if the result is not UTF-8.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let value = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
                match value.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
                    Some(byte) => {
                        bytes.push(byte);
                        rest = &tail[2..];
                    }
                    None => bytes.push(b'%'),
                }
            }
            byte => bytes.push(*byte),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests;
