//! What an instance left behind: processes and mounts that know a directory of the test.
//!
//! A sandboxed process has another root and an environment built from nothing, so its command line
//! need not name the test. Its mount table does: the binds and overlays in it come from there.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::poll::within;

/// A process that has to do with a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// Its command line, or its name in brackets.
    pub command: String,
    /// What gave it away.
    pub because: &'static str,
}

/// All living processes but this one that mention `mark` (a path of the test, unique to it).
pub fn processes(mark: &Path) -> Vec<Process> {
    let mark = mark
        .to_str()
        .expect("test directories have plain names")
        .as_bytes();
    living(|proc| mentions(proc, mark))
}

/// All living processes with exactly this command line.
pub fn command_is(line: &str) -> Vec<Process> {
    living(|proc| (command(proc) == line).then_some("command line"))
}

/// All living children of a process with this word in their command line.
pub fn children(parent: i32, word: &str) -> Vec<Process> {
    living(|proc| {
        let is_it = parent_of(proc) == Some(parent) && command(proc).contains(word);
        is_it.then_some("parent and command line")
    })
}

fn living(mut wanted: impl FnMut(&Path) -> Option<&'static str>) -> Vec<Process> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("list /proc").flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let proc = entry.path();
        if pid == std::process::id() as i32 || is_zombie(&proc) {
            continue;
        }
        if let Some(because) = wanted(&proc) {
            found.push(Process {
                pid,
                command: command(&proc),
                because,
            });
        }
    }
    found
}

/// The lines of this namespace's mount table that mention `mark`.
pub fn mounts(mark: &Path) -> Vec<String> {
    let mark = mark.to_str().expect("test directories have plain names");
    let table = fs::read_to_string("/proc/self/mountinfo").expect("read the mount table");
    table
        .lines()
        .filter(|line| line.contains(mark))
        .map(str::to_owned)
        .collect()
}

/// Fails the test unless all processes and mounts of `mark` are gone within `deadline`.
#[track_caller]
pub fn expect_none(mark: &Path, deadline: Duration) {
    let gone = within(deadline, || {
        (processes(mark).is_empty() && mounts(mark).is_empty()).then_some(())
    });
    if gone.is_none() {
        panic!(
            "left behind after {deadline:?}:\n{:#?}\n{:#?}",
            processes(mark),
            mounts(mark)
        );
    }
}

/// Kills and detaches whatever is left: so that a failed test disturbs no other.
pub fn sweep(mark: &Path) {
    for process in processes(mark) {
        kill(process.pid);
    }
    for line in mounts(mark).iter().rev() {
        if let Some(target) = line.split(' ').nth(4) {
            // Gone already, or not ours to detach: both end the matter here.
            let _ = rustix::mount::unmount(target, rustix::mount::UnmountFlags::DETACH);
        }
    }
}

/// Sends SIGKILL; a process that is gone is fine.
pub fn kill(pid: i32) {
    signal(pid, rustix::process::Signal::KILL);
}

/// Sends a signal; a process that is gone is fine.
pub fn signal(pid: i32, signal: rustix::process::Signal) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Whether a process lives (a zombie does not).
pub fn alive(pid: i32) -> bool {
    let proc = Path::new("/proc").join(pid.to_string());
    proc.exists() && !is_zombie(&proc)
}

fn mentions(proc: &Path, mark: &[u8]) -> Option<&'static str> {
    let in_file = |name: &str| fs::read(proc.join(name)).is_ok_and(|bytes| contains(&bytes, mark));
    let in_link = |name: &str| {
        fs::read_link(proc.join(name))
            .is_ok_and(|to| contains(to.as_os_str().as_encoded_bytes(), mark))
    };
    if in_file("cmdline") {
        Some("command line")
    } else if in_file("environ") {
        Some("environment")
    } else if in_link("cwd") || in_link("root") || in_link("exe") {
        Some("cwd, root or exe")
    } else if is_private(proc) && in_file("mountinfo") {
        Some("mounts")
    } else {
        None
    }
}

/// Whether its mount namespace is not ours: else each process of the machine shares our table. One
/// that still has our root has just begun, and a copy of our table: it says nothing of the process,
/// which may be another test's sandbox while a disk of this one is mounted.
fn is_private(proc: &Path) -> bool {
    let theirs = fs::read_link(proc.join("ns/mnt"));
    let ours = fs::read_link("/proc/self/ns/mnt");
    matches!((theirs, ours), (Ok(theirs), Ok(ours)) if theirs != ours)
        && root_of(proc) != root_of(Path::new("/proc/self"))
}

/// The device and the directory on it that a process has as its root.
fn root_of(proc: &Path) -> Option<(String, String)> {
    let table = fs::read_to_string(proc.join("mountinfo")).ok()?;
    let fields = table
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>());
    let root = fields.rev().find(|fields| fields.get(4) == Some(&"/"))?;
    Some((root.get(2)?.to_string(), root.get(3)?.to_string()))
}

fn is_zombie(proc: &Path) -> bool {
    stat(proc).is_none_or(|stat| stat.starts_with(['Z', 'X']))
}

fn parent_of(proc: &Path) -> Option<i32> {
    stat(proc)?.split(' ').nth(1)?.parse().ok()
}

/// The fields of `stat` from the state on: the name before it, in brackets, may hold anything.
fn stat(proc: &Path) -> Option<String> {
    let stat = fs::read_to_string(proc.join("stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    Some(rest.trim_start().to_owned())
}

fn command(proc: &Path) -> String {
    let line = fs::read(proc.join("cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&line).replace('\0', " ");
    if line.trim().is_empty() {
        format!(
            "[{}]",
            fs::read_to_string(proc.join("comm"))
                .unwrap_or_default()
                .trim()
        )
    } else {
        line.trim().to_owned()
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_process_that_lives_in_a_directory_is_found_until_it_ends() {
        let place = tempfile::tempdir().expect("a directory");
        let mut child = Command::new("sleep")
            .arg("100")
            .current_dir(place.path())
            .spawn()
            .expect("sleep");
        let pid = i32::try_from(child.id()).expect("a pid");
        let found = within(crate::SHORT, || processes(place.path()).pop()).expect("found");
        assert_eq!((found.pid, found.because), (pid, "cwd, root or exe"));
        let own = i32::try_from(std::process::id()).expect("a pid");
        assert!(
            children(own, "sleep 100")
                .iter()
                .any(|child| child.pid == pid)
        );
        sweep(place.path());
        child.wait().expect("reaped");
        assert!(!alive(pid));
        expect_none(place.path(), crate::SHORT);
    }
}
