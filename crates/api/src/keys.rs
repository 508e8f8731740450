//! Labels, annotations and finalizers that are part of the API.

/// Annotation of a service: `"true"` stops it.
pub const STOP: &str = "serving.kserve.io/stop";
/// Annotation in `spec.annotations` (`"true"`) and on a Gateway (`"false"` opts out): routing by model name.
pub const MODEL_BASED_ROUTING: &str = "serving.kserve.io/model-based-routing-enabled";
/// Annotation of a service: its presence keeps it from LocalModelCaches.
pub const DISABLE_LOCAL_MODEL: &str = "serving.kserve.io/disable-localmodel";
/// Annotation of a service: the node group whose LocalModelCache it uses.
pub const NODE_GROUP: &str = "serving.kserve.io/nodegroup";
/// Annotation of a service: device class of managed devices.
pub const DRA_DEVICE_CLASS: &str = "serving.kserve.io/exp-dra-device-class";
/// Annotation of a service: number of managed devices, 1 when absent.
pub const DRA_DEVICE_COUNT: &str = "serving.kserve.io/exp-dra-device-count";
/// Annotation of a service: CEL expressions that managed devices satisfy, one a line.
pub const DRA_CEL_SELECTOR: &str = "serving.kserve.io/exp-dra-cel-selector";
/// Annotation of a service: the container that gets the managed devices; the first when absent.
pub const DRA_CONTAINER_NAME: &str = "serving.kserve.io/exp-dra-container-name";
/// Label of a service, written by the defaulter: its traffic group.
pub const ROUTING_GROUP: &str = "serving.kserve.io/routing-group";
/// Label of a service, written by the defaulter: the cache its model comes from.
pub const LOCAL_MODEL: &str = "internal.serving.kserve.io/localmodel";
/// Label of a service, written by the defaulter: the namespace of that cache, if it has one.
pub const LOCAL_MODEL_NAMESPACE: &str = "internal.serving.kserve.io/localmodel-namespace";
/// Annotation of a service, written by the defaulter: the URI that the cache holds.
pub const LOCAL_MODEL_SOURCE_URI: &str = "internal.serving.kserve.io/localmodel-sourceuri";
/// Annotation of a service, written by the defaulter: the claim that holds the cached model.
pub const LOCAL_MODEL_PVC: &str = "internal.serving.kserve.io/localmodel-pvc-name";
/// Annotation that carries `model.criticality` of v1alpha1.
pub const MODEL_CRITICALITY: &str = "internal.serving.kserve.io/model-criticality";
/// Annotation that carries the criticality of each LoRA adapter of v1alpha1, as JSON by index.
pub const LORA_CRITICALITIES: &str = "internal.serving.kserve.io/lora-criticalities";
/// Annotation that carries what the other version cannot say, as JSON.
pub const CONVERSION: &str = "internal.serving.kserve.io/conversion";
/// Start of the keys in `status.annotations` that pin presets; the preset's name without its prefix follows.
pub const PRESET_PIN_PREFIX: &str = "serving.kserve.io/";
/// Finalizer of services.
pub const SERVICE_FINALIZER: &str = "serving.kserve.io/llmisvc-finalizer";
/// Finalizer of configs.
pub const CONFIG_FINALIZER: &str = "serving.kserve.io/llmisvcconfig-finalizer";

/// Label of every child: the name of the service.
pub const APP_NAME: &str = "app.kubernetes.io/name";
/// Label of every child: which part it is.
pub const APP_COMPONENT: &str = "app.kubernetes.io/component";
/// Label of every child, with [`PART_OF`] as its value.
pub const APP_PART_OF: &str = "app.kubernetes.io/part-of";
/// The value of [`APP_PART_OF`].
pub const PART_OF: &str = "llminferenceservice";
