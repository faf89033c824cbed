//! Files of processes that died while they wrote them.

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, test_kill_process};

use crate::durable::{TEMPORARY_PREFIX, names_in, remove_if_there};
use crate::{Result, Store};

/// Longer than any write of one file takes, if its process cannot be asked.
const SURELY_DEAD: Duration = Duration::from_secs(24 * 3600);
/// Longer than it takes to lock a file after making it, or to write on in one.
const SURELY_LOCKED: Duration = Duration::from_secs(60);

/// Removes what nobody is writing any more; others may be at work.
pub(super) fn sweep(store: &Store) -> Result<()> {
    let objects = store.inner.shelf.objects();
    let mut dirs = vec![
        store.inner.cas.clone(),
        store.refs_dir(),
        store.leases_dir(),
        store.inner.cas.join("lock"),
        store.inner.cas.join("scan"),
    ];
    dirs.extend(
        names_in(objects)?
            .into_iter()
            .map(|name| objects.join(name)),
    );
    for dir in dirs.iter().filter(|dir| dir.is_dir()) {
        for name in names_in(dir)? {
            if is_left_over(dir, &name) {
                remove_if_there(&dir.join(name))?;
            }
        }
    }
    Ok(())
}

fn is_left_over(dir: &Path, name: &OsStr) -> bool {
    let path = dir.join(name);
    let text = name.to_string_lossy();
    if let Some(rest) = text.strip_prefix(TEMPORARY_PREFIX) {
        let pid = rest.split('-').next().and_then(|pid| pid.parse().ok());
        // A process that is not seen here may live in another pid namespace, such as a container's.
        let is_dead = !pid.is_some_and(is_alive) && is_older(&path, SURELY_LOCKED);
        return is_dead || is_older(&path, SURELY_DEAD);
    }
    match path.extension().and_then(OsStr::to_str) {
        // A segment that never got its name.
        Some("new") => is_older(&path, SURELY_LOCKED) && is_free(&path),
        // An index that was written while its segment was removed.
        Some("idx") => !path.with_extension("seg").exists(),
        _ => false,
    }
}

fn is_alive(pid: i32) -> bool {
    // Not being allowed to ask means that it is there.
    Pid::from_raw(pid)
        .is_some_and(|pid| !matches!(test_kill_process(pid), Err(rustix::io::Errno::SRCH)))
}

fn is_older(path: &Path, age: Duration) -> bool {
    let modified = path.symlink_metadata().and_then(|meta| meta.modified());
    modified.is_ok_and(|at| {
        SystemTime::now()
            .duration_since(at)
            .is_ok_and(|since| since > age)
    })
}

fn is_free(path: &Path) -> bool {
    File::open(path)
        .is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok())
}
