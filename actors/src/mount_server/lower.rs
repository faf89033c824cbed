//! How the lower of services is mounted: as an image over raw copies, or by FUSE alone.
//!
//! By FUSE it is a directory of the mount that steps have too, so that what they and earlier views have read is
//! read from memory. A view that leaves raw copies for the next one has a mount of its own: its reads must arrive.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hd_config::ViewMode;
use hd_projection::objects::Counts;
use hd_projection::{Copies, ProjectionError, ServeOptions, Served, Watch, serve, serve_objects};
use hd_sandbox::{MountNamespace, MountOp, Place};
use hd_store::Pool;

use super::images::{Images, Wanted};
use super::view::run_in;
use crate::base::ROOT_STAGED;
use crate::base::ids::Ids;
use crate::messages::BatchError;
use crate::model::back_end::BackEnd;
use crate::shared::Shared;
use crate::step_runner::lowers::ShownLowers;

/// Threads that serve the lower of all services.
const FUSE_THREADS: usize = 2;

/// What serves a lower, or the content it is missing.
#[derive(Debug)]
pub(super) enum Session {
    /// A mount of its own, `lower` in the directory of the view.
    Own(Served),
    /// A directory of the mount of all lowers, in its namespace.
    Shared(ShownLowers),
}

impl Session {
    /// Tells whether it still answers.
    pub(super) fn is_alive(&self) -> bool {
        match self {
            Self::Own(served) => served.is_alive(),
            Self::Shared(shown) => shown.is_alive(),
        }
    }
}

/// A mounted lower.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) session: Session,
    /// How it is shown.
    pub(super) back_end: BackEnd,
    /// Layers of content below it.
    pub(super) data: Vec<Place>,
}

/// Why a view is by FUSE, and where copies of what is read there go.
#[derive(Debug)]
struct Instead {
    why: String,
    copies: Option<Copies>,
}

impl From<String> for Instead {
    fn from(why: String) -> Self {
        Self { why, copies: None }
    }
}

/// Where a lower is mounted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot<'a> {
    pub(super) shared: &'a Shared,
    pub(super) namespace: &'a MountNamespace,
    pub(super) ids: &'a Ids,
    /// Directory of the view in the stage of the namespace.
    pub(super) dir: &'a str,
}

impl Spot<'_> {
    /// Mounts a lower as it was asked for. Blocks.
    pub(super) fn show(&self, mode: ViewMode, wanted: &Wanted) -> Result<Shown, BatchError> {
        match mode {
            ViewMode::Fuse => self.fuse(wanted, "[options] view is \"fuse\"".to_owned().into()),
            ViewMode::Erofs => self
                .image_of(mode, wanted)
                .map_err(|instead| refused(&instead.why)),
            ViewMode::Auto => self
                .image_of(mode, wanted)
                .or_else(|instead| self.fuse(wanted, instead)),
        }
    }

    /// Shows the image of a tree. Without one it is written where it was asked for, else for the next time.
    fn image_of(&self, mode: ViewMode, wanted: &Wanted) -> Result<Shown, Instead> {
        self.is_able()?;
        let images = &self.shared.images;
        if let Some(why) = images.refused() {
            return Err(why.into());
        }
        let pool = images.pool(&self.shared.store)?;
        let begins = images.begins();
        let image = match Images::find(&pool, wanted) {
            Some(image) => image,
            None if mode == ViewMode::Erofs => images.write_now(self.shared, wanted)?,
            None if !begins => {
                return Err(
                    "there is no image of this tree; one is written when hd starts with it"
                        .to_owned()
                        .into(),
                );
            }
            None => {
                let copies = images.write_ahead(self.shared, wanted)?;
                return Err(Instead {
                    why: "the image of this tree is written for the next view".to_owned(),
                    copies: Some(copies),
                });
            }
        };
        self.image(&pool, &image).map_err(|error| {
            // Whatever is wrong with it, the next one is written anew.
            if let Err(error) = std::fs::remove_file(&image) {
                tracing::debug!(%error, image = %image.display(), "an image that cannot be mounted stays");
            }
            error.message.into()
        })
    }

    fn is_able(&self) -> Result<(), String> {
        let is_inside = hd_sandbox::own_namespace::entered().is_some();
        if is_inside || self.namespace.has_user_namespace() {
            return Err("images are mounted by root alone".to_owned());
        }
        Ok(())
    }

    /// Mounts an image, and below it the pool and the objects that it misses.
    fn image(&self, pool: &Arc<Pool>, image: &Path) -> Result<Shown, BatchError> {
        let counts = Arc::<Counts>::default();
        let ops = [
            // First, because it may be refused.
            MountOp::Image {
                at: self.at("lower"),
                image: Place::Host(image.to_owned()),
            },
            MountOp::Fuse {
                at: self.at("objects"),
                name: self.dir.to_owned(),
                read_only: true,
            },
        ];
        let store = &self.shared.store;
        let session = self.mounted(&ops, |fd, name| {
            let served = (name, FUSE_THREADS);
            serve_objects(fd, store.clone(), pool.clone(), counts.clone(), served)
        })?;
        let data = vec![Place::Host(pool.copies()), Place::Stage(self.at("objects"))];
        let back_end = BackEnd::Image(counts);
        Ok(Shown {
            session: Session::Own(session),
            back_end,
            data,
        })
    }

    fn fuse(&self, wanted: &Wanted, instead: Instead) -> Result<Shown, BatchError> {
        // In a user namespace of its own a view could not join the network of those before it.
        if instead.copies.is_none() && !self.namespace.has_user_namespace() {
            return self.shared(wanted, instead.why);
        }
        let op = MountOp::Fuse {
            at: self.at("lower"),
            name: self.dir.to_owned(),
            read_only: true,
        };
        let session = self.mounted(&[op], |fd, name| {
            let options = ServeOptions {
                name: name.to_owned(),
                threads: FUSE_THREADS,
                watch: Watch::Nothing,
                copies: instead.copies,
            };
            serve(fd, wanted.lower(self.shared), options)
        })?;
        Ok(Shown {
            session: Session::Own(session),
            back_end: BackEnd::Fuse(instead.why),
            data: Vec::new(),
        })
    }

    fn shared(&self, wanted: &Wanted, why: String) -> Result<Shown, BatchError> {
        let lowers = || vec![(wanted.lower(self.shared), Watch::Nothing)];
        let shown = self.shared.lowers.show(self.shared, self.ids, lowers)?;
        Ok(Shown {
            session: Session::Shared(shown),
            back_end: BackEnd::Fuse(why),
            data: Vec::new(),
        })
    }

    fn at(&self, name: &str) -> PathBuf {
        Path::new(self.dir).join(name)
    }

    /// Runs mount operations of which one is FUSE, which is served by `serve`.
    fn mounted(
        &self,
        ops: &[MountOp],
        serve: impl FnOnce(OwnedFd, &str) -> Result<Served, ProjectionError>,
    ) -> Result<Served, BatchError> {
        let (mut serve, mut session) = (Some(serve), None);
        let root = Path::new(ROOT_STAGED);
        run_in(self.shared, self.namespace, root, ops, |name, fd| {
            if let Some(serve) = serve.take() {
                session = Some(serve(fd, &name).map_err(|e| BatchError::new("fuse", e))?);
            }
            Ok(())
        })?;
        session.ok_or_else(|| BatchError::new("fuse", "the view was not mounted"))
    }
}

fn refused(why: &str) -> BatchError {
    BatchError::new("sandbox", format!("no view by an EROFS image: {why}"))
        .at("options.view")
        .hint("view = \"auto\" takes FUSE where an image cannot be mounted")
}
