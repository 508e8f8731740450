#![allow(clippy::unwrap_used, reason = "what cannot be read has failed")]

use api::admission::{self, Request};
use api::crd::{Edition, crds};
use serde_json::{Value, json};

use super::verdict::{completed, rules};
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

/// Objects as they are written, as they are stored, and complete ones that are wrong: the last two are only looked at.
#[test]
fn to_look_at_an_object_says_what_to_admit_it_says() {
    let says = |object: &Value| admission::admit(object, Request::default());
    for case in cases().unwrap() {
        let admitted = says(&case.object);
        assert_eq!(admission::refusal(&case.object), admitted.clone().err(), "{}", case.id);
        let complete = match admitted {
            Ok(admitted) => admitted.object,
            Err(_) => completed(&case).unwrap(),
        };
        assert_eq!(admission::refusal(&complete), says(&complete).err(), "{}", case.id);
    }
}

fn difference(case: &Case, ours: &Verdict, real: &Verdict) -> Option<String> {
    ours.difference(real).map(|difference| format!("{}: {difference}", case.id))
}
