//! Under which name a service's engines answer.

use serde_json::Value;

/// Begins the names that tell models of all namespaces apart; each service has one beside its own.
const PUBLISHED: &str = "publishers/";

/// The main name. A service that names no model is stored with its own name as the model's, also where a config names
/// the model: so the status decides, once it tells names. `None`: the service's own name, or nothing is known yet.
pub(crate) fn main_name<'a>(spec: &'a Value, status: &'a Value) -> Option<&'a str> {
    let own = spec["model"]["name"].as_str().filter(|name| !name.is_empty());
    let told = || names_in_addresses(status).filter(|name| !name.starts_with(PUBLISHED));
    match own {
        Some(own) if told().any(|name| name == own) => Some(own),
        own => told().next().or(own),
    }
}

/// The names at each of the service's addresses, in order, some of them more than once.
pub(crate) fn names_in_addresses(status: &Value) -> impl Iterator<Item = &str> {
    let addresses = status["addresses"].as_array().into_iter().flatten();
    let models = addresses.flat_map(|address| address["models"].as_array().into_iter().flatten());
    models.filter_map(|model| model.as_str().or_else(|| model["name"].as_str()))
}
