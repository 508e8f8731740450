//! The table of built-in kinds: names, scope and subresources. Their schemas come from `k8s-openapi`.

use schemars::{JsonSchema, Schema, SchemaGenerator};

/// A kind that is served without a CRD.
pub(crate) struct BuiltIn {
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) plural: &'static str,
    pub(crate) singular: &'static str,
    pub(crate) short_names: &'static [&'static str],
    pub(crate) categories: &'static [&'static str],
    pub(crate) namespaced: bool,
    pub(crate) subresources: &'static [&'static str],
    pub(crate) verbs: &'static [&'static str],
    /// JSON schema of the kind; the generator collects the definitions that it refers to.
    pub(crate) schema: fn(&mut SchemaGenerator) -> Schema,
}

impl BuiltIn {
    /// A PUT makes an absent object, as the original does for these kinds alone.
    pub(crate) fn put_creates(&self) -> bool {
        matches!(
            self.kind,
            "Lease"
                | "Service"
                | "Endpoints"
                | "EndpointSlice"
                | "Event"
                | "Role"
                | "RoleBinding"
                | "ClusterRole"
                | "ClusterRoleBinding"
                | "LimitRange"
        )
    }

    /// `metadata.generation` counts changes of the spec.
    pub(crate) fn counts_generations(&self) -> bool {
        matches!(
            (self.group, self.kind),
            ("apps", "DaemonSet" | "Deployment" | "ReplicaSet" | "StatefulSet")
                | ("batch" | "networking.k8s.io" | "policy" | "apiextensions.k8s.io", _)
                | ("admissionregistration.k8s.io" | "discovery.k8s.io" | "resource.k8s.io", _)
                | ("", "Pod" | "ReplicationController")
        ) && self.kind != "IngressClass"
    }
}

const ALL: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

#[expect(clippy::too_many_arguments, reason = "one row of a table")]
const fn kind<T: JsonSchema>(
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
    singular: &'static str,
    short_names: &'static [&'static str],
    categories: &'static [&'static str],
    namespaced: bool,
    subresources: &'static [&'static str],
    verbs: &'static [&'static str],
) -> BuiltIn {
    BuiltIn {
        group,
        version,
        kind,
        plural,
        singular,
        short_names,
        categories,
        namespaced,
        subresources,
        verbs,
        schema: T::json_schema,
    }
}

/// All built-in kinds, in the order of discovery.
#[rustfmt::skip]
pub(crate) static BUILT_IN: &[BuiltIn] = &[
    kind::<k8s_openapi::api::core::v1::Binding>("", "v1", "Binding", "bindings", "binding", &[], &[], true, &[], &["create"]),
    kind::<k8s_openapi::api::core::v1::ComponentStatus>("", "v1", "ComponentStatus", "componentstatuses", "componentstatus", &["cs"], &[], false, &[], &["get", "list"]),
    kind::<k8s_openapi::api::core::v1::ConfigMap>("", "v1", "ConfigMap", "configmaps", "configmap", &["cm"], &[], true, &[], &ALL),
    kind::<k8s_openapi::api::core::v1::Endpoints>("", "v1", "Endpoints", "endpoints", "endpoints", &["ep"], &[], true, &[], &ALL),
    kind::<k8s_openapi::api::core::v1::Event>("", "v1", "Event", "events", "event", &["ev"], &[], true, &[], &ALL),
    kind::<k8s_openapi::api::core::v1::LimitRange>("", "v1", "LimitRange", "limitranges", "limitrange", &["limits"], &[], true, &[], &ALL),
    kind::<k8s_openapi::api::core::v1::Namespace>("", "v1", "Namespace", "namespaces", "namespace", &["ns"], &[], false, &["finalize", "status"], &["create", "delete", "get", "list", "patch", "update", "watch"]),
    kind::<k8s_openapi::api::core::v1::Node>("", "v1", "Node", "nodes", "node", &["no"], &[], false, &["proxy", "status"], &ALL),
    kind::<k8s_openapi::api::core::v1::PersistentVolumeClaim>("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", "persistentvolumeclaim", &["pvc"], &[], true, &["status"], &ALL),
    kind::<k8s_openapi::api::core::v1::PersistentVolume>("", "v1", "PersistentVolume", "persistentvolumes", "persistentvolume", &["pv"], &[], false, &["status"], &ALL),
    kind::<k8s_openapi::api::core::v1::Pod>("", "v1", "Pod", "pods", "pod", &["po"], &["all"], true, &["attach", "binding", "ephemeralcontainers", "eviction", "exec", "log", "portforward", "proxy", "resize", "status"], &ALL),
    kind::<k8s_openapi::api::core::v1::PodTemplate>("", "v1", "PodTemplate", "podtemplates", "podtemplate", &[], &[], true, &[], &ALL),
    kind::<k8s_openapi::api::core::v1::ReplicationController>("", "v1", "ReplicationController", "replicationcontrollers", "replicationcontroller", &["rc"], &["all"], true, &["scale", "status"], &ALL),
    kind::<k8s_openapi::api::core::v1::ResourceQuota>("", "v1", "ResourceQuota", "resourcequotas", "resourcequota", &["quota"], &[], true, &["status"], &ALL),
    kind::<k8s_openapi::api::core::v1::Secret>("", "v1", "Secret", "secrets", "secret", &[], &[], true, &[], &ALL),
    kind::<k8s_openapi::api::core::v1::ServiceAccount>("", "v1", "ServiceAccount", "serviceaccounts", "serviceaccount", &["sa"], &[], true, &["token"], &ALL),
    kind::<k8s_openapi::api::core::v1::Service>("", "v1", "Service", "services", "service", &["svc"], &["all"], true, &["proxy", "status"], &ALL),
    kind::<k8s_openapi::api::apps::v1::ControllerRevision>("apps", "v1", "ControllerRevision", "controllerrevisions", "controllerrevision", &[], &[], true, &[], &ALL),
    kind::<k8s_openapi::api::apps::v1::DaemonSet>("apps", "v1", "DaemonSet", "daemonsets", "daemonset", &["ds"], &["all"], true, &["status"], &ALL),
    kind::<k8s_openapi::api::apps::v1::Deployment>("apps", "v1", "Deployment", "deployments", "deployment", &["deploy"], &["all"], true, &["scale", "status"], &ALL),
    kind::<k8s_openapi::api::apps::v1::ReplicaSet>("apps", "v1", "ReplicaSet", "replicasets", "replicaset", &["rs"], &["all"], true, &["scale", "status"], &ALL),
    kind::<k8s_openapi::api::apps::v1::StatefulSet>("apps", "v1", "StatefulSet", "statefulsets", "statefulset", &["sts"], &["all"], true, &["scale", "status"], &ALL),
    kind::<k8s_openapi::api::authentication::v1::SelfSubjectReview>("authentication.k8s.io", "v1", "SelfSubjectReview", "selfsubjectreviews", "selfsubjectreview", &[], &[], false, &[], &["create"]),
    kind::<k8s_openapi::api::authentication::v1::TokenReview>("authentication.k8s.io", "v1", "TokenReview", "tokenreviews", "tokenreview", &[], &[], false, &[], &["create"]),
    kind::<k8s_openapi::api::authorization::v1::LocalSubjectAccessReview>("authorization.k8s.io", "v1", "LocalSubjectAccessReview", "localsubjectaccessreviews", "localsubjectaccessreview", &[], &[], true, &[], &["create"]),
    kind::<k8s_openapi::api::authorization::v1::SelfSubjectAccessReview>("authorization.k8s.io", "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", "selfsubjectaccessreview", &[], &[], false, &[], &["create"]),
    kind::<k8s_openapi::api::authorization::v1::SelfSubjectRulesReview>("authorization.k8s.io", "v1", "SelfSubjectRulesReview", "selfsubjectrulesreviews", "selfsubjectrulesreview", &[], &[], false, &[], &["create"]),
    kind::<k8s_openapi::api::authorization::v1::SubjectAccessReview>("authorization.k8s.io", "v1", "SubjectAccessReview", "subjectaccessreviews", "subjectaccessreview", &[], &[], false, &[], &["create"]),
    kind::<k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler>("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", "horizontalpodautoscaler", &["hpa"], &["all"], true, &["status"], &ALL),
    kind::<k8s_openapi::api::batch::v1::CronJob>("batch", "v1", "CronJob", "cronjobs", "cronjob", &["cj"], &["all"], true, &["status"], &ALL),
    kind::<k8s_openapi::api::batch::v1::Job>("batch", "v1", "Job", "jobs", "job", &[], &["all"], true, &["status"], &ALL),
    kind::<k8s_openapi::api::certificates::v1::CertificateSigningRequest>("certificates.k8s.io", "v1", "CertificateSigningRequest", "certificatesigningrequests", "certificatesigningrequest", &["csr"], &[], false, &["approval", "status"], &ALL),
    kind::<k8s_openapi::api::networking::v1::IngressClass>("networking.k8s.io", "v1", "IngressClass", "ingressclasses", "ingressclass", &[], &[], false, &[], &ALL),
    kind::<k8s_openapi::api::networking::v1::Ingress>("networking.k8s.io", "v1", "Ingress", "ingresses", "ingress", &["ing"], &[], true, &["status"], &ALL),
    kind::<k8s_openapi::api::networking::v1::NetworkPolicy>("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", "networkpolicy", &["netpol"], &[], true, &[], &ALL),
    kind::<k8s_openapi::api::policy::v1::PodDisruptionBudget>("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", "poddisruptionbudget", &["pdb"], &[], true, &["status"], &ALL),
    kind::<k8s_openapi::api::rbac::v1::ClusterRoleBinding>("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", "clusterrolebinding", &[], &[], false, &[], &ALL),
    kind::<k8s_openapi::api::rbac::v1::ClusterRole>("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", "clusterrole", &[], &[], false, &[], &ALL),
    kind::<k8s_openapi::api::rbac::v1::RoleBinding>("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", "rolebinding", &[], &[], true, &[], &ALL),
    kind::<k8s_openapi::api::rbac::v1::Role>("rbac.authorization.k8s.io", "v1", "Role", "roles", "role", &[], &[], true, &[], &ALL),
    kind::<k8s_openapi::api::storage::v1::StorageClass>("storage.k8s.io", "v1", "StorageClass", "storageclasses", "storageclass", &["sc"], &[], false, &[], &ALL),
    kind::<k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration>("admissionregistration.k8s.io", "v1", "MutatingWebhookConfiguration", "mutatingwebhookconfigurations", "mutatingwebhookconfiguration", &[], &["api-extensions"], false, &[], &ALL),
    kind::<k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration>("admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration", "validatingwebhookconfigurations", "validatingwebhookconfiguration", &[], &["api-extensions"], false, &[], &ALL),
    kind::<k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition>("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", "customresourcedefinition", &["crd", "crds"], &["api-extensions"], false, &["status"], &ALL),
    kind::<k8s_openapi::api::scheduling::v1::PriorityClass>("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", "priorityclass", &["pc"], &[], false, &[], &ALL),
    kind::<k8s_openapi::api::coordination::v1::Lease>("coordination.k8s.io", "v1", "Lease", "leases", "lease", &[], &[], true, &[], &ALL),
    kind::<k8s_openapi::api::node::v1::RuntimeClass>("node.k8s.io", "v1", "RuntimeClass", "runtimeclasses", "runtimeclass", &[], &[], false, &[], &ALL),
    kind::<k8s_openapi::api::discovery::v1::EndpointSlice>("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", "endpointslice", &[], &[], true, &[], &ALL),
    kind::<k8s_openapi::api::resource::v1::DeviceClass>("resource.k8s.io", "v1", "DeviceClass", "deviceclasses", "deviceclass", &[], &[], false, &[], &ALL),
    kind::<k8s_openapi::api::resource::v1::ResourceClaim>("resource.k8s.io", "v1", "ResourceClaim", "resourceclaims", "resourceclaim", &[], &[], true, &["status"], &ALL),
    kind::<k8s_openapi::api::resource::v1::ResourceClaimTemplate>("resource.k8s.io", "v1", "ResourceClaimTemplate", "resourceclaimtemplates", "resourceclaimtemplate", &[], &[], true, &[], &ALL),
    kind::<k8s_openapi::api::resource::v1::ResourceSlice>("resource.k8s.io", "v1", "ResourceSlice", "resourceslices", "resourceslice", &[], &[], false, &[], &ALL),
    kind::<k8s_openapi::api::events::v1::Event>("events.k8s.io", "v1", "Event", "events", "event", &["ev"], &[], true, &[], &ALL),
];
