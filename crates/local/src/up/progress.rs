//! What `up` says while services come up: a line per step, from what is seen of services and pods. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

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
    engines: Option<(usize, usize)>,
    url: Option<String>,
    model: String,
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
    is_engine: bool,
    ready: bool,
    says: Option<String>,
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
                known.url = status["url"].as_str().map(str::to_owned);
                known.model = served_model(&object);
                let ready = condition(status, "Ready");
                let is_ready = ready.is_some_and(|c| c["status"] == "True");
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
                if let Some(pod) = pod(&object) {
                    let service = pod.service.clone();
                    self.pods.insert(full_name(&object), pod);
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
                let line: String = line.trim().chars().take(LONGEST_LINE).collect();
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

    /// URL and served model of each service that has a URL, by name.
    pub fn served(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.services
            .iter()
            .filter_map(|(name, s)| Some((name.as_str(), s.url.as_deref()?, s.model.as_str())))
    }

    fn engines(&mut self, service: &str, at: Duration) -> Option<Step> {
        let engines = self.pods.values().filter(|pod| pod.is_engine && pod.service == service);
        let count = engines.fold((0, 0), |(ready, all), pod| (ready + usize::from(pod.ready), all + 1));
        let known = self.services.get_mut(service)?;
        if known.engines == Some(count) || count.1 == 0 {
            return None;
        }
        known.engines = Some(count);
        let text = match count {
            (0, all) => format!("{all} starting"),
            (ready, all) => format!("{ready} of {all} ready"),
        };
        Some(Step { at, service: Some(service.to_owned()), step: "engines", text })
    }
}

fn pod(object: &Value) -> Option<Pod> {
    let labels = &object["metadata"]["labels"];
    let namespace = object["metadata"]["namespace"].as_str()?;
    let service = format!("{namespace}/{}", labels["app.kubernetes.io/name"].as_str()?);
    Some(Pod {
        service,
        is_engine: labels["app.kubernetes.io/component"] == "llminferenceservice-workload"
            || labels["kserve.io/component"] == "workload",
        ready: condition(&object["status"], "Ready").is_some_and(|c| c["status"] == "True"),
        says: None,
    })
}

fn full_name(object: &Value) -> String {
    let word = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
    format!("{}/{}", word("namespace"), word("name"))
}

fn served_model(service: &Value) -> String {
    let spec = &service["spec"]["model"]["name"];
    spec.as_str().or_else(|| service["metadata"]["name"].as_str()).unwrap_or_default().to_owned()
}

fn condition<'a>(status: &'a Value, type_: &str) -> Option<&'a Value> {
    status["conditions"].as_array()?.iter().find(|condition| condition["type"] == type_)
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
mod tests {
    use super::*;
    use serde_json::json;

    fn service(ready: &str, reason: &str) -> Value {
        json!({"metadata": {"namespace": "default", "name": "x"}, "spec": {"model": {"name": "acme/x"}},
               "status": {"url": "http://127.0.0.1:8080/default/x",
                          "conditions": [{"type": "Ready", "status": ready, "reason": reason, "message": "m"}]}})
    }

    fn engine(name: &str, ready: &str) -> Value {
        json!({"metadata": {"namespace": "default", "name": name,
                            "labels": {"app.kubernetes.io/name": "x", "kserve.io/component": "workload"}},
               "status": {"conditions": [{"type": "Ready", "status": ready}]}})
    }

    #[test]
    fn each_step_is_said_once() {
        let mut progress = Progress::default();
        let mut said = Vec::new();
        for sighting in [
            Sighting::Merged { service: "default/x".to_owned(), configs: vec!["preset".to_owned()] },
            Sighting::Service(service("False", "MinimumReplicasUnavailable")),
            Sighting::Wrote { service: "default/x".to_owned(), created: 9, updated: 0, deleted: 0 },
            Sighting::Pod(engine("a", "False")),
            Sighting::Pod(engine("a", "False")),
            Sighting::Pod(engine("b", "False")),
            Sighting::Pod(engine("a", "True")),
            Sighting::Service(service("True", "")),
            Sighting::Service(service("True", "")),
        ] {
            said.extend(
                progress
                    .observe(sighting, Duration::ZERO)
                    .into_iter()
                    .map(|s| format!("{} {}", s.step, s.text)),
            );
        }
        assert_eq!(
            said,
            [
                "merged preset",
                "objects 9 made",
                "engines 1 starting",
                "engines 2 starting",
                "engines 1 of 2 ready",
                "Ready http://127.0.0.1:8080/default/x",
            ]
        );
        assert!(progress.all_ready([&"default/x".to_owned()]));
        assert_eq!(
            progress.served().next(),
            Some(("default/x", "http://127.0.0.1:8080/default/x", "acme/x"))
        );
    }

    #[test]
    fn what_keeps_a_service_waiting_is_said_once_it_lasts() {
        let mut progress = Progress::default();
        progress.observe(Sighting::Service(service("False", "Unschedulable")), Duration::from_secs(1));
        assert_eq!(progress.complaints(Duration::from_secs(2)), []);
        let said = progress.complaints(Duration::from_secs(4));
        assert_eq!(said[0].text, "Unschedulable: m");
        assert_eq!(progress.complaints(Duration::from_secs(9)), [], "once");
    }
}
