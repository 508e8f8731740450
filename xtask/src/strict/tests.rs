#![allow(clippy::unwrap_used, reason = "what cannot be planned has failed")]

use serde_json::json;

use super::{Chapter, Story, own};
use crate::verdicts::Judge;

async fn ours() -> Judge {
    let mut ours = Judge::ours().unwrap();
    for definition in kinds::crds() {
        ours.put(&definition).await.unwrap();
    }
    ours
}

#[tokio::test]
async fn our_server_takes_all_that_we_plan_for_the_services_of_this_repository() {
    let mut ours = ours().await;
    let mut findings = Vec::new();
    let mut taken = 0;
    for story in own().unwrap() {
        let played = ours.play(&story).await.unwrap();
        findings.extend(played.findings);
        taken += played.taken;
    }
    assert!(findings.is_empty(), "{}", findings.join("\n"));
    assert!(taken > 200, "{taken} objects are few");
}

#[tokio::test]
async fn what_is_unknown_or_wrong_is_found() {
    let service = |field: &str| {
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "n"},
            "spec": {"ports": [{"port": 80}], field: {"a": "b"}},
        })
    };
    let story = Story {
        name: "story".to_owned(),
        chapters: vec![Chapter {
            name: String::new(),
            children: vec![service("selector"), service("selectr")],
            refused: vec![service("selector")],
        }],
    };
    let played = ours().await.play(&story).await.unwrap();
    assert_eq!((played.taken, played.refused.len()), (1, 0));
    assert_eq!(played.findings.len(), 2, "{:?}", played.findings);
    assert!(played.findings[0].contains("selectr") && played.findings[1].ends_with("takes v1 Service n/s"));
}
