//! What this machine can do, found out by doing it.

use crate::error::SandboxError;
use crate::event::Event;
use crate::helper::Helper;
use crate::idmap::{self, IdMap};
use crate::launcher::Launcher;
use crate::mount_op::{MountOp, Place};
use rustix::thread::CapabilitySet;
use std::fmt;
use std::fs::OpenOptions;
use std::io;
use std::path::Path;
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
        let path = directory.join(format!(".probe-{}", std::process::id()));
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
