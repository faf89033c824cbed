//! What a process inside cannot do and cannot see.

use crate::runner::Test;
use crate::support::{Finished, Running, output, run, shell};
use hd_sandbox::{Capabilities, Network, Privileges};

pub(crate) const TESTS: &[Test] = &[
    (
        "capabilities_are_those_of_docker",
        capabilities_are_those_of_docker,
    ),
    (
        "namespaces_and_mounts_are_refused",
        namespaces_and_mounts_are_refused,
    ),
    (
        "threads_and_forks_work_under_the_filter",
        threads_and_forks_work_under_the_filter,
    ),
    (
        "only_its_own_processes_are_seen",
        only_its_own_processes_are_seen,
    ),
    ("pid_1_cannot_be_looked_into", pid_1_cannot_be_looked_into),
    (
        "the_machine_cannot_be_changed",
        the_machine_cannot_be_changed,
    ),
    ("mounts_are_nosuid_and_nodev", mounts_are_nosuid_and_nodev),
    ("the_host_sees_no_mount", the_host_sees_no_mount),
    (
        "nothing_of_the_old_root_is_left",
        nothing_of_the_old_root_is_left,
    ),
];

/// chown, dac_override, fowner, fsetid, kill, setgid, setuid, setpcap, net_bind_service, sys_chroot, audit_write,
/// setfcap.
const DOCKER: u64 = 0b1010_0000_0000_0100_0000_0101_1111_1011 & !(1 << 13);

fn capabilities(status: &Finished) -> Vec<(String, u64)> {
    let caps = status
        .stdout
        .lines()
        .filter_map(|line| line.strip_prefix("Cap")?.split_once(":\t"));
    caps.map(|(name, value)| (name.to_owned(), u64::from_str_radix(value, 16).unwrap()))
        .collect()
}

fn capabilities_are_those_of_docker() {
    let with = |uid, network, capabilities: Capabilities| {
        let mut fixture = shell("cat /proc/self/status");
        fixture.spec.command.uid = uid;
        fixture.spec.network = network;
        fixture.spec.privileges = Privileges {
            capabilities,
            ..Privileges::default()
        };
        run(&fixture.spec)
    };
    let expect = |status: &Finished, set: u64, bounding: u64| {
        let expected = [
            ("Inh", 0),
            ("Prm", set),
            ("Eff", set),
            ("Bnd", bounding),
            ("Amb", 0),
        ];
        assert_eq!(
            capabilities(status),
            expected.map(|(name, value)| (name.to_owned(), value)),
            "{status:?}"
        );
        assert!(
            status.stdout.contains("NoNewPrivs:\t1") && status.stdout.contains("Seccomp:\t2"),
            "{status:?}"
        );
    };
    expect(
        &with(0, Network::Host, Capabilities::DockerDefault),
        DOCKER,
        DOCKER,
    );
    expect(
        &with(0, Network::None, Capabilities::DockerDefault),
        DOCKER | 1 << 13,
        DOCKER | 1 << 13,
    );
    expect(
        &with(1000, Network::Host, Capabilities::DockerDefault),
        0,
        DOCKER,
    );
    expect(&with(0, Network::Host, Capabilities::None), 0, 0);
}

fn namespaces_and_mounts_are_refused() {
    // Refused by the filter, not for want of a capability: a new user namespace needs none.
    for script in [
        "unshare --user true",
        "unshare --mount true",
        "mount -t tmpfs none /tmp",
        "umount /proc",
        "chroot --version > /dev/null; nsenter --target 1 --mount true",
        "mknod /tmp/device c 1 3",
    ] {
        let finished = run(&shell(script).spec);
        assert!(!finished.status.success(), "{script}: {finished:?}");
        let refused = ["ermitted", "denied", "must be superuser"]
            .iter()
            .any(|word| finished.stderr.contains(word));
        assert!(refused, "{script}: {finished:?}");
    }
}

fn threads_and_forks_work_under_the_filter() {
    // sort starts threads for a large input, by clone3 where the filter lets it.
    let script =
        "seq 1 200000 | sort --parallel=4 --buffer-size=64M -n -r | head -n 1 2>&1; (echo nested)";
    let finished = run(&shell(script).spec);
    assert_eq!(finished.stdout, "200000\nnested\n", "{finished:?}");
}

fn only_its_own_processes_are_seen() {
    assert_eq!(output("echo /proc/[0-9]*"), "/proc/1 /proc/2\n");
    assert_eq!(output("kill -9 1 && kill -0 1 && echo alive"), "alive\n");
}

fn pid_1_cannot_be_looked_into() {
    for script in [
        "readlink /proc/1/exe",
        "cat /proc/1/environ",
        "readlink /proc/1/fd/3",
        "readlink /proc/1/root",
    ] {
        let finished = run(&shell(script).spec);
        assert!(
            !finished.status.success() && finished.stdout.is_empty(),
            "{script}: {finished:?}"
        );
    }
}

fn the_machine_cannot_be_changed() {
    for script in [
        "echo x > /proc/sys/kernel/hostname",
        "echo b > /proc/sysrq-trigger",
        "touch /sys/x",
        "touch /usr/x",
        "hostname changed",
        "date -s 12:00",
        "dmesg",
    ] {
        let finished = run(&shell(&format!("exec 2>&1; {script}")).spec);
        assert!(!finished.status.success(), "{script}: {finished:?}");
    }
    assert_eq!(
        output("cat /proc/kcore /proc/timer_list /proc/keys 2>/dev/null; ls /sys/firmware"),
        ""
    );
}

fn mounts_are_nosuid_and_nodev() {
    let table = output("cat /proc/self/mountinfo");
    let devices = ["null", "zero", "full", "random", "urandom", "tty", "pts"]
        .map(|name| format!("/dev/{name}"));
    for line in table.lines() {
        let fields: Vec<_> = line.split(' ').collect();
        let (at, options) = (fields[4], fields[5]);
        assert!(
            options.split(',').any(|option| option == "nosuid"),
            "{line}"
        );
        // The cover of a hidden file is the null device itself.
        let is_device = devices.iter().any(|device| device == at) || fields[3] == "/null";
        assert!(
            is_device || options.split(',').any(|option| option == "nodev"),
            "{line}"
        );
    }
    assert!(table.lines().count() > 15, "{table}");
}

fn the_host_sees_no_mount() {
    let table = || std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let before = table();
    let mut running =
        Running::start(&shell("echo up; read x < /dev/tty; sleep 100").spec, None).unwrap();
    assert_eq!(running.line(), "up");
    assert_eq!(table(), before);
    drop(running);
    assert_eq!(table(), before);
}

fn nothing_of_the_old_root_is_left() {
    assert_eq!(
        output("ls -A /"),
        "bin\ndev\netc\nlib\nlib64\nproc\nsbin\nsys\ntmp\nusr\n"
    );
    assert_eq!(
        output("cd /; cd ../../..; pwd; ls -d home root work 2>/dev/null; true"),
        "/\n"
    );
    let fixture = shell("grep -c . /proc/self/mountinfo; grep stage /proc/self/mountinfo; true");
    let finished = run(&fixture.spec);
    assert_eq!(finished.stdout.lines().count(), 1, "{finished:?}");
    // The stage was a mount of the sandbox: the directory itself stayed empty.
    assert_eq!(
        std::fs::read_dir(fixture.directory.path().join("stage"))
            .unwrap()
            .count(),
        0
    );
}
