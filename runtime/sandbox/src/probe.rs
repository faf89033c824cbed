//! What this machine can do, found out by doing it.

use crate::error::SandboxError;
use crate::event::Event;
use crate::helper::Helper;
use crate::idmap::{self, IdMap};
use crate::launcher::Launcher;
use crate::mount_op::{Create, MountOp, Place};
use rustix::thread::CapabilitySet;
use std::fmt;
use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Answers of [`probe`].
#[derive(Debug)]
pub struct Probe {
    /// Whether hd has the rights of the machine's administrator.
    pub root: bool,
    /// Whether `/dev/fuse` can be opened and a FUSE file system mounted.
    pub fuse: Result<(), Problem>,
    /// Whether the directory given can hold the upper of an overlay.
    pub overlay: Result<(), Problem>,
    /// Whether this user can make user namespaces.
    pub user_namespaces: Result<(), Problem>,
}

/// What does not work here, why, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What was tried and what the system said.
    pub message: String,
    /// The system's error number; 0 when there is none.
    pub errno: i32,
    /// What the person can do.
    pub next_step: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.message, self.next_step)
    }
}

impl Problem {
    fn new(error: &SandboxError, next_step: &str) -> Self {
        let errno = match error {
            SandboxError::Failed(failure) => failure.errno,
            SandboxError::Io { source, .. } => source.raw_os_error().unwrap_or(0),
            _ => 0,
        };
        Self {
            message: error.to_string(),
            errno,
            next_step: next_step.to_owned(),
        }
    }
}

/// Tells whether this process has `CAP_SYS_ADMIN` in its user namespace.
pub(crate) fn has_sys_admin() -> bool {
    rustix::thread::capabilities(None)
        .is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN))
}

/// Tries what sandboxes and views need. `directory` is where uppers will be kept; it is left as it was.
///
/// Errors: nothing could be tried, as no helper could be started or the directory cannot be written.
pub fn probe(helper: &Helper, directory: &Path) -> Result<Probe, SandboxError> {
    let launcher = Launcher::new(helper.clone(), None);
    let map = idmap::required();
    let scratch = Scratch::new(directory).map_err(|source| SandboxError::Io {
        what: format!("make a directory in {}", directory.display()),
        source,
    })?;
    let own = IdMap::single(
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    Ok(Probe {
        root: map.is_none(),
        fuse: fuse(&launcher, &scratch, map.as_ref()),
        overlay: overlay(&launcher, &scratch, map.as_ref()),
        user_namespaces: attempt(&launcher, &scratch, Some(&own), &[]).map_err(|error| {
            Problem::new(
                &error,
                "run hd as root, or allow user namespaces (sysctl user.max_user_namespaces, \
                 kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns)",
            )
        }),
    })
}

fn fuse(launcher: &Launcher, scratch: &Scratch, map: Option<&IdMap>) -> Result<(), Problem> {
    let opened = OpenOptions::new().read(true).write(true).open("/dev/fuse");
    let result = match opened {
        Err(source) => Err(SandboxError::Io {
            what: "open /dev/fuse".into(),
            source,
        }),
        Ok(_) => {
            let op = MountOp::Fuse {
                at: "lower".into(),
                name: "probe".into(),
                read_only: true,
            };
            attempt(launcher, scratch, map, &[op])
        }
    };
    let is_ordinary = map.is_some() || crate::own_namespace::entered().is_some();
    result.map_err(|error| {
        let step = match Problem::new(&error, "").errno {
            libc::ENOENT | libc::ENODEV | libc::ENXIO => "load the kernel module: modprobe fuse",
            libc::EACCES | libc::EPERM if is_ordinary => "run hd as root, or allow it: chmod 0666 /dev/fuse",
            _ => "in a container, pass the device and the right to mount: --device /dev/fuse --cap-add SYS_ADMIN",
        };
        Problem::new(&error, step)
    })
}

fn overlay(launcher: &Launcher, scratch: &Scratch, map: Option<&IdMap>) -> Result<(), Problem> {
    let op = MountOp::Overlay {
        at: "merged".into(),
        lower: vec![Place::Stage("lower".into())],
        data: Vec::new(),
        upper: Place::Host(scratch.0.join("upper")),
        work: Place::Host(scratch.0.join("work")),
        volatile: true,
        report: None,
    };
    attempt(launcher, scratch, map, &[op]).map_err(|error| {
        Problem::new(
            &error,
            "set HD_HOME to a directory on a local file system such as ext4, xfs, btrfs or tmpfs",
        )
    })
}

/// A tiny image of a tree, and the content of its one file.
#[derive(Debug)]
pub struct ImageProbe<'a> {
    /// The image.
    pub image: &'a [u8],
    /// Name of the file in it.
    pub name: &'a str,
    /// Where its content is in a data-only layer.
    pub object: &'a Path,
    /// Its content.
    pub content: &'a [u8],
}

/// Tries whether views can be an image over a data-only layer, by mounting one and reading through it. `directory` as
/// in [`probe`].
///
/// # Errors
/// What does not work.
pub fn probe_image(
    launcher: &Launcher,
    directory: &Path,
    tiny: &ImageProbe<'_>,
) -> Result<(), Problem> {
    let next_step = "views are served by FUSE, as they are without root and before Linux 6.16";
    let failed = |error: &SandboxError| Problem::new(error, next_step);
    let io = |source: io::Error| {
        let what = format!("write in {}", directory.display());
        failed(&SandboxError::Io { what, source })
    };
    if crate::own_namespace::is_inside() {
        let refused = io::Error::from_raw_os_error(libc::EPERM);
        return Err(io(refused)).map_err(|problem| Problem {
            message: "an image cannot be mounted in a user namespace".to_owned(),
            ..problem
        });
    }
    let scratch = Scratch::new(directory).map_err(io)?;
    let at = |name: &str| scratch.0.join(name);
    let object = at("data").join(tiny.object);
    std::fs::create_dir_all(object.parent().unwrap_or(&object))
        .and_then(|()| std::fs::create_dir(at("out")))
        .and_then(|()| std::fs::write(at("image"), tiny.image))
        .and_then(|()| std::fs::write(&object, tiny.content))
        .map_err(io)?;
    let ops = image_ops(&scratch.0, tiny.name);
    attempt(launcher, &scratch, None, &ops).map_err(|error| failed(&error))?;
    match std::fs::read(at("out/copy")) {
        Ok(read) if read == tiny.content => Ok(()),
        Ok(_) => Err(io(io::Error::from_raw_os_error(libc::EIO))),
        Err(error) => Err(io(error)),
    }
    .map_err(|problem| Problem {
        message: format!("reading a file through an image: {}", problem.message),
        ..problem
    })
}

fn image_ops(scratch: &Path, name: &str) -> [MountOp; 5] {
    let stage = |path: &str| Place::Stage(path.into());
    [
        MountOp::Image {
            at: "lower".into(),
            image: Place::Host(scratch.join("image")),
        },
        MountOp::Tmpfs {
            at: "layer".into(),
            size: None,
            mode: 0o755,
        },
        MountOp::Overlay {
            at: "merged".into(),
            lower: vec![stage("lower")],
            data: vec![Place::Host(scratch.join("data"))],
            upper: stage("layer/upper"),
            work: stage("layer/work"),
            volatile: true,
            report: None,
        },
        MountOp::Bind {
            source: Place::Host(scratch.join("out")),
            at: "out".into(),
            recursive: false,
            read_only: false,
            create: Create::Dir,
        },
        MountOp::Copy {
            source: stage(&format!("merged/{name}")),
            at: "out/copy".into(),
            mode: 0o600,
            owner: (0, 0),
        },
    ]
}

fn attempt(
    launcher: &Launcher,
    scratch: &Scratch,
    map: Option<&IdMap>,
    ops: &[MountOp],
) -> Result<(), SandboxError> {
    let namespace = launcher.mount_namespace(&scratch.0.join("stage"), map)?;
    let mut pending = launcher.run_in(&namespace, Path::new("root"), ops)?;
    loop {
        match pending.next_event(Duration::from_secs(10))? {
            Event::Done => return Ok(()),
            Event::Failed(failure) => return Err(SandboxError::Failed(failure)),
            _ => {}
        }
    }
}

/// A directory that is removed again.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new(directory: &Path) -> io::Result<Self> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(format!(".probe-{}-{number}", std::process::id()));
        std::fs::create_dir_all(path.join("stage"))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "a probe directory could not be removed");
        }
    }
}
