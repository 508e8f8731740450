//! What is taken, changed and refused.

use super::*;

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
