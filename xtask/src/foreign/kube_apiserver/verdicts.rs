//! The objects of `tests/verdicts`, judged by the real server and by ours.

use anyhow::Result;
use api::crd::{Edition, crds};
use serde_json::{Value, json};

use crate::verdicts::{Case, Judge, NAMESPACE, Verdict, answers, cases};

/// Both servers with the definitions that go into a cluster. Nothing is stored.
pub(super) async fn installed(real: &mut Judge) -> Result<Vec<String>> {
    let mut ours = prepared(real, Edition::Installed).await?;
    let mut findings = Vec::new();
    let cases = cases()?;
    for case in &cases {
        let (theirs, own) = (real.would_say(case).await?, ours.would_say(case).await?);
        findings.extend(difference(case, "installed: ours <> real", &own, &theirs));
    }
    println!("{} objects judged by the installed definitions", cases.len());
    Ok(findings)
}

/// Both servers with every field spelled out, our validation alone, and what is written down.
pub(super) async fn full(real: &mut Judge) -> Result<Vec<String>> {
    let mut ours = prepared(real, Edition::Full).await?;
    let mut findings = Vec::new();
    let mut said = String::new();
    let cases = cases()?;
    for case in &cases {
        let (theirs, own) = (real.judge(case).await?, ours.judge(case).await?);
        said.push_str(&format!("{}\n", serde_json::to_string(&theirs)?));
        findings.extend(difference(case, "ours <> real", &own, &theirs));
        if !case.servers_only {
            findings.extend(difference(case, "schema <> real", &Verdict::of_schema(case)?, &theirs));
        }
        if (theirs.code < 300) != case.is_good {
            let meant = if case.is_good { "good" } else { "bad" };
            findings.push(format!(
                "{}: it is meant to be {meant}, and the real server says {}",
                case.id, theirs.code
            ));
        }
        if theirs.code < 300 && own.code < 300 {
            let (theirs, own) = (read_back(real, case).await?, read_back(&mut ours, case).await?);
            if theirs != own {
                findings.push(format!("{}: read back: {own} <> {theirs}", case.id));
            }
        }
    }
    println!("{} objects judged by the full definitions", cases.len());
    if answers().map_or(true, |known| {
        known.iter().map(serde_json::to_string).map(Result::unwrap_or_default).ne(said.lines())
    }) {
        let file = crate::workspace::root().join("target/foreign/kube-apiserver/answers.jsonl");
        std::fs::write(&file, &said)?;
        findings.push(format!(
            "the real server says something else than tests/verdicts/answers.jsonl; if that is right, copy {} there",
            file.display()
        ));
    }
    Ok(findings)
}

/// Our server with these definitions, and the namespace on both.
async fn prepared(real: &mut Judge, edition: Edition) -> Result<Judge> {
    let mut ours = Judge::ours()?;
    for definition in crds(edition, None) {
        ours.put(&definition).await?;
    }
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
    for judge in [real, &mut ours] {
        judge.put(&namespace).await?;
    }
    Ok(ours)
}

/// The stored object in both versions.
async fn read_back(judge: &mut Judge, case: &Case) -> Result<Value> {
    let mut read = Vec::new();
    for version in ["v1alpha1", "v1alpha2"] {
        let mut object = case.object.clone();
        object["apiVersion"] = json!(format!("serving.kserve.io/{version}"));
        let path = judge.collection(&object).await?;
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let mut found = judge.ask("GET", &format!("{path}/{name}"), "", &Value::Null).await?.body;
        if let Some(fields) = found.as_object_mut() {
            fields.remove("metadata");
        }
        read.push(found);
    }
    Ok(Value::Array(read))
}

fn difference(case: &Case, who: &str, own: &Verdict, theirs: &Verdict) -> Option<String> {
    own.difference(theirs).map(|difference| format!("{}: {who}: {difference}", case.id))
}
