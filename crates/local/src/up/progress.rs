//! What `up` says while services come up: a line per step, from what is seen of services and pods. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::gateway::implied;
use crate::model;

/// One thing that was seen.
#[derive(Debug, Clone)]
pub enum Sighting {
    /// The operator merged presets, baseRefs and service.
    Merged {
        /// `NAMESPACE/NAME`.
        service: String,
        /// Names of the configs, lowest precedence first.
        configs: Vec<String>,
    },
    /// The operator wrote children of a service.
    Wrote {
        /// `NAMESPACE/NAME`.
        service: String,
        /// Objects made.
        created: usize,
        /// Objects changed.
        updated: usize,
        /// Objects removed.
        deleted: usize,
    },
    /// A service as it is now.
    Service(Value),
    /// A service went.
    ServiceGone(String),
    /// A pod as it is now.
    Pod(Value),
    /// A pod went: namespace and name.
    PodGone(String),
    /// The last line that an engine wrote before it was ready.
    EngineSays {
        /// `NAMESPACE/NAME` of the pod.
        pod: String,
        /// The line.
        line: String,
    },
}

/// One line for the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Time since `up` began.
    pub at: Duration,
    /// `NAMESPACE/NAME` of the service, if the line is about one.
    pub service: Option<String>,
    /// What step it is: `merged`, `objects`, `engines`, `Ready`, `waiting`…
    pub step: &'static str,
    /// The rest of the line.
    pub text: String,
}

/// How long a service may be without a part before that is worth a line.
const PATIENCE: Duration = Duration::from_secs(2);
/// Engines write long lines; a terminal is narrow.
const LONGEST_LINE: usize = 160;

/// What was said about each service, so that nothing is said twice.
#[derive(Debug, Default)]
pub struct Progress {
    services: BTreeMap<String, Service>,
    pods: BTreeMap<String, Pod>,
}

#[derive(Debug, Default)]
struct Service {
    ready: Option<bool>,
    /// Why it is not Ready, since when, and whether that was said.
    complaint: Option<Complaint>,
    /// What was last said about them.
    engines: Option<String>,
    url: Option<String>,
    /// Of its spec and its status what tells the model's names.
    spec: Value,
    status: Value,
}

#[derive(Debug)]
struct Complaint {
    text: String,
    since: Duration,
    said: bool,
}

#[derive(Debug)]
struct Pod {
    service: String,
    role: Option<Role>,
    ready: bool,
    address: Option<String>,
    says: Option<String>,
    /// The model's names on its command line.
    models: Vec<String>,
}

/// What an engine's pod does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    /// Prompt and answer.
    Both,
    /// Prompts of answers that others give.
    Prefill,
    /// Answers to prompts that others computed.
    Decode,
    /// A part of what a leader answers.
    Worker,
}

impl Role {
    fn word(self) -> &'static str {
        match self {
            Self::Both => "engine",
            Self::Prefill => "prefill",
            Self::Decode => "decode",
            Self::Worker => "worker",
        }
    }
}

/// An engine of a service whose prompts and answers are computed apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// `prefill` or `decode`.
    pub role: &'static str,
    /// `NAMESPACE/NAME` of the service.
    pub service: String,
    /// `NAMESPACE/NAME` of the pod.
    pub pod: String,
    /// Its address.
    pub address: String,
}

impl Progress {
    /// Takes a sighting in; gives the lines that it is worth.
    pub fn observe(&mut self, sighting: Sighting, at: Duration) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut say = |service: &str, step: &'static str, text: String| {
            steps.push(Step { at, service: Some(service.to_owned()), step, text });
        };
        match sighting {
            Sighting::Merged { service, configs } => {
                say(
                    &service,
                    "merged",
                    if configs.is_empty() { "no presets".to_owned() } else { configs.join(", ") },
                );
            }
            Sighting::Wrote { service, created, updated, deleted } => {
                let parts: Vec<String> = [(created, "made"), (updated, "changed"), (deleted, "removed")]
                    .iter()
                    .filter(|(count, _)| *count > 0)
                    .map(|(count, verb)| format!("{count} {verb}"))
                    .collect();
                say(&service, "objects", parts.join(", "));
            }
            Sighting::Service(object) => {
                let name = full_name(&object);
                let known = self.services.entry(name.clone()).or_default();
                let status = &object["status"];
                let leads = !implied::leads_nowhere(&object["spec"]);
                known.url = status["url"].as_str().filter(|_| leads).map(str::to_owned);
                known.spec = json!({"model": {"name": object["spec"]["model"]["name"]}});
                known.status = json!({"addresses": status["addresses"]});
                let ready = condition(status, "Ready");
                let is_ready = is_ready(&object);
                if is_ready && known.ready != Some(true) {
                    say(&name, "Ready", known.url.clone().unwrap_or_default());
                    known.complaint = None;
                }
                // Unknown is no complaint: it only says that a part has not reported yet.
                let complaint = ready.filter(|c| c["status"] == "False").map(complaint_text);
                if complaint.as_ref() != known.complaint.as_ref().map(|known| &known.text) {
                    known.complaint = complaint.map(|text| Complaint { text, since: at, said: false });
                }
                known.ready = Some(is_ready);
            }
            Sighting::ServiceGone(name) => {
                if self.services.remove(&name).is_some() {
                    say(&name, "deleted", String::new());
                }
            }
            Sighting::Pod(object) => {
                if let Some(mut pod) = pod(&object) {
                    let service = pod.service.clone();
                    let name = full_name(&object);
                    // A pod's command line does not change.
                    pod.models = match self.pods.remove(&name) {
                        Some(known) => known.models,
                        None => serde_json::from_value(object)
                            .map(|pod| model::names_of_engine(&pod))
                            .unwrap_or_default(),
                    };
                    self.pods.insert(name, pod);
                    steps.extend(self.engines(&service, at));
                }
            }
            Sighting::PodGone(name) => {
                if let Some(pod) = self.pods.remove(&name) {
                    steps.extend(self.engines(&pod.service, at));
                }
            }
            Sighting::EngineSays { pod, line } => {
                // A single word is the reason why it waits, which the pods show; a line is what a program said.
                let line = readable(&line);
                let news =
                    |pod: &&mut Pod| !pod.ready && line.contains(' ') && pod.says.as_ref() != Some(&line);
                if let Some(pod) = self.pods.get_mut(&pod).filter(news) {
                    pod.says = Some(line.clone());
                    say(&pod.service, "engine", line);
                }
            }
        }
        steps
    }

    /// What has kept services from being Ready for a while. Everything waits for something in its first moment, which is
    /// nothing to tell.
    pub fn complaints(&mut self, at: Duration) -> Vec<Step> {
        let mut steps = Vec::new();
        for (name, service) in &mut self.services {
            if let Some(complaint) = &mut service.complaint
                && !complaint.said
                && at.saturating_sub(complaint.since) >= PATIENCE
            {
                complaint.said = true;
                let text = complaint.text.clone();
                steps.push(Step { at, service: Some(name.clone()), step: "waiting", text });
            }
        }
        steps
    }

    /// Whether every one of `names` (`NAMESPACE/NAME`) is Ready.
    pub fn all_ready<'a>(&self, names: impl IntoIterator<Item = &'a String>) -> bool {
        names.into_iter().all(|name| self.services.get(name).is_some_and(|s| s.ready == Some(true)))
    }

    /// Name, URL and served model of each service that is Ready. One that no route leads to has no URL.
    pub fn served(&self) -> impl Iterator<Item = (&str, Option<&str>, &str)> {
        let ready = self.services.iter().filter(|(_, service)| service.ready == Some(true));
        ready.map(|(name, service)| (name.as_str(), service.url.as_deref(), self.model(name, service)))
    }

    fn model<'a>(&'a self, name: &'a str, service: &'a Service) -> &'a str {
        let mut pods = self.pods.values().filter(|pod| pod.service == name);
        let of_engine = pods.find(|pod| !pod.models.is_empty()).map_or(&[][..], |pod| &pod.models);
        let main = model::main_name(&service.spec, &service.status, of_engine);
        main.unwrap_or_else(|| name.rsplit('/').next().unwrap_or(name))
    }

    /// The engines that compute prompts, and those that answer, of services that do both apart.
    pub fn stages(&self) -> Vec<Stage> {
        let mut stages: Vec<Stage> = self
            .pods
            .iter()
            .filter_map(|(name, pod)| {
                let role = pod.role.filter(|role| matches!(role, Role::Prefill | Role::Decode))?;
                Some(Stage {
                    role: role.word(),
                    service: pod.service.clone(),
                    pod: name.clone(),
                    address: pod.address.clone()?,
                })
            })
            .collect();
        stages.sort_by(|a, b| (&a.service, b.role, &a.pod).cmp(&(&b.service, a.role, &b.pod)));
        stages
    }

    fn engines(&mut self, service: &str, at: Duration) -> Option<Step> {
        let mut counts: BTreeMap<Role, (usize, usize)> = BTreeMap::new();
        for pod in self.pods.values().filter(|pod| pod.service == service) {
            let Some(role) = pod.role else { continue };
            let count = counts.entry(role).or_default();
            *count = (count.0 + usize::from(pod.ready), count.1 + 1);
        }
        let known = self.services.get_mut(service)?;
        let alone = counts.len() == 1;
        let parts: Vec<String> = counts
            .into_iter()
            .map(|(role, count)| {
                let word =
                    if alone && role == Role::Both { String::new() } else { format!("{} ", role.word()) };
                match count {
                    (0, all) => format!("{word}{all} starting"),
                    (ready, all) => format!("{word}{ready} of {all} ready"),
                }
            })
            .collect();
        let text = parts.join(", ");
        if text.is_empty() || known.engines.as_ref() == Some(&text) {
            return None;
        }
        known.engines = Some(text.clone());
        Some(Step { at, service: Some(service.to_owned()), step: "engines", text })
    }
}

/// A line of an engine's log without colours and the time, which the step has already, and not longer than is read.
fn readable(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(char) = chars.next() {
        match char {
            // ESC [ … letter: a colour.
            '\u{1b}' => drop(chars.by_ref().find(char::is_ascii_alphabetic)),
            char if char.is_control() => plain.push(' '),
            char => plain.push(char),
        }
    }
    let mut words = plain.split_whitespace().peekable();
    let mut kept = Vec::new();
    while let Some(word) = words.next_if(|word| is_time(word) || is_level(word)) {
        if !is_time(word) {
            kept.push(word);
        }
    }
    kept.extend(words);
    let line = kept.join(" ");
    if line.chars().count() <= LONGEST_LINE {
        return line;
    }
    let start: String = line.chars().take(LONGEST_LINE - 1).collect();
    format!("{}…", start.trim_end())
}

/// `2026-11-28T15:00:00.5Z`, `11-28`, `15:00:00,123`; not an address with its port.
fn is_time(word: &str) -> bool {
    word.len() >= 5
        && word.starts_with(|first: char| first.is_ascii_digit())
        && word.contains(['-', ':'])
        && word.matches('.').count() < 2
        && word.chars().all(|char| char.is_ascii_digit() || "-:.,+TZ".contains(char))
}

fn is_level(word: &str) -> bool {
    matches!(word, "TRACE" | "DEBUG" | "INFO" | "WARN" | "WARNING" | "ERROR" | "CRITICAL")
}

fn pod(object: &Value) -> Option<Pod> {
    let labels = &object["metadata"]["labels"];
    let namespace = object["metadata"]["namespace"].as_str()?;
    let service = format!("{namespace}/{}", labels["app.kubernetes.io/name"].as_str()?);
    let component = labels["app.kubernetes.io/component"].as_str().unwrap_or_default();
    let role = if labels["kserve.io/component"] == "workload" || component == "llminferenceservice-workload" {
        match labels["llm-d.ai/role"].as_str() {
            Some("prefill") => Some(Role::Prefill),
            Some("decode") => Some(Role::Decode),
            _ => Some(Role::Both),
        }
    } else {
        component.starts_with("llminferenceservice-workload-worker").then_some(Role::Worker)
    };
    Some(Pod {
        service,
        role,
        address: object["status"]["podIP"].as_str().map(str::to_owned),
        ready: condition(&object["status"], "Ready").is_some_and(|c| c["status"] == "True"),
        says: None,
        models: Vec::new(),
    })
}

fn full_name(object: &Value) -> String {
    let word = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
    format!("{}/{}", word("namespace"), word("name"))
}

fn condition<'a>(status: &'a Value, type_: &str) -> Option<&'a Value> {
    status["conditions"].as_array()?.iter().find(|condition| condition["type"] == type_)
}

/// Whether a service's status says that it is Ready.
pub(super) fn is_ready(service: &Value) -> bool {
    condition(&service["status"], "Ready").is_some_and(|ready| ready["status"] == "True")
}

fn complaint_text(condition: &Value) -> String {
    let word = |field: &str| condition[field].as_str().unwrap_or_default();
    match (word("reason"), word("message")) {
        ("", message) => message.to_owned(),
        (reason, "") => reason.to_owned(),
        (reason, message) => format!("{reason}: {message}"),
    }
}

#[cfg(test)]
#[path = "progress_tests.rs"]
mod tests;
