//! What a later hd needs to find and kill a sandbox whose hd and guardian were both killed.

use crate::error::{Context, Result};
use crate::process::{kill, open_pidfd};
use crate::wire::wait_readable;
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// Names one process for good: a process id alone is used again, together with the rest it is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Process id of pid 1 of the sandbox, as seen by hd.
    pub pid: u32,
    /// Its start in clock ticks after boot (`proc_pid_stat(5)`, field 22).
    pub start_time: u64,
    /// Its pid namespace, as `/proc/PID/ns/pid` says it.
    pub pid_namespace: String,
    /// The boot in which it ran.
    pub boot_id: String,
}

impl Record {
    /// Reads the record of a process.
    pub fn of(pid: u32) -> Result<Self> {
        Self::look(pid)
            .map(|(record, _)| record)
            .what(|| format!("read what identifies process {pid}"))
    }

    /// Opens the process, if it still runs and is exactly this one.
    pub(crate) fn open(&self) -> Option<OwnedFd> {
        // The pidfd comes first: what is read after it is read of that process or fails.
        let pidfd = open_pidfd(self.pid).ok()?;
        match Self::look(self.pid) {
            Ok((found, true)) if found == *self => Some(pidfd),
            _ => None,
        }
    }

    /// Waits until the process has ended, up to some time; tells whether it has.
    ///
    /// Of pid 1 of a sandbox that is the end of all in it. Errors: it could not be waited for.
    pub fn ends_within(&self, time: Duration) -> Result<bool> {
        let Some(pidfd) = self.open() else {
            return Ok(true);
        };
        let deadline = Instant::now() + time;
        wait_readable(pidfd.as_fd(), Some(deadline))
            .what(|| format!("wait for process {}", self.pid))
    }

    /// Reads the record and whether the process still runs: one that has ended keeps its entry until it is collected.
    fn look(pid: u32) -> io::Result<(Self, bool)> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let (start_time, running) = start_time(&stat).ok_or(io::ErrorKind::InvalidData)?;
        let namespace = std::fs::read_link(format!("/proc/{pid}/ns/pid"))?;
        let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        let record = Self {
            pid,
            start_time,
            pid_namespace: namespace.to_string_lossy().into_owned(),
            boot_id: boot_id.trim().to_owned(),
        };
        Ok((record, running))
    }
}

/// Reads the start of a process and whether it still runs. The name in parentheses may hold anything, so fields are
/// counted from its end.
fn start_time(stat: &str) -> Option<(u64, bool)> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    Some((fields.nth(18)?.parse().ok()?, state != "Z" && state != "X"))
}

/// Kills what the records name and nothing else; answers how many were found alive.
///
/// Waits up to a second for each to be gone. Errors: a process could not be killed.
pub fn reap_recorded(records: &[Record]) -> Result<usize> {
    let mut found = 0;
    for record in records {
        let Some(pidfd) = record.open() else {
            continue;
        };
        kill(pidfd.as_fd()).what(|| format!("kill process {}", record.pid))?;
        found += 1;
        let deadline = Instant::now() + Duration::from_secs(1);
        let gone = wait_readable(pidfd.as_fd(), Some(deadline));
        gone.what(|| format!("wait for process {}", record.pid))?;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_time_is_found_behind_any_name() {
        let numbers = (4..=23)
            .map(|n| n.to_string())
            .collect::<Vec<_>>()
            .join(" ");
        assert_eq!(
            start_time(&format!("7 (a b) c) S {numbers}")),
            Some((22, true))
        );
        assert_eq!(
            start_time(&format!("7 (a b) c) Z {numbers}")),
            Some((22, false))
        );
        assert_eq!(start_time("7 (short) S 1"), None);
        assert_eq!(start_time(""), None);
    }

    #[test]
    fn only_an_exact_match_is_killed() {
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let right = Record::of(child.id()).unwrap();
        let others = [
            Record {
                start_time: right.start_time + 1,
                ..right.clone()
            },
            Record {
                pid_namespace: "pid:[1]".into(),
                ..right.clone()
            },
            Record {
                boot_id: "another".into(),
                ..right.clone()
            },
            Record {
                pid: u32::MAX,
                ..right.clone()
            },
        ];
        assert_eq!(reap_recorded(&others).unwrap(), 0);
        assert_eq!(child.try_wait().unwrap(), None);
        assert!(!right.ends_within(Duration::ZERO).unwrap());
        assert_eq!(reap_recorded(std::slice::from_ref(&right)).unwrap(), 1);
        assert!(right.ends_within(Duration::from_secs(60)).unwrap());
        assert!(!child.wait().unwrap().success());
        assert!(right.ends_within(Duration::ZERO).unwrap());
    }
}
