//! The gateway's own answers: which models are served, and which service a request without a path of its own means.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};
use serde_json::json;

use crate::body::ReplyBody;
use crate::refusal::Refusal;
use crate::table::Served;
use std::sync::Arc;

/// How many services an error message lists.
const LISTED: usize = 8;

/// `GET /v1/models`: each name once for each service that answers to it.
pub(crate) fn list(served: &[Arc<Served>]) -> Response<ReplyBody> {
    let data: Vec<_> =
        served.iter().flat_map(|served| served.models.iter().map(|id| model(served, id))).collect();
    json_answer(&json!({ "object": "list", "data": data }))
}

/// `GET /v1/models/ID`.
pub(crate) fn one(served: &[Arc<Served>], id: &str) -> Result<Response<ReplyBody>, Refusal> {
    let found = served.iter().find(|served| served.models.iter().any(|model| model == id));
    match found {
        Some(found) => Ok(json_answer(&model(found, id))),
        None => Err(unknown_model(served, id)),
    }
}

fn model(served: &Served, id: &str) -> serde_json::Value {
    let root = served.models.first().map_or(id, String::as_str);
    json!({
        "id": id,
        "object": "model",
        "created": served.created_s.unwrap_or(0),
        "owned_by": served.namespace,
        "root": root,
        "service": format!("{}/{}", served.namespace, served.name),
        "path": served.path(),
    })
}

fn json_answer(value: &serde_json::Value) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::whole(Bytes::from(value.to_string())));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The service that a request to `/v1/…` means: the only one, or the only one that serves the model of the body.
pub(crate) fn meant<'a>(served: &'a [Arc<Served>], model: Option<&str>) -> Result<&'a Served, Refusal> {
    if let [only] = served {
        return Ok(only);
    }
    if served.is_empty() {
        return Err(Refusal::not_found("no_service", "no service is here yet".to_owned()));
    }
    let Some(model) = model else {
        return Err(Refusal::bad_request(
            "model_required",
            format!(
                "{} services are here and the request names no model: name one in the body, or use a service's own \
                 path: {}",
                served.len(),
                paths(served.iter())
            ),
        ));
    };
    let mut serving = served.iter().filter(|served| served.models.iter().any(|name| name == model));
    match (serving.next(), serving.next()) {
        (Some(only), None) => Ok(only),
        (Some(first), Some(second)) => {
            let all = [first, second].into_iter().chain(serving);
            Err(Refusal::bad_request(
                "ambiguous_model",
                format!(
                    "more than one service serves the model {model:?}: use a service's own path: {}",
                    paths(all)
                ),
            ))
        }
        _ => Err(unknown_model(served, model)),
    }
}

fn unknown_model(served: &[Arc<Served>], model: &str) -> Refusal {
    let names = served.iter().filter_map(|served| served.models.first()).map(String::as_str);
    let message = match some(names) {
        names if names.is_empty() => {
            format!("the model {model:?} is not served here: no service is here yet")
        }
        names => format!("the model {model:?} is not served here; there is {names}"),
    };
    Refusal::not_found("model_not_found", message)
}

/// No rule takes the request.
pub(crate) fn no_route(served: &[Arc<Served>], path: &str) -> Refusal {
    let message = if served.is_empty() {
        format!("no route takes {path}: no service is here yet")
    } else {
        format!("no route takes {path}; services are at {}", paths(served.iter()))
    };
    Refusal::not_found("no_route", message)
}

fn paths<'a>(served: impl Iterator<Item = &'a Arc<Served>>) -> String {
    let paths: Vec<String> = served.map(|served| format!("{}/v1", served.path())).collect();
    some(paths.iter().map(String::as_str))
}

/// The first few, and how many more.
fn some<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<&str> = words.collect();
    let listed = words[..words.len().min(LISTED)].join(", ");
    match words.len().saturating_sub(LISTED) {
        0 => listed,
        more => format!("{listed} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(name: &str, models: &[&str]) -> Arc<Served> {
        Arc::new(Served {
            namespace: "team".to_owned(),
            name: name.to_owned(),
            models: models.iter().map(|&model| model.to_owned()).collect(),
            created_s: None,
        })
    }

    #[test]
    fn the_only_service_is_meant_whatever_the_model() {
        let only = [served("a", &["x"])];
        assert_eq!(meant(&only, Some("unknown")).unwrap().name, "a");
        assert_eq!(meant(&only, None).unwrap().name, "a");
    }

    #[test]
    fn among_several_the_model_decides_and_the_refusals_name_the_paths() {
        let both = [served("a", &["x", "shared"]), served("b", &["y", "shared"])];
        assert_eq!(meant(&both, Some("y")).unwrap().name, "b");
        let unknown = meant(&both, Some("z")).unwrap_err();
        assert_eq!((unknown.status.as_u16(), unknown.code), (404, "model_not_found"));
        assert!(unknown.message.ends_with("there is x, y"), "{}", unknown.message);
        let ambiguous = meant(&both, Some("shared")).unwrap_err();
        assert_eq!((ambiguous.status.as_u16(), ambiguous.code), (400, "ambiguous_model"));
        assert!(ambiguous.message.ends_with("/team/a/v1, /team/b/v1"), "{}", ambiguous.message);
        let nameless = meant(&both, None).unwrap_err();
        assert_eq!((nameless.status.as_u16(), nameless.code), (400, "model_required"));
    }

    #[test]
    fn a_long_list_of_services_is_cut() {
        let many: Vec<_> = (0..20).map(|number| served(&format!("s{number}"), &["m"])).collect();
        let message = no_route(&many, "/x").message;
        assert!(message.ends_with("/team/s7/v1 and 12 more"), "{message}");
    }
}
