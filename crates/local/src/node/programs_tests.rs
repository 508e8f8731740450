use serde_json::{Value, json};

use super::*;

fn pod(main: Value, init: Value) -> Pod {
    serde_json::from_value(json!({"spec": {"containers": [main], "initContainers": init}})).expect("a pod")
}

fn decide(pod: &Pod, init: bool, engine: Engine, have: &[&str]) -> Program {
    let spec = pod.spec.as_ref().expect("a spec");
    let container = if init { &spec.init_containers.as_ref().expect("init")[0] } else { &spec.containers[0] };
    let env = container
        .env
        .iter()
        .flatten()
        .map(|var| (var.name.clone(), var.value.clone().unwrap_or_default()))
        .collect();
    choose(&Question {
        pod,
        container,
        env: &env,
        command: container.command.clone().unwrap_or_default(),
        args: container.args.clone().unwrap_or_default(),
        engine,
        pod_ip: "127.9.9.9",
        exe: "/bin/llmisvc",
        have: &|program| have.contains(&program),
    })
}

fn storage() -> Value {
    json!([{"name": "storage-initializer", "image": "kserve/storage-initializer:latest", "args": ["hf://acme/tiny:v2", "/mnt/models"]}])
}

fn vllm() -> Pod {
    pod(
        json!({"name": "main", "image": "x", "command": ["vllm", "serve", "/mnt/models", "--port", "8000"]}),
        storage(),
    )
}

#[test]
fn a_vllm_container_runs_the_real_one_where_it_is_installed() {
    let Program::Process { argv, extra_env } = decide(&vllm(), false, Engine::Auto, &["vllm"]) else {
        panic!()
    };
    let want = ["vllm", "serve", "acme/tiny", "--port", "8000", "--revision", "v2", "--host", "127.9.9.9"];
    assert_eq!(argv, want);
    assert_eq!(extra_env, [("VLLM_HOST_IP".to_owned(), "127.0.0.1".to_owned())]);
}

#[test]
fn elsewhere_the_simulated_engine_gets_the_same_arguments() {
    let want = Program::Simulated {
        argv: ["/mnt/models", "--port", "8000", "--host", "127.9.9.9"].map(str::to_owned).to_vec(),
        inline: false,
    };
    assert_eq!(decide(&vllm(), false, Engine::Auto, &[]), want);
    assert_eq!(decide(&vllm(), false, Engine::Sim, &["vllm"]), want);
    assert!(matches!(
        decide(&vllm(), false, Engine::InlineSim, &[]),
        Program::Simulated { inline: true, .. }
    ));
    assert!(matches!(decide(&vllm(), false, Engine::Vllm, &[]), Program::NotFound { .. }));
}

#[test]
fn images_with_arguments_alone_have_vllm_serve_as_entry_point() {
    let pod = pod(
        json!({"name": "main", "image": "docker.io/vllm/vllm-openai:v1@sha256:0", "args": ["--model", "m", "--host=0.0.0.0"]}),
        json!([]),
    );
    let Program::Process { argv, .. } = decide(&pod, false, Engine::Auto, &["vllm"]) else { panic!() };
    assert_eq!(argv, ["vllm", "serve", "--model", "m", "--host=0.0.0.0"]);
}

#[test]
fn preset_scripts_are_engines_too_and_get_the_address_through_their_variable() {
    let script = "eval \"exec vllm serve /mnt/models --port 8000 ${VLLM_ADDITIONAL_ARGS} $@\"";
    let main = json!({"name": "main", "image": "x", "command": ["/bin/bash", "-c", script, "--"],
                      "env": [{"name": "VLLM_ADDITIONAL_ARGS", "value": "--enforce-eager"}]});
    let pod = pod(main, storage());
    let Program::Process { argv, extra_env } = decide(&pod, false, Engine::Auto, &["vllm"]) else { panic!() };
    assert!(argv[2].contains("vllm serve acme/tiny --revision v2 --port 8000"), "{argv:?}");
    assert!(extra_env.contains(&("VLLM_ADDITIONAL_ARGS".into(), "--enforce-eager --host 127.9.9.9".into())));
    let Program::Simulated { argv, .. } = decide(&pod, false, Engine::Sim, &["/bin/bash"]) else { panic!() };
    assert_eq!(argv, ["/mnt/models", "--port", "8000", "--enforce-eager", "--host", "127.9.9.9"]);
}

#[test]
fn models_of_this_machine_are_linked_and_downloads_left_out() {
    let init =
        |uri: &str| json!([{"name": "storage-initializer", "image": "i", "args": [uri, "/mnt/models"]}]);
    let main = json!({"name": "main", "image": "x", "command": ["vllm", "serve", "/mnt/models"]});
    let source = |uri: &str| match decide(&pod(main.clone(), init(uri)), true, Engine::Auto, &["vllm"]) {
        Program::Model { links, .. } => links.into_iter().map(|link| link.source).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(source("file:///models/a"), [Source::Path("/models/a".into())]);
    assert_eq!(
        source("pvc://claim/sub/dir"),
        [Source::Claim { name: "claim".into(), path: "sub/dir".into() }]
    );
    assert_eq!(source("hf://acme/tiny"), []);
    let s3 = pod(main, init("s3://bucket/m"));
    assert!(
        matches!(decide(&s3, true, Engine::Auto, &["vllm"]), Program::Refused(why) if why.contains("s3://bucket/m"))
    );
    assert!(matches!(decide(&s3, true, Engine::Sim, &[]), Program::Model { notes, .. } if notes.len() == 1));
}

#[test]
fn pickers_are_built_in_and_strangers_are_named() {
    let picker = json!({"name": "main", "image": "x", "command": ["/app/epp", "--grpc-port", "9002"]});
    assert!(matches!(decide(&pod(picker, json!([])), false, Engine::Auto, &[]), Program::BuiltIn(_)));
    let ours = json!({"name": "main", "image": "x", "command": ["llmisvc", "epp"]});
    assert!(matches!(decide(&pod(ours, json!([])), false, Engine::Auto, &[]), Program::BuiltIn(_)));
    let tokenizer =
        json!({"name": "main", "image": "x", "command": ["vllm", "launch", "render", "/mnt/models/base"]});
    assert!(matches!(
        decide(&pod(tokenizer, json!([])), false, Engine::Vllm, &["vllm"]),
        Program::BuiltIn(_)
    ));
    let stranger = json!({"name": "side", "image": "acme/side:1"});
    let Program::NotFound { message, .. } = decide(&pod(stranger, json!([])), false, Engine::Auto, &[])
    else {
        panic!()
    };
    assert!(message.contains("side") && message.contains("acme/side:1"), "{message}");
    let local = json!({"name": "side", "image": "x", "command": ["sleep", "1"]});
    assert!(matches!(
        decide(&pod(local, json!([])), false, Engine::Auto, &["sleep"]),
        Program::Process { .. }
    ));
}

#[test]
fn sidecars_and_simulators_of_others_are_programs_of_this_one_at_the_pods_address() {
    let argv = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<String>>();
    let llm_d = json!({"name": "llm-d-routing-sidecar", "image": "x", "command": ["/app/pd-sidecar", "--port=8000", ""]});
    let want = Program::Sidecar { argv: argv(&["--port=8000", "", "--host", "127.9.9.9"]), inline: false };
    assert_eq!(decide(&pod(llm_d, json!([])), false, Engine::Sim, &[]), want);
    // Also beside a real engine: it is a program of this one.
    let ours = json!({"name": "s", "image": "x", "command": ["llmisvc", "sidecar", "--port=8000"]});
    let want = Program::Sidecar { argv: argv(&["--port=8000", "--host", "127.9.9.9"]), inline: false };
    assert_eq!(decide(&pod(ours, json!([])), false, Engine::Auto, &["vllm"]), want);
    // The image's own entry point, with arguments.
    let image =
        json!({"name": "s", "image": "ghcr.io/llm-d/llm-d-routing-sidecar:v0.7", "args": ["--port=8000"]});
    let want = Program::Sidecar { argv: argv(&["--port=8000", "--host", "127.9.9.9"]), inline: true };
    assert_eq!(decide(&pod(image, json!([])), false, Engine::InlineSim, &[]), want);
    let other = json!({"name": "main", "image": "x", "command": ["/app/llm-d-inference-sim"], "args": ["--model", "m", ""]});
    let want = Program::Simulated { argv: argv(&["--model", "m", "", "--host", "127.9.9.9"]), inline: false };
    assert_eq!(decide(&pod(other, json!([])), false, Engine::Auto, &["vllm"]), want);
    let stranger = json!({"name": "s", "image": "example.com/istio-sidecar:1", "command": ["sleep", "1"]});
    assert!(matches!(
        decide(&pod(stranger, json!([])), false, Engine::Auto, &["sleep"]),
        Program::Process { .. }
    ));
}
