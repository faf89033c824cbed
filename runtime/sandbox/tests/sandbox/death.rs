//! Whatever is killed, nothing of a sandbox stays.

use crate::parent::Parent;
use crate::runner::Test;
use crate::support::{processes_in, readable};
use hd_sandbox::reap_recorded;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

pub(crate) const TESTS: &[Test] = &[
    (
        "pid_1_ends_by_itself_when_hd_is_killed",
        pid_1_ends_by_itself_when_hd_is_killed,
    ),
    (
        "the_guardian_ends_what_hd_leaves",
        the_guardian_ends_what_hd_leaves,
    ),
    (
        "a_killed_guardian_is_replaced",
        a_killed_guardian_is_replaced,
    ),
    (
        "a_stopped_guardian_holds_nobody_up",
        a_stopped_guardian_holds_nobody_up,
    ),
    (
        "the_next_command_ends_what_both_leave",
        the_next_command_ends_what_both_leave,
    ),
    (
        "a_released_guardian_does_nothing",
        a_released_guardian_does_nothing,
    ),
];

const SECOND: Duration = Duration::from_secs(1);

fn pid(number: u32) -> Pid {
    Pid::from_raw(number.cast_signed()).unwrap()
}

fn pidfd(number: u32) -> OwnedFd {
    pidfd_open(pid(number), PidfdFlags::empty()).unwrap()
}

/// The processes of a sandbox, held so that their end can be waited for.
struct Inside {
    namespace: String,
    processes: Vec<OwnedFd>,
}

impl Inside {
    fn of(parent: &Parent) -> Self {
        let namespace = parent.told.record.pid_namespace.clone();
        let numbers = processes_in(&namespace);
        // pid 1, the shell, its child, and an orphan in a session of its own.
        assert_eq!(numbers.len(), 4, "{numbers:?}");
        Self {
            namespace,
            processes: numbers
                .iter()
                .map(|number| pidfd(number.parse().unwrap()))
                .collect(),
        }
    }

    fn assert_gone_within(&self, time: Duration) {
        let start = Instant::now();
        for process in &self.processes {
            assert!(
                readable(process, time.saturating_sub(start.elapsed())),
                "a process lives on"
            );
        }
        assert_eq!(processes_in(&self.namespace), Vec::<String>::new());
        println!("    gone after {:.2?}", start.elapsed());
    }
}

/// Keeps pid 1 from noticing the end of its channel, so that only others can end it.
fn freeze(parent: &Parent) -> OwnedFd {
    let number = parent.told.record.pid;
    kill_process(pid(number), Signal::STOP).unwrap();
    pidfd(number)
}

fn pid_1_ends_by_itself_when_hd_is_killed() {
    let mut parent = Parent::start("alone");
    let inside = Inside::of(&parent);
    parent.kill();
    inside.assert_gone_within(SECOND);
}

fn the_guardian_ends_what_hd_leaves() {
    let mut parent = Parent::start("guardian");
    let inside = Inside::of(&parent);
    let guardian = pidfd(parent.told.guardian.unwrap());
    freeze(&parent);
    parent.kill();
    inside.assert_gone_within(SECOND);
    assert!(readable(&guardian, SECOND), "the guardian lives on");
    assert!(!parent.socket.exists());
}

fn a_killed_guardian_is_replaced() {
    let mut parent = Parent::start("guardian");
    let inside = Inside::of(&parent);
    let first = parent.told.guardian.unwrap();
    kill_process(pid(first), Signal::KILL).unwrap();
    parent.say("await-respawn");
    assert_ne!(parent.told.guardian, Some(first));
    assert!(
        !readable(&inside.processes[0], Duration::ZERO),
        "the death of a guardian ended a sandbox"
    );
    freeze(&parent);
    parent.kill();
    inside.assert_gone_within(SECOND);
    assert!(!parent.socket.exists());
}

fn a_stopped_guardian_holds_nobody_up() {
    let guardian = hd_sandbox::Guardian::start(crate::support::helper()).unwrap();
    let first = guardian.pid();
    kill_process(pid(first), Signal::STOP).unwrap();
    // More messages than the channel holds.
    for _ in 0..2000 {
        guardian.set_paths(Vec::new()).unwrap();
    }
    assert_ne!(guardian.pid(), first);
    assert!(guardian.respawns() > 0);
    guardian.release().unwrap();
}

fn the_next_command_ends_what_both_leave() {
    let mut parent = Parent::start("guardian");
    let inside = Inside::of(&parent);
    let init = freeze(&parent);
    // Stopped first, so that it cannot replace its guardian.
    kill_process(pid(parent.pid()), Signal::STOP).unwrap();
    let guardian = pidfd(parent.told.guardian.unwrap());
    kill_process(pid(parent.told.guardian.unwrap()), Signal::KILL).unwrap();
    assert!(readable(&guardian, SECOND));
    parent.kill();
    assert!(
        !readable(&init, Duration::from_millis(50)),
        "somebody else ended it"
    );
    let record = parent.told.record.clone();
    assert_eq!(reap_recorded(std::slice::from_ref(&record)).unwrap(), 1);
    inside.assert_gone_within(SECOND);
    assert_eq!(reap_recorded(&[record]).unwrap(), 0);
}

fn a_released_guardian_does_nothing() {
    let mut parent = Parent::start("guardian");
    let guardian = pidfd(parent.told.guardian.unwrap());
    parent.say("release");
    assert!(readable(&guardian, SECOND));
    let init = freeze(&parent);
    parent.kill();
    assert!(
        !readable(&init, Duration::from_millis(50)),
        "somebody ended it"
    );
    assert!(parent.socket.exists());
    assert_eq!(
        reap_recorded(std::slice::from_ref(&parent.told.record)).unwrap(),
        1
    );
}
