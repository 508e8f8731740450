//! The server as `kube` sees it: typed and dynamic clients over the in-process service.

use std::collections::BTreeMap;
use std::sync::Arc;

use apiserver::{Admission, ApiServer, Denied, Options, Review};
use futures_util::{StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Service};
use k8s_openapi::api::resource::v1::ResourceClaimTemplate;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, PropagationPolicy};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use serde_json::{Value, json};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn start(options: Options) -> Result<(ApiServer, Client), apiserver::Error> {
    let server = ApiServer::new(options)?;
    let client = Client::new(server.clone(), "default");
    Ok((server, client))
}

fn config_map(name: &str, data: &Value) -> Result<ConfigMap, serde_json::Error> {
    serde_json::from_value(json!({"metadata": {"name": name}, "data": data}))
}

fn crd(conversion: &str) -> Result<CustomResourceDefinition, serde_json::Error> {
    let version = |name: &str, storage: bool, field: &str| {
        json!({
            "name": name, "served": true, "storage": storage, "subresources": {"status": {}},
            "schema": {"openAPIV3Schema": {
                "type": "object",
                "properties": {
                    "spec": {"type": "object", "required": [field], "properties": {
                        field: {"type": "string"}, "size": {"type": "integer", "default": 3, "maximum": 9},
                    }},
                    "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                },
            }},
        })
    };
    serde_json::from_value(json!({
        "metadata": {"name": "cups.tea.example.org"},
        "spec": {
            "group": "tea.example.org", "scope": "Namespaced", "names": {"plural": "cups", "kind": "Cup"},
            "conversion": {"strategy": conversion, "webhook": {"conversionReviewVersions": ["v1"]}},
            "versions": [version("v1", true, "kind"), version("v1old", false, "sort")],
        },
    }))
}

fn cups(client: &Client, version: &str) -> Api<DynamicObject> {
    let mut resource = ApiResource::from_gvk(&GroupVersionKind::gvk("tea.example.org", version, "Cup"));
    resource.plural = "cups".into();
    Api::default_namespaced_with(client.clone(), &resource)
}

fn cup(version: &str, spec: &Value) -> Result<DynamicObject, serde_json::Error> {
    serde_json::from_value(json!({
        "apiVersion": format!("tea.example.org/{version}"), "kind": "Cup", "metadata": {"name": "c"}, "spec": spec,
    }))
}

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
async fn a_custom_kind_is_served_at_once_defaulted_and_validated() -> Outcome {
    let (_, client) = start(Options::default())?;
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    definitions.create(&PostParams::default(), &crd("None")?).await?;
    let api = cups(&client, "v1");
    let made =
        api.create(&PostParams::default(), &cup("v1", &json!({"kind": "green", "unknown": 1}))?).await?;
    assert_eq!(made.data["spec"], json!({"kind": "green", "size": 3}));
    let patch = Patch::Merge(json!({"spec": {"size": 10}}));
    let refused = api.patch("c", &PatchParams::default(), &patch).await;
    assert!(
        matches!(refused, Err(kube::Error::Api(e)) if e.code == 422 && e.message.contains("less than or equal to 9"))
    );
    let patch = Patch::Merge(json!({"status": {"full": true}, "spec": {"size": 1}}));
    let status = api.patch_status("c", &PatchParams::default(), &patch).await?;
    assert_eq!((&status.data["spec"]["size"], &status.data["status"]["full"]), (&json!(3), &json!(true)));
    assert_eq!(status.metadata.generation, Some(1), "status does not count");
    Ok(())
}

/// The answers are a kube-apiserver's.
#[tokio::test]
async fn a_custom_kind_is_scaled_even_if_it_said_nothing_of_replicas() -> Outcome {
    let (_server, client) = start(Options::default())?;
    let mut tea = crd("None")?;
    tea.spec.versions.truncate(1);
    tea.spec.versions[0].subresources = Some(serde_json::from_value(json!({
        "status": {}, "scale": {"specReplicasPath": ".spec.amount", "statusReplicasPath": ".status.amount"},
    }))?);
    let mut schema = serde_json::to_value(&tea.spec.versions[0].schema)?;
    schema["openAPIV3Schema"]["properties"]["spec"]["properties"]["amount"] = json!({"type": "integer"});
    tea.spec.versions[0].schema = serde_json::from_value(schema)?;
    Api::all(client.clone()).create(&PostParams::default(), &tea).await?;
    let api = cups(&client, "v1");
    api.create(&PostParams::default(), &cup("v1", &json!({"kind": "green"}))?).await?;
    let refused = |error: kube::Error| match error {
        kube::Error::Api(status) => Ok((status.code, status.message)),
        other => Err(other),
    };

    let absent = api.get_scale("c").await.map(|_| ()).unwrap_err();
    let said = "Internal error occurred: the spec replicas field \".spec.amount\" does not exist";
    assert_eq!(refused(absent)?, (500, said.to_owned()));
    let params = PatchParams::default();
    let patch = |spec: Value| Patch::Merge(json!({"spec": spec}));
    let nothing = api.patch_scale("c", &params, &patch(json!({}))).await.map(|_| ()).unwrap_err();
    assert_eq!(
        refused(nothing)?,
        (400, "the spec replicas field \".spec.amount\" cannot be empty".to_owned())
    );

    let scale = api.patch_scale("c", &params, &patch(json!({"replicas": 3}))).await?;
    assert_eq!(scale.spec.and_then(|spec| spec.replicas), Some(3));
    assert_eq!(api.get("c").await?.data["spec"]["amount"], 3);
    for wrong in [json!(-1), json!(2_147_483_648_u64), json!("3"), json!(1.5)] {
        let patch = Patch::Merge(json!({"spec": {"amount": wrong}}));
        let error = api.patch("c", &params, &patch).await.map(|_| ()).unwrap_err();
        let (code, message) = refused(error)?;
        assert!(code == 422 && message.contains(".spec.amount: Invalid value"), "{message}");
    }
    assert_eq!(api.get_scale("c").await?.status.map(|status| status.replicas), Some(0));
    Ok(())
}

#[tokio::test]
async fn a_conversion_hook_translates_between_versions() -> Outcome {
    let mut options = Options::default();
    let convert: apiserver::Convert = Arc::new(|mut value, api_version| {
        let (from, to) = if api_version.ends_with("v1") { ("sort", "kind") } else { ("kind", "sort") };
        if let Some(spec) = value["spec"].as_object_mut()
            && let Some(word) = spec.remove(from)
        {
            spec.insert(to.into(), word);
        }
        value["apiVersion"] = json!(api_version);
        value["metadata"]["annotations"]["from"] = json!(from);
        value["metadata"]["name"] = json!("other");
        Ok(value)
    });
    options.conversion.insert(("tea.example.org".into(), "Cup".into()), convert);
    let (_, client) = start(options)?;
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    definitions.create(&PostParams::default(), &crd("Webhook")?).await?;
    cups(&client, "v1old").create(&PostParams::default(), &cup("v1old", &json!({"sort": "black"}))?).await?;
    assert_eq!(cups(&client, "v1").get("c").await?.data["spec"], json!({"kind": "black", "size": 3}));
    assert_eq!(cups(&client, "v1old").get("c").await?.data["spec"], json!({"sort": "black", "size": 3}));
    let kept = cups(&client, "v1").get("c").await?.metadata.annotations.unwrap_or_default();
    assert_eq!(kept["from"], "sort", "annotations hold what the other version cannot say");
    Ok(())
}

#[tokio::test]
async fn admission_functions_change_and_refuse() -> Outcome {
    let mut options = Options::default();
    let admission = |name: &str, review| Admission {
        name: name.into(),
        group: String::new(),
        kind: "ConfigMap".into(),
        review,
    };
    let stamp = Review::Mutate(Arc::new(|request| {
        request.object["metadata"]["labels"]["seen"] = json!("yes");
        Ok(())
    }));
    let judge = Review::Validate(Arc::new(|request| match request.object["data"]["bad"].is_null() {
        true => Ok(vec!["be careful".into()]),
        false => {
            Err(Denied { code: 422, reason: "Invalid".into(), message: "bad is bad".into(), details: None })
        }
    }));
    options.admission = vec![admission("stamp.example.org", stamp), admission("judge.example.org", judge)];
    let (_, client) = start(options)?;
    let api: Api<ConfigMap> = Api::default_namespaced(client);
    let made = api.create(&PostParams::default(), &config_map("a", &json!({"k": "v"}))?).await?;
    assert_eq!(made.metadata.labels.and_then(|l| l.get("seen").cloned()).as_deref(), Some("yes"));
    let refused = api.create(&PostParams::default(), &config_map("b", &json!({"bad": "1"}))?).await;
    let wanted = "admission webhook \"judge.example.org\" denied the request: bad is bad";
    assert!(matches!(refused, Err(kube::Error::Api(e)) if e.code == 422 && e.message == wanted));
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

#[tokio::test]
async fn a_pods_command_stays_as_it_is_and_the_refusal_says_what_may_change() -> Outcome {
    let (_, client) = start(Options::default())?;
    let api: Api<Pod> = Api::default_namespaced(client);
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    api.create(&PostParams::default(), &serde_json::from_value(pod)?).await?;
    let patch = Patch::Strategic(json!({"spec": {"containers": [{"name": "c", "command": ["x"]}]}}));
    let Err(kube::Error::Api(refusal)) = api.patch("p", &PatchParams::default(), &patch).await else {
        return Err("the change was taken".into());
    };
    assert_eq!((refusal.code, refusal.reason.as_str()), (422, "Invalid"));
    assert!(refusal.message.contains("spec.containers[*].image"), "{}", refusal.message);
    Ok(())
}

#[tokio::test]
async fn a_volume_has_one_source() -> Outcome {
    let (_, client) = start(Options::default())?;
    let api: Api<Pod> = Api::default_namespaced(client);
    let pod = json!({"metadata": {"name": "p"}, "spec": {
        "containers": [{"name": "c", "image": "i"}],
        "volumes": [{"name": "v", "emptyDir": {}, "configMap": {"name": "x"}}],
    }});
    let Err(kube::Error::Api(refusal)) =
        api.create(&PostParams::default(), &serde_json::from_value(pod)?).await
    else {
        return Err("the pod was taken".into());
    };
    assert!(refusal.message.contains("may not specify more than 1 volume type"), "{}", refusal.message);
    Ok(())
}

#[tokio::test]
async fn a_null_of_a_webhook_is_refused_where_none_is_allowed() -> Outcome {
    let clear = Review::Mutate(Arc::new(|request| {
        request.object["spec"]["size"] = Value::Null;
        request.object["spec"]["kind"] = Value::Null;
        Ok(())
    }));
    let admission = Admission {
        name: "clear".into(),
        group: "tea.example.org".into(),
        kind: "Cup".into(),
        review: clear,
    };
    let (_, client) = start(Options { admission: vec![admission], ..Options::default() })?;
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    definitions.create(&PostParams::default(), &crd("None")?).await?;
    let made =
        cups(&client, "v1").create(&PostParams::default(), &cup("v1", &json!({"kind": "green"}))?).await;
    let Err(kube::Error::Api(refusal)) = made else { return Err("the cup was taken".into()) };
    let causes = refusal.details.map(|details| details.causes).unwrap_or_default();
    let found: Vec<(&str, &str)> =
        causes.iter().map(|cause| (cause.reason.as_str(), cause.field.as_str())).collect();
    assert!(found.contains(&("FieldValueTypeInvalid", "spec.kind")), "{found:?}");
    assert!(!found.iter().any(|(_, field)| *field == "spec.size"), "a default takes its place");
    Ok(())
}

#[tokio::test]
async fn a_template_of_claims_never_changes() -> Outcome {
    let (_, client) = start(Options::default())?;
    let api: Api<ResourceClaimTemplate> = Api::default_namespaced(client);
    let template = |count: u32| {
        json!({
            "metadata": {"name": "t"},
            "spec": {"spec": {"devices": {"requests": [{"name": "d", "exactly": {"deviceClassName": "c", "count": count}}]}}},
        })
    };
    api.create(&PostParams::default(), &serde_json::from_value(template(1))?).await?;
    let Err(kube::Error::Api(refusal)) =
        api.patch("t", &PatchParams::default(), &Patch::Merge(template(2))).await
    else {
        return Err("the change was taken".into());
    };
    assert_eq!(refusal.code, 422);
    assert!(refusal.message.contains("field is immutable"), "{}", refusal.message);
    Ok(())
}

#[tokio::test]
async fn every_parameter_of_the_openapi_document_is_described() -> Outcome {
    let (_, client) = start(Options::default())?;
    let request = http::Request::get("/openapi/v3/apis/apps/v1").body(Vec::new())?;
    let document: Value = client.request(request).await?;
    let operations = document["paths"].as_object().into_iter().flatten();
    let parameters: Vec<&Value> = operations
        .flat_map(|(_, methods)| methods.as_object().into_iter().flatten())
        .flat_map(|(_, operation)| operation["parameters"].as_array().into_iter().flatten())
        .collect();
    assert!(parameters.len() > 10);
    assert!(parameters.iter().all(|parameter| parameter["description"].is_string()), "{parameters:#?}");
    Ok(())
}

#[test]
fn everything_survives_a_restart_and_old_revisions_are_expired() -> Outcome {
    let dir = tempfile::tempdir()?;
    let options = || Options { data_dir: Some(dir.path().to_owned()), ..Options::default() };
    // Each life has a runtime of its own, with which everything that holds the store goes.
    let (revision, address) = tokio::runtime::Runtime::new()?.block_on(async {
        let (_server, client) = start(options())?;
        Api::<CustomResourceDefinition>::all(client.clone())
            .create(&PostParams::default(), &crd("None")?)
            .await?;
        cups(&client, "v1").create(&PostParams::default(), &cup("v1", &json!({"kind": "green"}))?).await?;
        let service = json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}});
        let made = Api::<Service>::default_namespaced(client.clone())
            .create(&PostParams::default(), &serde_json::from_value(service)?)
            .await?;
        Ok::<_, Box<dyn std::error::Error>>((
            made.metadata.resource_version,
            made.spec.and_then(|s| s.cluster_ip),
        ))
    })?;
    tokio::runtime::Runtime::new()?.block_on(async {
        let (_server, client) = start(options())?;
        assert_eq!(
            cups(&client, "v1").get("c").await?.data["spec"]["kind"],
            "green",
            "the kind is served again"
        );
        let services: Api<Service> = Api::default_namespaced(client);
        let kept = services.get("s").await?;
        assert_eq!(
            (kept.metadata.resource_version, kept.spec.and_then(|s| s.cluster_ip)),
            (revision, address)
        );
        let mut old = services.watch(&kube::api::WatchParams::default(), "2").await?.boxed();
        let first = old.try_next().await?;
        assert!(matches!(first, Some(kube::api::WatchEvent::Error(e)) if e.code == 410));
        Ok(())
    })
}

#[tokio::test]
async fn a_wrong_token_is_refused_and_a_user_without_rights_may_not_read() -> Outcome {
    use tower::ServiceExt;
    let user = apiserver::User { token: "t".into(), name: "ann".into(), groups: vec![] };
    let server = ApiServer::new(Options { users: vec![user], ..Options::default() })?;
    let get = |token: &str| {
        http::Request::get("/api/v1/namespaces/default/secrets")
            .header("authorization", format!("Bearer {token}"))
            .body(http_body_util::Empty::<bytes::Bytes>::new())
    };
    assert_eq!(server.guarded().oneshot(get("wrong")?).await?.status(), 401);
    assert_eq!(server.guarded().oneshot(get("t")?).await?.status(), 403);
    Ok(())
}

#[tokio::test]
async fn many_writers_share_the_disk() -> Outcome {
    let dir = tempfile::tempdir()?;
    let (_server, client) = start(Options { data_dir: Some(dir.path().to_owned()), ..Options::default() })?;
    let api: Api<ConfigMap> = Api::default_namespaced(client);
    let writers: Vec<_> = (0..64)
        .map(|n| {
            let api = api.clone();
            tokio::spawn(async move {
                for i in 0..8 {
                    let object = config_map(&format!("c-{n}-{i}"), &json!({"k": "v"}))?;
                    api.create(&PostParams::default(), &object).await?;
                }
                Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
            })
        })
        .collect();
    for writer in writers {
        writer.await?.map_err(|e| e.to_string())?;
    }
    assert_eq!(api.list(&ListParams::default()).await?.items.len(), 512);
    Ok(())
}

#[tokio::test]
async fn kubectl_asks_for_documents_once_while_they_stay_the_same() -> Outcome {
    let (_server, client) = start(Options::default())?;
    let ask = async |tag: Option<&http::HeaderValue>| {
        let mut request = http::Request::get("/openapi/v3/apis/apps/v1");
        if let Some(tag) = tag {
            request = request.header("if-none-match", tag);
        }
        client
            .send(request.body(kube::client::Body::empty())?)
            .await
            .map_err(Box::<dyn std::error::Error>::from)
    };
    let first = ask(None).await?;
    let tag = first.headers().get("etag").cloned().ok_or("no ETag")?;
    assert_eq!(ask(Some(&tag)).await?.status(), 304);
    let other = http::HeaderValue::from_static("\"other\"");
    assert_eq!(ask(Some(&other)).await?.status(), 200);
    Ok(())
}

#[tokio::test]
async fn a_create_is_judged_as_kube_apiserver_judges_it() -> Outcome {
    let (_server, client) = start(Options::default())?;
    let definition = json!({
        "metadata": {"name": "pots.tea.example.org"},
        "spec": {
            "group": "tea.example.org", "scope": "Namespaced", "names": {"plural": "pots", "kind": "Pot"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object",
                "properties": {"spec": {"type": "object", "properties": {
                    "size": {"type": "integer", "format": "int32"},
                    "limits": {"type": "object", "additionalProperties": {"type": "string", "maxLength": 2}},
                    "marks": {
                        "type": "object",
                        "additionalProperties": {"type": "integer", "x-kubernetes-validations": [{"rule": "self > 0"}]},
                    },
                }}},
            }}}],
        },
    });
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    definitions.create(&PostParams::default(), &serde_json::from_value(definition)?).await?;
    let ask = async |labels: Value, spec: Value| -> Result<(u16, Value, bool), Box<dyn std::error::Error>> {
        let pot = json!({
            "apiVersion": "tea.example.org/v1", "kind": "Pot", "metadata": {"name": "p", "labels": labels}, "spec": spec,
        });
        let request = http::Request::post("/apis/tea.example.org/v1/namespaces/default/pots?dryRun=All")
            .header("content-type", "application/json")
            .body(pot.to_string().into_bytes().into())?;
        let response = client.send(request).await?;
        let (code, warned) = (response.status().as_u16(), response.headers().contains_key("warning"));
        let body = http_body_util::BodyExt::collect(response.into_body()).await?.to_bytes();
        Ok((code, serde_json::from_slice(&body)?, warned))
    };
    let field = |answer: &Value| answer["details"]["causes"][0]["field"].clone();

    let (code, answer, _) = ask(json!({}), json!({"size": 3_000_000_000_u32})).await?;
    assert_eq!((code, &answer["spec"]["size"]), (201, &json!(3_000_000_000_u32)), "int32 is no bound");
    let (code, answer, _) = ask(json!({}), json!({"limits": {"cpu": null}})).await?;
    assert_eq!((code, &answer["spec"]["limits"]), (201, &json!({})), "null is no value of a map");
    let (code, answer, warned) = ask(json!({}), json!({"limits": {"a.b/c": "long"}, "unknown": 1})).await?;
    assert_eq!(
        (code, field(&answer), warned),
        (422, json!("spec.limits.a.b/c"), true),
        "told though refused"
    );
    let (code, answer, _) = ask(json!({}), json!({"marks": {"a": 0}})).await?;
    assert_eq!((code, field(&answer)), (422, json!("spec.marks[a]")));
    let (code, answer, _) = ask(json!({"team": 5}), json!({})).await?;
    let why = "cannot unmarshal number into Go struct field ObjectMeta.labels of type string";
    assert!(code == 400 && answer["message"].as_str().is_some_and(|m| m.ends_with(why)), "{answer}");
    Ok(())
}

#[tokio::test]
async fn a_pod_has_one_source_per_volume_and_one_handler_per_hook() -> Outcome {
    let (_server, client) = start(Options::default())?;
    let api: Api<Pod> = Api::default_namespaced(client);
    let pod = |volume: Value, hook: Value| {
        serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": {
            "volumes": [volume],
            "containers": [{"name": "c", "image": "i", "lifecycle": {"preStop": hook}}],
        }}))
    };
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let (sleep, folder) = (json!({"sleep": {"seconds": 1}}), json!({"name": "v", "emptyDir": {}}));
    api.create(&dry, &pod(folder.clone(), sleep.clone())?).await?;
    let hook = json!({"exec": {"command": ["true"]}, "sleep": {"seconds": 1}});
    let volume = json!({"name": "v", "emptyDir": {}, "hostPath": {"path": "/x"}});
    for (pod, why) in [
        (pod(folder, hook)?, "preStop.sleep: Forbidden: may not specify more than 1 handler type"),
        (pod(volume, sleep)?, "volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"),
    ] {
        let refused = api.create(&dry, &pod).await;
        assert!(matches!(&refused, Err(kube::Error::Api(e)) if e.message.contains(why)), "{refused:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_dry_run_shows_what_the_stored_version_keeps() -> Outcome {
    let (_server, client) = start(Options::default())?;
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    definitions.create(&PostParams::default(), &crd("None")?).await?;
    let old = cups(&client, "v1old");
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let cup = cup("v1old", &json!({"sort": "black"}))?;
    let shown = old.create(&dry, &cup).await?;
    // Nobody converts, and the stored version does not know `sort`.
    assert_eq!(shown.data["spec"], json!({"size": 3}));
    assert_eq!(shown.data, old.create(&PostParams::default(), &cup).await?.data);
    Ok(())
}
