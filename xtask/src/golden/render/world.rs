//! The cluster of a case: its objects, and rounds of composing, planning and judging until nothing changes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, bail};
use api::admission::Request;
use compose::{Facts, Settings};
use jiff::Timestamp;
use kinds::{ObjectKey, Objects};
use plan::{CertificateOrder, Change, Plan, Seen, Verb};
use serde_json::{Value, json};

const SERVICE: (&str, &str) = ("serving.kserve.io/v1alpha2", "LLMInferenceService");
/// Rounds after which a case that still changes is an error.
const MAX_ROUNDS: usize = 12;

/// What was refused, and what was written.
type Carried = (Vec<(ObjectKey, String)>, Vec<Change>);

/// Everything that exists in a case.
pub(super) struct World {
    namespace: String,
    objects: Objects,
    settings: Settings,
    /// What each service is planned to have.
    planned: BTreeMap<String, Vec<Value>>,
    /// The certificate that each service orders.
    certificates: BTreeMap<String, CertificateOrder>,
    /// What each service's certificate covers.
    issued: BTreeMap<String, CertificateOrder>,
    /// Events of each service since this was last emptied, as `type reason message`.
    pub(super) events: BTreeMap<String, BTreeSet<String>>,
    /// Secrets whose certificate was issued anew since this was last emptied.
    pub(super) reissued: BTreeSet<String>,
    /// What was deleted since this was last emptied.
    pub(super) deleted: Vec<String>,
    /// Children that were refused since this was last emptied.
    pub(super) refused: BTreeMap<ObjectKey, Value>,
    now: Timestamp,
}

impl World {
    pub(super) fn new(root: &Path, profile: &str, namespace: &str) -> Result<Self> {
        let mut objects = Objects::new();
        let mut documents = Vec::new();
        let presets = root.join("presets");
        let mut files: Vec<_> =
            std::fs::read_dir(&presets)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.sort();
        files.push(presets.join("cluster/system.yaml"));
        // `pin` starts as `tls` and is changed by the case itself.
        let profile_file = presets.join(format!("cluster/{profile}.yaml"));
        files.push(if profile_file.exists() { profile_file } else { presets.join("cluster/tls.yaml") });
        for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "yaml"))
        {
            documents.extend(super::read(file)?);
        }
        objects.add_document(json!({
            "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": namespace},
        }))?;
        let mut world = World {
            namespace: namespace.to_owned(),
            settings: Settings::default(),
            objects,
            planned: BTreeMap::new(),
            certificates: BTreeMap::new(),
            issued: BTreeMap::new(),
            events: BTreeMap::new(),
            reissued: BTreeSet::new(),
            deleted: Vec::new(),
            refused: BTreeMap::new(),
            now: "2026-01-01T00:00:00Z".parse()?,
        };
        world.add(documents)?;
        Ok(world)
    }

    fn read_settings(&mut self) -> Result<()> {
        self.settings = Settings::from_objects(&self.objects, "kserve")?;
        Ok(())
    }

    /// Posts objects as a user would. What admission refuses is not there afterwards.
    pub(super) fn add(&mut self, documents: Vec<Value>) -> Result<()> {
        self.read_settings()?;
        for document in documents {
            if is_report(&document) {
                self.objects.add_document(document)?;
            } else if let Some(stored) = self.admitted(&document, None) {
                self.objects.add_document(stored)?;
            }
        }
        self.read_settings()
    }

    fn admitted(&self, document: &Value, old: Option<&Value>) -> Option<Value> {
        let caches = self.settings.local_model_enabled.then_some(&self.objects);
        let mut stored = api::admission::admit(document, Request { old, caches }).ok()?.object;
        if stored["kind"] == SERVICE.1 {
            let generation = old.and_then(|old| old["metadata"]["generation"].as_i64()).unwrap_or(1);
            let changed = old.is_some_and(|old| old["spec"] != stored["spec"]);
            stored["metadata"]["uid"] = json!("<uid>");
            stored["metadata"]["generation"] = json!(if changed { generation + 1 } else { generation });
        }
        Some(stored)
    }

    /// Replaces objects as a user would.
    pub(super) fn edit(&mut self, documents: Vec<Value>) -> Result<()> {
        for document in documents {
            let key = ObjectKey::of(&document)?;
            let present = self.objects.get_key(&key).cloned();
            let Some(mut stored) = self.admitted(&document, present.as_deref()) else { continue };
            if let Some(status) = present.as_deref().and_then(|present| present.get("status")) {
                stored["status"] = status.clone();
            }
            self.objects.insert(stored)?;
        }
        self.read_settings()
    }

    pub(super) fn delete(&mut self, documents: &[Value]) -> Result<()> {
        for document in documents {
            let key = ObjectKey::of(document)?;
            let Some(gone) = self.objects.remove(&key) else { continue };
            if key.kind != SERVICE.1 {
                continue;
            }
            let facts = Facts { service: gone, objects: self.objects.clone(), ..Facts::default() };
            for key in plan::finalize(&facts).absent {
                self.deleted.push(listed(&key));
            }
            // The rest goes with its owner.
            for child in self.planned.remove(&key.name).unwrap_or_default() {
                self.objects.remove(&ObjectKey::of(&child)?);
            }
        }
        Ok(())
    }

    /// Begins a phase.
    pub(super) fn begin(&mut self) {
        self.deleted.clear();
        self.refused.clear();
        self.reissued.clear();
        self.events.clear();
    }

    /// Rounds until nothing changes.
    pub(super) fn settle(&mut self) -> Result<()> {
        for _ in 0..MAX_ROUNDS {
            let before = self.objects.clone();
            let names: Vec<String> = self
                .objects
                .of_kind_in(SERVICE.0, SERVICE.1, &self.namespace)
                .map(|(key, _)| key.name.clone())
                .collect();
            for name in names {
                self.reconcile(&name)?;
            }
            if self.objects == before {
                return Ok(());
            }
        }
        bail!("still changing after {MAX_ROUNDS} rounds")
    }

    fn reconcile(&mut self, name: &str) -> Result<()> {
        let Some(service) = self.objects.get(SERVICE.0, SERVICE.1, Some(&self.namespace), name).cloned()
        else {
            return Ok(());
        };
        let facts = Facts {
            service: service.clone(),
            objects: self.objects.clone(),
            settings: self.settings.clone(),
            ..Facts::default()
        };
        let composed = compose::compose(&facts);
        let plan = match &composed {
            Ok(merged) => plan::build(merged, &facts),
            Err(_) if facts.service["metadata"]["annotations"]["serving.kserve.io/stop"] == "true" => {
                plan::teardown(&facts)
            }
            Err(_) => Plan::default(),
        };
        let (errors, changes) = self.carry_out(name, &plan, composed.is_err())?;
        let seen = Seen { objects: self.objects.clone(), errors, changes };
        let previous = service.get("status").and_then(|status| serde_json::from_value(status.clone()).ok());
        let judged = plan::judge(&facts, composed.as_ref(), &plan, &seen, previous.as_ref(), self.now);
        for event in &judged.events {
            let line = format!("{} {} {}", event.type_.as_str(), event.reason, event.message);
            self.events.entry(name.to_owned()).or_default().insert(line);
        }
        let mut updated = (*service).clone();
        updated["status"] = serde_json::to_value(&judged.status)?;
        self.objects.insert(Arc::new(updated))?;
        Ok(())
    }

    /// Makes the planned children live, as an API server would keep them. What it refuses ends the pass.
    fn carry_out(&mut self, name: &str, plan: &Plan, failed: bool) -> Result<Carried> {
        let mut errors = Vec::new();
        let mut changes = Vec::new();
        let mut planned = Vec::new();
        let mut uncovered = Vec::new();
        for order in &plan.certificates {
            self.certificates.insert(name.to_owned(), order.clone());
            let covered = self.issued.get(name).is_some_and(|issued| {
                order.dns_names.iter().all(|name| issued.dns_names.contains(name))
                    && order.ip_addresses.iter().all(|address| issued.ip_addresses.contains(address))
            });
            if !covered {
                if self.objects.contains(&order.key()) {
                    self.reissued.insert(order.key().to_string());
                    uncovered.push(order.key());
                }
                self.issued.insert(name.to_owned(), order.clone());
            }
            let mut secret = order.secret.clone();
            secret["data"] = json!({"ca.crt": "<cert>", "tls.crt": "<cert>", "tls.key": "<key>"});
            if let Some(annotation) = order.expiration_annotations.first() {
                secret["metadata"]["annotations"] = json!({annotation: "<time>"});
            }
            planned.push(secret);
        }
        planned.extend(plan.steps.iter().flat_map(|step| step.objects.clone()));
        for (index, child) in planned.iter().enumerate() {
            let key = ObjectKey::of(child)?;
            let present = self.objects.get_key(&key).cloned();
            if let Some(message) = super::refuse::refusal(child, present.as_deref()) {
                self.refused.insert(key.clone(), child.clone());
                errors.push((key, message));
                planned.truncate(index);
                break;
            }
            let old = self
                .planned
                .get(name)
                .into_iter()
                .flatten()
                .find(|old| ObjectKey::of(old).as_ref() == Ok(&key));
            let verb = match (&present, old) {
                (None, _) => Some(Verb::Create),
                (Some(_), Some(old))
                    if super::compare::is_written(old, child) || uncovered.contains(&key) =>
                {
                    Some(Verb::Update)
                }
                (Some(_), _) => None,
            };
            changes.extend(verb.map(|verb| Change { verb, key: key.clone() }));
            let mut live = child.clone();
            if let Some(status) = present.as_deref().and_then(|present| present.get("status")) {
                live["status"] = status.clone();
            }
            if live["kind"] == "Service" {
                let address = present.as_deref().map(|present| present["spec"]["clusterIP"].clone());
                live["spec"]["clusterIP"] = address.unwrap_or_else(|| json!(self.next_address()));
            }
            self.objects.insert(live)?;
        }
        if errors.is_empty() {
            for key in &plan.absent {
                if self.objects.remove(key).is_some() {
                    if key.kind == "Secret" {
                        self.issued.remove(name);
                    }
                    self.deleted.push(listed(key));
                    changes.push(Change { verb: Verb::Delete, key: key.clone() });
                }
            }
        }
        if failed && plan.steps.is_empty() && plan.absent.is_empty() {
            return Ok((errors, changes));
        }
        if plan.failure.is_some() || !errors.is_empty() {
            // What comes after a failure stays as it was.
            for child in self.planned.remove(name).unwrap_or_default() {
                let key = ObjectKey::of(&child)?;
                if self.objects.contains(&key)
                    && planned.iter().all(|new| ObjectKey::of(new).as_ref() != Ok(&key))
                {
                    planned.push(child);
                }
            }
        }
        self.planned.insert(name.to_owned(), planned);
        Ok((errors, changes))
    }

    /// An address of the range of Services that no Service has.
    fn next_address(&self) -> String {
        let taken = self.objects.iter().filter(|(key, _)| key.kind == "Service").count();
        format!("10.96.0.{}", taken + 1)
    }

    /// What each service's certificate says, as the recordings print it.
    pub(super) fn certificates(&self) -> BTreeMap<String, Value> {
        self.certificates
            .values()
            .map(|order| {
                let ips: BTreeSet<String> = order
                    .ip_addresses
                    .iter()
                    .map(ToString::to_string)
                    .map(|ip| if ip.starts_with("10.96.") { "<clusterIP>".to_owned() } else { ip })
                    .collect();
                let (start, end) = CertificateOrder::validity(self.now);
                let days = (end.as_second() - start.as_second()) / 86_400;
                let name = order.key().name;
                let says = json!({
                    "secret": name,
                    "dnsNames": order.dns_names,
                    "ipAddresses": ips,
                    "organization": order.organization,
                    "validDays": days,
                });
                (name, says)
            })
            .collect()
    }

    /// Every planned child as it is applied.
    pub(super) fn planned(&self) -> Vec<Value> {
        self.planned.values().flatten().cloned().collect()
    }

    /// Every planned child by `apiVersion kind namespace/name`.
    pub(super) fn children(&self) -> BTreeMap<String, Value> {
        self.planned
            .values()
            .flatten()
            .filter_map(|child| {
                Some((ObjectKey::of(child).ok()?.to_string(), super::compare::normalized(child.clone())))
            })
            .collect()
    }

    /// The status of every service by name.
    pub(super) fn statuses(&self) -> BTreeMap<String, Value> {
        self.objects
            .of_kind_in(SERVICE.0, SERVICE.1, &self.namespace)
            .map(|(key, service)| {
                let document = json!({
                    "apiVersion": SERVICE.0,
                    "kind": SERVICE.1,
                    "metadata": {"name": key.name, "namespace": self.namespace},
                    "status": service["status"],
                });
                (key.name.clone(), super::compare::normalized(document))
            })
            .collect()
    }
}

/// Whether a document is a status alone.
fn is_report(document: &Value) -> bool {
    document.get("status").is_some() && document.get("spec").is_none() && document.get("data").is_none()
}

/// A key as the recordings list deletions: objects without a namespace begin with a slash.
fn listed(key: &ObjectKey) -> String {
    let namespace = key.namespace.as_deref().unwrap_or_default();
    format!("{} {} {namespace}/{}", key.api_version, key.kind, key.name)
}
