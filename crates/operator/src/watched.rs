//! The kinds that the operator watches, as data: where they are served and whether a cluster may lack them.

use kube::core::{ApiResource, GroupVersionKind};

/// One kind that the operator keeps a copy of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watched {
    /// API group, empty for the core group.
    pub group: &'static str,
    /// Version that is read and written.
    pub version: &'static str,
    /// Kind.
    pub kind: &'static str,
    /// Plural, the segment of the path.
    pub plural: &'static str,
    /// `Some` if the kind comes with a CRD that may appear or go at any time: the CRD's name.
    pub crd: Option<&'static str>,
    /// Only objects with these labels are kept; `None` keeps all.
    pub labels: Option<&'static str>,
}

/// What KServe's informers restrict their caches to, and what every child of ours carries.
const PART_OF: Option<&str> = Some("app.kubernetes.io/part-of=llminferenceservice");

/// Every kind, in the order in which their first lists are asked for.
pub const WATCHED: &[Watched] = &[
    builtin("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", None),
    builtin("serving.kserve.io", "v1alpha2", "LLMInferenceService", "llminferenceservices", None),
    builtin("serving.kserve.io", "v1alpha2", "LLMInferenceServiceConfig", "llminferenceserviceconfigs", None),
    builtin("", "v1", "ConfigMap", "configmaps", None),
    builtin("", "v1", "Secret", "secrets", None),
    builtin("", "v1", "Service", "services", None),
    builtin("", "v1", "ServiceAccount", "serviceaccounts", None),
    builtin("", "v1", "Pod", "pods", PART_OF),
    builtin("apps", "v1", "Deployment", "deployments", PART_OF),
    builtin("rbac.authorization.k8s.io", "v1", "Role", "roles", PART_OF),
    builtin("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", PART_OF),
    builtin("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", PART_OF),
    builtin("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", PART_OF),
    // KServe gives it no labels.
    builtin("resource.k8s.io", "v1", "ResourceClaimTemplate", "resourceclaimtemplates", None),
    optional(
        "gateway.networking.k8s.io",
        "v1",
        "GatewayClass",
        "gatewayclasses",
        "gatewayclasses.gateway.networking.k8s.io",
    ),
    optional("gateway.networking.k8s.io", "v1", "Gateway", "gateways", "gateways.gateway.networking.k8s.io"),
    optional(
        "gateway.networking.k8s.io",
        "v1",
        "HTTPRoute",
        "httproutes",
        "httproutes.gateway.networking.k8s.io",
    ),
    optional(
        "inference.networking.k8s.io",
        "v1",
        "InferencePool",
        "inferencepools",
        "inferencepools.inference.networking.k8s.io",
    ),
    optional(
        "inference.networking.x-k8s.io",
        "v1alpha2",
        "InferencePool",
        "inferencepools",
        "inferencepools.inference.networking.x-k8s.io",
    ),
    optional(
        "leaderworkerset.x-k8s.io",
        "v1",
        "LeaderWorkerSet",
        "leaderworkersets",
        "leaderworkersets.leaderworkerset.x-k8s.io",
    ),
    optional("keda.sh", "v1alpha1", "ScaledObject", "scaledobjects", "scaledobjects.keda.sh"),
    optional("monitoring.coreos.com", "v1", "PodMonitor", "podmonitors", "podmonitors.monitoring.coreos.com"),
    optional(
        "monitoring.coreos.com",
        "v1",
        "ServiceMonitor",
        "servicemonitors",
        "servicemonitors.monitoring.coreos.com",
    ),
];

const fn builtin(
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
    labels: Option<&'static str>,
) -> Watched {
    Watched { group, version, kind, plural, crd: None, labels }
}

const fn optional(
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
    crd: &'static str,
) -> Watched {
    Watched { group, version, kind, plural, crd: Some(crd), labels: None }
}

impl Watched {
    /// `group/version`, or the version alone for the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// The kind as `kube` addresses it.
    pub fn resource(&self) -> ApiResource {
        ApiResource::from_gvk_with_plural(
            &GroupVersionKind::gvk(self.group, self.version, self.kind),
            self.plural,
        )
    }
}
