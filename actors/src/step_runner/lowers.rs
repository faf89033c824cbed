//! Lowers of steps and of services: directories of one mount, which lasts as long as the runtime.
//!
//! The names of each run are new to the kernel, so all that it looks up is observed. What an earlier run read is
//! still in the page cache: a build that runs again after an edit reads its tools from memory, and so does a service
//! that starts in a new view.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hd_projection::{Composite, Many, ProjectionError, Served, Watch, serve_many};
use hd_sandbox::{MountNamespace, MountOp, Place};

use crate::base::ROOT_STAGED;
use crate::base::ids::Ids;
use crate::messages::BatchError;
use crate::mount_server::view::run_in;
use crate::shared::Shared;

/// Threads that serve all lowers of a runtime; each has its own clone of the device.
const FUSE_THREADS: usize = 2;
/// What a machine must have.
const NEEDS: &str =
    "hd needs root or user namespaces, /dev/fuse and overlayfs to run steps and services";
/// Where the mount is in the stage of its namespace.
const AT: &str = "lower";

/// A lower to show, and what is noted of the requests for it.
pub(crate) type ToShow = (Composite, Watch);

/// The mount, once something was shown.
#[derive(Debug, Default)]
pub struct Lowers {
    mounted: Mutex<Option<Arc<Mounted>>>,
    shown: AtomicU64,
}

#[derive(Debug)]
struct Mounted {
    namespace: Arc<MountNamespace>,
    session: Served,
    many: Many<Composite>,
}

/// The lowers of one run, or of a view; they are shown until it is dropped.
#[derive(Debug)]
pub(crate) struct ShownLowers {
    mounted: Arc<Mounted>,
    names: Vec<String>,
}

impl ShownLowers {
    /// Gives the namespace in which they are seen.
    pub(crate) fn namespace(&self) -> &Arc<MountNamespace> {
        &self.mounted.namespace
    }

    /// Tells whether they still answer.
    pub(crate) fn is_alive(&self) -> bool {
        self.mounted.session.is_alive()
    }

    /// Says where one of them is, by its number.
    pub(super) fn place(&self, number: usize) -> Place {
        Place::Host(self.mounted.namespace.stage().join(self.staged(number)))
    }

    /// Says where one of them is in the stage of the namespace.
    pub(crate) fn staged(&self, number: usize) -> PathBuf {
        let name = self.names.get(number).map_or("", String::as_str);
        Path::new(AT).join(name)
    }
}

impl Drop for ShownLowers {
    fn drop(&mut self) {
        for name in &self.names {
            self.mounted.many.end(name);
        }
    }
}

impl Lowers {
    /// Shows the lowers of a run or of a view, once all that they show is in the store. Blocks.
    pub(crate) fn show(
        &self,
        shared: &Shared,
        ids: &Ids,
        lowers: impl Fn() -> Vec<ToShow>,
    ) -> Result<ShownLowers, BatchError> {
        shared.contents.durable()?;
        let mounted = self.mounted(shared, ids, false)?;
        if let Some(shown) = self.shown_in(mounted, lowers())? {
            return Ok(shown);
        }
        let mounted = self.mounted(shared, ids, true)?;
        let shown = self.shown_in(mounted, lowers())?;
        shown.ok_or_else(|| BatchError::new("fuse", "a new mount takes no lower"))
    }

    fn shown_in(
        &self,
        mounted: Arc<Mounted>,
        lowers: Vec<ToShow>,
    ) -> Result<Option<ShownLowers>, BatchError> {
        let mut shown = ShownLowers {
            mounted,
            names: Vec::with_capacity(lowers.len()),
        };
        for (lower, watch) in lowers {
            let name = format!("shown-{}", self.shown.fetch_add(1, Ordering::Relaxed));
            if !shown.mounted.many.show(&name, lower, watch).map_err(fuse)? {
                return Ok(None);
            }
            shown.names.push(name);
        }
        Ok(Some(shown))
    }

    /// Gives the mount, a new one where there is none that answers and has these ids. The old one goes with the last
    /// run that it shows.
    fn mounted(
        &self,
        shared: &Shared,
        ids: &Ids,
        is_to_be_new: bool,
    ) -> Result<Arc<Mounted>, BatchError> {
        let mut held = self.mounted.lock().unwrap_or_else(PoisonError::into_inner);
        let has_user = ids.user_namespace().is_some();
        match &*held {
            Some(mounted)
                if !is_to_be_new
                    && mounted.session.is_alive()
                    && mounted.namespace.has_user_namespace() == has_user =>
            {
                Ok(mounted.clone())
            }
            _ => Ok(held.insert(Arc::new(mount(shared, ids)?)).clone()),
        }
    }
}

fn mount(shared: &Shared, ids: &Ids) -> Result<Mounted, BatchError> {
    let stage = shared.settings.paths.lower_stage();
    std::fs::create_dir_all(&stage)
        .map_err(|e| BatchError::new("io", e).at(stage.display().to_string()))?;
    let namespace = shared
        .launcher()?
        .mount_namespace(&stage, ids.user_namespace().as_ref())
        .map_err(|e| BatchError::new("sandbox", e).hint(NEEDS))?;
    let op = MountOp::Fuse {
        at: PathBuf::from(AT),
        name: "lowers".to_owned(),
        read_only: true,
    };
    let mut served = None;
    run_in(
        shared,
        &namespace,
        Path::new(ROOT_STAGED),
        &[op],
        |name, fd| {
            served = Some(serve_many(fd, (&name, FUSE_THREADS)).map_err(fuse)?);
            Ok(())
        },
    )
    .map_err(|error| error.hint(NEEDS))?;
    let (session, many) =
        served.ok_or_else(|| BatchError::new("fuse", "the lowers were not mounted"))?;
    Ok(Mounted {
        namespace: Arc::new(namespace),
        session,
        many,
    })
}

fn fuse(error: ProjectionError) -> BatchError {
    BatchError::new("fuse", error)
}
