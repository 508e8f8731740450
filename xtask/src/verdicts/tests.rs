#![allow(clippy::unwrap_used, reason = "what cannot be read has failed")]

use api::crd::{Edition, crds};
use serde_json::json;

use super::verdict::rules;
use super::{Case, Judge, NAMESPACE, Verdict, answers, cases};

/// Of each kind of object there have to be that many.
const ENOUGH: usize = 100;
/// They want a `minReplicas`, which has a default.
const UNBREAKABLE: [&str; 2] = ["wva-idle-needs-min", "keda-idle-needs-min"];

#[test]
fn there_are_enough_objects_and_each_is_judged_as_it_was_meant() {
    let (cases, answers) = (cases().unwrap(), answers().unwrap());
    let good = cases.iter().filter(|case| case.is_good).count();
    assert!(good >= ENOUGH && cases.len() - good >= ENOUGH, "{good} good ones of {}", cases.len());
    assert_eq!(
        cases.iter().map(|case| &case.id).collect::<Vec<_>>(),
        answers.iter().map(|answer| &answer.case).collect::<Vec<_>>(),
        "answers.jsonl is to have a line per case; `cargo xtask foreign kube-apiserver` says how"
    );
    for (case, answer) in cases.iter().zip(&answers) {
        assert_eq!(answer.code < 300, case.is_good, "{}: {answer:?}", case.id);
    }
}

#[test]
fn every_rule_of_the_schemas_is_kept_by_one_object_and_broken_by_another() {
    let mut seen = std::collections::BTreeSet::new();
    for case in cases().unwrap().iter().filter(|case| !case.servers_only) {
        seen.extend(rules(case).unwrap());
    }
    let missing: Vec<String> = api::rules::all()
        .flat_map(|rule| [(rule, true), (rule, false)])
        .filter(|(rule, holds)| *holds || !UNBREAKABLE.contains(&rule.id))
        .filter(|(rule, holds)| !seen.contains(&(rule.rule.clone(), *holds)))
        .map(|(rule, holds)| format!("{} {}", rule.id, if holds { "kept" } else { "broken" }))
        .collect();
    assert!(missing.is_empty(), "no object for: {}", missing.join(", "));
}

#[tokio::test]
async fn our_api_server_says_what_the_real_one_says() {
    let mut ours = Judge::ours().unwrap();
    for definition in crds(Edition::Full, None) {
        ours.put(&definition).await.unwrap();
    }
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
    ours.put(&namespace).await.unwrap();
    let mut differences = Vec::new();
    for (case, answer) in cases().unwrap().iter().zip(answers().unwrap()) {
        differences.extend(difference(case, &ours.judge(case).await.unwrap(), &answer));
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn our_validation_says_what_the_real_server_says() {
    let mut differences = Vec::new();
    for (case, answer) in cases().unwrap().iter().zip(answers().unwrap()) {
        if !case.servers_only {
            differences.extend(difference(case, &Verdict::of_schema(case).unwrap(), &answer));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

fn difference(case: &Case, ours: &Verdict, real: &Verdict) -> Option<String> {
    ours.difference(real).map(|difference| format!("{}: {difference}", case.id))
}
