//! Routing by model name: one address for all models, told apart by a header.

use api::keys;
use compose::ModelRouting;
use kinds::gateway::{HTTPRouteMatch, HTTPRouteRule, HTTPRouteSpec};

use crate::storage::{adapters, published_name};
use crate::subject::Subject;

/// Matches that the Gateway API allows in one rule.
const MAX_MATCHES: usize = 64;

/// Gives adapters their matches, or takes all matches by header away where routing by model is off.
pub(crate) fn apply(spec: &mut HTTPRouteSpec, subject: &Subject) {
    let header = subject.facts.settings.ingress.model_routing_header.as_str();
    if is_enabled(subject) {
        let names: Vec<String> = adapters(subject.spec).into_iter().map(|adapter| adapter.name).collect();
        if !names.is_empty() {
            add_adapters(spec, header, subject.namespace, &names);
        }
        return;
    }
    if header.is_empty() {
        return;
    }
    for rule in &mut spec.rules {
        rule.matches.retain(|matched| !has_header(matched, header));
    }
    spec.rules.retain(|rule| !rule.matches.is_empty());
}

/// Whether requests can be routed by model name.
pub(crate) fn is_enabled(subject: &Subject) -> bool {
    let ingress = &subject.facts.settings.ingress;
    let served =
        subject.workload().annotations.get(keys::MODEL_BASED_ROUTING).map(String::as_str) == Some("true");
    if ingress.model_routing_header.is_empty() || !served {
        return false;
    }
    match ingress.model_routing {
        ModelRouting::Disabled => false,
        ModelRouting::Forced => true,
        ModelRouting::Enabled => !a_gateway_opts_out(subject),
    }
}

/// Only gateways that the service names can opt out, not the default one.
fn a_gateway_opts_out(subject: &Subject) -> bool {
    let gateways =
        subject.spec.router.iter().flat_map(|router| &router.gateway).flat_map(|gateway| &gateway.refs);
    gateways.into_iter().any(|reference| {
        let namespace =
            Some(reference.namespace.as_str()).filter(|text| !text.is_empty()).unwrap_or(subject.namespace);
        subject
            .facts
            .objects
            .get(kinds::gateway::API_VERSION, "Gateway", Some(namespace), &reference.name)
            .is_some_and(|gateway| gateway["metadata"]["annotations"][keys::MODEL_BASED_ROUTING] == "false")
    })
}

fn has_header(matched: &HTTPRouteMatch, header: &str) -> bool {
    matched.headers.iter().any(|condition| condition.name.eq_ignore_ascii_case(header))
}

/// Repeats each match by header for every adapter. A rule that grows past what the Gateway API allows goes on in further
/// rules of the same back-ends.
fn add_adapters(spec: &mut HTTPRouteSpec, header: &str, namespace: &str, names: &[String]) {
    let mut rules = Vec::with_capacity(spec.rules.len());
    for mut rule in std::mem::take(&mut spec.rules) {
        let copied: Vec<HTTPRouteMatch> = rule
            .matches
            .iter()
            .filter(|matched| has_header(matched, header))
            .flat_map(|matched| names.iter().map(move |name| (matched, name)))
            .map(|(matched, name)| {
                let mut matched = matched.clone();
                for condition in &mut matched.headers {
                    if condition.name.eq_ignore_ascii_case(header) {
                        condition.value = published_name(namespace, name);
                    }
                }
                matched
            })
            .collect();
        rule.matches.extend(copied);
        rules.extend(split(rule));
    }
    spec.rules = rules;
}

fn split(rule: HTTPRouteRule) -> Vec<HTTPRouteRule> {
    if rule.matches.len() <= MAX_MATCHES {
        return vec![rule];
    }
    rule.matches
        .chunks(MAX_MATCHES)
        .enumerate()
        .map(|(index, matches)| HTTPRouteRule {
            name: rule
                .name
                .as_ref()
                .map(|name| if index == 0 { name.clone() } else { format!("{name}-{}", index + 1) }),
            matches: matches.to_vec(),
            ..rule.clone()
        })
        .collect()
}
