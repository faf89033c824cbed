//! The view of a step as mount operations: a traced lower, a write layer, kept directories.

use std::path::{Path, PathBuf};

use hd_dag::TreePath;
use hd_sandbox::{Create, MountOp, Place};

use super::lowers::ShownLowers;
use super::plan::Plan;
use crate::base::mounts::{bind, common, inside};
use crate::base::{Base, ROOT_STAGED};
use crate::model::instance::InstancePaths;

/// Name of the directory with the write layer over the lower.
pub const LOWER: &str = "lower";

/// A kept directory in the view of a step.
#[derive(Clone, Debug)]
pub struct KeptMount {
    /// Name of the directory with its write layer.
    pub name: String,
    /// Where it shows, from the root of the view.
    pub at: TreePath,
}

/// Directory of the write layer of a run.
pub fn upper(work: &Path, name: &str) -> PathBuf {
    work.join(name).join("upper")
}

/// Gives the mounts of a step's root, in order.
pub(super) fn mounts(
    base: &Base,
    plan: &Plan,
    paths: &InstancePaths,
    work: &Path,
    kept: &[KeptMount],
    shown: &ShownLowers,
) -> Vec<MountOp> {
    let mut ops = vec![layered(shown.place(0), LOWER, "merged", work)];
    let merged = || Place::Stage(PathBuf::from("merged"));
    // Without an image everything but the project and home is the host's own: read-only.
    ops.push(bind(
        merged(),
        PathBuf::from(ROOT_STAGED),
        !base.is_image(),
        Create::Dir,
    ));
    if !base.is_image() {
        for path in [&plan.workdir, &plan.account.home] {
            let source = Place::Stage(Path::new("merged").join(path.trim_start_matches('/')));
            ops.push(bind(source, inside(path), false, Create::Nothing));
        }
    }
    for (path, name) in &plan.downloads {
        let place = Place::Host(paths.download_cache(name));
        ops.push(bind(place, at(path), false, Create::Nothing));
    }
    // After those of downloads: what is declared may lie in one of them.
    for (number, mount) in (1..).zip(kept) {
        let merged = format!("{}-merged", mount.name);
        ops.push(layered(shown.place(number), &mount.name, &merged, work));
        ops.push(bind(
            Place::Stage(merged.into()),
            at(&mount.at),
            false,
            Create::Dir,
        ));
    }
    ops.extend(common(base, plan.ca.as_deref()));
    ops
}

fn layered(lower: Place, name: &str, merged: &str, work: &Path) -> MountOp {
    MountOp::Overlay {
        at: merged.into(),
        lower: vec![lower],
        data: Vec::new(),
        upper: Place::Host(upper(work, name)),
        work: Place::Host(work.join(name).join("work")),
        volatile: true,
        report: None,
    }
}

fn at(path: &TreePath) -> PathBuf {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    Path::new(ROOT_STAGED).join(OsStr::from_bytes(path.as_bytes()))
}
