//! What is at fault is named by file, line and field, with what to do, and the exit code is 2.

use std::net::TcpListener;
use std::path::Path;

use crate::process::{Up, get, llmisvc, service_file};

const HEAD: &str = "apiVersion: serving.kserve.io/v1alpha2\nkind: LLMInferenceService\nmetadata:\n  name: x\n  namespace: default\nspec:\n  \
                    model:\n    uri: hf://acme/x\n";

/// What `up` and `render` say of a file, which must be the same refusal.
fn complaint(text: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("service.yaml");
    std::fs::write(&file, text).unwrap();
    let rendered = refused(&["render"], &file);
    let up = refused(
        &["up", "--listen", "127.0.0.1:0", "--data-dir", dir.path().join("data").to_str().unwrap()],
        &file,
    );
    assert_eq!(rendered, up, "render and up disagree");
    rendered.replace(&*file.to_string_lossy(), "service.yaml")
}

fn refused(args: &[&str], file: &Path) -> String {
    let output = llmisvc().args(args).arg(file).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{args:?}: {text}");
    assert!(output.stdout.is_empty(), "a refusal prints no data");
    text
}

fn assert_says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "`{word}` is not in:\n{text}");
    }
}

#[test]
fn text_that_is_no_yaml() {
    assert_says(&complaint("a: [\nb: 1\n"), &["error: service.yaml:", "not YAML", "hint:"]);
}

#[test]
fn a_kind_that_does_not_exist() {
    let text = complaint(&HEAD.replace("kind: LLMInferenceService", "kind: LLMInferenceServise"));
    assert_says(&text, &["service.yaml:2:", "kind", "LLMInferenceServise", "hint:", "LLMInferenceService"]);
}

#[test]
fn a_field_that_does_not_exist() {
    let text = complaint(&format!("{HEAD}  replica: 2\n"));
    assert_says(&text, &["service.yaml:9:", "spec.replica", "unknown field", "hint:", "replicas"]);
}

#[test]
fn replicas_and_scaling_together() {
    let text = complaint(&format!(
        "{HEAD}  replicas: 2\n  scaling:\n    maxReplicas: 3\n    wva:\n      hpa: {{}}\n"
    ));
    assert_says(&text, &["service.yaml:", "spec", "replicas and scaling are mutually exclusive", "hint:"]);
}

#[test]
fn a_base_ref_that_does_not_exist() {
    let text = complaint(&format!("{HEAD}  baseRefs:\n  - name: kserve-config-llm-templat\n"));
    assert_says(
        &text,
        &["service.yaml:10:", "spec.baseRefs[0]", "not found", "hint:", "kserve-config-llm-template"],
    );
}

#[test]
fn a_container_that_is_not_named_main() {
    let text = complaint(&format!(
        "{HEAD}  template:\n    containers:\n    - name: engine\n      image: vllm/vllm-openai\n"
    ));
    assert_says(&text, &["service.yaml:11:", "spec.template.containers[0].name", "main", "hint:"]);
}

#[test]
fn a_template_that_does_not_render() {
    let text = complaint(&format!(
        "{HEAD}  template:\n    containers:\n    - name: main\n      args: [\"--name={{{{ .Spec.Model.Nam }}}}\"]\n"
    ));
    assert_says(&text, &["service.yaml:", "spec.template.containers[0].args[0]", "Nam", "hint:", "Name"]);
}

#[test]
fn a_file_that_cannot_be_read() {
    let output = llmisvc().args(["render", "/nonexistent/service.yaml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_says(
        &String::from_utf8(output.stderr).unwrap(),
        &["/nonexistent/service.yaml", "cannot be read", "hint:"],
    );
}

#[test]
fn a_port_that_is_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    let file = service_file(dir.path(), "demo", 1);
    let text = refused(
        &["up", "--listen", &address, "--data-dir", dir.path().join("data").to_str().unwrap()],
        &file,
    );
    assert_says(&text, &[&address, "in use", "hint:", "--listen"]);
}

#[test]
fn a_refused_second_up_does_not_disturb_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let file = service_file(dir.path(), "demo", 1);
    let mut up = Up::start(&data, &[file.to_str().unwrap()]);
    let gateway = up.serving();
    let text = refused(&["up", "--listen", "127.0.0.1:0", "--data-dir", data.to_str().unwrap()], &file);
    assert_says(&text, &["in use by another `up`", "hint:", "--data-dir"]);
    assert_eq!(get(&gateway, "/v1/models").status, 200);
}
