//! Recorded exchanges of a kube-apiserver, sent to ours.
//!
//! `exchanges.jsonl` holds requests in order with their answers. Values that a server invents are placeholders: the first
//! answer binds one, later ones must agree. Watches stay open while the later requests run.

mod compare;
mod exchange;
mod kubectl;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::difference::Difference;
use super::{Case, Outcome};
use compare::Bindings;
use exchange::{Client, Exchange};

/// Runs the exchanges of one case.
pub(crate) fn run(case: &Case) -> Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        if let Some(name) = case.id.strip_prefix("apiserver/kubectl-") {
            return Ok(outcome(kubectl::run(&case.root, name).await?));
        }
        let text = std::fs::read_to_string(case.dir.join("exchanges.jsonl"))?;
        let about = yaml::read_value(&std::fs::read_to_string(case.dir.join("case.yaml"))?)?;
        let exchanges: Vec<Exchange> =
            text.lines().map(serde_json::from_str).collect::<Result<_, _>>().context("exchanges.jsonl")?;
        let namespace = about["namespace"].as_str().unwrap_or("case");
        let client = server(&case.root, &text, namespace, "golden/1.0").await?;
        let compact_before = about["notes"]
            .as_str()
            .and_then(|notes| notes.split("compacted by hand before exchange ").nth(1))
            .and_then(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok());
        let bindings = Bindings::new(&text);
        let (differences, answers) =
            play(&client, bindings, about["name"].as_str().unwrap_or_default(), &exchanges, compact_before)
                .await?;
        if let Some(out) = &case.out {
            std::fs::create_dir_all(out)?;
            let lines: Vec<String> = answers.iter().map(ToString::to_string).collect();
            std::fs::write(out.join("answers.jsonl"), lines.join("\n"))?;
        }
        Ok(outcome(differences))
    })
}

fn outcome(differences: Vec<String>) -> Outcome {
    let mut outcome = Outcome::default();
    // `#3 GET /path: .field is 1 instead of 2`
    let found = differences.into_iter().map(|line| {
        let numberless = line.split_once(' ').filter(|(number, _)| number.starts_with('#'));
        let (place, words) =
            numberless.map_or(line.as_str(), |(_, rest)| rest).split_once(": ").unwrap_or(("", &line));
        let field = words.split_once(" is ").map_or("", |(field, _)| field);
        let field = if field.starts_with('.') { field } else { "" };
        Difference::of_text("", format!("exchanges/{place}{field}"), "", words)
    });
    outcome.add("exchanges", "exchanges.jsonl", found.collect());
    outcome
}

/// A fresh server with the CRDs that the exchanges mention, and the namespace of the case.
/// `agent` is the `User-Agent` of what the recordings do not show; empty: none.
async fn server(root: &Path, text: &str, namespace: &str, agent: &'static str) -> Result<Client> {
    let user = |token: &str, name: &str, group: &str| apiserver::User {
        token: token.into(),
        name: name.into(),
        groups: vec![group.into()],
    };
    let options = apiserver::Options {
        users: vec![user("admin-token", "admin", "system:masters"), user("alice-token", "alice", "dev")],
        audience: "https://x".into(),
        seed: Some(1),
        ..apiserver::Options::default()
    };
    let server = apiserver::ApiServer::new(options)?;
    let client = Client::new(Arc::new(server), agent);
    let everything = text.contains("/apis?") || text.contains("\"/apis\"") || text.contains("openapi/v3\"");
    for folder in ["crds", "apiserver/crds"] {
        let mut files: Vec<_> = std::fs::read_dir(root.join(folder))?
            .map(|e| e.map(|e| e.path()))
            .collect::<std::io::Result<_>>()?;
        files.sort();
        for file in files {
            let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let group = name.split_once('.').map_or("golden.example.com", |(_, group)| group);
            if !everything && !text.contains(group) {
                continue;
            }
            let crd: Value = serde_json::from_slice(&std::fs::read(&file)?)?;
            client
                .write(
                    "POST",
                    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions?fieldManager=kubectl-create",
                    "application/json",
                    &crd,
                )
                .await
                .with_context(|| name)?;
        }
    }
    client
        .write(
            "POST",
            "/api/v1/namespaces",
            "application/json",
            &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
        )
        .await?;
    Ok(client)
}

/// Sends the requests in order and compares what comes back; also returns our answers.
async fn play(
    client: &Client,
    mut bindings: Bindings,
    name: &str,
    exchanges: &[Exchange],
    compact_before: Option<u64>,
) -> Result<(Vec<String>, Vec<Value>)> {
    let mut differences = Vec::new();
    let mut answers = Vec::new();
    let mut watches: Vec<(usize, exchange::Watch)> = Vec::new();
    for (index, exchange) in exchanges.iter().enumerate() {
        if Some(exchange.n) == compact_before {
            client.server.compact();
        }
        client.unrecorded(name, exchange.n).await?;
        let mut answer =
            client.send(exchange, &mut bindings).await.with_context(|| format!("exchange {}", exchange.n))?;
        let before = differences.len();
        bindings.answer(exchange, &mut answer, &mut differences);
        for difference in &mut differences[before..] {
            *difference = format!(
                "#{} {} {}: {difference}",
                exchange.n, exchange.request.method, exchange.request.path
            );
        }
        answers.push(answer.body.clone());
        if let Some(watch) = answer.watch {
            watches.push((index, watch));
        }
        for (watched, watch) in &mut watches {
            let recorded = &exchanges[*watched];
            let so_far = recorded.events_until(exchange.n);
            watch.read_until(so_far, 1_500).await;
            let fresh: Vec<(usize, Value)> = watch.fresh(so_far);
            for (at, event) in fresh {
                let mut found = Vec::new();
                match recorded.event(at) {
                    Some(expected) => bindings.compare(expected, &event, "", &mut found),
                    None => found.push(format!("unexpected event {event}")),
                }
                differences.extend(found.into_iter().map(|d| format!("#{} event {at}: {d}", recorded.n)));
            }
        }
    }
    for (watched, mut watch) in watches {
        let recorded = &exchanges[watched];
        if recorded.ends_by_server() {
            watch.read_until(usize::MAX, 8_000).await;
            if !watch.ended {
                differences.push(format!("#{}: the server did not end the watch", recorded.n));
            }
        } else {
            // The recording client had left after its last event.
            watch.read_until(recorded.events_until(u64::MAX), 500).await;
        }
        let all = recorded.events_until(u64::MAX);
        if watch.seen.len() < all {
            differences.push(format!("#{}: {} of {all} events came", recorded.n, watch.seen.len()));
        }
        let late =
            watch.seen.iter().skip(all).filter(|e| e["type"] != "BOOKMARK" && recorded.ends_by_server());
        for event in late {
            differences.push(format!("#{}: an event too many: {event}", recorded.n));
        }
    }
    Ok((differences, answers))
}
