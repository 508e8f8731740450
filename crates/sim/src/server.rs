//! One engine between the HTTP handlers and the clock.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};

use crate::{
    LoraModule, Options, body,
    engine::{Engine, Job, JobId, Load, Progress},
};

/// What a handler hears of its jobs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Update {
    /// A token of one of them is ready.
    Progress(Progress),
    /// The engine is shutting down: nothing more will come.
    Aborted,
}

/// A served engine, shared by all handlers.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) options: Options,
    /// When it was made, in seconds since the epoch.
    pub(crate) created_s: u64,
    core: Mutex<Core>,
    /// A step has begun on an idle engine.
    wake: Notify,
    started: Instant,
    next_id: AtomicU64,
    ending: AtomicBool,
}

#[derive(Debug)]
struct Core {
    engine: Engine,
    listeners: HashMap<JobId, mpsc::UnboundedSender<Update>>,
    adapters: Vec<LoraModule>,
}

impl Server {
    pub(crate) fn new(options: Options) -> Self {
        let engine = Engine::new(options.engine_settings());
        let adapters = options.lora_modules.clone();
        Self {
            options,
            created_s: now_s(),
            core: Mutex::new(Core { engine, listeners: HashMap::new(), adapters }),
            wake: Notify::new(),
            started: Instant::now(),
            next_id: AtomicU64::new(0),
            ending: AtomicBool::new(false),
        }
    }

    /// A panic elsewhere does not make the engine's state unusable: every change is complete or not begun.
    fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Hands jobs to the engine. What happens to them is heard on the returned channel; dropping [`Running`] aborts
    /// those that are not finished.
    pub(crate) fn submit(self: &Arc<Self>, jobs: Vec<Job>) -> Running {
        let (sender, updates) = mpsc::unbounded_channel();
        let now_ns = self.now_ns();
        let mut core = self.core();
        let ids: Vec<JobId> = jobs.into_iter().map(|job| core.engine.submit(job, now_ns)).collect();
        for id in &ids {
            core.listeners.insert(*id, sender.clone());
        }
        drop(core);
        if self.ending.load(Ordering::Acquire) {
            self.abort_all();
        }
        self.wake.notify_one();
        Running { server: Arc::clone(self), ids, updates }
    }

    /// Ends all jobs: their handlers hear it and finish their answers.
    pub(crate) fn abort_all(&self) {
        self.ending.store(true, Ordering::Release);
        let mut core = self.core();
        let listeners = std::mem::take(&mut core.listeners);
        for (id, listener) in listeners {
            core.engine.abort(id);
            // A handler that has gone needs no word.
            let _ = listener.send(Update::Aborted);
        }
    }

    /// Completes the engine's steps as time goes on. Never returns; sleeps while the engine is idle.
    pub(crate) async fn drive(&self) {
        let mut progress = Vec::new();
        loop {
            let due_ns = self.core().engine.due_ns();
            match due_ns {
                None => self.wake.notified().await,
                Some(due_ns) => {
                    tokio::time::sleep_until(self.started + std::time::Duration::from_nanos(due_ns)).await;
                    let now_ns = self.now_ns();
                    let mut core = self.core();
                    core.engine.advance(now_ns, &mut progress);
                    for done in progress.drain(..) {
                        let listener = if done.finished {
                            core.listeners.remove(&done.job)
                        } else {
                            core.listeners.get(&done.job).cloned()
                        };
                        if let Some(listener) = listener {
                            let _ = listener.send(Update::Progress(done));
                        }
                    }
                }
            }
        }
    }

    /// What request bodies are judged by.
    pub(crate) fn body_settings(&self) -> body::Settings {
        body::Settings { context_tokens: self.options.context_tokens(), tool_calls: self.options.tool_calls }
    }

    pub(crate) fn load(&self) -> Load {
        self.core().engine.load()
    }

    /// Reads the engine under its lock.
    pub(crate) fn with_engine<T>(&self, read: impl FnOnce(&mut Engine) -> T) -> T {
        read(&mut self.core().engine)
    }

    pub(crate) fn adapters(&self) -> Vec<LoraModule> {
        self.core().adapters.clone()
    }

    pub(crate) fn edit_adapters<T>(&self, edit: impl FnOnce(&mut Vec<LoraModule>) -> T) -> T {
        edit(&mut self.core().adapters)
    }

    /// What another engine needs to fetch the KV cache of a prompt from this one, with the keys of vLLM's NIXL connector.
    pub(crate) fn kept_blocks(&self, request_id: &str, prompt_tokens: u64) -> String {
        let blocks = prompt_tokens.div_ceil(u64::from(self.options.engine.block_tokens.max(1)));
        serde_json::json!({
            "do_remote_prefill": true,
            "do_remote_decode": false,
            "remote_block_ids": [(1..=blocks).collect::<Vec<_>>()],
            "remote_engine_id": format!("{:016x}", wire::prefix::chain_hash(&self.created_s.to_le_bytes(), 0)),
            "remote_request_id": request_id,
            "remote_host": self.options.host.as_deref().unwrap_or("localhost"),
            "remote_port": 5600,
            "tp_size": 1,
            "remote_num_tokens": prompt_tokens,
        })
        .to_string()
    }

    /// Sixteen hexadecimal digits that no other answer of this engine has.
    pub(crate) fn new_id(&self) -> String {
        let number = self.next_id.fetch_add(1, Ordering::Relaxed);
        format!("{:016x}", wire::prefix::chain_hash(&number.to_le_bytes(), self.created_s))
    }
}

/// Seconds since the epoch.
pub(crate) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Jobs in the engine. Dropping it aborts them: the client has gone.
#[derive(Debug)]
pub(crate) struct Running {
    server: Arc<Server>,
    /// In the order in which they were submitted.
    pub(crate) ids: Vec<JobId>,
    pub(crate) updates: mpsc::UnboundedReceiver<Update>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut core = self.server.core();
        for id in &self.ids {
            if core.listeners.remove(id).is_some() {
                core.engine.abort(*id);
            }
        }
    }
}
