//! Mounts that every root gets on top of its tree: devices, /proc, private places, network files.

use std::path::{Path, PathBuf};

use hd_sandbox::{Create, MountOp, Place};

use super::pass_through::CA_INSIDE;
use super::{Base, ROOT_STAGED};

/// Joins an absolute path inside to the staged root.
pub fn inside(absolute: &str) -> PathBuf {
    Path::new(ROOT_STAGED).join(absolute.trim_start_matches('/'))
}

/// Gives the mounts that do not depend on what runs.
///
/// `ca` is the host's certificate bundle.
pub fn common(base: &Base, ca: Option<&Path>) -> Vec<MountOp> {
    let mut ops = vec![
        MountOp::Tmpfs {
            at: inside("/tmp"),
            size: None,
            mode: 0o1777,
        },
        MountOp::Tmpfs {
            at: inside("/var/tmp"),
            size: None,
            mode: 0o1777,
        },
        MountOp::Tmpfs {
            at: inside("/run"),
            size: None,
            mode: 0o755,
        },
        MountOp::Proc {
            at: inside("/proc"),
        },
        MountOp::Sys { at: inside("/sys") },
        MountOp::Dev { at: inside("/dev") },
    ];
    if let Some(ca) = ca {
        ops.push(bind(
            Place::Host(ca.to_path_buf()),
            inside(CA_INSIDE),
            true,
            Create::File,
        ));
    }
    if base.is_image() {
        for file in ["/etc/resolv.conf", "/etc/hosts"] {
            if let Ok(real) = std::fs::canonicalize(file) {
                ops.push(bind(Place::Host(real), inside(file), true, Create::Nothing));
            }
        }
    }
    ops
}

/// Shows one thing a second time.
pub fn bind(source: Place, at: PathBuf, read_only: bool, create: Create) -> MountOp {
    MountOp::Bind {
        source,
        at,
        recursive: false,
        read_only,
        create,
    }
}
