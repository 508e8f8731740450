//! Every rule: what it says, an example that breaks it, and what to do. `docs/validation.md` is made from it, and so are
//! the hints of error messages.

use std::fmt::Write;

/// A rule of the webhooks.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Its name.
    pub id: &'static str,
    /// What it says.
    pub says: &'static str,
    /// The field that is blamed.
    pub field: &'static str,
    /// Part of an object that breaks it, as YAML.
    pub example: &'static str,
    /// What to do.
    pub hint: &'static str,
}

/// The rule of that name.
pub fn find(id: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.id == id)
}

/// The rule of the webhook that says the same as a rule of the schema. An API server reports the schema's first.
pub(crate) fn like_schema_rule(id: &str) -> Option<&'static str> {
    Some(match id {
        "replicas-or-scaling" => "scaling-and-replicas",
        "scaling-by-wva-or-keda" => "neither-wva-nor-keda",
        "scaling-not-by-both" => "wva-and-keda",
        "keda-needs-triggers" => "keda-without-triggers",
        "min-not-above-max" => "min-above-max",
        "wva-idle-needs-min" | "keda-idle-needs-min" => "idle-without-min",
        "wva-idle-below-min" | "keda-idle-below-min" => "idle-not-below-min",
        "wva-owns-modifiers" => "wva-scaling-modifiers",
        "one-actuator" => "hpa-and-keda",
        "some-actuator" => "neither-hpa-nor-keda",
        "hpa-name-is-ours" => "hpa-name",
        _ => return None,
    })
}

macro_rules! rules {
    ($($id:literal, $field:literal, $says:literal, $example:literal, $hint:literal;)*) => {
        /// All rules, in the order in which they are checked.
        pub const RULES: &[Rule] = &[$(Rule { id: $id, field: $field, says: $says, example: $example, hint: $hint }),*];
    };
}

rules! {
    "route-refs-and-spec", "spec.router.route.http", "a route is either referred to or described",
        "spec: {router: {route: {http: {refs: [{name: mine}], spec: {hostnames: [a.example]}}}}}",
        "keep `refs` to use a route of your own, or `spec` to have one made";
    "route-refs-and-managed-gateway", "spec.router.route.http.refs", "a route of your own does not go with a managed gateway",
        "spec: {router: {gateway: {}, route: {http: {refs: [{name: mine}]}}}}",
        "name the gateway in spec.router.gateway.refs, or remove the route's refs";
    "route-parents-and-gateway-refs", "spec.router.route.http.spec", "parentRefs of a described route and gateway refs say the same",
        "spec: {router: {gateway: {refs: [{name: b}]}, route: {http: {spec: {parentRefs: [{name: a}]}}}}}",
        "remove parentRefs; they are made from spec.router.gateway.refs";
    "group-and-ingress", "spec.router.route.group", "a traffic group needs the Gateway API",
        "spec: {router: {ingress: {}, route: {group: g, weight: 1}}}",
        "remove spec.router.ingress";
    "weight-without-group", "spec.router.route.group", "a weight belongs to a group",
        "spec: {router: {route: {weight: 1}}}",
        "name the group in spec.router.route.group, or remove weight";
    "group-without-weight", "spec.router.route.weight", "a member of a group has a weight",
        "spec: {router: {route: {group: g}}}",
        "set spec.router.route.weight, for example 100";
    "group-and-route-refs", "spec.router.route.group", "a traffic group needs a route that is managed",
        "spec: {router: {route: {group: g, weight: 1, http: {refs: [{name: mine}]}}}}",
        "replace http.refs by http: {}, or remove group and weight";
    "worker-without-parallelism", "spec.worker, spec.prefill.worker", "workers need something to share",
        "spec: {worker: {containers: []}, parallelism: {tensor: 2}}",
        "set parallelism.data and parallelism.dataLocal, or parallelism.pipeline; remove worker for a single node";
    "pipeline-and-data", "spec.parallelism, spec.prefill.parallelism", "pipeline and data parallelism exclude each other",
        "spec: {parallelism: {pipeline: 2, data: 2, dataLocal: 1}}",
        "keep either pipeline, or data with dataLocal";
    "data-without-data-local", "spec.parallelism.dataLocal", "data ranks have to be divided over nodes",
        "spec: {parallelism: {data: 4}}",
        "set dataLocal to the ranks of one node (dataLocal = data for a single node)";
    "data-local-without-data", "spec.parallelism.data", "ranks of a node need a total",
        "spec: {parallelism: {dataLocal: 4}}",
        "set data to the ranks in all";
    "parallelism-not-positive", "spec.parallelism.{pipeline,data,dataLocal}", "parallelism is at least 1",
        "spec: {parallelism: {pipeline: 0}}",
        "remove the field, or set it to 1 or more";
    "scheduler-replicas", "spec.router.scheduler.replicas", "a scheduler has at least one replica",
        "spec: {router: {scheduler: {replicas: 0}}}",
        "set it to 1 or more; to do without a scheduler, remove spec.router.scheduler";
    "scheduler-config-empty", "spec.router.scheduler.config", "a scheduler config is given or referred to",
        "spec: {router: {scheduler: {config: {}}}}",
        "set config.inline or config.ref, or remove config for the default";
    "scheduler-config-twice", "spec.router.scheduler.config", "a scheduler config is given or referred to, not both",
        "spec: {router: {scheduler: {config: {inline: {plugins: []}, ref: {name: a, key: b}}}}}",
        "remove one of config.inline and config.ref";
    "scheduler-config-inline", "spec.router.scheduler.config.inline", "an inline scheduler config says something",
        "spec: {router: {scheduler: {config: {inline: {}}}}}",
        "write an EndpointPickerConfig, or remove config for the default";
    "scheduler-config-ref", "spec.router.scheduler.config.ref.name", "a reference to a scheduler config names a ConfigMap",
        "spec: {router: {scheduler: {config: {ref: {key: epp}}}}}",
        "set config.ref.name to the name of the ConfigMap";
    "scaling-and-replicas", "spec.scaling", "the number of replicas is fixed or scaled",
        "spec: {replicas: 2, scaling: {maxReplicas: 3, wva: {hpa: {}}}}",
        "remove replicas to scale, or scaling to keep the number fixed";
    "min-above-max", "spec.scaling.minReplicas", "the minimum is not above the maximum",
        "spec: {scaling: {minReplicas: 4, maxReplicas: 3, wva: {hpa: {}}}}",
        "lower minReplicas or raise maxReplicas";
    "wva-and-keda", "spec.scaling", "one mechanism scales",
        "spec: {scaling: {maxReplicas: 3, wva: {hpa: {}}, keda: {triggers: [{type: cron}]}}}",
        "keep scaling.wva to scale by inference metrics, or scaling.keda to scale by triggers of your own";
    "neither-wva-nor-keda", "spec.scaling", "some mechanism scales",
        "spec: {scaling: {maxReplicas: 3}}",
        "set scaling.wva (for example wva: {hpa: {}}) or scaling.keda with triggers";
    "keda-without-triggers", "spec.scaling.keda.triggers", "KEDA needs a trigger",
        "spec: {scaling: {maxReplicas: 3, keda: {triggers: []}}}",
        "add a trigger with type and metadata";
    "hpa-and-keda", "spec.scaling.wva", "one actuator carries out what is advised",
        "spec: {scaling: {maxReplicas: 3, wva: {hpa: {}, keda: {}}}}",
        "keep wva.hpa or wva.keda";
    "neither-hpa-nor-keda", "spec.scaling.wva", "some actuator carries out what is advised",
        "spec: {scaling: {maxReplicas: 3, wva: {variantCost: \"5\"}}}",
        "set wva.hpa: {} or wva.keda: {}";
    "variant-cost", "spec.scaling.wva.variantCost", "a cost is a decimal number",
        "spec: {scaling: {maxReplicas: 3, wva: {hpa: {}, variantCost: cheap}}}",
        "write digits, for example \"10\" or \"0.5\"";
    "wva-scaling-modifiers", "spec.scaling.wva.keda.advanced.scalingModifiers", "the formula is the autoscaler's own",
        "spec: {scaling: {maxReplicas: 3, wva: {keda: {advanced: {scalingModifiers: {target: \"2\"}}}}}}",
        "remove scalingModifiers, or use scaling.keda with triggers of your own";
    "hpa-name", "spec.scaling.wva.keda.advanced.horizontalPodAutoscalerConfig.name", "the name of the HPA is given by the operator",
        "spec: {scaling: {maxReplicas: 3, wva: {keda: {advanced: {horizontalPodAutoscalerConfig: {name: x}}}}}}",
        "remove the name";
    "idle-without-min", "spec.scaling.minReplicas", "idle replicas need a minimum above them",
        "spec: {scaling: {maxReplicas: 3, wva: {keda: {idleReplicaCount: 0}}}}",
        "set scaling.minReplicas above idleReplicaCount";
    "idle-not-below-min", "spec.scaling.wva.keda.idleReplicaCount", "idle replicas are fewer than the minimum",
        "spec: {scaling: {minReplicas: 1, maxReplicas: 3, wva: {keda: {idleReplicaCount: 1}}}}",
        "lower idleReplicaCount (0 scales to nothing) or raise minReplicas";
    "scaling-modes-differ", "spec.prefill.scaling", "decode and prefill scale by the same mechanism",
        "spec: {scaling: {maxReplicas: 2, wva: {hpa: {}}}, prefill: {scaling: {maxReplicas: 2, keda: {triggers: [{type: cron}]}}}}",
        "use wva for both, or keda for both";
    "actuators-differ", "spec.prefill.scaling.wva", "decode and prefill have the same actuator",
        "spec: {scaling: {maxReplicas: 2, wva: {hpa: {}}}, prefill: {scaling: {maxReplicas: 2, wva: {keda: {}}}}}",
        "use wva.hpa for both, or wva.keda for both";
    "lora-limit", "spec.model.lora.{maxRank,maxAdapters,maxCpuAdapters}", "limits of adapters are at least 1",
        "spec: {model: {lora: {maxRank: 0}}}",
        "remove the limit, or set it to 1 or more";
    "adapter-name", "spec.model.lora.adapters[].name", "an adapter has a name",
        "spec: {model: {lora: {adapters: [{uri: \"hf://a/b\"}]}}}",
        "give the adapter the name that requests will use as their model";
    "adapter-path", "spec.model.lora.adapters[].name", "an adapter's name is not a way out of its folder",
        "spec: {model: {lora: {adapters: [{name: .., uri: \"hf://a/b\"}]}}}",
        "use letters, digits and hyphens";
    "adapter-twice", "spec.model.lora.adapters[].name", "adapters have different names",
        "spec: {model: {lora: {adapters: [{name: a, uri: \"hf://a/b\"}, {name: a, uri: \"hf://a/c\"}]}}}",
        "rename one of them";
    "adapter-like-model", "spec.model.lora.adapters[].name", "an adapter is not called like the model",
        "spec: {model: {name: m, lora: {adapters: [{name: m, uri: \"hf://a/b\"}]}}}",
        "rename the adapter, or set spec.model.name";
    "cache-without-cpu", "spec.kvCacheOffloading.cpu", "slower tiers need memory in front of them",
        "spec: {kvCacheOffloading: {cpu: \"0\", secondary: [{fileSystem: {emptyDir: {size: 1Gi}}}]}}",
        "set kvCacheOffloading.cpu, for example 10Gi";
    "cache-tier-kind", "spec.kvCacheOffloading.secondary[].fileSystem", "a tier is a file system",
        "spec: {kvCacheOffloading: {cpu: 1Gi, secondary: [{}]}}",
        "set fileSystem with emptyDir or pvc";
    "cache-tier-volume", "spec.kvCacheOffloading.secondary[].fileSystem", "a tier has one volume",
        "spec: {kvCacheOffloading: {cpu: 1Gi, secondary: [{fileSystem: {}}]}}",
        "set either emptyDir with a size, or pvc";
    "cache-tier-claim", "spec.kvCacheOffloading.secondary[].fileSystem.pvc", "a claim is made or referred to",
        "spec: {kvCacheOffloading: {cpu: 1Gi, secondary: [{fileSystem: {pvc: {}}}]}}",
        "set either pvc.spec to have a claim made for each pod, or pvc.ref for one that exists";
    "cache-tier-claim-name", "spec.kvCacheOffloading.secondary[].fileSystem.pvc.ref.name", "a reference to a claim names it",
        "spec: {kvCacheOffloading: {cpu: 1Gi, secondary: [{fileSystem: {pvc: {ref: {path: x}}}}]}}",
        "set pvc.ref.name";
    "rollout-amount", "spec.rolloutStrategy.{maxUnavailable,maxSurge}", "an amount is a number from 0 or a percentage up to 100%",
        "spec: {rolloutStrategy: {maxSurge: 120%}}",
        "write for example 1 or \"25%\"";
    "rollout-stuck", "spec.rolloutStrategy", "a rolling update has room to move",
        "spec: {rolloutStrategy: {maxUnavailable: 0, maxSurge: 0}}",
        "let at least one of maxUnavailable and maxSurge be above 0";
    "rollout-needs-surge", "spec.rolloutStrategy.maxSurge", "a multi-node workload that may not miss a copy needs a spare one",
        "spec: {worker: {containers: []}, parallelism: {pipeline: 2}, rolloutStrategy: {maxUnavailable: 0}}",
        "set maxSurge: 1, or maxUnavailable: 1";
    "device-class-missing", "metadata.annotations[serving.kserve.io/exp-dra-device-class]", "managed devices have a class",
        "metadata: {annotations: {serving.kserve.io/exp-dra-device-count: \"2\"}}",
        "add the annotation with the name of a DeviceClass, for example gpu.nvidia.com";
    "device-class", "metadata.annotations[serving.kserve.io/exp-dra-device-class]", "a device class is a DNS subdomain",
        "metadata: {annotations: {serving.kserve.io/exp-dra-device-class: Bad_Class}}",
        "write the name of a DeviceClass, for example gpu.nvidia.com";
    "device-count", "metadata.annotations[serving.kserve.io/exp-dra-device-count]", "the number of devices is at least 1",
        "metadata: {annotations: {serving.kserve.io/exp-dra-device-class: a, serving.kserve.io/exp-dra-device-count: \"0\"}}",
        "write a number from 1, or remove the annotation for 1";
    "device-selector", "metadata.annotations[serving.kserve.io/exp-dra-cel-selector]", "a selector of devices says something",
        "metadata: {annotations: {serving.kserve.io/exp-dra-device-class: a, serving.kserve.io/exp-dra-cel-selector: \" \"}}",
        "write a CEL expression, or remove the annotation";
    "device-container", "metadata.annotations[serving.kserve.io/exp-dra-container-name]", "the container of the devices has a container's name",
        "metadata: {annotations: {serving.kserve.io/exp-dra-device-class: a, serving.kserve.io/exp-dra-container-name: Bad Name}}",
        "write the name of the container, for example main, or remove the annotation for the first one";
    "size-is-fixed", "spec.parallelism, spec.prefill.parallelism", "the number of pods of a copy does not change",
        "spec: {parallelism: {pipeline: 3}}",
        "make a new service with the other size, move the traffic, delete the old one";
    "confidential-resource", "spec.model.confidential.resourceId", "the key of a confidential model has three parts",
        "spec: {model: {uri: \"hf://a/b\", confidential: {enabled: true, resourceId: \"kbs://x\"}}}",
        "write kbs:///REPOSITORY/TYPE/TAG";
    "container-main", "spec.template.containers[].name", "the engine's container is called main (said by the command line alone)",
        "spec: {template: {containers: [{name: kserve-container, args: [\"--max-model-len=4096\"]}]}}",
        "rename the container to main; it is merged with the preset's container of that name";
    "config-base-refs", "spec.baseRefs", "a config does not build on configs",
        "kind: LLMInferenceServiceConfig\nspec: {baseRefs: [{name: a}]}",
        "list all configs in the service's own spec.baseRefs, the weakest first";
}

/// The page about all rules.
pub fn markdown() -> String {
    let mut page = String::from(
        "# What is refused, and what to do\n\n\
         Rules that `llmisvc` holds services and configs to, beyond the types and limits of their schema. The same rules apply to\n\
         files on the command line and to objects in a cluster. Each entry gives the field that is blamed, an example that\n\
         breaks the rule, and the way out.\n\n\
         <!-- Made from crates/api/src/validate/catalogue.rs. To renew: UPDATE_GENERATED=1 cargo test -p api catalogue -->\n",
    );
    for rule in RULES {
        let _ = write!(
            page,
            "\n## `{}`\n\n{}.\n\nField: `{}`\n\n```yaml\n{}\n```\n\nTo do: {}.\n",
            rule.id,
            capitalised(rule.says),
            rule.field,
            rule.example,
            rule.hint
        );
    }
    page.push_str("\n# Rules of the schema\n\n| Rule | Said when it does not hold |\n|---|---|\n");
    for rule in crate::rules::all() {
        let _ = writeln!(page, "| `{}` | {} |", rule.id, rule.message.replace('|', "\\|"));
    }
    page.push_str(BESIDE);
    page
}

/// What belongs to the rules and is none of them.
const BESIDE: &str = "\n# Beside the rules\n\n\
    An object that is being deleted may be updated whatever it says, so that it can lose its finalizers.\n\n\
    A config is rendered for a sample service when an API server of `up` takes it in. One whose templates do not render is refused\n\
    with status 403 and the place in the template.\n\n\
    Of an object in v1alpha1, `route-parents-and-gateway-refs` refuses parentRefs that are equal to the gateway refs as well;\n\
    the rules `cache-…` and `confidential-resource` do not apply.\n\n\
    A preset is built into the program. A config of its name in the namespace of the service or in the system namespace takes its\n\
    place, and may be deleted again; KServe, which has nothing built in, refuses that.\n\n\
    # Warnings\n\n\
    | Warning | When |\n\
    |---|---|\n\
    | `spec.router.route.http.spec.parentRefs can be omitted …` | parentRefs are the same as the gateway refs |\n\
    | `spec.model.confidential has no effect with OCI URIs` | the model is confidential and comes as an image |\n\
    | `spec.model.confidential has no effect with PVC URIs` | the model is confidential and lies in a claim |\n\
    | `modifying well-known config …` | a config called like a preset, with its prefix, loses or changes a value |\n\
    | `deleting well-known config …` | a config called like a preset is deleted |\n";

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().collect::<String>() + letters.as_str())
        .unwrap_or_default()
}
