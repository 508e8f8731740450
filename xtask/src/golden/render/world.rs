//! A case played by the pure functions: its objects, and rounds of composing, planning and judging until nothing changes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, bail};
use api::admission::{Refusal, Request};
use api::validate::sample_service;
use compose::{Facts, Settings};
use jiff::Timestamp;
use kinds::{ObjectKey, Objects};
use plan::{CertificateOrder, Change, Plan, Reach, Seen, Verb};
use serde_json::{Value, json};

use super::refusals::Refused;
use super::state::{State, add_facts, finalized, listed, report_of};
use super::{Stage, certificates, surroundings};
use crate::golden::document::normal_child;

pub(super) const SERVICE: (&str, &str) = ("serving.kserve.io/v1alpha2", "LLMInferenceService");
pub(super) const CONFIG: &str = "LLMInferenceServiceConfig";
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
    /// What every service was stored as at first.
    stored: BTreeMap<String, Value>,
    /// Every child as it was built when the phase began.
    before: BTreeMap<ObjectKey, Value>,
    /// Children of services that are gone; nothing collects them here.
    orphans: Vec<Value>,
    /// Events of each service in this phase.
    events: BTreeMap<String, Vec<Value>>,
    /// Secrets whose certificate was issued anew in this phase.
    reissued: BTreeSet<ObjectKey>,
    /// What was deleted in this phase.
    deleted: BTreeSet<ObjectKey>,
    /// Children that were refused in this phase.
    pub(super) refused: BTreeMap<ObjectKey, Value>,
    now: Timestamp,
}

impl World {
    pub(super) fn new(root: &Path, profile: &str, namespace: &str) -> Result<Self> {
        let mut objects = surroundings::of(root, profile)?.stored.clone();
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
            stored: BTreeMap::new(),
            before: BTreeMap::new(),
            orphans: Vec::new(),
            events: BTreeMap::new(),
            reissued: BTreeSet::new(),
            deleted: BTreeSet::new(),
            refused: BTreeMap::new(),
            now: "2026-01-01T00:00:00Z".parse()?,
        };
        world.read_settings()?;
        Ok(world)
    }

    fn read_settings(&mut self) -> Result<()> {
        self.settings = Settings::from_objects(&self.objects, "kserve")?;
        Ok(())
    }

    fn add(&mut self, documents: &[Value]) -> Result<Vec<Refused>> {
        let mut refused = Vec::new();
        self.read_settings()?;
        for document in documents {
            match self.admitted(document, None) {
                Ok(stored) => {
                    if stored["kind"] == SERVICE.1
                        && stored["metadata"]["namespace"] == self.namespace.as_str()
                    {
                        let name = stored["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                        self.stored.insert(name, finalized(&stored));
                    }
                    self.objects.add_document(stored)?;
                }
                Err(refusal) => refused.push(Refused::by_admission(document, &refusal)),
            }
        }
        self.read_settings()?;
        Ok(refused)
    }

    fn admitted(&self, document: &Value, old: Option<&Value>) -> std::result::Result<Value, Refusal> {
        let caches = self.settings.local_model_enabled.then_some(&self.objects);
        let mut stored = api::admission::admit(document, Request { old, caches })?.object;
        if stored["kind"] == SERVICE.1 {
            let generation = old.and_then(|old| old["metadata"]["generation"].as_i64()).unwrap_or(1);
            let changed = old.is_some_and(|old| old["spec"] != stored["spec"]);
            stored["metadata"]["uid"] = json!("<uid>");
            stored["metadata"]["generation"] = json!(if changed { generation + 1 } else { generation });
        }
        if stored["kind"] == CONFIG {
            // A config's templates have to render for a sample service; that they do not is forbidden, not invalid.
            let sample = Facts { service: Arc::new(sample_service()), ..Facts::default() };
            if compose::render(&stored, &sample).is_err() {
                return Err(Refusal { code: 403, causes: Vec::new() });
            }
        }
        Ok(stored)
    }

    fn reconcile(&mut self, name: &str) -> Result<()> {
        let Some(service) = self.objects.get(SERVICE.0, SERVICE.1, Some(&self.namespace), name).cloned()
        else {
            return Ok(());
        };
        let facts = self.facts(&service);
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
            let said =
                json!({"type": event.type_.as_str(), "reason": event.reason, "message": event.message});
            let events = self.events.entry(name.to_owned()).or_default();
            if !events.contains(&said) {
                events.push(said);
            }
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
                    self.reissued.insert(order.key());
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
                (Some(_), Some(old)) if is_written(old, child) || uncovered.contains(&key) => {
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
                    self.deleted.insert(key.clone());
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

    /// Every planned child as it is applied.
    pub(super) fn planned(&self) -> Vec<Value> {
        self.planned.values().flatten().cloned().collect()
    }

    /// Every planned child.
    fn children(&self) -> BTreeMap<ObjectKey, Value> {
        let all = self.planned.values().flatten().chain(&self.orphans);
        all.filter_map(|child| Some((ObjectKey::of(child).ok()?, normal_child(child.clone())))).collect()
    }

    fn changes(&self, children: &BTreeMap<ObjectKey, Value>) -> Vec<String> {
        let mut changes: BTreeSet<String> = BTreeSet::new();
        for (key, child) in children {
            match self.before.get(key) {
                None => {
                    changes.insert(format!("create {}", listed(key)));
                }
                Some(old) if is_written(old, child) => {
                    changes.insert(format!("update {}", listed(key)));
                }
                Some(_) => {}
            }
            // A new Secret is written again once the addresses of its Services are known.
            if self.reissued.contains(key) {
                changes.insert(format!("update {}", listed(key)));
            }
        }
        changes.extend(self.deleted.iter().map(|key| format!("delete {}", listed(key))));
        changes.into_iter().collect()
    }

    /// The status of every service, then of every config.
    fn statuses(&self) -> Vec<Value> {
        let reach = Reach {
            system_namespace: "kserve".to_owned(),
            presets: compose::pins(&Facts::default()).into_values().collect(),
        };
        let services = self.objects.of_kind_in(SERVICE.0, SERVICE.1, &self.namespace);
        let mut statuses: Vec<Value> =
            services.map(|(_, service)| report_of(service, service["status"].clone())).collect();
        for (_, config) in self.objects.of_kind_in(SERVICE.0, CONFIG, &self.namespace) {
            let services = self.objects.of_kind(SERVICE.0, SERVICE.1).map(|(_, service)| &**service);
            let judged = plan::judge_config(config, services, &reach, self.now);
            statuses.push(report_of(config, serde_json::to_value(judged.status).unwrap_or_default()));
        }
        statuses
    }

    /// The spec of each service after presets, baseRefs and templates, as the body of a create.
    fn merged(&self) -> Vec<(String, Value)> {
        let services = self.objects.of_kind_in(SERVICE.0, SERVICE.1, &self.namespace);
        let merged = services.filter_map(|(key, service)| {
            let merged = compose::combine(&self.facts(service)).ok()?;
            let generated = api::names::child_name(&key.name, "-validation-");
            let body = json!({
                "apiVersion": SERVICE.0,
                "kind": SERVICE.1,
                "metadata": {"generateName": generated, "namespace": self.namespace},
                "spec": merged.spec_json(),
            });
            Some((key.name.clone(), normal_child(body)))
        });
        merged.collect()
    }

    fn facts(&self, service: &Arc<Value>) -> Facts {
        Facts {
            service: service.clone(),
            objects: self.objects.clone(),
            settings: self.settings.clone(),
            ..Facts::default()
        }
    }
}

impl Stage for World {
    fn post(&mut self, documents: &[Value]) -> Result<Vec<Refused>> {
        self.add(documents)
    }

    fn report(&mut self, documents: &[Value]) -> Result<()> {
        for document in documents {
            self.objects.add_document(document.clone())?;
        }
        self.read_settings()
    }

    fn replace(&mut self, documents: &[Value]) -> Result<()> {
        for document in documents {
            let key = ObjectKey::of(document)?;
            let present = self.objects.get_key(&key).cloned();
            let Ok(mut stored) = self.admitted(document, present.as_deref()) else { continue };
            if let Some(status) = present.as_deref().and_then(|present| present.get("status")) {
                stored["status"] = status.clone();
            }
            self.objects.insert(stored)?;
        }
        self.read_settings()
    }

    fn delete(&mut self, documents: &[Value]) -> Result<()> {
        for document in documents {
            let key = ObjectKey::of(document)?;
            let Some(gone) = self.objects.remove(&key) else { continue };
            if key.kind != SERVICE.1 {
                continue;
            }
            let absent = plan::finalize(&self.facts(&gone)).absent;
            // The rest would go with its owner.
            for child in self.planned.remove(&key.name).unwrap_or_default() {
                let child_key = ObjectKey::of(&child)?;
                self.objects.remove(&child_key);
                if !absent.contains(&child_key) {
                    self.orphans.push(child);
                }
            }
            self.deleted.extend(absent);
        }
        Ok(())
    }

    fn begin(&mut self) {
        self.refused.clear();
        self.before = self.children();
        self.deleted.clear();
        self.reissued.clear();
        self.events.clear();
    }

    fn settle(&mut self) -> Result<()> {
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

    fn state(&self) -> Result<State> {
        let children = self.children();
        let merged = self.merged();
        let mut facts = Vec::new();
        for (key, object) in self.objects.iter() {
            let is_posted = key.namespace.as_deref() == Some(&self.namespace) && !children.contains_key(key);
            if is_posted && key.kind.starts_with(SERVICE.1) {
                add_facts("", object, &mut facts);
            }
        }
        for (name, document) in &merged {
            let mut named = document.clone();
            named["metadata"] = json!({"name": name, "namespace": self.namespace});
            add_facts("merged/", &named, &mut facts);
        }
        Ok(State {
            changes: self.changes(&children),
            statuses: self.statuses(),
            events: self.events.clone().into_iter().collect(),
            certificates: self
                .certificates
                .values()
                .filter(|order| children.contains_key(&order.key()))
                .map(|order| certificates::ordered(order, self.now))
                .collect(),
            updated: None,
            stored: self.stored.values().cloned().map(normal_child).collect(),
            merged: Some(merged.into_iter().map(|(_, document)| document).collect()),
            refused: Vec::new(),
            facts,
            children,
        })
    }
}

/// Whether going from `old` to `new` writes anything. A number of replicas that is no longer asked for stays as it is.
fn is_written(old: &Value, new: &Value) -> bool {
    let mut old = old.clone();
    if new.pointer("/spec/replicas").is_none()
        && let Some(spec) = old.pointer_mut("/spec").and_then(Value::as_object_mut)
    {
        spec.remove("replicas");
    }
    old != *new
}
