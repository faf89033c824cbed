//! The helper program: this executable under another name, started from where nothing can change it.

use crate::cgroup;
use crate::error::{Context, Result};
use crate::executable;
use crate::open_files;
use crate::process::Process;
use crate::wire::{Channel, Job, Order};
use std::io;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

/// The executable from which helpers are started. Cheap to clone.
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
    /// Makes this executable safe to start from. Its `main` must call [`crate::entry::run_if_helper`] first.
    pub fn prepare() -> Result<Self> {
        let image = Arc::new(executable::own()?);
        Ok(Self { image })
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
        // In time for all that it starts: it has no job yet.
        open_files::give_back(child.id())
            .what(|| format!("give {} its limit of open files", role.name()))?;
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
        let memory = text.and_then(|text| executable::sealed("job", |out| out.write_all(&text)));
        let memory = memory.what(|| "write the job of a helper".into())?;
        let process = self.start(role)?;
        match cgroup::place(groups, process.pid()) {
            // From another login session there is no way into the groups of this one (cgroups.rst, "Delegation
            // Containment"): it runs beside them.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                tracing::warn!(%error, "the limits of the sandbox do not hold for what is started in it from here");
            }
            placed => placed
                .what(|| format!("put {} into the control group of the sandbox", role.name()))?,
        }
        let mut all = vec![memory.as_fd()];
        all.extend_from_slice(fds);
        process
            .channel()
            .send_now(&Order::Start, &all)
            .what(|| format!("send its job to {}", role.name()))?;
        Ok(process)
    }
}
