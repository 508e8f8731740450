//! What the gateway routes by: plain data, built elsewhere, published as a whole.
//!
//! The words are those of the Gateway API, since that is what users write. Names of pools and services are keys chosen
//! by the builder and shown to clients in error messages, `NAMESPACE/NAME`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use regex::Regex;

/// Everything that the gateway knows about where requests go.
#[derive(Clone, Debug, Default)]
pub struct RouteTable {
    /// The routes that are attached to this gateway. Their order means nothing.
    pub routes: Vec<Arc<Route>>,
    /// Pools of engines by the name that [`Target::Pool`] uses.
    pub pools: BTreeMap<String, Arc<PoolSpec>>,
    /// Services by the name that [`Target::Service`] uses.
    pub services: BTreeMap<String, Arc<ServiceSpec>>,
    /// The models behind the routes, for `/v1/models` and for requests that name a model but no path.
    pub served: Vec<Arc<Served>>,
}

/// One HTTPRoute.
#[derive(Clone, Debug)]
pub struct Route {
    /// Namespace of the HTTPRoute.
    pub namespace: String,
    /// Name of the HTTPRoute.
    pub name: String,
    /// When it was created, seconds since the epoch; of two equal matches the older route's wins.
    pub created_s: i64,
    /// Host names, lower case, `*.x` allowed; empty takes every host.
    pub hostnames: Vec<String>,
    /// The rules, in order.
    pub rules: Vec<Rule>,
}

/// One rule of a route.
#[derive(Clone, Debug, Default)]
pub struct Rule {
    /// Any of these; empty matches every request.
    pub matches: Vec<Match>,
    /// Applied in order.
    pub filters: Vec<Filter>,
    /// Where to, by weight. Empty: nowhere, unless a filter redirects.
    pub backends: Vec<Backend>,
    /// From the request's arrival to the end of the answer; `None` is without limit.
    pub request_timeout: Option<Duration>,
    /// From sending the request to an engine to the beginning of its answer; `None` is without limit.
    pub backend_timeout: Option<Duration>,
}

/// A condition on a request; all parts must hold.
#[derive(Clone, Debug)]
pub struct Match {
    /// The path.
    pub path: PathMatch,
    /// The method; `None` takes all.
    pub method: Option<Method>,
    /// Headers that must be there.
    pub headers: Vec<HeaderMatch>,
    /// Query parameters that must be there.
    pub query: Vec<QueryMatch>,
}

/// A condition on the path.
#[derive(Clone, Debug)]
pub enum PathMatch {
    /// This path and no other.
    Exact(String),
    /// This path and what is below it; a slash at its end means nothing.
    Prefix(String),
    /// A path that the whole expression matches.
    Regex(Regex),
}

/// A condition on a header.
#[derive(Clone, Debug)]
pub struct HeaderMatch {
    /// Its name.
    pub name: HeaderName,
    /// Its value; several values of one name are joined with commas.
    pub value: ValueMatch,
}

/// A condition on a query parameter.
#[derive(Clone, Debug)]
pub struct QueryMatch {
    /// Its name, exactly.
    pub name: String,
    /// The value of its first occurrence, percent-decoded.
    pub value: ValueMatch,
}

/// A condition on a text.
#[derive(Clone, Debug)]
pub enum ValueMatch {
    /// The same text.
    Exact(String),
    /// A text that the whole expression matches.
    Regex(Regex),
}

impl ValueMatch {
    /// A condition by regular expression over the whole text.
    ///
    /// # Errors
    /// If the expression does not parse or is too large.
    pub fn regex(expression: &str) -> Result<Self, regex::Error> {
        whole(expression).map(Self::Regex)
    }

    pub(crate) fn holds(&self, text: &str) -> bool {
        match self {
            Self::Exact(wanted) => wanted == text,
            Self::Regex(regex) => regex.is_match(text),
        }
    }
}

impl PathMatch {
    /// A condition by regular expression over the whole path.
    ///
    /// # Errors
    /// If the expression does not parse or is too large.
    pub fn regex(expression: &str) -> Result<Self, regex::Error> {
        whole(expression).map(Self::Regex)
    }
}

impl Default for PathMatch {
    fn default() -> Self {
        Self::Prefix("/".to_owned())
    }
}

fn whole(expression: &str) -> Result<Regex, regex::Error> {
    // Alone first, so that an unbalanced parenthesis is an error and not a way out of the group.
    Regex::new(expression)?;
    Regex::new(&format!("^(?:{expression})$"))
}

/// A change to a request or its answer.
#[derive(Clone, Debug)]
pub enum Filter {
    /// Changes headers of the request.
    RequestHeaders(HeaderEdits),
    /// Changes headers of the answer.
    ResponseHeaders(HeaderEdits),
    /// Changes host or path before the request is sent on.
    Rewrite(Rewrite),
    /// Answers with a redirect.
    Redirect(Redirect),
    /// A filter that is not understood. A request through it is refused with 500, as the Gateway API demands, in these
    /// words.
    Unsupported(String),
}

/// Changes to headers: `set`, then `add`, then `remove`.
#[derive(Clone, Debug, Default)]
pub struct HeaderEdits {
    /// Replaces all values.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// Adds a value.
    pub add: Vec<(HeaderName, HeaderValue)>,
    /// Takes all values away.
    pub remove: Vec<HeaderName>,
}

/// A change of host and path.
#[derive(Clone, Debug, Default)]
pub struct Rewrite {
    /// The new `Host`; `None` keeps it.
    pub hostname: Option<String>,
    /// The new path; `None` keeps it.
    pub path: Option<PathRewrite>,
}

/// A change of the path.
#[derive(Clone, Debug)]
pub enum PathRewrite {
    /// Replaces the whole path.
    Full(String),
    /// Replaces the prefix that matched.
    Prefix(String),
}

/// A redirect; what is `None` stays as the client asked.
#[derive(Clone, Debug)]
pub struct Redirect {
    /// `http` or `https`.
    pub scheme: Option<String>,
    /// Host name.
    pub hostname: Option<String>,
    /// Path.
    pub path: Option<PathRewrite>,
    /// Port; left out of the location where it is the scheme's own.
    pub port: Option<u16>,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
}

/// A destination and its share.
#[derive(Clone, Debug)]
pub struct Backend {
    /// Share among the rule's back-ends; 0 gets nothing.
    pub weight: u32,
    /// Applied after the rule's filters.
    pub filters: Vec<Filter>,
    /// Where to.
    pub target: Target,
}

/// A destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A pool of engines, chosen from by the scheduler.
    Pool(String),
    /// The endpoints of a Service, the least loaded first.
    Service(String),
    /// It does not exist or may not be used; the words say why.
    Unresolved(String),
}

/// A pool of engines.
#[derive(Clone, Debug, Default)]
pub struct PoolSpec {
    /// The engines, ready or not. One that leaves the list is forgotten with all that was learnt of it.
    pub endpoints: Vec<Arc<EndpointSpec>>,
    /// Who chooses.
    pub scheduler: Arc<sched::Scheduler>,
    /// Why there is no ready engine, in words for the client; empty if nothing is known.
    pub absent: String,
}

/// The endpoints of a Service.
#[derive(Clone, Debug, Default)]
pub struct ServiceSpec {
    /// The endpoints, ready or not.
    pub endpoints: Vec<Arc<EndpointSpec>>,
    /// As in [`PoolSpec::absent`].
    pub absent: String,
}

/// One engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSpec {
    /// How messages and metrics name it: `NAMESPACE/POD`.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Whether requests may be sent to it.
    pub ready: bool,
    /// How to speak to it.
    pub tls: Tls,
    /// Changes when the engine was started anew; a mark that it refused connections then ends.
    pub incarnation: String,
    /// Labels of the pod; some filters of the scheduler read them.
    pub labels: Arc<BTreeMap<String, String>>,
}

/// How to speak to an engine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Tls {
    /// Plain HTTP.
    #[default]
    Off,
    /// TLS; the engine's certificate is not checked (it is self-signed and the way is this machine's own).
    Unverified,
    /// TLS; the certificate must come from this authority.
    Verified {
        /// Certificates of the authority, PEM.
        ca_pem: Arc<str>,
        /// The name that the certificate must carry; `None` takes the address.
        server_name: Option<String>,
    },
}

/// A service whose models are listed and found by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// Namespace of the service.
    pub namespace: String,
    /// Name of the service.
    pub name: String,
    /// Names that its engines answer to, the main one first.
    pub models: Vec<String>,
    /// When the service was created, seconds since the epoch; `None` if unknown.
    pub created_s: Option<i64>,
}

impl Served {
    /// The path below which the service is reached: `/NAMESPACE/NAME`.
    pub fn path(&self) -> String {
        format!("/{}/{}", self.namespace, self.name)
    }
}
