//! POST: a new object.

use serde_json::{Value, json};

use super::Scope;
use super::body::{self, WriteOptions};
use super::write::{check_metadata, dedup_owners, metadata, name_of, tidy_metadata};
use crate::catalog::Resource;
use crate::core::{Core, NAMESPACE_NAMES};
use crate::http::{Answer, Call};
use crate::status::Failure;
use crate::store::Change;

/// How the object came about, for the record of field owners.
pub(crate) enum Ownership {
    /// By POST or PUT.
    Update,
    /// By apply, which has set `managedFields` itself.
    Applied,
    /// By the server: nobody owns it.
    Untracked,
}

impl Core {
    pub(crate) async fn create(&self, call: &Call, scope: &Scope) -> Result<Answer, Failure> {
        let options = body::options(call, "CreateOptions")?;
        let mut decoded = self.decode(call, scope)?;
        if let Some(answer) = self.review(call, scope, &decoded.value, &options)? {
            return Ok(answer);
        }
        let mut warnings = body::prune(&scope.resource, &mut decoded, options.strictness)?;
        let value = decoded.value;
        if !value["metadata"]["resourceVersion"].as_str().unwrap_or_default().is_empty() {
            return Err(Failure::internal("resourceVersion should not be set on objects to be created"));
        }
        let created = self.create_object(call, scope, &options, value, &Ownership::Update).await;
        let (value, more) = created.map_err(|failure| failure.warned(warnings.clone()))?;
        warnings.extend(more);
        Ok(self.present(call, scope, 201, value)?.warned(warnings))
    }

    /// Stores a new object that has been decoded.
    pub(crate) async fn create_object(
        &self,
        call: &Call,
        scope: &Scope,
        options: &WriteOptions,
        mut value: Value,
        ownership: &Ownership,
    ) -> Result<(Value, Vec<String>), Failure> {
        let resource = &scope.resource;
        place(scope, &mut value)?;
        let now = self.now();
        let uid = self.random.uid();
        let generate = value["metadata"]["generateName"].as_str().unwrap_or_default().to_owned();
        if name_of(&value).is_empty() && !generate.is_empty() {
            let name = format!("{}{}", cut(&generate, 58), self.random.suffix());
            metadata(&mut value).insert("name".into(), json!(name));
        }
        {
            let metadata = metadata(&mut value);
            metadata.remove("resourceVersion");
            metadata.remove("deletionTimestamp");
            metadata.remove("deletionGracePeriodSeconds");
            metadata.remove("generation");
            metadata.insert("uid".into(), json!(uid));
            metadata.insert("creationTimestamp".into(), json!(now));
        }
        let name = name_of(&value).to_owned();
        self.check_namespace(scope, &name, &value)?;
        drop_status(resource, &mut value);
        let mut warnings: Vec<String> = dedup_owners(&mut value).into_iter().collect();
        crate::kinds::fill(resource, &mut value, None);
        tidy_metadata(&mut value);
        if matches!(ownership, Ownership::Update) {
            crate::managed::created(self, resource, &mut value, options, scope.subresource.as_deref(), &now);
        }
        if self.mutate(call, scope, "CREATE", &mut value, None, options.dry_run)? {
            drop_status(resource, &mut value);
            crate::kinds::fill_again(resource, &mut value, None);
            tidy_metadata(&mut value);
        }
        crate::kinds::admit(self, resource, &mut value, None);
        if resource.custom().is_some() || resource.built_in().is_some_and(|b| b.counts_generations()) {
            metadata(&mut value).insert("generation".into(), json!(1));
        }
        let (mut causes, more) = check_metadata(resource, &value);
        warnings.extend(more);
        let found = crate::kinds::validate::create(resource, &value, &causes);
        causes.extend(found);
        if !causes.is_empty() {
            return Err(Failure::invalid(resource.names(), &name, causes));
        }
        warnings.extend(self.admit(call, scope, "CREATE", &value, None, options.dry_run)?);
        let key = scope.key(&name);
        if let Some(existing) = self.store.get(&key) {
            let deleting = existing.links.is_ending();
            return Err(Failure::already_exists(resource.names(), &name, deleting));
        }
        if options.dry_run {
            return Ok((self.as_if_stored(resource, value), warnings));
        }
        match self.commit(resource, &key, None, Change::Put(value)).await? {
            Ok(value) => Ok((value, warnings)),
            Err(_) => Err(Failure::already_exists(resource.names(), &name, false)),
        }
    }

    /// A namespaced object needs a namespace that is there to stay.
    fn check_namespace(&self, scope: &Scope, name: &str, _value: &Value) -> Result<(), Failure> {
        let Some(namespace) = scope.namespace.as_deref().filter(|_| scope.resource.namespaced) else {
            return Ok(());
        };
        let Some(found) = self.namespace(namespace) else {
            return Err(Failure::not_found(NAMESPACE_NAMES, namespace));
        };
        if found.value()["status"]["phase"] == "Terminating" {
            let why = format!(
                "unable to create new content in namespace {namespace} because it is being terminated"
            );
            let mut failure = Failure::forbidden(scope.resource.names(), name, &why);
            if let Some(details) = &mut failure.details {
                details["causes"] = json!([{
                    "reason": "NamespaceTerminating",
                    "message": format!("namespace {namespace} is being terminated"),
                    "field": "metadata.namespace",
                }]);
            }
            return Err(failure);
        }
        Ok(())
    }
}

/// A new object has none, whoever says otherwise.
fn drop_status(resource: &Resource, value: &mut Value) {
    if resource.has_status()
        && let Some(fields) = value.as_object_mut()
    {
        fields.remove("status");
    }
}

/// The namespace of the body must be that of the path.
pub(crate) fn place(scope: &Scope, value: &mut Value) -> Result<(), Failure> {
    let given = value["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
    if !scope.resource.namespaced {
        metadata(value).remove("namespace");
        return Ok(());
    }
    let Some(namespace) = &scope.namespace else { return Ok(()) };
    if !given.is_empty() && given != *namespace {
        return Err(Failure::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    metadata(value).insert("namespace".into(), json!(namespace));
    Ok(())
}

fn cut(text: &str, limit: usize) -> &str {
    match text.char_indices().nth(limit) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}
