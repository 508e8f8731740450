//! The ConfigMap `inferenceservice-config`, parsed: what the installation says about every service.
//!
//! Keys that KServe's LLMInferenceService controller reads are read, with its defaults; the others are ignored.

use kinds::Objects;
use serde::Deserialize;
use serde_json::Value;

/// Name of the ConfigMap.
pub(crate) const CONFIG_MAP: &str = "inferenceservice-config";

/// What the installation says. The default is that of an installation that says nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// Key `ingress`.
    pub ingress: Ingress,
    /// Key `storageInitializer`.
    pub storage_initializer: StorageInitializer,
    /// Key `credentials`.
    pub credentials: Credentials,
    /// Key `scheduler`, field `expirationAnnotations`: annotations of certificate Secrets that hold the expiry. The first is
    /// written, all are read.
    pub expiration_annotations: ExpirationAnnotations,
    /// Key `autoscaling-wva-controller-config`; `None` if absent.
    pub autoscaling: Option<Autoscaling>,
    /// Key `localModel`, field `enabled`: services use LocalModelCaches.
    pub local_model_enabled: bool,
}

/// Names of annotations, never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpirationAnnotations(Vec<String>);

impl Default for ExpirationAnnotations {
    fn default() -> Self {
        ExpirationAnnotations(vec!["certificates.kserve.io/expiration".to_owned()])
    }
}

impl ExpirationAnnotations {
    /// The one that is written.
    pub fn written(&self) -> &str {
        &self.0[0]
    }

    /// Those that are read, in order.
    pub fn read(&self) -> &[String] {
        &self.0
    }
}

/// Where requests come in.
#[derive(Debug, Clone, PartialEq)]
pub struct Ingress {
    /// Namespace of the default Gateway.
    pub gateway_namespace: String,
    /// Name of the default Gateway.
    pub gateway_name: String,
    /// Scheme of a URL where the listener does not say it.
    pub url_scheme: String,
    /// `enableLLMInferenceServiceTLS`: engines, picker and sidecars serve TLS.
    pub tls_enabled: bool,
    /// Header by which a Gateway may route to a model.
    pub model_routing_header: String,
    /// Whether that header is used.
    pub model_routing: ModelRouting,
}

/// `modelBasedRoutingMode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelRouting {
    /// Unless a Gateway opts out.
    Enabled,
    /// Always.
    Forced,
    /// Never.
    Disabled,
}

/// What the model download runs with.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StorageInitializer {
    /// Image of the download container; empty if the installation names none.
    pub image: String,
    /// CPU asked for, a quantity.
    pub cpu_request: String,
    /// CPU limit, a quantity.
    pub cpu_limit: String,
    /// Memory asked for, a quantity.
    pub memory_request: String,
    /// Memory limit, a quantity.
    pub memory_limit: String,
    /// ConfigMap with extra certificate authorities, in the system namespace; empty for none.
    pub ca_bundle_config_map_name: String,
    /// Where it is mounted; empty for the default path.
    pub ca_bundle_volume_mount_path: String,
    /// Models in OCI images are served by a sidecar container that shares its root.
    pub enable_modelcar: bool,
    /// Older name for permission to use OCI models at all.
    pub enable_oci_model_support: bool,
    /// How OCI models are mounted; `None` leaves it to `enable_modelcar`.
    #[serde(deserialize_with = "empty_as_none")]
    pub oci_model_mode: Option<OciModelMode>,
    /// CPU of the modelcar, a quantity.
    #[serde(rename = "cpuModelcar")]
    pub modelcar_cpu: String,
    /// Memory of the modelcar, a quantity.
    #[serde(rename = "memoryModelcar")]
    pub modelcar_memory: String,
    /// User of the modelcar and then of the engine too; `None` leaves both to their images.
    #[serde(rename = "uidModelcar")]
    pub modelcar_uid: Option<i64>,
    /// Registries without TLS are allowed when images are fetched by us.
    pub oci_insecure_registry: bool,
}

/// How a model in an OCI image gets to the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OciModelMode {
    /// A sidecar container holds the image.
    Modelcar,
    /// An image volume.
    Native,
    /// The download container fetches it.
    Fetch,
}

/// How storage credentials are found in Secrets and ServiceAccounts.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Credentials {
    /// Name of the Secret with storage specs.
    pub storage_spec_secret_name: String,
    /// Annotation of a ServiceAccount that names its Secret.
    pub storage_secret_name_annotation: String,
    /// Google Cloud Storage.
    pub gcs: GcsCredentials,
    /// S3.
    pub s3: S3Credentials,
}

/// Google Cloud Storage.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GcsCredentials {
    /// Key of the Secret that holds the credential file.
    pub gcs_credential_file_name: String,
}

/// S3. Every value is empty where the installation says nothing.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct S3Credentials {
    /// Key of the Secret with the access key id.
    #[serde(rename = "s3AccessKeyIDName")]
    pub access_key_id_name: String,
    /// Key of the Secret with the secret access key.
    #[serde(rename = "s3SecretAccessKeyName")]
    pub secret_access_key_name: String,
    /// Endpoint, with or without scheme.
    #[serde(rename = "s3Endpoint")]
    pub endpoint: String,
    /// `0` or `1`.
    #[serde(rename = "s3UseHttps")]
    pub use_https: String,
    /// Region.
    #[serde(rename = "s3Region")]
    pub region: String,
    /// `0` or `1`.
    #[serde(rename = "s3VerifySSL")]
    pub verify_ssl: String,
    /// Path or virtual-host addressing.
    #[serde(rename = "s3UseVirtualBucket")]
    pub use_virtual_bucket: String,
    /// Transfer acceleration.
    #[serde(rename = "s3UseAccelerate")]
    pub use_accelerate: String,
    /// Requests are not signed.
    #[serde(rename = "s3UseAnonymousCredential")]
    pub use_anonymous_credential: String,
    /// ConfigMap with the certificate authority.
    #[serde(rename = "s3CABundleConfigMap")]
    pub ca_bundle_config_map: String,
    /// Path of the certificate authority in the container.
    #[serde(rename = "s3CABundle")]
    pub ca_bundle: String,
}

/// Where an autoscaler finds the metrics of the workload variant autoscaler.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Autoscaling {
    /// The Prometheus that holds them.
    pub prometheus: Prometheus,
}

/// A Prometheus and how to talk to it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Prometheus {
    /// Its URL; empty if not given.
    pub url: String,
    /// Its certificate is not checked.
    pub tls_insecure_skip_verify: bool,
    /// KEDA's `authModes`; empty for none.
    pub auth_modes: String,
    /// KEDA's authentication object; empty for none.
    pub trigger_auth_name: String,
    /// Kind of that object; empty means `TriggerAuthentication`.
    pub trigger_auth_kind: String,
}

/// What is wrong with the ConfigMap.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A key does not hold the JSON it should.
    #[error("ConfigMap {CONFIG_MAP}, key {key}: {reason}")]
    FixKey {
        /// The key.
        key: &'static str,
        /// What is wrong.
        reason: String,
    },
}

/// Key `ingress`, as written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawIngress {
    kserve_ingress_gateway: Option<String>,
    ingress_gateway: String,
    url_scheme: String,
    #[serde(rename = "enableLLMInferenceServiceTLS")]
    tls_enabled: bool,
    enable_gateway_api: bool,
    model_based_routing_header_name: String,
    model_based_routing_mode: String,
}

impl Default for RawIngress {
    fn default() -> Self {
        RawIngress {
            kserve_ingress_gateway: None,
            ingress_gateway: String::new(),
            url_scheme: String::new(),
            tls_enabled: false,
            enable_gateway_api: false,
            model_based_routing_header_name: "X-Gateway-Model-Name".to_owned(),
            model_based_routing_mode: "enabled".to_owned(),
        }
    }
}

impl Settings {
    /// From the ConfigMap among `objects`; without one, what an installation that says nothing has.
    pub fn from_objects(objects: &Objects, system_namespace: &str) -> Result<Self, SettingsError> {
        match objects.get("v1", "ConfigMap", Some(system_namespace), CONFIG_MAP) {
            Some(config_map) => Self::from_config_map(config_map, system_namespace),
            None => Ok(Settings::default()),
        }
    }

    /// From the ConfigMap itself.
    pub fn from_config_map(config_map: &Value, system_namespace: &str) -> Result<Self, SettingsError> {
        let local_model: Option<LocalModel> = key(config_map, "localModel")?;
        let scheduler: Option<SchedulerKey> = key(config_map, "scheduler")?;
        Ok(Settings {
            ingress: ingress(config_map, system_namespace)?,
            storage_initializer: key(config_map, "storageInitializer")?.unwrap_or_default(),
            credentials: key(config_map, "credentials")?.unwrap_or_default(),
            expiration_annotations: scheduler
                .map(|scheduler| scheduler.expiration_annotations)
                .filter(|names| !names.is_empty())
                .map(ExpirationAnnotations)
                .unwrap_or_default(),
            autoscaling: key(config_map, "autoscaling-wva-controller-config")?,
            local_model_enabled: local_model.is_some_and(|local_model| local_model.enabled),
        })
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct LocalModel {
    enabled: bool,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct SchedulerKey {
    expiration_annotations: Vec<String>,
}

fn key<T: serde::de::DeserializeOwned>(
    config_map: &Value,
    key: &'static str,
) -> Result<Option<T>, SettingsError> {
    let Some(text) = config_map["data"][key].as_str() else { return Ok(None) };
    serde_json::from_str(text)
        .map(Some)
        .map_err(|error| SettingsError::FixKey { key, reason: error.to_string() })
}

/// KServe treats an empty mode as absent.
fn empty_as_none<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<OciModelMode>, D::Error> {
    match Option::<Value>::deserialize(deserializer)? {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(word)) if word.is_empty() => Ok(None),
        Some(word) => OciModelMode::deserialize(word).map(Some).map_err(serde::de::Error::custom),
    }
}

fn ingress(config_map: &Value, system_namespace: &str) -> Result<Ingress, SettingsError> {
    let Some(raw) = key::<RawIngress>(config_map, "ingress")? else { return Ok(Ingress::default()) };
    let fix = |reason: &str| SettingsError::FixKey { key: "ingress", reason: reason.to_owned() };
    if raw.ingress_gateway.is_empty() {
        return Err(fix("ingressGateway is required; KServe refuses every service without it"));
    }
    let gateway = raw.kserve_ingress_gateway.unwrap_or_default();
    if raw.enable_gateway_api {
        match gateway.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {}
            _ => {
                return Err(fix("kserveIngressGateway must be NAMESPACE/NAME when enableGatewayApi is true"));
            }
        }
    }
    let (gateway_namespace, gateway_name) = match gateway.split_once('/') {
        Some((namespace, name)) => (namespace.to_owned(), name.to_owned()),
        None => (system_namespace.to_owned(), gateway),
    };
    Ok(Ingress {
        gateway_namespace,
        gateway_name,
        url_scheme: if raw.url_scheme.is_empty() { "http".to_owned() } else { raw.url_scheme },
        tls_enabled: raw.tls_enabled,
        model_routing_header: raw.model_based_routing_header_name,
        model_routing: match raw.model_based_routing_mode.to_ascii_lowercase().as_str() {
            "forced" => ModelRouting::Forced,
            "disabled" => ModelRouting::Disabled,
            _ => ModelRouting::Enabled,
        },
    })
}

/// The Gateway that a default installation has.
impl Default for Ingress {
    fn default() -> Self {
        Ingress {
            gateway_namespace: "kserve".to_owned(),
            gateway_name: "kserve-ingress-gateway".to_owned(),
            url_scheme: "http".to_owned(),
            tls_enabled: false,
            model_routing_header: "X-Gateway-Model-Name".to_owned(),
            model_routing: ModelRouting::Enabled,
        }
    }
}

/// The figures that a default installation has.
impl Default for StorageInitializer {
    fn default() -> Self {
        StorageInitializer {
            image: String::new(),
            cpu_request: "100m".to_owned(),
            cpu_limit: "1".to_owned(),
            memory_request: "100Mi".to_owned(),
            memory_limit: "1Gi".to_owned(),
            ca_bundle_config_map_name: String::new(),
            ca_bundle_volume_mount_path: "/etc/ssl/custom-certs".to_owned(),
            enable_modelcar: false,
            enable_oci_model_support: false,
            oci_model_mode: None,
            modelcar_cpu: "10m".to_owned(),
            modelcar_memory: "15Mi".to_owned(),
            modelcar_uid: None,
            oci_insecure_registry: false,
        }
    }
}

/// The names that a default installation has.
impl Default for Credentials {
    fn default() -> Self {
        Credentials {
            storage_spec_secret_name: "storage-config".to_owned(),
            storage_secret_name_annotation: "serving.kserve.io/storageSecretName".to_owned(),
            gcs: GcsCredentials::default(),
            s3: S3Credentials::default(),
        }
    }
}

/// The file name that a default installation has.
impl Default for GcsCredentials {
    fn default() -> Self {
        GcsCredentials { gcs_credential_file_name: "gcloud-application-credentials.json".to_owned() }
    }
}

/// The key names that KServe's code falls back to; everything else empty.
impl Default for S3Credentials {
    fn default() -> Self {
        S3Credentials {
            access_key_id_name: "awsAccessKeyID".to_owned(),
            secret_access_key_name: "awsSecretAccessKey".to_owned(),
            endpoint: String::new(),
            use_https: String::new(),
            region: String::new(),
            verify_ssl: String::new(),
            use_virtual_bucket: String::new(),
            use_accelerate: String::new(),
            use_anonymous_credential: String::new(),
            ca_bundle_config_map: String::new(),
            ca_bundle: String::new(),
        }
    }
}
