//! Images of composed trees: whether this machine can show services one, and which are there.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use hd_dag::{Kind, Rooted};
use hd_projection::erofs::{self, Content, Description, Inode};
use hd_projection::{Attr, Composite, Copies, Owner, ShownIds};
use hd_sandbox::{Helper, ImageProbe, Launcher, Problem, probe_image};
use hd_store::{Id, Pool, Store};

use crate::model::back_end::BackEnd;
use crate::model::report::LowerReport;
use crate::shared::Shared;

/// Counts with each change of what an image of one tree looks like.
const VERSION: u8 = 1;
/// Niceness of what writes an image that nobody waits for.
const NICE: i32 = 10;
/// What the probe reads.
const PROBED: &[u8] = b"read through an image\n";

/// What a runtime knows of images.
#[derive(Debug, Default)]
pub struct Images {
    pool: OnceLock<Result<Arc<Pool>, String>>,
    probed: OnceLock<Result<(), String>>,
    is_writing: AtomicBool,
    has_begun: AtomicBool,
    shown: Mutex<Option<BackEnd>>,
}

/// A tree to be shown, and all its image depends on.
#[derive(Debug)]
pub(super) struct Wanted {
    root: Rooted,
    owners: Vec<Owner>,
    ids: Option<ShownIds>,
}

impl Wanted {
    pub(super) fn new(root: Rooted, owners: Vec<Owner>, ids: Option<ShownIds>) -> Self {
        Self { root, owners, ids }
    }

    /// Gives the tree as it is shown.
    pub(super) fn lower(&self, shared: &Shared) -> Composite {
        let lower = shared.composite(self.root, Vec::new(), self.owners.clone());
        lower.shown_as(self.ids.clone())
    }

    /// Names its image. Only root mounts images, and shows all owners.
    fn name(&self) -> String {
        let mut said = vec![VERSION];
        said.extend_from_slice(self.root.times.as_bytes());
        for owner in &self.owners {
            said.extend_from_slice(owner.at.as_bytes());
            said.push(0);
            said.extend_from_slice(&owner.uid.to_le_bytes());
            said.extend_from_slice(&owner.gid.to_le_bytes());
        }
        let variant = Id::of(&said).to_string();
        format!("{}-{}.erofs", self.root.tree, &variant[..16])
    }
}

/// What it takes to write an image.
struct Writing {
    launcher: Launcher,
    pool: Arc<Pool>,
    lower: Composite,
    name: String,
}

impl Images {
    /// Gives the pool of raw copies.
    pub(super) fn pool(&self, store: &Store) -> Result<Arc<Pool>, String> {
        let open = || store.pool().map(Arc::new).map_err(|e| e.to_string());
        self.pool.get_or_init(open).clone()
    }

    /// Finds the image of a tree, if it was written since the machine was started, and has it read ahead.
    pub(super) fn find(pool: &Pool, wanted: &Wanted) -> Option<PathBuf> {
        let image = pool.view(&wanted.name())?;
        erofs::read_ahead(&image);
        Some(image)
    }

    /// Writes the image of a tree, if this machine can mount it. Blocks, for as long as every directory
    /// of the tree takes to be read.
    pub(super) fn write_now(&self, shared: &Shared, wanted: &Wanted) -> Result<PathBuf, String> {
        self.write(&self.writing(shared, wanted)?)
    }

    /// Tells whether a view is the first of this runtime: an edit may change the tree of each later one, which is
    /// then not worth an image of all of it.
    pub(super) fn begins(&self) -> bool {
        !self.has_begun.swap(true, Ordering::AcqRel)
    }

    /// Has the image of a tree written for the next view, one at a time, in the time that nobody else
    /// wants. Why it could not be shows in the debug log, and the next time that one is wanted.
    /// What is read meanwhile is to be copied once it is written.
    pub(super) fn write_ahead(
        self: &Arc<Self>,
        shared: &Shared,
        wanted: &Wanted,
    ) -> Result<Copies, String> {
        let writing = self.writing(shared, wanted)?;
        let (opener, gate) = crossbeam_channel::bounded(1);
        let copies = Copies {
            pool: writing.pool.clone(),
            gate,
        };
        if self.is_writing.swap(true, Ordering::AcqRel) {
            return Ok(copies);
        }
        let images = self.clone();
        let write = move || {
            let own = Some(rustix::thread::gettid());
            if let Err(error) = rustix::process::setpriority_process(own, NICE) {
                tracing::debug!(%error, "an image is written at the usual priority");
            }
            match images.write(&writing) {
                // A view that is gone already has nothing to copy.
                Ok(_) => drop(opener.try_send(())),
                Err(error) => tracing::debug!(error, "no image was written"),
            }
            images.is_writing.store(false, Ordering::Release);
        };
        let named = std::thread::Builder::new().name("image".to_owned());
        if let Err(error) = named.spawn(write) {
            self.is_writing.store(false, Ordering::Release);
            return Err(error.to_string());
        }
        Ok(copies)
    }

    /// Says why no image can be mounted here, as far as that was found out.
    pub(super) fn refused(&self) -> Option<String> {
        self.probed.get()?.clone().err()
    }

    /// Notes how the newest lower is shown.
    pub(super) fn note(&self, back_end: BackEnd) {
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(back_end);
    }

    /// Tells how the newest lower is shown, and what was asked of hd so far.
    pub fn report(&self) -> Option<LowerReport> {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.as_ref().map(BackEnd::report)
    }

    fn writing(&self, shared: &Shared, wanted: &Wanted) -> Result<Writing, String> {
        let launcher = shared.launcher().map_err(|e| e.message)?;
        Ok(Writing {
            launcher: launcher.clone(),
            pool: self.pool(&shared.store)?,
            lower: wanted.lower(shared),
            name: wanted.name(),
        })
    }

    fn write(&self, writing: &Writing) -> Result<PathBuf, String> {
        let pool = &writing.pool;
        let probe = || probe(&writing.launcher, pool.dir()).map_err(|problem| problem.message);
        self.probed.get_or_init(probe).clone()?;
        let tree = erofs::describe(&writing.lower).map_err(|e| e.to_string())?;
        let image = erofs::image(&tree).map_err(|e| e.to_string())?;
        let kept = pool.put_view(&writing.name, &image);
        kept.map_err(|e| e.to_string())
    }
}

/// Tries whether views can be images here. `directory` is where all state is.
///
/// # Errors
/// What does not work.
pub fn probe_alone(helper: &Helper, directory: &Path) -> Result<(), Problem> {
    probe(&Launcher::new(helper.clone(), None), directory)
}

fn probe(launcher: &Launcher, directory: &Path) -> Result<(), Problem> {
    let object = Id::of(PROBED);
    let image = erofs::image(&tiny(&object)).map_err(|error| Problem {
        message: error.to_string(),
        errno: 0,
        next_step: "this is a defect of hd".to_owned(),
    })?;
    let path = erofs::object_path(&object);
    let tiny = ImageProbe {
        image: &image,
        name: "file",
        object: Path::new(&path),
        content: PROBED,
    };
    probe_image(launcher, directory, &tiny)
}

/// A directory with one file.
fn tiny(object: &Id) -> Description {
    let attr = |kind, mode, size| Attr {
        kind,
        mode,
        uid: 0,
        gid: 0,
        size,
        mtime_ns: 0,
        rdev: 0,
        link_group: None,
    };
    let dir = Inode {
        attr: attr(Kind::Dir, 0o755, 0),
        links: 2,
        xattrs: Default::default(),
        content: Content::Dir(vec![(b"file".to_vec(), 1)]),
        parent: 0,
    };
    let file = Inode {
        attr: attr(Kind::Regular, 0o644, PROBED.len() as u64),
        links: 1,
        xattrs: erofs::elsewhere(object),
        content: Content::Nothing,
        parent: 0,
    };
    Description {
        inodes: vec![dir, file],
    }
}
