//! Where a request path leads.

use crate::query::percent;

/// A path below `/api/v1` or `/apis/GROUP/VERSION`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) group: String,
    pub(crate) version: String,
    /// `None` across namespaces or for what belongs to the cluster.
    pub(crate) namespace: Option<String>,
    pub(crate) plural: String,
    pub(crate) name: Option<String>,
    pub(crate) subresource: Option<String>,
    /// The old `/watch/` path.
    pub(crate) watch: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// `/api`
    LegacyVersions,
    /// `/apis`
    Groups,
    /// `/apis/GROUP`
    Group(String),
    /// `/api/v1` or `/apis/GROUP/VERSION`
    Resources {
        group: String,
        version: String,
    },
    Target(Target),
    /// Anything else.
    Other,
}

/// Reads a path.
pub(crate) fn read(path: &str) -> Place {
    let parts: Vec<String> = path.split('/').filter(|p| !p.is_empty()).map(percent).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    match parts.as_slice() {
        ["api"] => Place::LegacyVersions,
        ["apis"] => Place::Groups,
        ["api", version] => Place::Resources { group: String::new(), version: (*version).to_owned() },
        ["apis", group] => Place::Group((*group).to_owned()),
        ["apis", group, version] => {
            Place::Resources { group: (*group).to_owned(), version: (*version).to_owned() }
        }
        ["api", version, rest @ ..] => target("", version, rest),
        ["apis", group, version, rest @ ..] => target(group, version, rest),
        _ => Place::Other,
    }
}

fn target(group: &str, version: &str, rest: &[&str]) -> Place {
    let (watch, rest) = match rest {
        ["watch", rest @ ..] if !rest.is_empty() => (true, rest),
        rest => (false, rest),
    };
    let made = |namespace: Option<&str>, plural: &str, name: Option<&str>, subresource: Option<String>| {
        Place::Target(Target {
            group: group.to_owned(),
            version: version.to_owned(),
            namespace: namespace.map(str::to_owned),
            plural: plural.to_owned(),
            name: name.map(str::to_owned),
            subresource,
            watch,
        })
    };
    let below = |rest: &[&str]| if rest.is_empty() { None } else { Some(rest.join("/")) };
    match rest {
        // `/namespaces/NAME/status` and `/finalize` are of the namespace itself.
        ["namespaces", name, sub @ ("status" | "finalize")] if group.is_empty() => {
            made(None, "namespaces", Some(name), Some((*sub).to_owned()))
        }
        ["namespaces", namespace, plural, rest @ ..] => match rest {
            [] => made(Some(namespace), plural, None, None),
            [name, rest @ ..] => made(Some(namespace), plural, Some(name), below(rest)),
        },
        [plural] => made(None, plural, None, None),
        [plural, name, rest @ ..] => made(None, plural, Some(name), below(rest)),
        [] => Place::Other,
    }
}
