//! Credentials of the download: which Secrets count, and what each kind of Secret becomes in the init container.
//!
//! A Secret's kind is told by its first known key. Values are never read into the pod, only referred to, except where the
//! original does so (HTTPS headers).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use compose::S3Credentials;
use k8s_openapi::api::core::v1::{
    Container, EnvVar, EnvVarSource, PodSpec, SecretKeySelector, SecretVolumeSource, Volume, VolumeMount,
};
use serde_json::Value;

use super::{Error, add_env, add_mount, add_volume, env};
use crate::subject::{Subject, string_map};

/// Variables of S3 with the annotation that sets each, in the order in which they are written.
const S3_ANNOTATION_PREFIX: &str = "serving.kserve.io/";
const AZURE_WORDS: [&str; 4] = ["SUBSCRIPTION_ID", "TENANT_ID", "CLIENT_ID", "CLIENT_SECRET"];

/// Adds what the Secrets of `account`, or the one that the service names, say.
pub(super) fn attach(
    pod: &mut PodSpec,
    container: &mut Container,
    subject: &Subject,
    account: Option<&Value>,
) -> Result<(), Error> {
    let settings = &subject.facts.settings.credentials;
    let s3 = &settings.s3;
    if let Some(account) = account {
        let annotations = string_map(account, "/metadata/annotations");
        if annotations.contains_key("eks.amazonaws.com/role-arn") {
            let lookup =
                |name: &str, _: &str| annotations.get(&format!("{S3_ANNOTATION_PREFIX}{name}")).cloned();
            s3_settings(container, s3, lookup);
        }
    }
    let annotation = Some(settings.storage_secret_name_annotation.as_str()).filter(|name| !name.is_empty());
    let named = annotation.and_then(|annotation| subject.annotations().get(annotation).cloned());
    let names: Vec<String> = match named.filter(|name| !name.is_empty()) {
        Some(name) => vec![name],
        None => account
            .and_then(|account| account["secrets"].as_array())
            .into_iter()
            .flatten()
            .filter_map(|secret| secret["name"].as_str().map(str::to_owned))
            .collect(),
    };
    for name in names {
        let secret = subject.core("Secret", &name).ok_or_else(|| Error::CreateSecret {
            namespace: subject.namespace.to_owned(),
            name: name.clone(),
        })?;
        attach_secret(pod, container, subject, &name, secret);
    }
    Ok(())
}

fn attach_secret(
    pod: &mut PodSpec,
    container: &mut Container,
    subject: &Subject,
    name: &str,
    secret: &Value,
) {
    let settings = &subject.facts.settings.credentials;
    let has = |key: &str| {
        !key.is_empty() && (secret["data"].get(key).is_some() || secret["stringData"].get(key).is_some())
    };
    let gcs_file = settings.gcs.gcs_credential_file_name.as_str();
    if has(&settings.s3.secret_access_key_name) {
        add_env(container, from_secret("AWS_ACCESS_KEY_ID", name, &settings.s3.access_key_id_name));
        add_env(container, from_secret("AWS_SECRET_ACCESS_KEY", name, &settings.s3.secret_access_key_name));
        let annotations = string_map(secret, "/metadata/annotations");
        s3_settings(container, &settings.s3, |annotation, variable| {
            annotations
                .get(&format!("{S3_ANNOTATION_PREFIX}{annotation}"))
                .cloned()
                .or_else(|| secret_text(secret, variable))
        });
    } else if has(gcs_file) {
        add_secret_volume(pod, container, "user-gcp-sa", name, "/var/secrets/");
        add_env(container, env("GOOGLE_APPLICATION_CREDENTIALS", &format!("/var/secrets/{gcs_file}")));
    } else if has("AZ_CLIENT_ID") || has("AZURE_CLIENT_ID") || has("AZURE_ACCESS_TOKEN") {
        let prefix = if has("AZ_CLIENT_ID") { "AZ" } else { "AZURE" };
        for word in AZURE_WORDS {
            add_env(container, from_secret(&format!("AZURE_{word}"), name, &format!("{prefix}_{word}")));
        }
    } else if has("AZURE_STORAGE_ACCESS_KEY") {
        add_env(container, from_secret("AZURE_STORAGE_ACCESS_KEY", name, "AZURE_STORAGE_ACCESS_KEY"));
    } else if has("https-host") {
        if let (Some(host), Some(headers)) =
            (secret_text(secret, "https-host"), secret_text(secret, "headers"))
        {
            add_env(container, env(&format!("{host}-headers"), &headers));
        }
    } else if has("HDFS_NAMENODE") {
        add_secret_volume(pod, container, "hdfs-secrets", name, "/var/secrets/kserve-hdfscreds");
    } else if has("HF_TOKEN") {
        add_env(container, from_secret("HF_TOKEN", name, "HF_TOKEN"));
    } else if has("MODELSCOPE_API_TOKEN") {
        add_env(container, from_secret("MODELSCOPE_API_TOKEN", name, "MODELSCOPE_API_TOKEN"));
    }
}

/// Writes the variables of S3. `lookup` gives the value that stands nearer than the installation's, by the end of its
/// annotation and by the name of its variable.
fn s3_settings(container: &mut Container, s3: &S3Credentials, lookup: impl Fn(&str, &str) -> Option<String>) {
    let value = |annotation: &str, variable: &str, global: &str| {
        lookup(annotation, variable).unwrap_or_else(|| global.to_owned())
    };
    let mut use_https = value("s3-usehttps", "S3_USE_HTTPS", &s3.use_https);
    let mut endpoint = value("s3-endpoint", "S3_ENDPOINT", &s3.endpoint);
    let mut write = |name: &str, value: &str| {
        if !value.is_empty() {
            add_env(container, env(name, value));
        }
    };
    if !endpoint.is_empty() {
        if let Some(rest) = endpoint.strip_prefix("https://") {
            use_https = "1".to_owned();
            endpoint = rest.to_owned();
        } else if let Some(rest) = endpoint.strip_prefix("http://") {
            use_https = "0".to_owned();
            endpoint = rest.to_owned();
        }
        let scheme = if use_https == "0" { "http" } else { "https" };
        write("S3_USE_HTTPS", &use_https);
        write("S3_ENDPOINT", &endpoint);
        write("AWS_ENDPOINT_URL", &format!("{scheme}://{endpoint}"));
    }
    write("S3_VERIFY_SSL", &value("s3-verifyssl", "S3_VERIFY_SSL", &s3.verify_ssl));
    write(
        "awsAnonymousCredential",
        &value("s3-useanoncredential", "awsAnonymousCredential", &s3.use_anonymous_credential),
    );
    write("AWS_DEFAULT_REGION", &value("s3-region", "AWS_DEFAULT_REGION", &s3.region));
    write(
        "S3_USER_VIRTUAL_BUCKET",
        &value("s3-usevirtualbucket", "S3_USER_VIRTUAL_BUCKET", &s3.use_virtual_bucket),
    );
    write("S3_USE_ACCELERATE", &value("s3-useaccelerate", "S3_USE_ACCELERATE", &s3.use_accelerate));
    write("AWS_CA_BUNDLE", &value("s3-cabundle", "AWS_CA_BUNDLE", &s3.ca_bundle));
    write(
        "AWS_CA_BUNDLE_CONFIGMAP",
        &value("s3-cabundle-configmap", "AWS_CA_BUNDLE_CONFIGMAP", &s3.ca_bundle_config_map),
    );
}

fn from_secret(variable: &str, secret: &str, key: &str) -> EnvVar {
    EnvVar {
        name: variable.to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                key: key.to_owned(),
                name: secret.to_owned(),
                optional: None,
            }),
            ..EnvVarSource::default()
        }),
    }
}

fn add_secret_volume(pod: &mut PodSpec, container: &mut Container, volume: &str, secret: &str, path: &str) {
    add_volume(
        pod,
        Volume {
            name: volume.to_owned(),
            secret: Some(SecretVolumeSource {
                secret_name: Some(secret.to_owned()),
                ..SecretVolumeSource::default()
            }),
            ..Volume::default()
        },
    );
    add_mount(
        container,
        VolumeMount {
            mount_path: path.to_owned(),
            name: volume.to_owned(),
            read_only: Some(true),
            ..VolumeMount::default()
        },
    );
}

/// The text behind a key, whether it is stored encoded or not.
fn secret_text(secret: &Value, key: &str) -> Option<String> {
    if let Some(text) = secret["stringData"].get(key).and_then(Value::as_str) {
        return Some(text.to_owned());
    }
    let bytes = STANDARD.decode(secret["data"].get(key)?.as_str()?).ok()?;
    String::from_utf8(bytes).ok()
}
