//! Handles that blocking work of several actors shares: store, trees, sandboxes, events.
//!
//! Bulk bytes never travel in messages; jobs in the pool and FUSE threads use these instead.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use hd_config::{Service, ServiceNetwork};
use hd_dag::trace::Trace;
use hd_dag::{NodeCache, Rooted};
use hd_projection::{Composite, Graft, OpenFiles, Owner};
use hd_sandbox::{Guardian, Helper, Launcher, MountNamespace, NetworkNamespace};
use hd_store::{Id, NodeKind, Store, Writer};

use crate::events::Events;
use crate::messages::{BatchError, PrepareView};
use crate::model::compiled::Compiled;
use crate::model::contents::Contents;
use crate::model::declared::Declared;
use crate::model::meters::Meters;
use crate::model::pause::Pause;
use crate::model::process_book::ProcessBook;
use crate::model::removals::Removals;
use crate::model::report::Report;
use crate::model::settings::Settings;
use crate::model::state::StateBoard;
use crate::model::volumes::Volumes;
use crate::mount_server::images::Images;
use crate::session::Session;
use crate::step_runner::lowers::Lowers;
use crate::trees::WorkTrees;
use crate::unchanged::FirstLook;
use crate::witness::Witnesses;

/// Bytes of decoded directories kept for FUSE threads.
const DIRECTORY_BYTES: usize = 64 << 20;
/// Decoded traces kept at hand.
const TRACES_MAX: usize = 256;

/// Shared handles of one runtime.
#[derive(Debug)]
pub struct Shared {
    /// What is run, as far as it is fixed.
    pub settings: Settings,
    declared: RwLock<Arc<Declared>>,
    /// The content-addressed store.
    pub store: Store,
    /// Trees over it.
    pub trees: Arc<WorkTrees>,
    /// What was read of the project and is not durable yet.
    pub contents: Arc<Contents>,
    /// Decoded directories.
    pub nodes: Arc<NodeCache>,
    /// Where news goes.
    pub events: Events,
    /// Sandboxes that run, written down for the command that finds this process killed.
    pub book: ProcessBook,
    /// Write layers that are not needed any more.
    pub removals: Arc<Removals>,
    /// Named volumes of services.
    pub volumes: Volumes,
    /// What this process needs of the store.
    pub session: Arc<Session>,
    /// Whether edits are held back.
    pub pause: Pause,
    /// Images of trees for the views of services.
    pub images: Arc<Images>,
    /// Lowers of steps and services.
    pub lowers: Lowers,
    /// Files of the host that are read through them.
    host_files: Arc<OpenFiles>,
    /// What services do to the project.
    pub witnesses: Witnesses,
    /// What they compile of Python in it.
    pub compiled: Compiled,
    /// What services use of what they are limited to.
    pub meters: Meters,
    /// What a runtime that only builds has built, once it is done.
    pub built: OnceLock<PrepareView>,
    /// A look at the project that was made before the actors began.
    pub first_look: FirstLook,
    launcher: OnceLock<(Launcher, Guardian)>,
    starting: Mutex<()>,
    network: Mutex<Option<Arc<NetworkNamespace>>>,
    traces: Mutex<HashMap<Id, Arc<Trace>>>,
}

impl Shared {
    /// Opens the store and prepares the rest.
    pub fn new(settings: Settings, events: Events) -> Result<Self, BatchError> {
        let declared = Declared::new(&settings, settings.first.clone())?;
        let cas = settings.paths.cas();
        let store = Store::open(&cas).map_err(|e| {
            BatchError::new("store", e)
                .at(cas.display().to_string())
                .hint("HD_HOME names another place for all state")
        })?;
        let trees = Arc::new(WorkTrees::new(store.clone()));
        let nodes = Arc::new(NodeCache::new(trees.clone(), DIRECTORY_BYTES));
        Ok(Self {
            volumes: Volumes::new(settings.paths.volumes()),
            book: ProcessBook::new(settings.paths.processes()),
            compiled: Compiled::new(settings.project_dir.clone()),
            session: Session::new(store.clone(), settings.project_dir.display().to_string()),
            settings,
            declared: RwLock::new(Arc::new(declared)),
            store,
            trees,
            contents: Arc::default(),
            nodes,
            events,
            pause: Pause::default(),
            images: Arc::default(),
            lowers: Lowers::default(),
            host_files: Arc::default(),
            witnesses: Witnesses::default(),
            meters: Meters::default(),
            built: OnceLock::new(),
            first_look: FirstLook::default(),
            removals: Arc::default(),
            launcher: OnceLock::new(),
            starting: Mutex::default(),
            network: Mutex::default(),
            traces: Mutex::default(),
        })
    }

    /// Gives what the `hd.toml` declares now. Who needs it more than once keeps what it got.
    pub fn declared(&self) -> Arc<Declared> {
        let declared = self.declared.read();
        declared.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gives the state as a report, without services and actors.
    pub fn report(&self, state: &StateBoard) -> Report {
        let declared = self.declared();
        let base = declared.base.as_deref();
        state.report(
            &declared.project.name,
            base,
            self.settings.started.elapsed(),
        )
    }

    /// Exchanges it; only the conductor does.
    pub fn declare(&self, declared: Arc<Declared>) {
        *self
            .declared
            .write()
            .unwrap_or_else(PoisonError::into_inner) = declared;
    }

    /// Gives what starts sandboxes; helper and guardian start with the first use, so a command
    /// that runs nothing starts nothing.
    pub fn launcher(&self) -> Result<&Launcher, BatchError> {
        let _one = self.starting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((launcher, _)) = self.launcher.get() {
            return Ok(launcher);
        }
        let helper = Helper::prepare().map_err(|e| BatchError::new("sandbox", e))?;
        let guardian = Guardian::start(&helper).map_err(|e| BatchError::new("sandbox", e))?;
        let launcher = Launcher::new(helper, Some(guardian.clone()));
        Ok(&self.launcher.get_or_init(|| (launcher, guardian)).0)
    }

    /// Gives the network that isolated services share; the first that asks makes it. Blocks.
    pub fn network(&self, within: &MountNamespace) -> Result<Arc<NetworkNamespace>, BatchError> {
        let launcher = self.launcher()?;
        let mut held = self.network.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(network) = &*held {
            return Ok(network.clone());
        }
        let made = launcher.network_namespace(Some(within));
        let made = Arc::new(made.map_err(|e| BatchError::new("sandbox", e))?);
        Ok(held.insert(made).clone())
    }

    /// Gives the network a service is on, if that is the isolated one and was made.
    pub fn known_network(&self, service: &Service) -> Option<Arc<NetworkNamespace>> {
        let held = self.network.lock().unwrap_or_else(PoisonError::into_inner);
        let is_on = service.network == ServiceNetwork::Isolated;
        held.clone().filter(|_| is_on)
    }

    /// Gives the isolated network up: it goes with the last who uses it.
    pub fn end_network(&self) {
        *self.network.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Gives the guardian, if it was started.
    pub fn guardian(&self) -> Option<&Guardian> {
        self.launcher.get().map(|(_, guardian)| guardian)
    }

    /// Puts a composed tree and grafts together for look-ups and mounts.
    pub fn composite(&self, root: Rooted, grafts: Vec<Graft>, owners: Vec<Owner>) -> Composite {
        Composite::new(self.store.clone(), self.nodes.clone(), root, grafts)
            .owned(owners)
            .reading_through(self.host_files.clone())
    }

    /// Gives a stored trace, decoded.
    pub fn trace(&self, id: &Id) -> Result<Arc<Trace>, BatchError> {
        let mut traces = self.traces.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(trace) = traces.get(id) {
            return Ok(trace.clone());
        }
        let bytes = self
            .store
            .read_node(NodeKind::Trace, id)
            .map_err(|e| BatchError::new("store", e))?;
        let trace =
            Trace::decode(&bytes).map_err(|e| BatchError::new("store", e).at(id.to_string()))?;
        if traces.len() >= TRACES_MAX {
            traces.clear();
        }
        let trace = Arc::new(trace);
        traces.insert(*id, trace.clone());
        Ok(trace)
    }

    /// Commits a writer together with all tree nodes that are new, once the contents that they name are durable. Blocks.
    pub fn commit(&self, writer: &mut Writer) -> Result<(), BatchError> {
        self.contents.durable()?;
        self.commit_nodes(writer)
    }

    /// Commits all tree nodes that are new, in one with the contents that wait for a commit. Blocks.
    pub fn commit_with_contents(&self, writer: &mut Writer) -> Result<(), BatchError> {
        let Some((mut contents, under_way)) = self.contents.take() else {
            return self.commit(writer);
        };
        let committed = self.commit_nodes(&mut contents);
        under_way.ended(committed.clone());
        committed
    }

    fn commit_nodes(&self, writer: &mut Writer) -> Result<(), BatchError> {
        let flushed = self
            .trees
            .flush(writer)
            .map_err(|e| BatchError::new("store", e))?;
        writer.commit().map_err(|e| BatchError::new("store", e))?;
        self.trees.flushed(&flushed);
        Ok(())
    }

    /// Makes all tree nodes that are new durable.
    pub fn flush(&self) -> Result<(), BatchError> {
        let writer = self.store.writer();
        self.commit_with_contents(&mut writer.map_err(|e| BatchError::new("store", e))?)
    }

    /// Names a directory, which nobody else has, for what is written through a view; what is left of it goes at the
    /// next start.
    pub fn stock(&self) -> PathBuf {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        self.settings.paths.work(&format!("edits-{number}"))
    }

    /// Gives who the files of the project belong to: owner and group of its directory, or, for an
    /// ordinary user, who cannot give anything away, himself.
    pub fn project_owner(&self) -> (u32, u32) {
        match hd_sandbox::own_namespace::entered() {
            Some(_) => (0, 0),
            None => owner_of(&self.settings.project_dir),
        }
    }
}

/// Gives a path to somebody, if it is not his already.
pub fn give(path: &Path, owner: (u32, u32)) -> std::io::Result<()> {
    if owner_of(path) == owner {
        return Ok(());
    }
    std::os::unix::fs::chown(path, Some(owner.0), Some(owner.1))
}

/// Gives owner and group of a path; root's when it cannot be asked.
pub fn owner_of(path: &Path) -> (u32, u32) {
    std::fs::metadata(path).map_or((0, 0), |meta| (meta.uid(), meta.gid()))
}
