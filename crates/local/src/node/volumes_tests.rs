use serde_json::json;

use super::*;

fn place() -> Place {
    Place {
        pod_ip: "127.1.1.1".into(),
        host_ip: "127.0.0.1".into(),
        node_name: "n".into(),
        cpus: 1,
        memory_bytes: 1,
    }
}

fn pod(volumes: serde_json::Value) -> Pod {
    serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": {"containers": [], "volumes": volumes}}))
        .expect("a pod")
}

#[test]
fn files_follow_their_source_and_vanish_with_their_key() {
    let directory = tempfile::tempdir().expect("a directory");
    let directories = Directories { pod: directory.path().join("v"), claims: directory.path().join("c") };
    let pod = pod(json!([{"name": "m", "configMap": {"name": "map", "defaultMode": 256}}]));
    let mut sources = Sources::default();
    let data = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect()
    };
    sources.config_maps.insert("map".into(), data(&[("a", "1"), ("b", "2")]));
    let paths = prepare(&pod, &sources, &place(), &directories).expect("volumes");
    assert_eq!(fs::read_to_string(paths["m"].join("a")).expect("a file"), "1");
    assert_eq!(fs::metadata(paths["m"].join("a")).expect("a file").permissions().mode() & 0o777, 0o400);
    sources.config_maps.insert("map".into(), data(&[("a", "3")]));
    prepare(&pod, &sources, &place(), &directories).expect("volumes");
    assert_eq!(fs::read_to_string(paths["m"].join("a")).expect("a file"), "3");
    assert!(!paths["m"].join("b").exists());
}

#[test]
fn what_is_absent_or_climbs_out_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let directories = Directories { pod: directory.path().join("v"), claims: directory.path().join("c") };
    let fail = |volumes| {
        prepare(&pod(volumes), &Sources::default(), &place(), &directories).expect_err("refused").to_string()
    };
    assert_eq!(
        fail(json!([{"name": "s", "secret": {"secretName": "gone"}}])),
        "volume \"s\": secret \"gone\" not found"
    );
    assert!(
        fail(json!([{"name": "h", "hostPath": {"path": "/no/such"}}]))
            .starts_with("/no/such: no such directory")
    );
    assert!(
        fail(json!([{"name": "n", "nfs": {"server": "s", "path": "/"}}]))
            .contains("not available on this machine")
    );
    let pod = pod(json!([{"name": "p", "persistentVolumeClaim": {"claimName": "models"}}]));
    let paths = prepare(&pod, &Sources::default(), &place(), &directories).expect("volumes");
    let container = |path: &str| -> Container {
        serde_json::from_value(
            json!({"name": "c", "volumeMounts": [{"name": "p", "mountPath": "/m", "subPath": path}]}),
        )
        .expect("a container")
    };
    let vars = BTreeMap::new();
    let error = mounts(&container("tiny"), &paths, &pod, &vars, false).expect_err("no model");
    assert!(error.to_string().contains("c/models/tiny"), "{error}");
    assert!(mounts(&container("tiny"), &paths, &pod, &vars, true).is_ok());
    assert!(matches!(mounts(&container("../x"), &paths, &pod, &vars, true), Err(Error::Outside(..))));
}
