//! The user namespace in which hd itself works for an ordinary user.
//!
//! There hd is root over the ids it was given: it mounts, reads what a step left whoever wrote it, and removes it
//! again. Outside nothing changes: files, processes and sockets are those of the user.

use crate::error::{Context, Result, SandboxError};
use crate::idmap::{self, IdMap};
use crate::sys::{self, Fork};
use rustix::process::{Pid, WaitOptions, waitpid};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

/// Milliseconds that a thread which has ended may take to be gone.
const LINGERS: u32 = 100;

static ENTERED: OnceLock<Caller> = OnceLock::new();

/// Who started hd, as known outside of the namespace that hd made for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// User id outside; it is 0 inside.
    pub uid: u32,
    /// Group id outside; it is 0 inside.
    pub gid: u32,
    /// The ids there are inside.
    pub map: IdMap,
}

/// Makes this process root of a user namespace of its own where it is not root already; once.
///
/// Must be called before any thread exists. It cannot be undone. Errors: the kernel or the administrator refuses, or
/// `newuidmap` does not do what `/etc/subuid` promises.
pub fn enter() -> Result<()> {
    if ENTERED.get().is_some() {
        return Ok(());
    }
    let Some(map) = idmap::required() else {
        return Ok(());
    };
    let caller = Caller {
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        map,
    };
    unshare(&caller.map)?;
    // It was empty above, and there is one thread.
    let _ = ENTERED.set(caller);
    Ok(())
}

/// Gives who started hd when [`enter`] has made a namespace; nothing when hd was root before.
pub fn entered() -> Option<&'static Caller> {
    ENTERED.get()
}

/// Makes the namespace. Its maps are written by a child that stays outside, as only a process there may give more
/// ids than one.
fn unshare(map: &IdMap) -> Result<()> {
    let pipe = || std::io::pipe().what(|| "make a pipe".into());
    let ((is_made, made), (answer, answers)) = (pipe()?, pipe()?);
    let own = std::process::id();
    match sys::fork().what(|| "fork".into())? {
        Fork::Child => {
            drop((made, answer));
            let code = match write_when_made(is_made, own, map) {
                Ok(()) => 0,
                Err(error) => {
                    // Nobody is left to tell when this fails; the exit code says it as well.
                    let _ = { answers }.write_all(error.to_string().as_bytes());
                    1
                }
            };
            std::process::exit(code);
        }
        Fork::Parent { child } => {
            drop((is_made, answers));
            let unshared = unshare_alone();
            if unshared.is_ok() {
                // A child that is gone shows in its answer.
                let _ = { made }.write_all(&[1]);
            } else {
                drop(made);
            }
            let answered = read_answer(answer, child);
            unshared.map_err(io::Error::from).what(|| {
                "make a user namespace (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, \
                 kernel.apparmor_restrict_unprivileged_userns may forbid it)"
                    .into()
            })?;
            answered
        }
    }
}

/// A thread that was joined may still be on its way out, and the kernel wants none but this (`EINVAL`).
fn unshare_alone() -> nix::Result<()> {
    let mut tries = 0..LINGERS;
    loop {
        let unshared = nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUSER);
        if unshared != Err(nix::errno::Errno::EINVAL) || tries.next().is_none() {
            return unshared;
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

fn write_when_made(mut is_made: impl Read, pid: u32, map: &IdMap) -> Result<()> {
    let mut byte = [0];
    is_made
        .read_exact(&mut byte)
        .what(|| "wait for a user namespace".into())?;
    idmap::write(pid, map)
}

fn read_answer(mut answer: impl Read, child: u32) -> Result<()> {
    let mut message = String::new();
    answer
        .read_to_string(&mut message)
        .what(|| "read the answer of a child".into())?;
    let pid = i32::try_from(child).ok().and_then(Pid::from_raw);
    let status = waitpid(pid, WaitOptions::empty())
        .map_err(io::Error::from)
        .what(|| "wait for a child".into())?;
    let is_done = status.is_some_and(|(_, status)| status.exit_status() == Some(0));
    if is_done {
        return Ok(());
    }
    Err(SandboxError::IdMap { message })
}

/// Tells whether this process is in a user namespace that is not the machine's first.
pub fn is_inside() -> bool {
    let mut text = String::new();
    let read = File::open("/proc/self/uid_map").and_then(|mut file| file.read_to_string(&mut text));
    read.is_ok() && !is_whole(&text)
}

/// Leaves out of some groups those that a process of this namespace cannot be put in: those that it has not, all where
/// it may set none (`user_namespaces(7)`). Whoever made it may have been somebody else.
pub fn retain_groups(groups: &mut Vec<u32>) {
    let read = |file: &str| std::fs::read_to_string(Path::new("/proc/self").join(file));
    let (Ok(setgroups), Ok(map)) = (read("setgroups"), read("gid_map")) else {
        return;
    };
    let may = setgroups.trim() != "deny";
    groups.retain(|gid| may && has(&map, *gid));
}

/// Tells whether a map of ids has one, as it is called inside.
fn has(map: &str, id: u32) -> bool {
    map.lines().any(|line| {
        let mut numbers = line.split_whitespace().map(str::parse::<u32>);
        match (numbers.next(), numbers.next(), numbers.next()) {
            (Some(Ok(inside)), Some(Ok(_)), Some(Ok(count))) => id >= inside && id - inside < count,
            _ => false,
        }
    })
}

/// The first namespace has all ids, each as itself (`user_namespaces(7)`).
fn is_whole(map: &str) -> bool {
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_has_the_ids_of_its_lines() {
        let map = "         0       1000          1\n         5     100000         10\n";
        let found = [0, 1, 4, 5, 14, 15].map(|id| has(map, id));
        assert_eq!(found, [true, false, false, true, true, false]);
        assert!(has("0 0 4294967295\n", 77) && !has("", 0));
        let mut groups = vec![0, 77];
        retain_groups(&mut groups);
        assert_eq!(groups.contains(&77), !is_inside(), "{groups:?}");
    }

    #[test]
    fn only_the_first_namespace_has_all_ids() {
        assert!(is_whole("         0          0 4294967295\n"));
        for map in [
            "",
            "0 1000 1\n",
            "0 1000 1\n1 100000 65536\n",
            "0 0 65536\n",
        ] {
            assert!(!is_whole(map), "{map}");
        }
    }
}
