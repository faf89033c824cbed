//! Who has an instance without answering: `hd run`, `hd build` and their like, and who removes volumes, hold its lock
//! and have no socket.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::error::{CliError, exit};
use crate::project::{Located, shown};

/// Gives the error of a verb that another hd is in the way of.
pub(crate) fn busy(located: &Located) -> CliError {
    let message = "another hd is at work in this project, such as `hd run` or `hd build`";
    let hint = match pid(located) {
        Some(pid) => format!("wait until it has ended, or end it: `kill {pid}`"),
        None => "wait until it has ended".to_owned(),
    };
    CliError::new("running", exit::USAGE, message)
        .at(shown(&located.directory))
        .hint(hint)
}

/// Gives the process that has an instance, as far as that is known.
pub(crate) fn pid(located: &Located) -> Option<u32> {
    holder(&located.paths.lock())
}

/// Finds the process that holds a lock; none where the kernel does not tell.
fn holder(lock: &Path) -> Option<u32> {
    let file = std::fs::metadata(lock).ok()?;
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| holder_in(line, &file))
}

/// Reads a line of `/proc/locks` (`proc_locks(5)`) such as `1: FLOCK  ADVISORY  WRITE 7 fe:00:12 0 EOF`. One that
/// waits for a lock has an arrow before the word; one that only looks whether it is free reads.
fn holder_in(line: &str, file: &Metadata) -> Option<u32> {
    let device = file.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let wanted = format!("{major:02x}:{minor:02x}:{}", file.ino());
    let fields: Vec<&str> = line.split_whitespace().collect();
    match fields.as_slice() {
        [_, "FLOCK", _, "WRITE", pid, place, ..] if *place == wanted => pid.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use rustix::fs::{FlockOperation, flock};

    use super::*;

    #[test]
    fn who_holds_a_lock_is_found_and_nobody_else() {
        let place = tempfile::tempdir().unwrap();
        let paths = ["held", "free"].map(|name| place.path().join(name));
        let files = paths.clone().map(|path| File::create(path).unwrap());
        flock(&files[0], FlockOperation::LockExclusive).unwrap();
        assert_eq!(holder(&paths[0]), Some(std::process::id()));
        assert_eq!(holder(&paths[1]), None);
        assert_eq!(holder(&place.path().join("none")), None);
    }

    #[test]
    fn who_waits_for_a_lock_does_not_hold_it() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().metadata().unwrap();
        let device = file.dev();
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let at = format!("{major:02x}:{minor:02x}:{}", file.ino());
        for (start, pid) in [
            ("1: FLOCK  ADVISORY  WRITE 7 ", Some(7)),
            ("1: -> FLOCK  ADVISORY  WRITE 7 ", None),
            ("1: FLOCK  ADVISORY  READ 7 ", None),
            ("1: POSIX  ADVISORY  WRITE 7 ", None),
        ] {
            assert_eq!(holder_in(&format!("{start}{at} 0 EOF"), &file), pid);
            assert_eq!(holder_in(&format!("{start}{at}1 0 EOF"), &file), None);
        }
    }
}
