//! A dump of a cluster is rendered somewhere else, to see what would happen there.

use std::path::Path;

use serde_json::{Value, json};

use crate::process::{Up, llmisvc, service_file};

/// Where a dump takes its objects from. Cluster-wide kinds have no namespace in their path.
const PATHS: [&str; 17] = [
    "/apis/serving.kserve.io/v1alpha2/llminferenceservices",
    "/apis/serving.kserve.io/v1alpha2/llminferenceserviceconfigs",
    "/api/v1/services",
    "/api/v1/secrets",
    "/api/v1/configmaps",
    "/api/v1/serviceaccounts",
    "/api/v1/pods",
    "/apis/apps/v1/deployments",
    "/apis/rbac.authorization.k8s.io/v1/roles",
    "/apis/rbac.authorization.k8s.io/v1/rolebindings",
    "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "/apis/gateway.networking.k8s.io/v1/gatewayclasses",
    "/apis/gateway.networking.k8s.io/v1/gateways",
    "/apis/gateway.networking.k8s.io/v1/httproutes",
    "/apis/inference.networking.k8s.io/v1/inferencepools",
    "/apis/inference.networking.x-k8s.io/v1alpha2/inferencepools",
    "/apis/autoscaling/v2/horizontalpodautoscalers",
];

/// All that `up` holds, as one List. Without `records` as kubectl prints it unless it is asked for managed fields.
fn dump(kubeconfig: &Path, records: bool) -> Value {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let items = runtime.block_on(async {
        let text = kube::config::Kubeconfig::read_from(kubeconfig).unwrap();
        let config = kube::Config::from_custom_kubeconfig(text, &Default::default()).await.unwrap();
        let client = kube::Client::try_from(config).unwrap();
        let mut items = Vec::new();
        for path in PATHS {
            let list: Value =
                client.request(http::Request::get(path).body(Vec::new()).unwrap()).await.unwrap();
            let kind = list["kind"].as_str().unwrap().trim_end_matches("List").to_owned();
            for item in list["items"].as_array().unwrap() {
                let mut item = item.clone();
                item["apiVersion"] = list["apiVersion"].clone();
                item["kind"] = json!(kind);
                if !records {
                    item["metadata"].as_object_mut().unwrap().remove("managedFields");
                }
                items.push(item);
            }
        }
        items
    });
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

/// What `render` prints, and what it says beside that.
fn render(args: &[&str]) -> (String, String) {
    let output = llmisvc().arg("render").args(args).output().unwrap();
    let (out, talk) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{out}{talk}");
    (out, talk)
}

#[test]
fn a_dump_of_what_up_serves_needs_no_change_and_tells_what_an_edit_would_do() {
    let dir = tempfile::tempdir().unwrap();
    let file = service_file(dir.path(), "demo", 2);
    let data = dir.path().join("data");
    let mut up = Up::start(&data, &[file.to_str().unwrap()]);
    up.serving();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    for (name, records) in [("plain.json", false), ("full.json", true)] {
        std::fs::write(path(name), dump(&data.join("kubeconfig"), records).to_string()).unwrap();
    }
    up.interrupt();
    for name in ["plain.json", "full.json"] {
        let (lines, talk) = render(&[&path(name), "--show", "changes"]);
        assert_eq!(lines, "", "{name}: {talk}");
        let (document, _) = render(&[&path(name), "--show", "changes", "-o", "json"]);
        let document: Value = serde_json::from_str(&document).unwrap();
        assert_eq!(document["changes"], json!([]), "{name}");
        let (status, _) = render(&[&path(name), "--show", "status", "-o", "json"]);
        let status: Value = serde_json::from_str(&status).unwrap();
        let dumped: Value = serde_json::from_str(&std::fs::read_to_string(path(name)).unwrap()).unwrap();
        let service =
            dumped["items"].as_array().unwrap().iter().find(|item| item["kind"] == "LLMInferenceService");
        assert_eq!(status["status"], service.unwrap()["status"], "the same facts, the same judgement");

        // The file with three replicas instead of two, over the same dump.
        let edited = service_file(dir.path(), "demo", 3);
        let (lines, talk) =
            render(&[edited.to_str().unwrap(), "--cluster", &path(name), "--show", "changes"]);
        assert_eq!(lines, "update apps/v1 Deployment default/demo-kserve\n", "{name}");
        assert!(talk.contains("2 pods, then 3; 0 restart"), "{talk}");
    }
}

#[test]
fn fields_restarts_and_devices_are_told_as_a_document() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, gpus: u32| {
        let text = format!(
            "apiVersion: serving.kserve.io/v1alpha2\nkind: LLMInferenceService\nmetadata: {{name: demo}}\nspec:\n  replicas: 2\n  \
             model: {{uri: hf://acme/demo}}\n  template:\n    containers:\n    - name: main\n      resources: {{limits: {{nvidia.com/gpu: {gpus}}}}}\n"
        );
        let file = dir.path().join(name);
        std::fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let children = dir.path().join("children.yaml");
    let (before, _) = render(&[&write("before.yaml", 1)]);
    std::fs::write(&children, before).unwrap();
    let children = children.to_str().unwrap();
    let after = write("after.yaml", 4);
    let (document, _) = render(&[&after, "--cluster", children, "--show", "changes", "-o", "json"]);
    let document: Value = serde_json::from_str(&document).unwrap();
    let change = &document["changes"][0];
    assert_eq!(
        (&change["verb"], &change["kind"], &change["name"]),
        (&json!("update"), &json!("Deployment"), &json!("demo-kserve"))
    );
    let field = &change["fields"][0];
    assert_eq!(field["field"], "spec.template.spec.containers[main].resources.limits[nvidia.com/gpu]");
    assert_eq!(document["pods"][0]["pods"], json!({"from": 2, "to": 2, "restart": 2}));
    assert_eq!(document["devices"]["nvidia.com/gpu"], json!({"from": 2, "to": 8, "change": 6}));
    let (lines, _) = render(&[&after, "--show", "changes"]);
    assert!(lines.lines().all(|line| line.starts_with("create ")), "{lines}");
    assert!(lines.contains("create v1 Service default/demo-kserve-workload-svc\n"), "{lines}");
}
