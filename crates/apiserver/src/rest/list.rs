//! Lists: consistent, in chunks, of the present or of a past revision.

use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD, STANDARD_NO_PAD};
use serde_json::{Value, json};

use super::Scope;
use super::get::not_a_revision;
use crate::catalog::Resource;
use crate::core::Core;
use crate::http::{Answer, Call};
use crate::media::Shape;
use crate::selector::{self, Fields, Labels};
use crate::status::{Cause, Failure, Names, printed};
use crate::store::{Listed, Object};

/// Which objects a list or a watch is about.
pub(crate) struct Selection {
    pub(crate) labels: Labels,
    pub(crate) fields: Fields,
}

impl Selection {
    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.labels.matches(object) && self.fields.matches(object)
    }

    /// The same of a stored object, of which no more is read than is asked for.
    pub(crate) fn matches_stored(&self, core: &Core, resource: &Resource, object: &Object) -> bool {
        if !self.fields.is_empty() {
            return self.matches(&core.shown(resource, object));
        }
        // No conversion touches labels.
        self.labels.is_empty() || self.labels.matches(&object.labels())
    }

    fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }
}

/// Reads the selectors of a request.
pub(crate) fn selection(call: &Call, resource: &Resource) -> Result<Selection, Failure> {
    let labels = selector::labels(call.query.get("labelSelector").unwrap_or_default())?;
    let fields = selector::fields(call.query.get("fieldSelector").unwrap_or_default())?;
    for path in fields.paths() {
        if !selectable(resource, path) {
            return Err(Failure::bad_request(match resource.built_in() {
                Some(_) => format!(
                    "{} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
                    printed(&json!(path))
                ),
                None => format!("field label not supported: {path}"),
            }));
        }
    }
    Ok(Selection { labels, fields })
}

fn selectable(resource: &Resource, path: &str) -> bool {
    if matches!(path, "metadata.name" | "metadata.namespace") {
        return true;
    }
    match resource.custom() {
        Some(custom) => custom.selectable.iter().any(|s| s == path),
        None => crate::kinds::selectable(&resource.kind).contains(&path),
    }
}

/// Reads what Go reads: left-over bits at the end are not looked at.
const LENIENT: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, NO_PAD.with_decode_allow_trailing_bits(true));

/// Where a chunk ends: revision of the list, and the key after which to go on.
struct Token {
    /// `None` goes on with the present state, inconsistently.
    revision: Option<u64>,
    start: String,
}

impl Token {
    fn write(&self) -> String {
        let revision = self.revision.map_or(-1, |r| i64::try_from(r).unwrap_or(i64::MAX));
        let json = json!({"v": "meta.k8s.io/v1", "rv": revision, "start": format!("{}\u{0}", self.start)});
        STANDARD_NO_PAD.encode(json.to_string()).replace('+', "-").replace('/', "_")
    }

    fn read(text: &str) -> Result<Self, Failure> {
        let bad = |why: &str| {
            Failure::bad_request(format!("invalid continue token: continue key is not valid: {why}"))
        };
        let standard = text.replace('-', "+").replace('_', "/");
        let bytes = LENIENT.decode(standard.trim_end_matches('=')).map_err(|_| bad("illegal base64 data"))?;
        let json: Value =
            serde_json::from_slice(&bytes).map_err(|_| bad(&crate::json::syntax_error(&bytes)))?;
        if json["v"] != "meta.k8s.io/v1" {
            return Err(bad("server does not recognize this encoded version \"\""));
        }
        let start = json["start"].as_str().unwrap_or_default().trim_end_matches('\u{0}').to_owned();
        let revision = json["rv"].as_i64().and_then(|r| u64::try_from(r).ok());
        Ok(Self { revision, start })
    }
}

impl Core {
    pub(crate) async fn list(&self, call: &Call, scope: &Scope) -> Result<Answer, Failure> {
        let resource = &scope.resource;
        let selection = selection(call, resource)?;
        let prefix = resource.prefix(scope.namespace.as_deref());
        let limit = call.query.number("limit").filter(|n| *n > 0).and_then(|n| usize::try_from(n).ok());
        let token = call.query.get("continue").map(Token::read).transpose()?;
        let listed = self.revision_wanted(call, scope, &prefix, token.as_ref()).await?;
        let start = token.map(|t| format!("{prefix}{}", t.start));
        let mut matching = listed
            .objects
            .iter()
            .filter(|object| start.as_ref().is_none_or(|start| *object.key > **start))
            .filter(|object| selection.matches_stored(self, resource, object));
        let mut taken = Vec::new();
        for object in matching.by_ref() {
            taken.push(object.clone());
            if Some(taken.len()) == limit {
                break;
            }
        }
        let remaining = matching.count();
        let mut metadata = json!({"resourceVersion": listed.revision.to_string()});
        if remaining > 0
            && let Some(last) = taken.last()
        {
            let token = Token { revision: Some(listed.revision), start: last.key[prefix.len()..].to_owned() };
            metadata["continue"] = json!(token.write());
            if selection.is_empty() {
                metadata["remainingItemCount"] = json!(remaining);
            }
        }
        let objects = taken.iter().map(|object| self.shown(resource, object));
        let body = match call.wanted.shape {
            Shape::Table => crate::table::of_many(self, call, resource, objects, metadata),
            Shape::PartialObject => {
                let what = match resource.custom() {
                    Some(_) => "*unstructured.UnstructuredList".to_owned(),
                    None => format!("*{}.{}", resource.version, resource.list_kind),
                };
                return Err(Failure::new(
                    406,
                    Some("NotAcceptable"),
                    format!(
                        "you requested PartialObjectMetadata, but the requested object is a list ({what})"
                    ),
                ));
            }
            Shape::PartialList => json!({
                "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
                "items": objects.map(crate::table::partial).collect::<Vec<_>>(),
            }),
            Shape::Object => {
                let built_in = resource.built_in().is_some();
                if !built_in && metadata.get("continue").is_none() {
                    metadata["continue"] = json!("");
                }
                let items: Vec<Value> = objects
                    .map(|mut object| {
                        if built_in && let Some(map) = object.as_object_mut() {
                            map.remove("apiVersion");
                            map.remove("kind");
                        }
                        object
                    })
                    .collect();
                json!({"kind": resource.list_kind, "apiVersion": resource.api_version(), "metadata": metadata, "items": items})
            }
        };
        Ok(Answer::ok(body))
    }

    /// The objects at the revision that the request names.
    async fn revision_wanted(
        &self,
        call: &Call,
        scope: &Scope,
        prefix: &str,
        token: Option<&Token>,
    ) -> Result<Listed, Failure> {
        let wanted = call.query.get("resourceVersion");
        let matching = call.query.get("resourceVersionMatch");
        let causes = invalid_options(call, wanted, matching, token.is_some());
        if !causes.is_empty() {
            let names = Names { group: "meta.k8s.io", plural: "listoptions", kind: "ListOptions" };
            return Err(Failure::invalid(names, "", causes));
        }
        let store_key = scope.resource.store_key();
        if let Some(token) = token {
            let Some(revision) = token.revision else { return Ok(self.store.list(prefix)) };
            return self.store.list_at(&store_key, prefix, revision).map_err(|_| {
                let mut failure = Failure::expired(
                    "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.",
                );
                failure.continue_token = Some(Token { revision: None, start: token.start.clone() }.write().into());
                failure
            });
        }
        let Some(text) = wanted else { return Ok(self.store.list(prefix)) };
        let revision: u64 = text.parse().map_err(|_| {
            Failure::bad_request(format!("invalid resource version: {}", not_a_revision(text)))
        })?;
        self.wait_for(revision).await?;
        if matching == Some("Exact") {
            return self
                .store
                .list_at(&store_key, prefix, revision)
                .map_err(|_| Failure::expired("The resourceVersion for the provided list is too old."));
        }
        Ok(self.store.list(prefix))
    }
}

fn invalid_options(call: &Call, wanted: Option<&str>, matching: Option<&str>, continued: bool) -> Vec<Cause> {
    let field = "resourceVersionMatch";
    let mut causes = Vec::new();
    if call.query.flag("sendInitialEvents") {
        causes.push(Cause::forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"));
    }
    let Some(matching) = matching else { return causes };
    if wanted.is_none() {
        causes.push(Cause::forbidden(
            field,
            "resourceVersionMatch is forbidden unless resourceVersion is provided",
        ));
    }
    if continued {
        causes.push(Cause::forbidden(field, "resourceVersionMatch is forbidden when continue is provided"));
    }
    if !matches!(matching, "Exact" | "NotOlderThan") {
        causes.push(Cause::unsupported(field, &json!(matching), &["Exact", "NotOlderThan", ""]));
    }
    if matching == "Exact" && wanted == Some("0") {
        causes.push(Cause::forbidden(
            field,
            "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
        ));
    }
    causes
}
