//! Kinds that a definition brings: their schema, their scale, their versions.

use super::*;

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
