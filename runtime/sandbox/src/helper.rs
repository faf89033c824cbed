//! The helper program: this executable, copied once into sealed memory and executed from there.
//!
//! A copy cannot be replaced while hd runs (an upgrade, a rebuild), and what runs inside cannot write to the
//! executable of the host through `/proc/PID/exe` (CVE-2019-5736).

use crate::cgroup;
use crate::error::{Context, Result};
use crate::process::Process;
use crate::record::Record;
use crate::wire::{Channel, Job, Order};
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

/// The executable in sealed memory from which helpers are started. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Helper {
    image: Arc<OwnedFd>,
}

/// What a helper is; decided by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Init,
    Enter,
    Guardian,
}

impl Role {
    pub(crate) const ALL: [Self; 3] = [Self::Init, Self::Enter, Self::Guardian];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Init => "hd-init",
            Self::Enter => "hd-enter",
            Self::Guardian => "hd-guardian",
        }
    }
}

impl Helper {
    /// Copies this executable. Its `main` must call [`crate::entry::run_if_helper`] first.
    pub fn prepare() -> Result<Self> {
        let image = sealed(&own_name(), |out| {
            let mut own = File::open("/proc/self/exe")?;
            std::io::copy(&mut own, out).map(|_| ())
        });
        Ok(Self {
            image: Arc::new(image.what(|| "copy the executable into memory".into())?),
        })
    }

    /// Takes the copy that pid 1 of a sandbox is executed from, which saves copying tens of megabytes; `None` when
    /// the sandbox has ended, is that of another executable than this one, or may not be looked at.
    pub fn shared_by(sandbox: &Record) -> Option<Self> {
        let held = sandbox.open()?;
        let path = format!("/proc/{}/exe", sandbox.pid);
        let expected = format!("/memfd:{} (deleted)", own_name());
        if std::fs::read_link(&path).ok()?.as_os_str() != expected.as_str() {
            return None;
        }
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let image = rustix::fs::open(&path, flags, Mode::empty()).ok()?;
        let seals = rustix::fs::fcntl_get_seals(&image).ok()?;
        // Still that process: what was opened is of it.
        let is_it = seals.contains(SEALED) && sandbox.open().is_some();
        drop(held);
        is_it.then(|| Self {
            image: Arc::new(image),
        })
    }

    /// Starts a helper; its channel is its standard input.
    pub(crate) fn start(&self, role: Role) -> Result<Process> {
        let (channel, theirs) = Channel::pair().what(|| "make a socket pair".into())?;
        let mut command = Command::new(format!("/proc/self/fd/{}", self.image.as_raw_fd()));
        command
            .arg0(role.name())
            .env_clear()
            .stdin(theirs)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if role != Role::Guardian {
            // Out of the reach of Ctrl-C; the guardian makes a session, which a group leader cannot.
            command.process_group(0);
        }
        let child = command.spawn().what(|| format!("start {}", role.name()))?;
        Process::adopt(role.name().to_owned(), child.id(), channel)
    }

    /// Starts a helper with a job.
    pub(crate) fn start_job(
        &self,
        role: Role,
        job: &Job,
        fds: &[BorrowedFd<'_>],
    ) -> Result<Process> {
        self.start_job_in(role, job, fds, &[])
    }

    /// The same in control groups, which what it starts is in too.
    pub(crate) fn start_job_in(
        &self,
        role: Role,
        job: &Job,
        fds: &[BorrowedFd<'_>],
        groups: &[PathBuf],
    ) -> Result<Process> {
        let text = serde_json::to_vec(job).map_err(std::io::Error::from);
        let memory = text.and_then(|text| sealed("job", |out| out.write_all(&text)));
        let memory = memory.what(|| "write the job of a helper".into())?;
        let process = self.start(role)?;
        cgroup::place(groups, process.pid())
            .what(|| format!("put {} into the control group of the sandbox", role.name()))?;
        let mut all = vec![memory.as_fd()];
        all.extend_from_slice(fds);
        process
            .channel()
            .send_now(&Order::Start, &all)
            .what(|| format!("send its job to {}", role.name()))?;
        Ok(process)
    }
}

/// Everything that could change a copy is forbidden.
const SEALED: SealFlags = SealFlags::SEAL
    .union(SealFlags::SHRINK)
    .union(SealFlags::GROW)
    .union(SealFlags::WRITE);

/// Names the copy after the file it is of: what has the same name has the same content.
fn own_name() -> String {
    let Ok(file) = std::fs::metadata("/proc/self/exe") else {
        // Equal to nobody's.
        return format!("hd of {}", std::process::id());
    };
    format!(
        "hd {:x}:{:x} {} {}.{:09} {}.{:09}",
        file.dev(),
        file.ino(),
        file.size(),
        file.mtime(),
        file.mtime_nsec(),
        file.ctime(),
        file.ctime_nsec()
    )
}

/// Fills a memfd, seals it and opens it anew for reading only: a file open for writing cannot be executed.
fn sealed(
    name: &str,

    fill: impl FnOnce(&mut File) -> std::io::Result<()>,
) -> std::io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Kernels before 6.3 do not know the flag EXEC and make every memfd executable.
    let memory = rustix::fs::memfd_create(name, flags | MemfdFlags::EXEC)
        .or_else(|_| rustix::fs::memfd_create(name, flags))?;
    let mut file = File::from(memory);
    fill(&mut file)?;
    rustix::fs::fcntl_add_seals(&file, SEALED)?;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(rustix::fs::open(
        path,
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}
