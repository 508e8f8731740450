//! The CustomResourceDefinitions of both kinds, made from the table of types.
//!
//! There are two editions of each schema. [`Edition::Full`] says everything: it is what `render`, the webhooks and the
//! local machine check against. [`Edition::Installed`] is what goes into a cluster: the same, but in pod specs the parts
//! that nest deepest (probes, affinity, volume sources…) are left to the webhook, and v1alpha1 leaves its pod specs and
//! routes to conversion, because a CRD that `kubectl apply` can install has to fit into one annotation of 256 KiB.

mod describe;
mod schema;
mod slim;

use serde_json::{Value, json};

pub(crate) use schema::root_schema;

/// How much of the schema is spelled out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Edition {
    /// Everything.
    Full,
    /// What fits into a cluster.
    Installed,
}

/// The two kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// LLMInferenceService
    Service,
    /// LLMInferenceServiceConfig
    Config,
}

/// The two versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// The older one, converted on the way in and out.
    V1alpha1,
    /// The stored one.
    V1alpha2,
}

impl Kind {
    /// As in `kind`.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Service => crate::v1alpha2::SERVICE_KIND,
            Kind::Config => crate::v1alpha2::CONFIG_KIND,
        }
    }

    /// The kind of that name.
    pub fn of(kind: &str) -> Option<Self> {
        [Kind::Service, Kind::Config].into_iter().find(|known| known.as_str() == kind)
    }

    fn plural(self) -> &'static str {
        match self {
            Kind::Service => "llminferenceservices",
            Kind::Config => "llminferenceserviceconfigs",
        }
    }
}

impl Version {
    /// As in the CRD.
    pub fn as_str(self) -> &'static str {
        match self {
            Version::V1alpha1 => "v1alpha1",
            Version::V1alpha2 => "v1alpha2",
        }
    }

    /// As in `apiVersion`.
    pub fn api_version(self) -> &'static str {
        match self {
            Version::V1alpha1 => "serving.kserve.io/v1alpha1",
            Version::V1alpha2 => crate::v1alpha2::API_VERSION,
        }
    }

    /// The version of that `apiVersion`.
    pub fn of(api_version: &str) -> Option<Self> {
        [Version::V1alpha1, Version::V1alpha2].into_iter().find(|known| known.api_version() == api_version)
    }
}

/// Both CRDs. `conversion` is the `spec.conversion` of a cluster's webhook; `None` where the server converts by itself.
pub fn crds(edition: Edition, conversion: Option<&Value>) -> Vec<Value> {
    [Kind::Config, Kind::Service].into_iter().map(|kind| crd(kind, edition, conversion)).collect()
}

/// The CRD of one kind.
pub fn crd(kind: Kind, edition: Edition, conversion: Option<&Value>) -> Value {
    let versions: Vec<Value> = [Version::V1alpha1, Version::V1alpha2]
        .into_iter()
        .map(|version| {
            let mut schema = root_schema(kind, version);
            describe::describe(&mut schema, kind.as_str());
            if let Some(old) = schema.pointer_mut("/properties/spec/properties/model/properties/criticality")
            {
                old["description"] = "Kept, and used by nobody.".into();
            }
            if edition == Edition::Installed {
                slim::slim(&mut schema, version);
            }
            json!({
                "name": version.as_str(),
                "served": true,
                "storage": version == Version::V1alpha2,
                "subresources": {"status": {}},
                "additionalPrinterColumns": columns(kind),
                "schema": {"openAPIV3Schema": schema},
            })
        })
        .collect();
    let mut names = json!({
        "kind": kind.as_str(),
        "listKind": format!("{}List", kind.as_str()),
        "plural": kind.plural(),
        "singular": kind.as_str().to_lowercase(),
    });
    if kind == Kind::Service {
        names["shortNames"] = json!(["llmisvc"]);
    }
    let mut crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{}.{}", kind.plural(), crate::GROUP)},
        "spec": {"group": crate::GROUP, "names": names, "scope": "Namespaced", "versions": versions},
    });
    if let Some(conversion) = conversion {
        crd["spec"]["conversion"] = conversion.clone();
    }
    crd
}

fn columns(kind: Kind) -> Value {
    let url = json!({"name": "URL", "type": "string", "jsonPath": ".status.url"});
    let ready = json!({"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type=='Ready')].status"});
    let reason = json!({"name": "Reason", "type": "string", "jsonPath": ".status.conditions[?(@.type=='Ready')].reason"});
    let age = json!({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"});
    let urls =
        json!({"name": "URLs", "type": "string", "jsonPath": ".status.addresses[*].url", "priority": 1});
    match kind {
        Kind::Service => json!([url, ready, reason, age, urls]),
        Kind::Config => json!([ready, reason, age]),
    }
}

#[cfg(test)]
mod describe_tests;
#[cfg(test)]
mod tests;
