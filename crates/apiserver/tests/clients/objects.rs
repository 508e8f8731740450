//! What clients do with objects: create, read, watch, apply, delete.

use super::*;

#[tokio::test]
async fn a_typed_client_creates_reads_changes_and_deletes() -> Outcome {
    let (_, client) = start(Options::default())?;
    let api: Api<ConfigMap> = Api::default_namespaced(client);
    let made = api.create(&PostParams::default(), &config_map("a", &json!({"k": "v"}))?).await?;
    assert!(made.metadata.uid.is_some() && made.metadata.creation_timestamp.is_some());
    let mut changed = api.get("a").await?;
    changed.data = Some(BTreeMap::from([("k".into(), "w".into())]));
    api.replace("a", &PostParams::default(), &changed).await?;
    let stale = api.replace("a", &PostParams::default(), &made).await;
    assert!(matches!(stale, Err(kube::Error::Api(e)) if e.code == 409), "a stale write is refused");
    assert_eq!(api.list(&ListParams::default()).await?.items.len(), 1);
    api.delete("a", &DeleteParams::default()).await?;
    assert!(api.get_opt("a").await?.is_none());
    Ok(())
}

#[tokio::test]
async fn a_watcher_sees_what_is_there_and_what_changes() -> Outcome {
    let (_, client) = start(Options::default())?;
    let api: Api<ConfigMap> = Api::default_namespaced(client);
    api.create(&PostParams::default(), &config_map("old", &json!({}))?).await?;
    for config in [watcher::Config::default(), watcher::Config::default().streaming_lists()] {
        let mut events = watcher(api.clone(), config).default_backoff().applied_objects().boxed();
        let first = events.try_next().await?.ok_or("the stream ended")?;
        assert_eq!(first.metadata.name.as_deref(), Some("old"));
        let fresh = format!("new-{}", api.list(&ListParams::default()).await?.items.len());
        api.create(&PostParams::default(), &config_map(&fresh, &json!({}))?).await?;
        let second = events.try_next().await?.ok_or("the stream ended")?;
        assert_eq!(second.metadata.name, Some(fresh.clone()));
        api.delete(&fresh, &DeleteParams::default()).await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_event_of_either_group_is_read_as_both() -> Outcome {
    let (_, client) = start(Options::default())?;
    let new: Api<k8s_openapi::api::events::v1::Event> = Api::default_namespaced(client.clone());
    let core: Api<k8s_openapi::api::core::v1::Event> = Api::default_namespaced(client);
    let said = json!({
        "metadata": {"name": "e"}, "action": "Made", "reason": "Made", "note": "made a cup", "type": "Normal",
        "eventTime": "2026-01-02T03:04:05.000000Z", "reportingController": "kitchen", "reportingInstance": "kitchen-0",
        "regarding": {"apiVersion": "v1", "kind": "Pod", "namespace": "default", "name": "cup", "uid": "u"},
    });
    new.create(&PostParams::default(), &serde_json::from_value(said)?).await?;
    // What `kubectl describe` asks for.
    let about =
        ListParams::default().fields("involvedObject.name=cup,involvedObject.uid=u,involvedObject.kind=Pod");
    let seen = core.list(&about).await?.items;
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(seen[0].message.as_deref(), Some("made a cup"));
    assert_eq!(seen[0].reporting_component.as_deref(), Some("kitchen"));
    let series = json!({"series": {"count": 2, "lastObservedTime": "2026-01-02T03:04:06.000000Z"}});
    new.patch("e", &PatchParams::default(), &Patch::Merge(series)).await?;
    assert_eq!(core.get("e").await?.series.and_then(|series| series.count), Some(2));
    core.delete("e", &DeleteParams::default()).await?;
    assert!(new.get_opt("e").await?.is_none());
    Ok(())
}

#[tokio::test]
async fn apply_owns_fields_conflicts_and_gives_up_what_is_left_out() -> Outcome {
    let (_, client) = start(Options::default())?;
    let api: Api<Deployment> = Api::default_namespaced(client);
    let wanted = |replicas: Option<i32>| {
        let mut spec = json!({
            "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "m", "image": "i:1"}]}},
        });
        if let Some(replicas) = replicas {
            spec["replicas"] = json!(replicas);
        }
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec})
    };
    api.patch("d", &PatchParams::apply("one"), &Patch::Apply(wanted(Some(2)))).await?;
    let other = api.patch("d", &PatchParams::apply("two"), &Patch::Apply(wanted(Some(5)))).await;
    assert!(
        matches!(other, Err(kube::Error::Api(e)) if e.code == 409 && e.message.contains(".spec.replicas"))
    );
    api.patch("d", &PatchParams::apply("two").force(), &Patch::Apply(wanted(Some(5)))).await?;
    let left = api.patch("d", &PatchParams::apply("one"), &Patch::Apply(wanted(None))).await?;
    assert_eq!(left.spec.and_then(|s| s.replicas), Some(5), "the other manager keeps its value");
    let again = api.patch("d", &PatchParams::apply("one"), &Patch::Apply(wanted(None))).await?;
    assert_eq!(
        left.metadata.resource_version, again.metadata.resource_version,
        "nothing changed, nothing is written"
    );
    Ok(())
}

#[tokio::test]
async fn dependents_go_with_their_owner_and_a_namespace_with_its_content() -> Outcome {
    let (server, client) = start(Options::default())?;
    let api: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let owner = api.create(&PostParams::default(), &config_map("owner", &json!({}))?).await?;
    let mut child = config_map("child", &json!({}))?;
    let reference = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.metadata.uid, "blockOwnerDeletion": true}]);
    child.metadata.owner_references = serde_json::from_value(reference)?;
    api.create(&PostParams::default(), &child).await?;
    assert_eq!(server.collect_garbage().await, 0, "the owner is there");
    let foreground =
        DeleteParams { propagation_policy: Some(PropagationPolicy::Foreground), ..DeleteParams::default() };
    api.delete("owner", &foreground).await?;
    assert!(api.get_opt("owner").await?.is_some(), "it waits for its dependents");
    server.collect_garbage().await;
    assert!(api.list(&ListParams::default()).await?.items.is_empty());

    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = serde_json::from_value(json!({"metadata": {"name": "n"}}))?;
    namespaces.create(&PostParams::default(), &namespace).await?;
    let inside: Api<ConfigMap> = Api::namespaced(client, "n");
    inside.create(&PostParams::default(), &config_map("x", &json!({}))?).await?;
    namespaces.delete("n", &DeleteParams::default()).await?;
    server.collect_garbage().await;
    assert!(namespaces.get_opt("n").await?.is_none() && inside.get_opt("x").await?.is_none());
    Ok(())
}

#[tokio::test]
async fn a_running_pod_ends_when_its_node_says_so() -> Outcome {
    let (_, client) = start(Options::default())?;
    let api: Api<Pod> = Api::default_namespaced(client);
    let pod = json!({"metadata": {"name": "p"}, "spec": {"nodeName": "here", "containers": [{"name": "c", "image": "i"}]}});
    api.create(&PostParams::default(), &serde_json::from_value(pod)?).await?;
    api.delete("p", &DeleteParams::default()).await?;
    let ending = api.get("p").await?;
    assert_eq!(ending.metadata.deletion_grace_period_seconds, Some(30));
    api.delete("p", &DeleteParams::default().grace_period(0)).await?;
    assert!(api.get_opt("p").await?.is_none());
    Ok(())
}
