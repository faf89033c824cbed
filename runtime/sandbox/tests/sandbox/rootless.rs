//! An ordinary user: everything in a user namespace with a single id.

use crate::parent::FLAG;
use crate::runner::Test;
use crate::support::{SOON, launcher, output_of, readable, started};
use hd_sandbox::{Command, Event, Launcher, MountOp, Place, Stdio, idmap};
use std::path::Path;
use std::process::Command as HostCommand;

pub(crate) const TESTS: &[Test] = &[(
    "an_ordinary_user_needs_no_root",
    an_ordinary_user_needs_no_root,
)];

const NOBODY: u32 = 65534;

/// Runs [`as_ordinary_user`] as such a user, in a mount namespace where `/dev/fuse` is open to all as on most machines.
fn an_ordinary_user_needs_no_root() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path();
    rustix::fs::chown(place, Some(rustix::fs::Uid::from_raw(NOBODY)), None).unwrap();
    let script = format!(
        "mkdir {place}/fuse && mount -t tmpfs none {place}/fuse && mknod -m 666 {place}/fuse/fuse c 10 229 \
         && mount --bind {place}/fuse/fuse /dev/fuse && exec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups \
         {exe} {FLAG} rootless",
        place = place.display(),
        exe = std::env::current_exe().unwrap().display(),
    );
    let ran = HostCommand::new("unshare")
        .args(["--mount", "sh", "-c", &script])
        .env("TMPDIR", place)
        .output()
        .unwrap();
    assert!(
        ran.status.success(),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    print!("{}", String::from_utf8_lossy(&ran.stdout));
}

/// The checks, run by a process without any right.
pub(crate) fn as_ordinary_user() {
    let map = idmap::required().expect("this should be an ordinary user");
    let launcher = launcher();
    runs_in_a_user_namespace(launcher);
    if map.has_ranges() {
        several_users_with_ranges(launcher);
    } else {
        println!("    several users: SKIPPED, as newuidmap or the entry in /etc/subuid is missing");
    }
    overlay_in_a_user_namespace(launcher);
    fuse_in_a_user_namespace(launcher);
    shares_a_mount_namespace(launcher);
    let directory = tempfile::tempdir().unwrap();
    let probe = hd_sandbox::probe(crate::support::helper(), directory.path()).unwrap();
    assert!(!probe.root);
    assert_eq!(
        (probe.fuse, probe.overlay, probe.user_namespaces),
        (Ok(()), Ok(()), Ok(()))
    );
    println!("    as user {NOBODY}: sandbox, enter, overlay, FUSE, shared mount namespace, probe");
}

fn shell(script: &str) -> crate::support::Fixture {
    let mut fixture = crate::support::shell(script);
    fixture.spec.user_namespace = idmap::required();
    fixture
}

fn runs_in_a_user_namespace(launcher: &Launcher) {
    let fixture = shell(
        "id -u; id -g; grep CapEff /proc/self/status; touch /tmp/x && stat -c %u /tmp/x; sleep 1000",
    );
    let (mut stdout, out) = crate::support::pipe();
    let stdio = Stdio {
        stdout: Some(out),
        ..Stdio::default()
    };
    let sandbox = started(launcher.spawn(&fixture.spec, stdio, None).unwrap()).unwrap();
    let lines: Vec<_> = (0..4)
        .map(|_| crate::support::read_line(&mut stdout))
        .collect();
    assert_eq!(lines, ["0", "0", "CapEff:\t00000000a00405fb", "0"]);
    let entered = launcher
        .enter(
            &sandbox,
            &Command::new(["/bin/sh", "-c", "exit 6"]),
            Stdio::default(),
        )
        .unwrap();
    assert_eq!(entered.wait(Some(SOON)).unwrap().unwrap().code(), 6);
    sandbox.kill().unwrap();
    assert_eq!(sandbox.wait(Some(SOON)).unwrap().unwrap().code(), 137);
}

fn several_users_with_ranges(launcher: &Launcher) {
    let mut fixture = shell("touch /tmp/x; chown 100:200 /tmp/x; stat -c %u:%g /tmp/x");
    assert_eq!(output_of(launcher, &fixture.spec, None), "100:200\n");
    fixture = shell("id -u; id -G; grep CapEff /proc/self/status");
    (fixture.spec.command.uid, fixture.spec.command.groups) = (1000, vec![7]);
    let output = output_of(launcher, &fixture.spec, None);
    assert_eq!(output, "1000\n0 7\nCapEff:\t0000000000000000\n");
    println!("    several users by newuidmap");
}

fn overlay(at: &str) -> MountOp {
    MountOp::Overlay {
        at: at.into(),
        lower: vec![Place::Stage("lower".into())],
        data: Vec::new(),
        upper: Place::Stage("up/upper".into()),
        work: Place::Stage("up/work".into()),
        volatile: false,
        report: None,
    }
}

fn overlay_in_a_user_namespace(launcher: &Launcher) {
    let mut fixture = shell("cat /view/old; rm /view/old; echo new > /view/new; ls /view");
    let old = MountOp::WriteFile {
        at: "lower/old".into(),
        bytes: b"old ".into(),
        mode: 0o644,
    };
    let up = MountOp::Tmpfs {
        at: "up".into(),
        size: None,
        mode: 0o755,
    };
    fixture.spec.mounts.extend([old, up, overlay("root/view")]);
    assert_eq!(output_of(launcher, &fixture.spec, None), "old new\n");
}

fn fuse_in_a_user_namespace(launcher: &Launcher) {
    let mut fixture = shell("true");
    let fuse = MountOp::Fuse {
        at: "lower".into(),
        name: "tree".into(),
        read_only: true,
    };
    let up = MountOp::Tmpfs {
        at: "up".into(),
        size: None,
        mode: 0o755,
    };
    fixture.spec.mounts = vec![up, fuse, overlay("merged")];
    let mut pending = launcher
        .spawn(&fixture.spec, Stdio::default(), None)
        .unwrap();
    match pending.next_event(SOON).unwrap() {
        Event::Fuse { fd, .. } => assert!(readable(&fd, SOON)),
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        pending.next_event(SOON).unwrap(),
        Event::Failed(_)
    ));
}

fn shares_a_mount_namespace(launcher: &Launcher) {
    let mut fixture = shell("cat /view/file; id -u");
    let stage = fixture.directory.path().join("instance");
    std::fs::create_dir(&stage).unwrap();
    let namespace = launcher
        .mount_namespace(&stage, idmap::required().as_ref())
        .unwrap();
    let file = MountOp::WriteFile {
        at: "view/file".into(),
        bytes: b"shared\n".into(),
        mode: 0o644,
    };
    let done = launcher
        .run_in(&namespace, Path::new("root"), &[file])
        .unwrap()
        .next_event(SOON)
        .unwrap();
    assert!(matches!(done, Event::Done), "{done:?}");
    fixture.spec.mounts.push(crate::support::bind(
        stage.join("view").to_str().unwrap(),
        "root/view",
    ));
    assert_eq!(
        output_of(launcher, &fixture.spec, Some(&namespace)),
        "shared\n0\n"
    );
}
