//! A view by an EROFS image over raw copies, as `hd` makes it.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hd_dag::{NodeCache, Rooted};
use hd_projection::erofs::{self, Description};
use hd_projection::objects::Counts;
use hd_projection::{Composite, serve_objects};
use hd_store::{Id, Pool, Store};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount,
};

use crate::Failure;
use crate::server::{Server, THREADS};
use crate::targets::{layers, made};

/// The side of the server.
pub(crate) struct Images {
    store: Store,
    lower: Composite,
    pub(crate) pool: Arc<Pool>,
    pub(crate) counts: Arc<Counts>,
}

impl Images {
    pub(crate) fn new(
        store: &Store,
        nodes: &Arc<NodeCache>,
        root: Rooted,
    ) -> Result<Self, Failure> {
        Ok(Self {
            lower: Composite::new(store.clone(), nodes.clone(), root, Vec::new()),
            pool: Arc::new(store.pool()?),
            counts: Arc::default(),
            store: store.clone(),
        })
    }

    fn tree(&self) -> Result<Description, Failure> {
        Ok(erofs::describe(&self.lower)?)
    }

    pub(crate) fn write(&self, to: &Path) -> Result<(), Failure> {
        Ok(fs::write(to, erofs::image(&self.tree()?)?)?)
    }

    /// Makes a raw copy of every file.
    pub(crate) fn fill(&self) -> Result<(), Failure> {
        for inode in self.tree()?.inodes {
            let Some(path) = inode.xattrs.get(&b"trusted.overlay.redirect"[..]) else {
                continue;
            };
            let hex = std::str::from_utf8(path)?.rsplit('/').next().unwrap_or("");
            self.pool.fill(&hex.parse::<Id>()?)?;
        }
        Ok(())
    }

    pub(crate) fn serve(&self, device: OwnedFd) -> Result<(), Failure> {
        let (pool, counts) = (self.pool.clone(), self.counts.clone());
        // The session ends by itself with its mount.
        let _ = serve_objects(
            device,
            self.store.clone(),
            pool,
            counts,
            ("objects", THREADS),
        )?;
        Ok(())
    }
}

/// A mounted view; detached when dropped.
#[derive(Debug)]
pub(crate) struct ImageView {
    pub(crate) merged: PathBuf,
    lower: PathBuf,
    objects: PathBuf,
}

impl ImageView {
    /// Mounts an image that was written, with a new write layer, below `at`.
    pub(crate) fn mount(server: &mut Server, image: &Path, at: &Path) -> Result<Self, Failure> {
        let [upper, work, merged] = layers(at)?;
        let (lower, objects) = (made(&at.join("image"))?, made(&at.join("objects"))?);
        let pool = server.ask("pool")?;
        erofs::read_ahead(image);
        let source = image.to_string_lossy().into_owned();
        mount("erofs", &[("source", Some(&source))], &lower)?;
        server.ask(&format!("objects {}", objects.display()))?;
        let paths = [&lower, &objects, &upper, &work].map(|path| path.to_string_lossy());
        let [low, missing, up, work] = &paths;
        let settings = [
            ("source", Some("hd")),
            ("lowerdir+", Some(low)),
            ("datadir+", Some(pool.as_str())),
            ("datadir+", Some(missing)),
            ("upperdir", Some(up)),
            ("workdir", Some(work)),
            ("redirect_dir", Some("nofollow")),
            ("metacopy", Some("off")),
            ("index", Some("off")),
            ("xino", Some("off")),
            ("volatile", None),
        ];
        mount("overlay", &settings, &merged)?;
        Ok(Self {
            merged,
            lower,
            objects,
        })
    }
}

impl Drop for ImageView {
    fn drop(&mut self) {
        for path in [&self.merged, &self.lower, &self.objects] {
            let _ = rustix::mount::unmount(path, UnmountFlags::DETACH);
        }
    }
}

fn mount(kind: &str, settings: &[(&str, Option<&str>)], at: &Path) -> Result<(), Failure> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in settings {
        match value {
            Some(value) => fsconfig_set_string(&context, *key, *value)?,
            None => fsconfig_set_flag(&context, *key)?,
        }
    }
    fsconfig_create(&context)?;
    let mount = fsmount(
        &context,
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::empty(),
    )?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(&mount, "", rustix::fs::CWD, at, flags)?;
    Ok(())
}
