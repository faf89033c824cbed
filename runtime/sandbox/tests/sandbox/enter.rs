//! Commands that enter a running sandbox, and terminals.

use crate::runner::Test;
use crate::support::{Running, SOON, launcher, pipe, processes_in, readable, shell};
use hd_sandbox::{
    Command, End, Entered, Event, MountOp, Record, Result, SandboxError, Stdio, Terminal, TtySize,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

pub(crate) const TESTS: &[Test] = &[
    (
        "a_command_enters_with_the_same_rights",
        a_command_enters_with_the_same_rights,
    ),
    (
        "its_exit_code_and_errors_come_back",
        its_exit_code_and_errors_come_back,
    ),
    (
        "it_gets_signals_and_ends_when_dropped",
        it_gets_signals_and_ends_when_dropped,
    ),
    (
        "a_sandbox_is_entered_by_its_record",
        a_sandbox_is_entered_by_its_record,
    ),
    (
        "one_that_is_ending_is_not_an_error",
        one_that_is_ending_is_not_an_error,
    ),
    (
        "a_mount_is_reported_before_the_command_runs",
        a_mount_is_reported_before_the_command_runs,
    ),
    ("it_ends_with_the_sandbox", it_ends_with_the_sandbox),
    (
        "a_terminal_works_and_can_be_resized",
        a_terminal_works_and_can_be_resized,
    ),
    (
        "what_is_given_stays_beside_a_terminal",
        what_is_given_stays_beside_a_terminal,
    ),
    (
        "a_terminal_works_when_entering",
        a_terminal_works_when_entering,
    ),
];

fn idle() -> Running {
    Running::start(&shell("sleep 1000").spec, None).unwrap()
}

fn script(text: &str) -> Command {
    let mut command = Command::new(["sh", "-c", text]);
    command.env = vec![("PATH".into(), "/usr/bin:/bin".into())];
    command
}

fn enter(running: &Running, command: &Command) -> Result<(Entered, std::fs::File)> {
    let (read, write) = pipe();
    let stdio = Stdio {
        stdout: Some(write),
        ..Stdio::default()
    };
    Ok((launcher().enter(&running.sandbox, command, stdio)?, read))
}

fn answer(running: &Running, text: &str) -> (End, String) {
    let (entered, mut out) = enter(running, &script(text)).unwrap();
    let status = entered.wait(Some(SOON)).unwrap().unwrap();
    let mut output = String::new();
    std::io::Read::read_to_string(&mut out, &mut output).unwrap();
    (status.end, output)
}

fn a_command_enters_with_the_same_rights() {
    let running = idle();
    let status =
        "grep -E '^(Cap|NoNew|Seccomp:)' /proc/self/status; cat /proc/sys/kernel/hostname; ls -A /";
    let (_, entered) = answer(&running, status);
    assert_eq!(entered, crate::support::output(status));
    let (_, namespaces) = answer(&running, "cd /proc/2/ns; for n in *; do readlink $n; done");
    let (_, own) = answer(
        &running,
        "cd /proc/self/ns; for n in *; do readlink $n; done",
    );
    assert_eq!(namespaces, own);
    assert_eq!(answer(&running, "unshare -U true").0, End::Code(1));
}

fn its_exit_code_and_errors_come_back() {
    let running = idle();
    assert_eq!(answer(&running, "exit 42").0, End::Code(42));
    assert_eq!(
        answer(&running, "kill -TERM $$").0,
        End::Signal(libc::SIGTERM)
    );
    match enter(&running, &Command::new(["no-such-program"])) {
        Err(SandboxError::Failed(failure)) => assert_eq!(failure.exit_code(), 127),
        other => panic!("{other:?}"),
    }
}

fn it_gets_signals_and_ends_when_dropped() {
    let running = idle();
    let (entered, mut out) = enter(
        &running,
        &script("trap 'exit 5' TERM; echo up; sleep 1000 & wait"),
    )
    .unwrap();
    assert_eq!(crate::support::read_line(&mut out), "up");
    entered.signal(libc::SIGTERM).unwrap();
    assert_eq!(entered.wait(Some(SOON)).unwrap().unwrap().end, End::Code(5));
    let (entered, _out) = enter(&running, &script("exec sleep 1000")).unwrap();
    entered.signal(libc::SIGRTMIN() + 1).unwrap();
    let end = entered.wait(Some(SOON)).unwrap().unwrap().end;
    assert_eq!(end, End::Signal(libc::SIGRTMIN() + 1));
    let namespace = running.sandbox.record().unwrap().pid_namespace;
    let before = processes_in(&namespace).len();
    let (entered, _out) = enter(&running, &script("sleep 1000")).unwrap();
    assert!(processes_in(&namespace).len() > before);
    let workload = entered.workload_pid().unwrap();
    drop(entered);
    assert!(!processes_in(&namespace).contains(&workload.to_string()));
}

fn enter_recorded(record: &Record, text: &str) -> Option<(Entered, std::fs::File)> {
    let (read, write) = pipe();
    let stdio = Stdio {
        stdout: Some(write),
        ..Stdio::default()
    };
    let spec = shell("").spec;
    let rights = (spec.privileges, spec.limits, spec.network);
    let entered = launcher().enter_recorded(record, rights, &[], &script(text), stdio);
    entered.unwrap().map(|entered| (entered, read))
}

fn a_sandbox_is_entered_by_its_record() {
    let running = idle();
    let record = running.sandbox.record().unwrap();
    let inside = |record: &Record| enter_recorded(record, "readlink /proc/self/ns/pid; exit 6");
    let (entered, mut out) = inside(&record).unwrap();
    assert_eq!(crate::support::read_line(&mut out), record.pid_namespace);
    assert_eq!(entered.wait(Some(SOON)).unwrap().unwrap().end, End::Code(6));
    let other = Record {
        start_time: record.start_time + 1,
        ..record.clone()
    };
    assert!(inside(&other).is_none());
    running.sandbox.kill().unwrap();
    running.sandbox.wait(Some(SOON)).unwrap();
    assert!(inside(&record).is_none());
}

fn one_that_is_ending_is_not_an_error() {
    let running = idle();
    let record = running.sandbox.record().unwrap();
    let (entered, _out) = enter(&running, &script("exec sleep 1000")).unwrap();
    // Pid 1 ends after all others, and this one stays a zombie while its parent outside does not look.
    let parent = parent_of(entered.workload_pid().unwrap());
    kill(parent, Signal::SIGSTOP).unwrap();
    running.sandbox.kill().unwrap();
    until(|| std::fs::read_link(format!("/proc/{}/ns/mnt", record.pid)).is_err());
    let found = std::thread::scope(|scope| {
        let late = scope.spawn(|| enter_recorded(&record, "true"));
        // Long enough for it to be refused; it may go on when the sandbox has ended.
        let patience = Instant::now() + Duration::from_millis(300);
        until(|| late.is_finished() || Instant::now() > patience);
        kill(parent, Signal::SIGCONT).unwrap();
        late.join()
    });
    assert!(found.expect("no error").is_none());
    running.sandbox.wait(Some(SOON)).unwrap().unwrap();
}

fn parent_of(pid: u32) -> Pid {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    Pid::from_raw(parent.unwrap().trim().parse().unwrap())
}

fn until(mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !done() {
        assert!(Instant::now() < deadline, "not in time");
        std::thread::yield_now();
    }
}

fn a_mount_is_reported_before_the_command_runs() {
    let mut fixture = shell("test -e /tmp/there");
    let at: std::path::PathBuf = "root/tmp".into();
    fixture.spec.mounts.push(MountOp::Tmpfs {
        at: at.clone(),
        size: None,
        mode: 0o1777,
    });
    let name = "private".to_owned();
    fixture.spec.mounts.push(MountOp::Report { at, name });
    let mut pending = launcher()
        .spawn(&fixture.spec, Stdio::default(), None)
        .unwrap();
    let Event::Mount { name, fd } = pending.next_event(SOON).unwrap() else {
        panic!("no mount was reported")
    };
    assert_eq!(name, "private");
    // Nothing runs before the next event is asked for: this is there in time.
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
    rustix::fs::openat(&fd, "there", flags, Mode::from_raw_mode(0o644)).unwrap();
    drop(fd);
    let sandbox = crate::support::started(pending).unwrap();
    assert!(sandbox.wait(Some(SOON)).unwrap().unwrap().success());
}

fn it_ends_with_the_sandbox() {
    let running = idle();
    let (entered, _out) = enter(&running, &script("sleep 1000")).unwrap();
    running.sandbox.kill().unwrap();
    assert!(readable(entered.as_fd(), SOON));
    assert_eq!(
        entered.wait(Some(SOON)).unwrap().unwrap().end,
        End::Signal(libc::SIGKILL)
    );
}

/// Reads what a terminal shows until its other side is closed.
fn read_all(terminal: &Terminal) -> String {
    let mut text = Vec::new();
    let mut buffer = [0; 256];
    loop {
        assert!(
            readable(terminal, SOON),
            "nothing came after {:?}",
            String::from_utf8_lossy(&text)
        );
        match rustix::io::read(terminal, &mut buffer) {
            Ok(0) | Err(Errno::IO) => return String::from_utf8(text).unwrap(),
            Ok(length) => text.extend(&buffer[..length]),
            Err(error) => panic!("{error}"),
        }
    }
}

fn a_terminal_works_and_can_be_resized() {
    let mut fixture =
        shell("trap 'stty size; exit 0' WINCH; tty; stty size; while :; do read x; done");
    fixture.spec.command.tty = Some(TtySize {
        rows: 11,
        columns: 22,
    });
    fixture.spec.command.uid = 1234;
    let mut pending = launcher()
        .spawn(&fixture.spec, Stdio::default(), None)
        .unwrap();
    let terminal = match pending.next_event(SOON).unwrap() {
        Event::Terminal(terminal) => terminal,
        other => panic!("{other:?}"),
    };
    let sandbox = crate::support::started(pending).unwrap();
    let mut first = String::new();
    let mut byte = [0];
    while first.matches('\n').count() < 2 && readable(&terminal, SOON) {
        rustix::io::read(&terminal, &mut byte).unwrap();
        first.push(byte[0].into());
    }
    assert_eq!(first, "/dev/pts/0\r\n11 22\r\n");
    terminal
        .resize(TtySize {
            rows: 33,
            columns: 44,
        })
        .unwrap();
    rustix::io::write(&terminal, b"\n").unwrap();
    assert!(read_all(&terminal).contains("33 44"));
    assert!(sandbox.wait(Some(SOON)).unwrap().unwrap().success());
}

fn a_terminal_works_when_entering() {
    let running = idle();
    let mut command =
        script("tty; echo to the terminal > /dev/tty; ps -o tty= -p $$ >/dev/null; exit 9");
    command.tty = Some(TtySize {
        rows: 24,
        columns: 80,
    });
    let mut entered = launcher()
        .enter(&running.sandbox, &command, Stdio::default())
        .unwrap();
    let terminal = entered.take_terminal().unwrap();
    assert_eq!(read_all(&terminal), "/dev/pts/0\r\nto the terminal\r\n");
    assert_eq!(entered.wait(Some(SOON)).unwrap().unwrap().end, End::Code(9));
}

fn what_is_given_stays_beside_a_terminal() {
    let running = idle();
    let mut command = script("echo to the terminal; echo to the pipe >&2; echo > /dev/tty");
    command.tty = Some(TtySize {
        rows: 24,
        columns: 80,
    });
    let (mut read, write) = pipe();
    let stdio = Stdio {
        stderr: Some(write),
        ..Stdio::default()
    };
    let mut entered = launcher().enter(&running.sandbox, &command, stdio).unwrap();
    let terminal = entered.take_terminal().unwrap();
    assert_eq!(read_all(&terminal), "to the terminal\r\n\r\n");
    let mut told = String::new();
    std::io::Read::read_to_string(&mut read, &mut told).unwrap();
    assert_eq!(told, "to the pipe\n");
}
