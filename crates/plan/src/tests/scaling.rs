//! Autoscalers: which there are, what they say, and that they go with their reason.

use compose::Facts;
use serde_json::{Value, json};

use super::{carried_out, facts, find, keys, plan, service};
use crate::Part;

fn scaled(scaling: Value) -> Value {
    json!({"scaling": scaling})
}

/// The facts of an installation whose Prometheus is known.
fn known(spec: Value) -> Facts {
    let mut facts = facts(service("demo", spec), &[]);
    let mut autoscaling = facts.settings.autoscaling.take().unwrap_or_default();
    autoscaling.prometheus.url = "https://prometheus".to_owned();
    facts.settings.autoscaling = Some(autoscaling);
    facts
}

#[test]
fn autoscalers_follow_the_mode_and_go_with_it() {
    let hpa = json!({"maxReplicas": 4, "wva": {"variantCost": "2.5", "hpa": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 60}}}}});
    let wva_keda = json!({"minReplicas": 2, "maxReplicas": 4, "wva": {"keda": {"pollingInterval": 5, "idleReplicaCount": 0}}});
    let keda = json!({"maxReplicas": 4, "keda": {"triggers": [{"type": "cron", "metadata": {"start": "0 8 * * *"}}]}});
    let mut before = known(scaled(hpa));
    let first = plan(&before);
    let object = find(&first, "HorizontalPodAutoscaler", "demo-kserve-hpa");
    assert_eq!(object["spec"]["scaleTargetRef"]["kind"], "Deployment");
    assert_eq!(object["spec"]["behavior"]["scaleDown"]["stabilizationWindowSeconds"], 60);
    assert_eq!(object["metadata"]["annotations"]["llm-d.ai/variant-cost"], "2.5");
    assert_eq!(object["metadata"]["annotations"]["llm-d.ai/model-id"], "org/tiny");
    assert_eq!(object["metadata"]["labels"]["inference.optimization/acceleratorName"], "unknown");
    for (spec, query) in [(wva_keda, true), (keda, false)] {
        let mut after = carried_out(&before, &plan(&before));
        after.service = service("demo", scaled(spec)).into();
        let next = plan(&after);
        let object = find(&next, "ScaledObject", "demo-kserve-keda");
        assert_eq!(object["spec"]["triggers"][0]["metadata"]["query"].is_string(), query);
        assert_eq!(
            object["metadata"]["annotations"].is_object(),
            query,
            "only the variant autoscaler reads them"
        );
        assert!(next.absent.iter().all(|key| key.kind == "HorizontalPodAutoscaler"));
        if query {
            assert_eq!(object["spec"]["idleReplicaCount"], 0);
            assert_eq!(next.absent.len(), 1, "{:?}", next.absent);
        }
        before = after;
    }
    // What KEDA itself wrote stays.
    let mut after = carried_out(&before, &plan(&before));
    let key = after.objects.iter().find(|(key, _)| key.kind == "ScaledObject").unwrap().0.clone();
    let mut live = (**after.objects.get_key(&key).unwrap()).clone();
    live["metadata"]["labels"]["scaledobject.keda.sh/name"] = json!("demo-kserve-keda");
    live["metadata"]["finalizers"] = json!(["finalizer.keda.sh"]);
    after.objects.insert(live.clone()).unwrap();
    let kept = plan(&after);
    let object = find(&kept, "ScaledObject", "demo-kserve-keda");
    assert_eq!(object["metadata"]["labels"]["scaledobject.keda.sh/name"], "demo-kserve-keda");
    assert!(object["metadata"]["finalizers"].is_null(), "not ours to apply");
    after.service = service("demo", json!({})).into();
    assert_eq!(plan(&after).absent, std::slice::from_ref(&key));
    assert!(crate::teardown(&after).absent.contains(&key));
}

#[test]
fn prefill_and_groups_scale_on_their_own() {
    let pod = json!({"containers": [{"name": "main"}]});
    let hpa = json!({"maxReplicas": 4, "wva": {"hpa": {}}});
    let plan = plan(&known(json!({
        "scaling": hpa, "labels": {"inference.optimization/acceleratorName": "H100"},
        "worker": pod, "parallelism": {"data": 2, "dataLocal": 1},
        "prefill": {"template": pod, "scaling": hpa},
    })));
    let main = find(&plan, "HorizontalPodAutoscaler", "demo-kserve-hpa");
    assert_eq!(main["spec"]["scaleTargetRef"]["kind"], "LeaderWorkerSet");
    assert_eq!(main["spec"]["scaleTargetRef"]["name"], "demo-kserve-mn");
    assert_eq!(main["metadata"]["labels"]["inference.optimization/acceleratorName"], "H100");
    let prefill = find(&plan, "HorizontalPodAutoscaler", "demo-kserve-prefill-hpa");
    assert_eq!(prefill["spec"]["scaleTargetRef"]["name"], "demo-kserve-prefill");
    assert_eq!(prefill["metadata"]["labels"]["inference.optimization/acceleratorName"], "unknown");
}

#[test]
fn keda_needs_to_know_its_prometheus() {
    let spec = scaled(json!({"maxReplicas": 4, "wva": {"keda": {"pollingInterval": 5}}}));
    let unknown = plan(&facts(service("demo", spec.clone()), &[])).failure.unwrap();
    assert_eq!((unknown.part, unknown.reason.as_str()), (Part::Scaling, "ReconcileScalingError"));
    assert!(unknown.message.contains("prometheus.url is required"), "{}", unknown.message);
    let with = |modes: &str, name: &str, kind: &str| {
        let mut facts = known(spec.clone());
        let prometheus = &mut facts.settings.autoscaling.as_mut().unwrap().prometheus;
        prometheus.auth_modes = modes.to_owned();
        prometheus.trigger_auth_name = name.to_owned();
        prometheus.trigger_auth_kind = kind.to_owned();
        plan(&facts)
    };
    for half in [with("bearer", "", ""), with("", "auth", "")] {
        assert!(half.failure.unwrap().message.contains("must be set together"));
    }
    let whole = with("bearer", "auth", "ClusterTriggerAuthentication");
    let trigger = &find(&whole, "ScaledObject", "demo-kserve-keda")["spec"]["triggers"][0];
    assert_eq!(trigger["metadata"]["authModes"], "bearer");
    assert_eq!(trigger["authenticationRef"], json!({"kind": "ClusterTriggerAuthentication", "name": "auth"}));
    assert!(keys(&whole).contains(&"Deployment demo-kserve".to_owned()));
}
