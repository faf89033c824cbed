//! Stopping all processes of services for a moment, so that what they write holds still.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long stopping may take; what does not stop by then goes on, as Docker's pause has it too.
const STOP_WITHIN: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// Processes that are stopped; they go on when this is dropped.
#[derive(Debug)]
pub struct Frozen(BTreeSet<i32>);

impl Frozen {
    /// Stops every process in the pid namespaces of these, but for pid 1 of each, which is hd's own, and for
    /// those that are stopped already. Blocks until they are.
    pub fn new(services: &[u32]) -> Self {
        let mut frozen = Self(BTreeSet::new());
        let spaces: BTreeSet<PathBuf> = services.iter().filter_map(|pid| space(*pid)).collect();
        if spaces.is_empty() {
            return frozen;
        }
        let until = Instant::now() + STOP_WITHIN;
        // A process may have begun another one just before it stopped.
        while frozen.stop(&spaces) && Instant::now() < until {
            std::thread::park_timeout(LOOK_EVERY);
        }
        frozen
    }

    /// Stops what still runs; tells whether there was something.
    fn stop(&mut self, spaces: &BTreeSet<PathBuf>) -> bool {
        let mut ran = false;
        for pid in processes() {
            let is_meant = space(pid).is_some_and(|space| spaces.contains(&space));
            if !is_meant || is_first(pid) || is_stopped(pid) {
                continue;
            }
            ran = true;
            let Ok(number) = i32::try_from(pid) else {
                continue;
            };
            if self.0.insert(number) {
                send(number, Signal::STOP);
            }
        }
        ran
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        for pid in &self.0 {
            send(*pid, Signal::CONT);
        }
    }
}

/// One that is gone needs no signal; its number is not given away again this soon (`pid_max`).
fn send(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _gone = kill_process(pid, signal);
    }
}

fn processes() -> Vec<u32> {
    let Ok(listing) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let names = listing.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| name.parse().ok()).collect()
}

fn space(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/pid")).ok()
}

/// Tells whether it is pid 1 of its own namespace (proc_pid_status(5): `NSpid`).
fn is_first(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let own = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    own.and_then(|numbers| numbers.split_whitespace().last()) == Some("1")
}

/// Tells whether it is stopped, or has ended but for its parent (proc_pid_stat(5)).
fn is_stopped(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(')').map(|(_, rest)| rest.trim_start());
    state.is_none_or(|state| state.starts_with(['T', 't', 'Z', 'X']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_this_process_is_stopped_without_a_service() {
        let frozen = Frozen::new(&[]);
        assert!(frozen.0.is_empty());
        assert!(!is_stopped(std::process::id()));
        assert!(processes().contains(&std::process::id()));
    }
}
