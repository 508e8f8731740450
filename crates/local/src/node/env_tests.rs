use serde_json::json;

use super::*;

#[test]
fn references_expand_and_what_names_nothing_stays() {
    let vars = BTreeMap::from([("A".to_owned(), "1".to_owned()), ("B".to_owned(), "$(A)".to_owned())]);
    for (text, want) in [
        ("$(A)-$(A)", "1-1"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$(B)", "$(A)"),
        ("$(NONE) $A $ $(", "$(NONE) $A $ $("),
        ("${A}", "${A}"),
    ] {
        assert_eq!(expand(text, &vars), want, "{text}");
    }
}

#[test]
fn quantities_are_read_in_every_notation() {
    for (text, milli) in
        [("1", 1000), ("500m", 500), ("1.5", 1500), ("2Ki", 2_048_000), ("1k", 1_000_000), ("1e3", 1_000_000)]
    {
        assert_eq!(quantity_milli(&Quantity(text.into())), Some(milli), "{text}");
    }
    assert_eq!(quantity_milli(&Quantity("abc".into())), None);
}

#[test]
fn a_missing_limit_is_that_of_the_machine_and_results_round_up() {
    let place = Place {
        pod_ip: "127.1.1.1".into(),
        host_ip: "127.0.0.1".into(),
        node_name: "n".into(),
        cpus: 8,
        memory_bytes: 1 << 30,
    };
    let container: Container =
        serde_json::from_value(json!({"name": "c", "resources": {"limits": {"cpu": "1500m"}}}))
            .expect("a container");
    let field =
        |text: &str| ResourceFieldSelector { resource: text.into(), ..ResourceFieldSelector::default() };
    let value = |text: &str| resource_field(&Pod::default(), &container, &field(text), &place);
    assert_eq!(value("limits.cpu"), Ok("2".into()));
    assert_eq!(value("requests.cpu"), Ok("2".into()));
    assert_eq!(value("limits.memory"), Ok("1073741824".into()));
    assert_eq!(value("limits"), Err(Error::Resource("limits".into())));
}

#[test]
fn every_object_that_a_pod_refers_to_is_found() {
    let pod: Pod = serde_json::from_value(json!({"spec": {
        "containers": [{"name": "c", "envFrom": [{"configMapRef": {"name": "m1"}}],
            "env": [{"name": "E", "valueFrom": {"secretKeyRef": {"name": "s1", "key": "k"}}}]}],
        "volumes": [
            {"name": "a", "configMap": {"name": "m2"}}, {"name": "b", "secret": {"secretName": "s2"}},
            {"name": "c", "projected": {"sources": [{"secret": {"name": "s1"}}, {"configMap": {"name": "m3"}}]}},
        ],
    }}))
    .expect("a pod");
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(references(&pod), (names(&["m1", "m2", "m3"]), names(&["s1", "s2"])));
}
