//! Views: overlay, binds, FUSE, links that lead astray, shared mount namespaces.

use crate::runner::Test;
use crate::support::{Running, SOON, bind, launcher, run, shell, started};
use hd_sandbox::{Create, Event, Failure, MountNamespace, MountOp, Place, Stdio};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, openat, statat};
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::Path;

pub(crate) const TESTS: &[Test] = &[
    ("an_overlay_takes_the_writes", an_overlay_takes_the_writes),
    (
        "a_link_cannot_lead_a_mount_astray",
        a_link_cannot_lead_a_mount_astray,
    ),
    (
        "a_bind_target_follows_links_inside",
        a_bind_target_follows_links_inside,
    ),
    (
        "a_source_beneath_a_directory_stays_there",
        a_source_beneath_a_directory_stays_there,
    ),
    (
        "read_only_holds_for_mounts_below",
        read_only_holds_for_mounts_below,
    ),
    (
        "a_fuse_connection_is_held_by_hd_alone",
        a_fuse_connection_is_held_by_hd_alone,
    ),
    (
        "files_links_and_owners_are_made",
        files_links_and_owners_are_made,
    ),
    ("a_mount_namespace_is_shared", a_mount_namespace_is_shared),
    (
        "the_probe_finds_what_works_here",
        the_probe_finds_what_works_here,
    ),
];

fn file(at: &str, text: &str) -> MountOp {
    MountOp::WriteFile {
        at: at.into(),
        bytes: text.into(),
        mode: 0o644,
    }
}

fn tmpfs(at: &str) -> MountOp {
    MountOp::Tmpfs {
        at: at.into(),
        size: None,
        mode: 0o755,
    }
}

fn failure(spec: &hd_sandbox::Spec) -> Failure {
    Running::start(spec, None).err().expect("it started")
}

fn an_overlay_takes_the_writes() {
    let mut fixture = shell("cat /gone; echo new > /made; rm /gone; cat /kept");
    let layers = fixture.directory.path().join("odd, name:with\\ all");
    let overlay = MountOp::Overlay {
        at: "merged".into(),
        lower: vec![Place::Stage("lower".into())],
        data: Vec::new(),
        upper: Place::Host(layers.join("upper")),
        work: Place::Host(layers.join("work")),
        volatile: true,
        report: Some("layer".into()),
    };
    fixture.spec.mounts = vec![file("lower/gone", "1"), file("lower/kept", "2"), overlay];
    fixture.spec.mounts.extend(
        ["usr", "bin", "lib", "lib64"]
            .map(|name| bind(&format!("/{name}"), &format!("merged/{name}"))),
    );
    fixture.spec.mounts.push(MountOp::Dev {
        at: "merged/dev".into(),
    });
    fixture.spec.root = "merged".into();
    let (mut stdout, out) = crate::support::pipe();
    let stdio = Stdio {
        stdout: Some(out),
        ..Stdio::default()
    };
    let mut pending = launcher().spawn(&fixture.spec, stdio, None).unwrap();
    let upper: OwnedFd = match pending.next_event(SOON).unwrap() {
        Event::Upper { name, fd } if name == "layer" => fd,
        other => panic!("{other:?}"),
    };
    let sandbox = started(pending).unwrap();
    assert!(sandbox.wait(Some(SOON)).unwrap().unwrap().success());
    let mut text = String::new();
    stdout.read_to_string(&mut text).unwrap();
    assert_eq!(text, "12");
    let mut made = String::new();
    File::from(openat(&upper, "made", OFlags::RDONLY, Mode::empty()).unwrap())
        .read_to_string(&mut made)
        .unwrap();
    assert_eq!(made, "new\n");
    let gone = statat(&upper, "gone", AtFlags::SYMLINK_NOFOLLOW).unwrap();
    assert_eq!(
        (FileType::from_raw_mode(gone.st_mode), gone.st_rdev),
        (FileType::CharacterDevice, 0)
    );
    assert!(statat(&upper, "kept", AtFlags::SYMLINK_NOFOLLOW).is_err());
}

fn a_link_cannot_lead_a_mount_astray() {
    for name in ["dev", "proc", "sys"] {
        let mut fixture = shell("true");
        let at = format!("root/{name}");
        let op = match name {
            "dev" => MountOp::Dev {
                at: at.clone().into(),
            },
            "proc" => MountOp::Proc {
                at: at.clone().into(),
            },
            _ => MountOp::Sys {
                at: at.clone().into(),
            },
        };
        let link = MountOp::Symlink {
            at: at.into(),
            target: "/etc".into(),
        };
        fixture.spec.mounts = vec![
            tmpfs("root"),
            MountOp::Mkdir {
                at: "root/etc".into(),
                mode: 0o755,
                owner: None,
            },
            link,
            op,
        ];
        let failure = failure(&fixture.spec);
        assert_eq!(
            (failure.errno, failure.exit_code()),
            (libc::ELOOP, 125),
            "{failure}"
        );
        assert!(failure.message.contains(name), "{failure}");
    }
    let mut fixture = shell("true");
    fixture.spec.mounts.insert(
        1,
        MountOp::Mkdir {
            at: "root/../../x".into(),
            mode: 0o755,
            owner: None,
        },
    );
    assert_eq!(failure(&fixture.spec).errno, libc::EINVAL);
}

fn a_bind_target_follows_links_inside() {
    let mut fixture =
        shell("cat /conf/resolv.conf /run/stub/resolv.conf; ls /conf; cat /conf/escape");
    let source = fixture.directory.path().join("resolv.conf");
    std::fs::write(&source, "nameserver\n").unwrap();
    let link = |at: &str, target: &str| MountOp::Symlink {
        at: at.into(),
        target: target.into(),
    };
    let bind = |at: &str| MountOp::Bind {
        source: Place::Host(source.clone()),
        at: at.into(),
        recursive: false,
        read_only: true,
        create: Create::File,
    };
    fixture.spec.mounts.extend([
        link("root/conf/resolv.conf", "../run/stub/resolv.conf"),
        link("root/conf/escape", "../../../../../../escaped"),
        bind("root/conf/resolv.conf"),
        bind("root/conf/escape"),
    ]);
    let finished = run(&fixture.spec);
    assert_eq!(
        finished.stdout, "nameserver\nnameserver\nescape\nresolv.conf\nnameserver\n",
        "{finished:?}"
    );
    assert!(!Path::new("/escaped").exists());
}

fn a_source_beneath_a_directory_stays_there() {
    let mut fixture = shell("cat /shown/inner");
    let project = fixture.directory.path().join("project");
    std::fs::create_dir_all(project.join("real")).unwrap();
    std::fs::write(project.join("real/inner"), "right").unwrap();
    symlink("real", project.join("fine")).unwrap();
    symlink("/etc", project.join("evil")).unwrap();
    let plain = fixture.spec.mounts.clone();
    let mut with = |path: &str| {
        fixture.spec.mounts = plain.clone();
        fixture.spec.mounts.push(MountOp::Bind {
            source: Place::Beneath {
                directory: project.clone(),
                path: path.into(),
            },
            at: "root/shown".into(),
            recursive: true,
            read_only: true,
            create: Create::Dir,
        });
        fixture.spec.clone()
    };
    assert_eq!(run(&with("fine")).stdout, "right");
    assert_eq!(failure(&with("evil")).errno, libc::EXDEV);
    assert_eq!(failure(&with("../..")).errno, libc::EXDEV);
}

fn read_only_holds_for_mounts_below() {
    let mut fixture = shell(
        "for d in a a/b; do touch /shown/$d/x 2>&1 && exit 1; done; touch /x 2>&1 && exit 1; touch /tmp/x",
    );
    fixture
        .spec
        .mounts
        .splice(0..0, [tmpfs("data/a"), tmpfs("data/a/b")]);
    let shown = MountOp::Bind {
        source: Place::Stage("data".into()),
        at: "root/shown".into(),
        recursive: true,
        read_only: true,
        create: Create::Dir,
    };
    fixture.spec.mounts.extend([
        shown,
        MountOp::ReadOnly { at: "root".into() },
        tmpfs("root/tmp"),
    ]);
    let finished = run(&fixture.spec);
    assert!(finished.status.success(), "{finished:?}");
    assert_eq!(
        finished.stdout.matches("Read-only file system").count(),
        3,
        "{finished:?}"
    );
}

fn a_fuse_connection_is_held_by_hd_alone() {
    let mut fixture = shell("true");
    let fuse = MountOp::Fuse {
        at: "lower".into(),
        name: "tree".into(),
        read_only: true,
    };
    let overlay = MountOp::Overlay {
        at: "merged".into(),
        lower: vec![Place::Stage("lower".into())],
        data: Vec::new(),
        upper: Place::Stage("up/upper".into()),
        work: Place::Stage("up/work".into()),
        volatile: false,
        report: None,
    };
    fixture.spec.mounts = vec![tmpfs("up"), fuse, overlay];
    fixture.spec.root = "merged".into();
    let mut pending = launcher()
        .spawn(&fixture.spec, Stdio::default(), None)
        .unwrap();
    let connection = match pending.next_event(SOON).unwrap() {
        Event::Fuse { name, fd } if name == "tree" => fd,
        other => panic!("{other:?}"),
    };
    // The kernel's INIT request is there: the connection is alive. Then the server dies, and as nobody else holds
    // the connection, pid 1 is told so instead of waiting for ever.
    assert!(crate::support::readable(&connection, SOON));
    drop(connection);
    match pending.next_event(SOON).unwrap() {
        Event::Failed(failure) => assert!(
            [libc::ENOTCONN, libc::ECONNABORTED].contains(&failure.errno),
            "{failure}"
        ),
        other => panic!("{other:?}"),
    }
}

fn files_links_and_owners_are_made() {
    let mut fixture = shell("stat -c '%n %a %u %g' /w /w/f; cat /w/f; readlink /l");
    fixture.spec.mounts.extend([
        MountOp::Mkdir {
            at: "root/w".into(),
            mode: 0o1770,
            owner: Some((12, 34)),
        },
        file("root/w/f", "long text"),
        file("root/w/f", "short"),
        MountOp::Symlink {
            at: "root/l".into(),
            target: "w".into(),
        },
        MountOp::Symlink {
            at: "root/l".into(),
            target: "w".into(),
        },
    ]);
    assert_eq!(
        run(&fixture.spec).stdout,
        "/w 1770 12 34\n/w/f 644 0 0\nshortw\n"
    );
    fixture.spec.mounts.push(MountOp::Symlink {
        at: "root/l".into(),
        target: "other".into(),
    });
    assert_eq!(failure(&fixture.spec).errno, libc::EEXIST);
}

fn run_in(namespace: &MountNamespace, ops: &[MountOp]) {
    let mut pending = launcher()
        .run_in(namespace, Path::new("root"), ops)
        .unwrap();
    let event = pending.next_event(SOON).unwrap();
    assert!(matches!(event, Event::Done), "{event:?}");
}

fn a_mount_namespace_is_shared() {
    let fixture = shell("");
    let stage = fixture.directory.path().join("instance");
    std::fs::create_dir(&stage).unwrap();
    let namespace = launcher().mount_namespace(&stage, None).unwrap();
    run_in(
        &namespace,
        &[tmpfs("views/one"), file("views/one/shared", "first")],
    );
    let inside = |script: &str| {
        let mut fixture = shell(script);
        fixture.spec.mounts.push(MountOp::Bind {
            source: Place::Host(stage.join("views/one")),
            at: "root/view".into(),
            recursive: false,
            read_only: false,
            create: Create::Dir,
        });
        Running::start(&fixture.spec, Some(&namespace)).map(Running::finish)
    };
    assert_eq!(
        inside("cat /view/shared; echo second > /view/shared")
            .unwrap()
            .stdout,
        "first"
    );
    assert_eq!(inside("cat /view/shared").unwrap().stdout, "second\n");
    assert_eq!(std::fs::read_dir(&stage).unwrap().count(), 0);
    run_in(
        &namespace,
        &[MountOp::Unmount {
            at: "views/one".into(),
        }],
    );
    assert_eq!(inside("ls -A /view").unwrap().stdout, "");
    let proc = [MountOp::Proc { at: "p".into() }];
    let event = launcher()
        .run_in(&namespace, Path::new("root"), &proc)
        .unwrap()
        .next_event(SOON)
        .unwrap();
    assert!(matches!(event, Event::Failed(_)), "{event:?}");
}

fn the_probe_finds_what_works_here() {
    let directory = tempfile::tempdir().unwrap();
    let probe = hd_sandbox::probe(crate::support::helper(), directory.path()).unwrap();
    println!("    {probe:?}");
    assert!(probe.root);
    assert_eq!(probe.overlay, Ok(()));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}
