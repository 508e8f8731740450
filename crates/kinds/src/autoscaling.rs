//! `autoscaling/v2`: the HorizontalPodAutoscaler, under the names that the rest of the project uses.

pub use k8s_openapi::api::autoscaling::v2::{
    HorizontalPodAutoscaler, HorizontalPodAutoscalerBehavior, HorizontalPodAutoscalerCondition,
    HorizontalPodAutoscalerSpec, HorizontalPodAutoscalerStatus, MetricSpec,
};

/// The `apiVersion` of [`HorizontalPodAutoscaler`].
pub const API_VERSION: &str = "autoscaling/v2";
