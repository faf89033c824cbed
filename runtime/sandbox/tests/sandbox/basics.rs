//! Exit codes, stdio, environment, signals, reaping.

use crate::runner::Test;
use crate::support::{
    Running, SOON, launcher, output, pipe, processes_in, readable, run, shell, started,
};
use hd_sandbox::{Command, End, Limits, Network, Stage, Stdio};
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

pub(crate) const TESTS: &[Test] = &[
    (
        "exit_codes_and_signals_are_told",
        exit_codes_and_signals_are_told,
    ),
    (
        "what_cannot_be_executed_has_the_usual_code",
        what_cannot_be_executed_has_the_usual_code,
    ),
    (
        "a_failure_is_told_past_many_descriptors",
        a_failure_is_told_past_many_descriptors,
    ),
    (
        "stdio_and_more_descriptors_arrive",
        stdio_and_more_descriptors_arrive,
    ),
    ("nothing_else_is_inherited", nothing_else_is_inherited),
    (
        "user_groups_umask_and_directory",
        user_groups_umask_and_directory,
    ),
    (
        "the_whole_group_gets_a_signal",
        the_whole_group_gets_a_signal,
    ),
    ("zombies_are_reaped", zombies_are_reaped),
    ("orphans_end_with_the_command", orphans_end_with_the_command),
    ("kill_and_drop_end_everything", kill_and_drop_end_everything),
    (
        "limits_are_lowered_and_never_raised",
        limits_are_lowered_and_never_raised,
    ),
    ("host_name_and_network", host_name_and_network),
];

fn exit_codes_and_signals_are_told() {
    for (script, end, code) in [
        ("exit 0", End::Code(0), 0),
        ("exit 7", End::Code(7), 7),
        ("kill -9 $$", End::Signal(9), 137),
        ("kill -34 $$", End::Signal(34), 162),
    ] {
        let status = run(&shell(script).spec).status;
        assert_eq!((status.end, status.code()), (end, code), "{script}");
        assert!(status.usage.unwrap().max_rss > 0);
    }
}

fn what_cannot_be_executed_has_the_usual_code() {
    let fail = |argv: &[&str], cwd: &str| {
        let mut fixture = shell("");
        fixture.spec.command = Command {
            cwd: cwd.into(),
            ..Command::new(argv.iter().copied())
        };
        let failure = Running::start(&fixture.spec, None)
            .err()
            .expect("it started");
        (failure.stage, failure.exit_code(), failure.message)
    };
    let (stage, code, message) = fail(&["no-such-program"], "/");
    assert_eq!((stage, code), (Stage::Exec, 127));
    assert!(message.contains("no-such-program"), "{message}");
    assert_eq!(fail(&["/no/such"], "/").1, 127);
    assert_eq!(fail(&["/etc/passwd"], "/").1, 126);
    assert_eq!(fail(&[], "/").1, 127);
    assert_eq!(fail(&["true"], "/no/such").1, 126);
    assert_eq!(fail(&["a\0b"], "/").1, 126);
}

fn a_failure_is_told_past_many_descriptors() {
    let mut fixture = shell("");
    fixture.spec.command = Command::new(["no-such-program"]);
    let (ends, extra): (Vec<_>, Vec<_>) = (0..20).map(|_| pipe()).unzip();
    let stdio = Stdio {
        extra,
        ..Stdio::default()
    };
    let failure = started(launcher().spawn(&fixture.spec, stdio, None).unwrap()).unwrap_err();
    assert_eq!(failure.exit_code(), 127, "{failure}");
    for mut end in ends {
        assert_eq!(
            end.read(&mut [0; 8]).unwrap(),
            0,
            "something was written to it"
        );
    }
}

fn stdio_and_more_descriptors_arrive() {
    let mut fixture = shell("");
    let odd = OsString::from_vec(vec![b'<', 0xff, b'>']);
    let script = "cat; printf %s \"$1\"; echo err >&2; cat <&3; echo out > /dev/stdout";
    fixture.spec.command.argv = ["/bin/sh", "-c", script, "sh"].map(OsString::from).to_vec();
    fixture.spec.command.argv.push(odd);
    fixture.spec.command.uid = 1234;
    let ((input, input_end), (extra, extra_end)) = (pipe(), pipe());
    let ((mut stdout, out), (mut stderr, err)) = (pipe(), pipe());
    File::from(input_end).write_all(b"in").unwrap();
    File::from(extra_end).write_all(b"three").unwrap();
    let stdio = Stdio {
        stdin: Some(input.into()),
        stdout: Some(out),
        stderr: Some(err),
        extra: vec![extra.into()],
    };
    let sandbox = started(launcher().spawn(&fixture.spec, stdio, None).unwrap()).unwrap();
    assert!(sandbox.wait(Some(SOON)).unwrap().unwrap().success());
    let (mut got, mut errors) = (Vec::new(), String::new());
    stdout.read_to_end(&mut got).unwrap();
    stderr.read_to_string(&mut errors).unwrap();
    assert_eq!(
        (got.as_slice(), errors.as_str()),
        (&b"in<\xff>threeout\n"[..], "err\n")
    );
}

fn nothing_else_is_inherited() {
    let mut fixture = shell("");
    fixture.spec.command.argv = vec!["/usr/bin/env".into()];
    fixture.spec.command.env = vec![("A".into(), "1 \n2".into()), ("B".into(), "".into())];
    assert_eq!(run(&fixture.spec).stdout, "A=1 \n2\nB=\n");
    // ls itself has the directory open as 3.
    assert_eq!(output("ls -C /proc/self/fd").trim(), "0  1  2  3");
    assert_eq!(output("read line; echo \"[$line]$?\"").trim(), "[]1");
    // No signal is ignored or blocked.
    assert_eq!(
        output("grep -E 'Sig(Blk|Ign):.*[1-9a-f]' /proc/self/status; true"),
        ""
    );
}

fn user_groups_umask_and_directory() {
    let mut fixture = shell("id -u; id -g; id -G; umask; pwd; echo $$");
    let command = &mut fixture.spec.command;
    (command.uid, command.gid, command.groups) = (1234, 1235, vec![1236]);
    (command.umask, command.cwd) = (0o077, "/tmp".into());
    assert_eq!(
        run(&fixture.spec).stdout,
        "1234\n1235\n1235 1236\n0077\n/tmp\n2\n"
    );
}

fn the_whole_group_gets_a_signal() {
    let child =
        "sh -c 'trap \"echo child; exit\" TERM; echo ready; while :; do read x <&3; done' &";
    let fixture = shell(&format!(
        "trap : TERM; {child} wait; wait; echo parent; exit 3"
    ));
    let (mut stdout, out) = pipe();
    let (silent, _keep) = pipe();
    let stdio = Stdio {
        stdout: Some(out),
        extra: vec![silent.into()],
        ..Stdio::default()
    };
    let sandbox = started(launcher().spawn(&fixture.spec, stdio, None).unwrap()).unwrap();
    assert_eq!(crate::support::read_line(&mut stdout), "ready");
    sandbox.signal(libc::SIGTERM).unwrap();
    assert_eq!(sandbox.wait(Some(SOON)).unwrap().unwrap().end, End::Code(3));
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "child\nparent\n");
}

fn zombies_are_reaped() {
    let script = "for i in 1 2 3 4 5; do ( (exit 3) & ) ; done; i=0
        while grep -l 'State:.Z' /proc/[0-9]*/status 2>/dev/null
        do i=$((i+1)); [ $i -gt 500 ] && exit 1; done; true";
    output(script);
}

fn orphans_end_with_the_command() {
    let mut running = Running::start(
        &shell("setsid sleep 1000 & echo $!; read x; true").spec,
        None,
    )
    .unwrap();
    assert_eq!(running.line(), "3");
    let namespace = running.sandbox.record().unwrap().pid_namespace;
    running.sandbox.wait(Some(SOON)).unwrap().unwrap();
    assert_eq!(processes_in(&namespace), Vec::<String>::new());
}

fn kill_and_drop_end_everything() {
    let running = Running::start(&shell("sleep 1000").spec, None).unwrap();
    assert_eq!(
        running
            .sandbox
            .wait(Some(Duration::from_millis(1)))
            .unwrap(),
        None
    );
    running.sandbox.kill().unwrap();
    assert!(readable(running.sandbox.as_fd(), SOON));
    assert_eq!(running.finish().status.end, End::Signal(9));
    let running = Running::start(&shell("setsid sleep 1000 & sleep 1000").spec, None).unwrap();
    let namespace = running.sandbox.record().unwrap().pid_namespace;
    assert!(!processes_in(&namespace).is_empty());
    drop(running);
    assert_eq!(processes_in(&namespace), Vec::<String>::new());
}

fn limits_are_lowered_and_never_raised() {
    let limited = |nofile| {
        let mut fixture = shell("ulimit -Hn; ulimit -Sn; ulimit -Hc");
        fixture.spec.limits = Limits {
            nofile: Some(nofile),
            core: Some(0),
            ..Limits::default()
        };
        run(&fixture.spec).stdout
    };
    assert_eq!(limited(64), "64\n64\n0\n");
    let hard = output("ulimit -Hn");
    assert_eq!(limited(u64::MAX), format!("{hard}{hard}0\n"));
}

fn host_name_and_network() {
    let mut fixture = shell(
        "cat /proc/sys/kernel/hostname; grep -c : /proc/net/dev; grep -c 127.0.0.1 /proc/net/fib_trie",
    );
    fixture.spec.network = Network::None;
    let finished = run(&fixture.spec);
    let lines: Vec<_> = finished.stdout.lines().collect();
    assert_eq!(lines[..2], ["sandboxed", "1"], "{finished:?}");
    assert_ne!(lines[2], "0");
    let host = std::fs::read_to_string("/proc/net/dev").unwrap();
    assert_eq!(
        output("cut -d: -f1 /proc/net/dev").lines().count(),
        host.lines().count()
    );
}
