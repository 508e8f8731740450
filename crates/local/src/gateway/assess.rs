//! From the objects seen to the table of routes and the statuses to publish. It decides everything and does nothing.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kinds::gateway::Listener;
use relay::{PoolSpec, Route, RouteTable, Served, ServiceSpec};
use serde_json::Value;

use super::GatewayOptions;
use super::attach::{attach, parent_gateway};
use super::endpoints::{self, FoundEndpoints, Pods, PortWanted};
use super::implied::{self, Unrouted};
use super::picker::{PickerDeployments, Pickers};
use super::route::{self, BackendKey};
use super::status::{self, PoolTrouble, RouteOutcome, Verdict, Wish};
use super::watch::{Key, RouteObject, Seen, ServiceObject};

/// Assesses what is seen, again and again; what has not changed is not worked out twice.
pub(crate) struct Assessor {
    controller_name: String,
    address: SocketAddr,
    pickers: Pickers,
    routes: HashMap<Key, KnownRoute>,
    pools: BTreeMap<String, Arc<PoolSpec>>,
    services: BTreeMap<String, Arc<ServiceSpec>>,
}

/// What follows from what is seen.
pub(crate) struct Assessment {
    pub(crate) table: RouteTable,
    /// Statuses that differ from what is published.
    pub(crate) wishes: Vec<Wish>,
}

/// A route that was read before.
struct KnownRoute {
    uid: Option<String>,
    generation: Option<i64>,
    route: Arc<Route>,
    trouble: Vec<String>,
}

/// Where the back-ends of the accepted routes lead, and for pools which gateways they are reached through.
#[derive(Default)]
struct Wanted {
    pools: BTreeMap<(Key, bool), BTreeSet<Key>>,
    services: BTreeSet<(Key, i32)>,
    /// Routes for each gateway and listener.
    attached: BTreeMap<(Key, String), i32>,
}

impl Assessor {
    pub(crate) fn new(options: &GatewayOptions, address: SocketAddr) -> Result<Self, sched::ConfigError> {
        Ok(Self {
            controller_name: options.controller_name.clone(),
            address,
            pickers: Pickers::new(options.policy.as_deref())?,
            routes: HashMap::new(),
            pools: BTreeMap::new(),
            services: BTreeMap::new(),
        })
    }

    pub(crate) fn assess(&mut self, seen: &Seen, now: Timestamp) -> Assessment {
        let mut wishes = Vec::new();
        let mut wanted = Wanted::default();
        let mut routes = Vec::new();
        for (key, object) in seen.routes.iter() {
            let (route, outcomes) = self.route(seen, key, object, &mut wanted);
            routes.extend(route);
            wishes.extend(status::of_route(object, &self.controller_name, outcomes, now));
        }
        self.routes.retain(|(namespace, name), _| seen.routes.get(namespace, name).is_some());
        let pods = Pods::new(&seen.pods);
        let before = std::mem::take(&mut self.pools);
        // A pool that a route names is led to by that one, or refused to it.
        let is_taken = |pool: &Key| wanted.pools.contains_key(&(pool.clone(), false));
        let unrouted = implied::unrouted(seen, &reached(&routes), is_taken);
        for pool in unrouted.iter().filter_map(|unrouted| unrouted.pool.as_ref()) {
            // Whichever Gateway: each is this one, and a pool is told the name of one.
            let gateway = seen.gateways.iter().next().map(|(key, _)| key.clone());
            wanted.pools.entry((pool.clone(), false)).or_default().extend(gateway);
        }
        let mut pools = self.pools(&before, seen, &pods, &wanted, now, &mut wishes);
        self.implied(&before, seen, &pods, &unrouted, &mut routes, &mut pools);
        self.pools.clone_from(&pools);
        let services = self.services(seen, &pods, &wanted);
        for (key, gateway) in seen.gateways.iter() {
            let attached = |listener: &Listener| {
                wanted.attached.get(&(key.clone(), listener.name.clone())).copied().unwrap_or_default()
            };
            wishes.extend(status::of_gateway(gateway, self.address, attached, now));
        }
        let reached = reached(&routes);
        let asked_for = seen.inference_services.iter();
        let served = asked_for
            .filter(|((namespace, name), _)| reached.contains(&(namespace.as_str(), name.as_str())))
            .map(|(key, service)| Arc::new(served(key, service, seen, &pods)))
            .collect();
        Assessment { table: RouteTable { pools, services, served, routes }, wishes }
    }

    /// The route if a gateway takes it, and what each of its parents is told.
    fn route(
        &mut self,
        seen: &Seen,
        key: &Key,
        object: &RouteObject,
        wanted: &mut Wanted,
    ) -> (Option<Arc<Route>>, Vec<RouteOutcome>) {
        let mut hostnames = BTreeSet::new();
        let mut takes_any_host = false;
        let mut accepted_by = BTreeSet::new();
        let mut outcomes = Vec::new();
        for parent in &object.spec.parent_refs {
            let Some((gateway_key, gateway)) = parent_gateway(seen, parent, &key.0) else { continue };
            let attachment = attach(gateway, &gateway_key, parent, &key.0, &object.spec.hostnames);
            let accepted = match attachment {
                Ok(attachment) => {
                    accepted_by.insert(gateway_key.clone());
                    takes_any_host |= attachment.hostnames.is_empty();
                    hostnames.extend(attachment.hostnames);
                    for listener in attachment.listeners {
                        *wanted.attached.entry((gateway_key.clone(), listener)).or_default() += 1;
                    }
                    Verdict::yes("Accepted", "the route is served")
                }
                Err(refusal) => refusal,
            };
            outcomes.push(RouteOutcome { parent: parent.clone(), accepted, resolved: Verdict::yes("", "") });
        }
        let hostnames = if takes_any_host { Vec::new() } else { hostnames.into_iter().collect() };
        let known = self.read_route(key, object, hostnames);
        let resolved = resolve(seen, key, object, &accepted_by, wanted);
        for outcome in &mut outcomes {
            outcome.resolved = resolved.clone();
            if outcome.accepted.is_true && !known.trouble.is_empty() {
                outcome.accepted = Verdict::no("UnsupportedValue", known.trouble.join("; "));
            }
        }
        let route = Arc::clone(&known.route);
        ((!accepted_by.is_empty()).then_some(route), outcomes)
    }

    fn read_route(&mut self, key: &Key, object: &RouteObject, hostnames: Vec<String>) -> &KnownRoute {
        let meta = &object.metadata;
        let same = self.routes.get(key).is_some_and(|known| {
            known.uid == meta.uid
                && known.generation == meta.generation
                // An object without a generation is not told apart by it.
                && meta.generation.is_some()
                && known.route.hostnames == hostnames
        });
        if !same {
            let mut trouble = Vec::new();
            let rules = object.spec.rules.iter().map(|rule| {
                let (rule, words) = route::rule(rule, &key.0);
                trouble.extend(words);
                rule
            });
            let route = Route {
                rules: rules.collect(),
                namespace: key.0.clone(),
                name: key.1.clone(),
                created_s: created_s(meta).unwrap_or(i64::MAX),
                hostnames,
            };
            let known = KnownRoute {
                uid: meta.uid.clone(),
                generation: meta.generation,
                route: Arc::new(route),
                trouble,
            };
            self.routes.insert(key.clone(), known);
        }
        &self.routes[key]
    }

    /// Routes and pools of services that ask for no route.
    fn implied(
        &self,
        before: &BTreeMap<String, Arc<PoolSpec>>,
        seen: &Seen,
        pods: &Pods<'_>,
        unrouted: &[Unrouted<'_>],
        routes: &mut Vec<Arc<Route>>,
        pools: &mut BTreeMap<String, Arc<PoolSpec>>,
    ) {
        for Unrouted { key, object, pool } in unrouted {
            let created_s = created_s(&object.metadata);
            if let Some((namespace, name)) = pool {
                routes.push(Arc::new(implied::route(key, format!("{namespace}/{name}"), created_s)));
                continue;
            }
            let service = (key.0.clone(), api::names::workload_service(&key.1));
            let Some(found) = seen.services.get(&service.0, &service.1) else { continue };
            let found = implied::with_labels_of(found, object);
            let FoundEndpoints { endpoints, absent } =
                endpoints::of_service(&found, &service, implied::PORT, pods);
            let scheduler = self.pickers.without_config(implied::has_stages(object));
            let name = implied::pool_name(key);
            let known = before.get(&name).filter(|known| {
                known.endpoints == endpoints
                    && known.absent == absent
                    && Arc::ptr_eq(&known.scheduler, &scheduler)
            });
            let spec = known.cloned().unwrap_or_else(|| Arc::new(PoolSpec { endpoints, scheduler, absent }));
            routes.push(Arc::new(implied::route(key, name.clone(), created_s)));
            pools.entry(name).or_insert(spec);
        }
    }

    fn pools(
        &mut self,
        known: &BTreeMap<String, Arc<PoolSpec>>,
        seen: &Seen,
        pods: &Pods<'_>,
        wanted: &Wanted,
        now: Timestamp,
        wishes: &mut Vec<Wish>,
    ) -> BTreeMap<String, Arc<PoolSpec>> {
        let mut pools: BTreeMap<String, Arc<PoolSpec>> = BTreeMap::new();
        let deployments = PickerDeployments::new(&seen.pickers);
        for ((key, is_old), gateways) in &wanted.pools {
            let Some(pool) = PoolView::find(seen, key, *is_old) else { continue };
            let mut trouble = PoolTrouble::default();
            if seen.services.get(&key.0, pool.picker).is_none() {
                trouble.picker =
                    Some(format!("the picker's Service {}/{} does not exist", key.0, pool.picker));
            }
            if let Entry::Vacant(vacant) = pools.entry(format!("{}/{}", key.0, key.1)) {
                let (scheduler, wrong) = self.pickers.of(seen, &deployments, &key.0, pool.picker);
                if let Some(wrong) = wrong {
                    let words = format!(
                        "the picker's configuration is wrong, so the built-in profile picks: {wrong}"
                    );
                    trouble.picker = trouble.picker.or(Some(words));
                }
                let ports: Vec<_> = pool.ports.iter().map(|port| PortWanted::Number(*port)).collect();
                let FoundEndpoints { endpoints, absent } = pods.endpoints(&key.0, pool.labels, &ports, false);
                let before = known.get(vacant.key()).filter(|before| {
                    before.endpoints == endpoints
                        && before.absent == absent
                        && Arc::ptr_eq(&before.scheduler, &scheduler)
                });
                let spec =
                    before.cloned().unwrap_or_else(|| Arc::new(PoolSpec { endpoints, scheduler, absent }));
                vacant.insert(spec);
            }
            wishes.extend(status::of_pool(
                seen,
                key,
                pool.is_old,
                gateways,
                &trouble,
                &self.controller_name,
                now,
            ));
        }
        pools
    }

    fn services(
        &mut self,
        seen: &Seen,
        pods: &Pods<'_>,
        wanted: &Wanted,
    ) -> BTreeMap<String, Arc<ServiceSpec>> {
        let mut services = BTreeMap::new();
        for (key, port) in &wanted.services {
            let Some(service) = seen.services.get(&key.0, &key.1) else { continue };
            let name = format!("{}/{}:{port}", key.0, key.1);
            let FoundEndpoints { endpoints, absent } = endpoints::of_service(service, key, *port, pods);
            let before = self.services.get(&name);
            let before = before.filter(|before| before.endpoints == endpoints && before.absent == absent);
            let spec = before.cloned().unwrap_or_else(|| Arc::new(ServiceSpec { endpoints, absent }));
            services.insert(name, spec);
        }
        self.services.clone_from(&services);
        services
    }
}

/// Looks up the back-ends of a route.
fn resolve(
    seen: &Seen,
    key: &Key,
    object: &RouteObject,
    accepted_by: &BTreeSet<Key>,
    wanted: &mut Wanted,
) -> Verdict {
    let mut unknown_kind = BTreeSet::new();
    let mut missing = BTreeSet::new();
    for backend in object.spec.rules.iter().flat_map(|rule| &rule.backend_refs) {
        match BackendKey::of(backend, &key.0) {
            BackendKey::Pool { is_old: true, .. } if !seen.old_pools.is_served() => {
                // KServe's controller then writes the other group into the route.
                unknown_kind.insert(format!("{}/InferencePool", kinds::inference::OLD_GROUP));
            }
            BackendKey::Pool { is_old: false, .. } if !seen.pools.is_served() => {
                unknown_kind.insert(format!("{}/InferencePool", kinds::inference::GROUP));
            }
            BackendKey::Pool { namespace, name, is_old } => {
                let exists = match is_old {
                    true => seen.old_pools.get(&namespace, &name).is_some(),
                    false => seen.pools.get(&namespace, &name).is_some(),
                };
                if !exists {
                    missing.insert(format!("InferencePool {namespace}/{name}"));
                }
                let pool = wanted.pools.entry(((namespace, name), is_old)).or_default();
                pool.extend(accepted_by.iter().cloned());
            }
            BackendKey::Service { namespace, name, port } => {
                if seen.services.get(&namespace, &name).is_none() {
                    missing.insert(format!("Service {namespace}/{name}"));
                }
                wanted.services.insert(((namespace, name), port));
            }
            BackendKey::Other(kind) => {
                unknown_kind.insert(kind);
            }
        }
    }
    let list = |set: BTreeSet<String>| set.into_iter().collect::<Vec<_>>().join(", ");
    if !unknown_kind.is_empty() {
        return Verdict::no(
            "InvalidKind",
            format!("back-ends of this kind are not known here: {}", list(unknown_kind)),
        );
    }
    if !missing.is_empty() {
        return Verdict::no("BackendNotFound", format!("it does not exist: {}", list(missing)));
    }
    Verdict::yes("ResolvedRefs", "all back-ends exist")
}

/// A pool of either group.
struct PoolView<'a> {
    labels: &'a BTreeMap<String, String>,
    ports: Vec<i32>,
    picker: &'a str,
    is_old: bool,
}

impl<'a> PoolView<'a> {
    fn find(seen: &'a Seen, key: &Key, is_old: bool) -> Option<Self> {
        if is_old {
            let spec = &seen.old_pools.get(&key.0, &key.1)?.spec;
            return Some(Self {
                labels: &spec.selector,
                ports: vec![spec.target_port_number],
                picker: &spec.extension_ref.name,
                is_old,
            });
        }
        let spec = &seen.pools.get(&key.0, &key.1)?.spec;
        Some(Self {
            labels: &spec.selector.match_labels,
            ports: spec.target_ports.iter().map(|port| port.number).collect(),
            picker: &spec.endpoint_picker_ref.name,
            is_old,
        })
    }
}

/// Namespace and name of the services whose own path, `/NAMESPACE/NAME`, a route of their namespace takes.
fn reached(routes: &[Arc<Route>]) -> BTreeSet<(&str, &str)> {
    let mut reached = BTreeSet::new();
    for route in routes {
        for matching in route.rules.iter().flat_map(|rule| &rule.matches) {
            let (relay::PathMatch::Prefix(path) | relay::PathMatch::Exact(path)) = &matching.path else {
                continue;
            };
            let mut segments = path.split('/').skip(1);
            if let (Some(namespace), Some(name)) = (segments.next(), segments.next())
                && namespace == route.namespace
            {
                reached.insert((namespace, name));
            }
        }
    }
    reached
}

/// The names that the engines of a service answer to.
fn served(key: &Key, service: &ServiceObject, seen: &Seen, pods: &Pods<'_>) -> Served {
    let (namespace, name) = key;
    let mut models: Vec<String> = Vec::new();
    let mut add = |model: &str| {
        if !model.is_empty() && !models.iter().any(|known| known == model) {
            models.push(model.to_owned());
        }
    };
    let model = service.spec.get("model");
    let status = service.status.as_ref().unwrap_or(&Value::Null);
    let of_engine = match crate::model::names_in_addresses(status).next() {
        Some(_) => Vec::new(),
        None => implied::names_of_engines(seen, key, service, pods),
    };
    add(crate::model::main_name(&service.spec, status, &of_engine).unwrap_or(name));
    let adapters = model.and_then(|model| model.pointer("/lora/adapters")).and_then(Value::as_array);
    for adapter in adapters.into_iter().flatten() {
        add(adapter.get("name").and_then(Value::as_str).unwrap_or_default());
    }
    crate::model::names_in_addresses(status).chain(of_engine.iter().map(String::as_str)).for_each(add);
    let (namespace, name) = (namespace.clone(), name.clone());
    Served { namespace, name, models, created_s: created_s(&service.metadata) }
}

fn created_s(meta: &ObjectMeta) -> Option<i64> {
    meta.creation_timestamp.as_ref().map(|time| time.0.as_second())
}

#[cfg(test)]
mod tests;
