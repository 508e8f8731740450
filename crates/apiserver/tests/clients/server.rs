//! The server as a whole: its documents, its disk, who may use it.

use super::*;

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
