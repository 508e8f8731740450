//! `pods/log`.

use serde_json::Value;

use crate::core::Core;
use crate::http::{Answer, Call, Content};
use crate::options::LogRequest;
use crate::rest::Scope;
use crate::status::{Cause, Failure, Names};

impl Core {
    pub(crate) async fn log(&self, call: &Call, scope: &Scope, name: &str) -> Result<Answer, Failure> {
        let names = scope.resource.names();
        let namespace = scope.namespace.clone().unwrap_or_default();
        let pod = self
            .store
            .get(&scope.resource.key(Some(&namespace), name))
            .ok_or_else(|| Failure::not_found(names, name))?;
        let pod = &pod.value();
        let containers: Vec<&str> = ["containers", "initContainers", "ephemeralContainers"]
            .iter()
            .flat_map(|field| pod["spec"][*field].as_array().into_iter().flatten())
            .filter_map(|c| c["name"].as_str())
            .collect();
        let container = match call.query.get("container") {
            Some(wanted) if containers.contains(&wanted) => wanted,
            Some(wanted) => {
                return Err(Failure::bad_request(format!("container {wanted} is not valid for pod {name}")));
            }
            None => match pod["spec"]["containers"].as_array().map(Vec::as_slice) {
                Some([only]) => only["name"].as_str().unwrap_or_default(),
                _ => {
                    return Err(Failure::bad_request(format!(
                        "a container name must be specified for pod {name}, choose one of: [{}]",
                        containers.join(" ")
                    )));
                }
            },
        };
        for field in ["tailLines", "limitBytes", "sinceSeconds"] {
            if let Some(number) = call.query.number(field).filter(|n| *n < i64::from(field != "tailLines")) {
                let least = if field == "tailLines" {
                    "must be greater than or equal to 0"
                } else {
                    "must be greater than 0"
                };
                let cause = Cause::invalid(field, &serde_json::json!(number), least);
                return Err(Failure::invalid(Names { kind: "PodLogOptions", ..names }, name, vec![cause]));
            }
        }
        let scheduled = pod["spec"]["nodeName"].as_str().is_some_and(|n| !n.is_empty());
        let Some(logs) = self.options.logs.as_ref().filter(|_| scheduled) else {
            if scheduled {
                // The node is what is missing, although the original names pods.
                return Err(Failure::not_found(names, pod["spec"]["nodeName"].as_str().unwrap_or_default()));
            }
            return Ok(Answer { status: 204, warnings: Vec::new(), content: Content::None });
        };
        let since = match (call.query.number("sinceSeconds"), call.query.get("sinceTime")) {
            (Some(seconds), _) => Some((self.options.now)() - jiff::SignedDuration::from_secs(seconds)),
            (None, Some(time)) => Some(
                time.parse().map_err(|_| Failure::bad_request(format!("sinceTime {time} is not a time")))?,
            ),
            _ => None,
        };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let number = |name: &str| call.query.number(name).and_then(|n| u64::try_from(n).ok());
        let request = LogRequest {
            namespace,
            pod: name.to_owned(),
            uid: text(&pod["metadata"]["uid"]),
            container: container.to_owned(),
            follow: call.query.flag("follow"),
            previous: call.query.flag("previous"),
            timestamps: call.query.flag("timestamps"),
            tail_lines: number("tailLines"),
            since,
            limit_bytes: number("limitBytes"),
        };
        let receiver = logs(request).map_err(Failure::bad_request)?;
        Ok(Answer { status: 200, warnings: Vec::new(), content: Content::Stream("text/plain", receiver) })
    }
}
