//! What a killed runtime left: its processes, its mount points, its socket.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use hd_actors::model::instance::InstancePaths;
use hd_actors::model::limits;
use hd_actors::mount_server::journal::Journal;
use rustix::fs::{FlockOperation, flock};
use serde::de::DeserializeOwned;

use crate::client::{self, Client};
use crate::error::{CliError, exit};
use crate::project::Located;

/// How long a running instance may have nobody on its socket: what listens there is being started anew, which
/// takes a while on a busy machine. To say meanwhile that it does not run would be wrong.
const LISTENS_WITHIN: Duration = Duration::from_secs(2);

/// Finds the running instance of a project; where there is none, removes what a killed one left.
pub(crate) fn find(located: &Located) -> Result<Option<Client>, CliError> {
    let socket = located.paths.socket();
    let until = Instant::now() + LISTENS_WITHIN;
    loop {
        if let Some(client) = client::open(&socket)? {
            return Ok(Some(client));
        }
        // Who runs without a socket, such as `hd build`, has removed it or never bound it.
        if !socket.exists() || Instant::now() >= until || !is_held(&located.paths)? {
            break;
        }
        client::pause(Duration::from_millis(5));
    }
    sweep(&located.paths, &located.directory)?;
    Ok(None)
}

/// Tells whether a runtime holds the lock of the instance.
pub(crate) fn is_held(paths: &InstancePaths) -> Result<bool, CliError> {
    let Some(lock) = open_lock(paths)? else {
        return Ok(false);
    };
    match flock(&lock, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
        Err(e) => Err(CliError::io("lock", &paths.lock(), &e.into())),
    }
}

/// Waits until the runtime has ended and all it held is free; asks each time `every` has passed whether to go on,
/// and gives `false` when not.
pub(crate) fn wait_gone(
    paths: &InstancePaths,
    every: Duration,
    mut go_on: impl FnMut() -> bool,
) -> Result<bool, CliError> {
    let Some(lock) = open_lock(paths)? else {
        return Ok(true);
    };
    let (ended, end) = mpsc::channel();
    // The thread may outlive this wait: it holds nothing but the descriptor.
    let waiter = std::thread::Builder::new()
        .name("lock".to_owned())
        .spawn(move || {
            let _ = ended.send(flock(&lock, FlockOperation::LockExclusive));
        });
    let waiter = waiter.map_err(|e| CliError::io("wait for", &paths.lock(), &e))?;
    loop {
        match end.recv_timeout(every) {
            Ok(Ok(())) => {
                // It has said its last word: with it gone this is a process of one thread again.
                let _ = waiter.join();
                return Ok(true);
            }
            Ok(Err(e)) => return Err(CliError::io("lock", &paths.lock(), &e.into())),
            Err(_) if go_on() => {}
            Err(_) => return Ok(false),
        }
    }
}

/// Removes what a runtime that was killed together with its guardian left behind.
///
/// Does nothing while a runtime holds the lock of the instance.
pub(crate) fn sweep(paths: &InstancePaths, project: &Path) -> Result<(), CliError> {
    let journals = [paths.processes(), paths.mount_points(), paths.socket()];
    if !journals.iter().any(|journal| journal.exists()) {
        return Ok(());
    }
    let Some(lock) = open_lock(paths)? else {
        return Ok(());
    };
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(()),
        Err(e) => return Err(CliError::io("lock", &paths.lock(), &e.into())),
    }
    let records: Vec<hd_sandbox::Record> = journal(&paths.processes())?;
    hd_sandbox::reap_recorded(&records).map_err(|e| {
        CliError::new(
            "sandbox",
            exit::INTERNAL,
            format!("a process of the last run is left: {e}"),
        )
        .at(paths.processes().display().to_string())
    })?;
    limits::sweep(paths)
        .map_err(|e| CliError::io("remove the control groups in", &paths.cgroups(), &e))?;
    Journal::new(paths.clone(), project.to_path_buf())
        .clear()
        .map_err(|e| CliError::io("remove the mount points in", project, &e))?;
    for journal in journals {
        match std::fs::remove_file(&journal) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                return Err(CliError::io("remove", &journal, &e));
            }
            _ => {}
        }
    }
    match std::fs::remove_dir_all(paths.services()) {
        Err(e) if e.kind() != ErrorKind::NotFound => {
            Err(CliError::io("remove", &paths.services(), &e))
        }
        _ => Ok(()),
    }
}

fn open_lock(paths: &InstancePaths) -> Result<Option<File>, CliError> {
    let path = paths.lock();
    match OpenOptions::new().read(true).open(&path) {
        Ok(file) => Ok(Some(file)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(CliError::io("open", &path, &e)),
    }
}

/// Reads a journal; one cut short by a power cut says nothing any more, for its boot is over.
fn journal<T: DeserializeOwned + Default>(path: &Path) -> Result<T, CliError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap_or_default()),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(T::default()),
        Err(e) => Err(CliError::io("read", path, &e)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;
    use std::process::{Command, Stdio};

    use super::*;

    struct Killed {
        _place: tempfile::TempDir,
        project: PathBuf,
        paths: InstancePaths,
    }

    fn killed() -> Killed {
        let place = tempfile::tempdir().unwrap();
        let project = place.path().join("project");
        let paths = InstancePaths::new(&place.path().join("home"), &project);
        fs::create_dir_all(paths.dir()).unwrap();
        fs::create_dir_all(paths.services()).unwrap();
        fs::write(paths.service("web"), "{}").unwrap();
        fs::create_dir_all(project.join("a/mine")).unwrap();
        fs::create_dir_all(project.join("b/full")).unwrap();
        fs::write(project.join("b/full/file"), "").unwrap();
        fs::write(paths.lock(), "").unwrap();
        let points = ["a/mine", "b/full", "gone"].map(str::as_bytes);
        fs::write(paths.mount_points(), serde_json::to_vec(&points).unwrap()).unwrap();
        Killed {
            _place: place,
            project,
            paths,
        }
    }

    #[test]
    fn processes_and_empty_mount_points_of_a_killed_runtime_go() {
        let left = killed();
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let record = hd_sandbox::Record::of(child.id()).unwrap();
        fs::write(
            left.paths.processes(),
            serde_json::to_vec(&[record]).unwrap(),
        )
        .unwrap();
        sweep(&left.paths, &left.project).unwrap();
        assert!(!child.wait().unwrap().success());
        assert!(!left.project.join("a/mine").exists());
        assert!(left.project.join("b/full/file").exists());
        assert!(!left.paths.processes().exists() && !left.paths.mount_points().exists());
        assert!(!left.paths.services().exists());
        sweep(&left.paths, &left.project).unwrap();
    }

    #[test]
    fn nothing_is_touched_while_the_lock_is_held() {
        let left = killed();
        let lock = File::open(left.paths.lock()).unwrap();
        flock(&lock, FlockOperation::LockExclusive).unwrap();
        sweep(&left.paths, &left.project).unwrap();
        assert!(left.project.join("a/mine").exists() && left.paths.mount_points().exists());
        let (every, mut asked) = (Duration::from_millis(10), 0);
        let twice = || {
            asked += 1;
            asked < 3
        };
        assert!(!wait_gone(&left.paths, every, twice).unwrap());
        assert_eq!(asked, 3);
        drop(lock);
        assert!(wait_gone(&left.paths, Duration::from_secs(10), || false).unwrap());
    }

    #[test]
    fn a_journal_cut_short_is_no_obstacle() {
        let left = killed();
        fs::write(left.paths.mount_points(), "[[97,").unwrap();
        sweep(&left.paths, &left.project).unwrap();
        assert!(!left.paths.mount_points().exists());
    }
}
