//! What the services of a cluster share: they use a few configs, in a few combinations, and are composed again and again.
//!
//! What is kept follows from what it is kept by, so nothing but time depends on it.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};

use serde_json::Value;

use crate::combine::put_over;
use crate::merge::Layered;
use crate::{Error, layer};

/// When so many are kept, those of no use are looked for.
const MANY: usize = 256;

/// Specs as Go writes them, by the address of the object that they are of. An entry is of use as long as its object lives.
static NORMAL: LazyLock<Mutex<HashMap<usize, Normal>>> = LazyLock::new(Mutex::default);

/// An object, and its spec as Go writes it.
type Normal = (Weak<Value>, Arc<Value>);

/// The spec of a stored config as Go writes it.
pub(crate) fn normal(config: &Arc<Value>, whose: impl FnOnce() -> String) -> Result<Arc<Value>, Error> {
    let address = Arc::as_ptr(config) as usize;
    // An address can be that of another object by now.
    let is_of = |object: &Weak<Value>| object.upgrade().is_some_and(|object| Arc::ptr_eq(&object, config));
    if let Some((_, spec)) = open(&NORMAL).get(&address).filter(|(object, _)| is_of(object)) {
        return Ok(Arc::clone(spec));
    }
    let spec = Arc::new(layer::normal(&config["spec"], &whose())?);
    let mut known = open(&NORMAL);
    if known.len() >= MANY {
        known.retain(|_, (object, _)| object.strong_count() > 0);
    }
    known.insert(address, (Arc::downgrade(config), Arc::clone(&spec)));
    Ok(spec)
}

/// Specs that were merged, by their addresses in order. An entry keeps its specs, so no address becomes that of another.
static MERGED: LazyLock<Mutex<HashMap<Vec<usize>, Merged>>> = LazyLock::new(Mutex::default);

struct Merged {
    specs: Vec<Arc<Value>>,
    merged: Arc<Layered>,
}

/// The specs of configs merged, later ones over earlier ones; each is a layer, from 0. `None` if there are none.
pub(crate) fn merged(specs: &[Arc<Value>]) -> Result<Option<Layered>, Error> {
    let addresses: Vec<usize> = specs.iter().map(|spec| Arc::as_ptr(spec) as usize).collect();
    let known = open(&MERGED).get(&addresses).map(|known| Arc::clone(&known.merged));
    if let Some(known) = known {
        return Ok(Some(known.as_ref().clone()));
    }
    let mut merged = None;
    for (spec, layer) in specs.iter().zip(0..) {
        put_over(&mut merged, spec, layer)?;
    }
    let Some(merged) = merged else { return Ok(None) };
    let mut known = open(&MERGED);
    if known.len() >= MANY {
        // A spec that nobody else holds is of a config that is gone, or has changed.
        known.retain(|_, entry| entry.specs.iter().all(|spec| Arc::strong_count(spec) > 1));
        if known.len() >= MANY {
            known.clear();
        }
    }
    known.insert(addresses, Merged { specs: specs.to_vec(), merged: Arc::new(merged.clone()) });
    Ok(Some(merged))
}

fn open<T>(kept: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing is done under the lock that could leave it half done.
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}
