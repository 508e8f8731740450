//! A dump of a cluster, replayed without it, comes to the same as the operator did.

use compose::{Facts, Settings};
use jiff::Timestamp;
use kinds::Objects;
use serde_json::{Value, json};

use crate::world::{TEAM, World, routed, says, service};

/// What the operator would do to a cluster that holds exactly this.
fn replayed(dump: &[Value], name: &str) -> plan::Diff {
    let objects = Objects::from_documents(dump.iter().cloned()).unwrap();
    let service = objects.get("serving.kserve.io/v1alpha2", "LLMInferenceService", Some(TEAM), name).unwrap();
    let settings = Settings::from_objects(&objects, "kserve").unwrap();
    let facts = Facts { service: service.clone(), settings, objects: objects.clone(), ..Facts::default() };
    let plan = plan::build(&compose::compose(&facts).unwrap(), &facts);
    assert_eq!(plan.failure, None);
    plan::diff_live(&plan, &objects, Timestamp::now())
}

/// The dump as kubectl prints it unless it is asked for more.
fn without_record(dump: &[Value]) -> Vec<Value> {
    let mut dump = dump.to_vec();
    for object in &mut dump {
        object["metadata"].as_object_mut().unwrap().remove("managedFields");
    }
    dump
}

#[tokio::test]
async fn a_cluster_that_the_operator_is_done_with_needs_nothing() {
    let world = World::start().await;
    let pod = json!({"containers": [{"name": "main"}]});
    let adapters = json!({
        "uri": "hf://org/tiny", "name": "org/tiny", "lora": {"adapters": [{"name": "a", "uri": "hf://org/a"}]},
    });
    let scaling = json!({"minReplicas": 1, "maxReplicas": 3, "wva": {"hpa": {}}});
    let keda = json!({"maxReplicas": 3, "keda": {"triggers": [{"type": "cron", "metadata": {"start": "0 8 * * *"}}]}});
    let tokenized = json!({"route": {}, "gateway": {}, "scheduler": {"tokenizer": {}, "replicas": 2}});
    let services = [
        ("plain", json!({})),
        ("routed", json!({"router": routed(), "replicas": 2, "model": adapters})),
        ("scaled", json!({"router": routed(), "scaling": scaling, "prefill": {"template": pod}})),
        ("keda", json!({"scaling": keda, "tracing": {}})),
        (
            "split",
            json!({
                "router": tokenized, "parallelism": {"data": 4, "dataLocal": 2}, "worker": pod,
                "prefill": {"parallelism": {"data": 2, "dataLocal": 1}, "worker": pod},
                "kvCacheOffloading": {"cpu": "1Gi", "secondary": [{"fileSystem": {"emptyDir": {"size": "1024Mi"}}}]},
            }),
        ),
    ];
    for (name, spec) in &services {
        let mut object = service(name, spec.clone());
        if *name == "plain" {
            object["metadata"]["annotations"] =
                json!({"serving.kserve.io/exp-dra-device-class": "gpu.example.com"});
        }
        world.put(object).await;
        world.until("LLMInferenceService", name, |it| says(it, "PresetsCombined", "True")).await;
    }
    world.settle().await;
    let dump = world.dump().await;
    for (name, _) in &services {
        assert_eq!(replayed(&dump, name), plan::Diff::default(), "{name} with its record");
        assert_eq!(
            replayed(&without_record(&dump), name),
            plan::Diff::default(),
            "{name} without its record"
        );
    }
    let mut edited = dump.clone();
    for object in edited.iter_mut().filter(|object| object["kind"] == "LLMInferenceService") {
        object["spec"]["replicas"] = json!(5);
        object["spec"].as_object_mut().unwrap().remove("scaling");
    }
    for dump in [edited.clone(), without_record(&edited)] {
        let diff = replayed(&dump, "routed");
        let writes: Vec<String> = diff.writes.iter().map(|write| write.change.to_string()).collect();
        assert_eq!(writes, ["update apps/v1 Deployment team/routed-kserve"]);
        assert_eq!((diff.pods[0].pods, diff.pods[0].restarts), ((2, 5), 0));
    }
}
