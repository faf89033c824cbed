//! A root made of the host's own system directories, and ways to run something in it.

use hd_sandbox::{
    Capabilities, Command, Create, Event, ExitStatus, Failure, Guardian, Helper, Launcher, Limits,
    MountNamespace, MountOp, Network, Pending, Place, Privileges, Sandbox, Spec, Stdio,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;
use tempfile::TempDir;

pub(crate) const SOON: Duration = Duration::from_secs(10);

/// The launcher of this process, with a guardian.
pub(crate) fn launcher() -> &'static Launcher {
    static LAUNCHER: OnceLock<Launcher> = OnceLock::new();
    LAUNCHER
        .get_or_init(|| Launcher::new(helper().clone(), Some(Guardian::start(helper()).unwrap())))
}

pub(crate) fn helper() -> &'static Helper {
    static HELPER: OnceLock<Helper> = OnceLock::new();
    HELPER.get_or_init(|| Helper::prepare().unwrap())
}

/// A spec and the directory its stage lies in.
pub(crate) struct Fixture {
    pub(crate) spec: Spec,
    pub(crate) directory: TempDir,
}

pub(crate) fn bind(source: &str, at: &str) -> MountOp {
    let source = Place::Host(source.into());
    MountOp::Bind {
        source,
        at: at.into(),
        recursive: true,
        read_only: true,
        create: Create::Dir,
    }
}

/// The operations of a root with the host's programs.
pub(crate) fn host_root() -> Vec<MountOp> {
    let mut ops = vec![MountOp::Tmpfs {
        at: "root".into(),
        size: None,
        mode: 0o755,
    }];
    for name in ["usr", "bin", "sbin", "lib", "lib64", "etc"] {
        let path = format!("/{name}");
        if Path::new(&path).exists() {
            ops.push(bind(&path, &format!("root/{name}")));
        }
    }
    ops.extend([
        MountOp::Proc {
            at: "root/proc".into(),
        },
        MountOp::Dev {
            at: "root/dev".into(),
        },
        MountOp::Sys {
            at: "root/sys".into(),
        },
        MountOp::Tmpfs {
            at: "root/tmp".into(),
            size: Some(1 << 20),
            mode: 0o1777,
        },
    ]);
    ops
}

/// A spec that runs a shell script in a root with the host's programs.
pub(crate) fn shell(script: &str) -> Fixture {
    let directory = TempDir::new().unwrap();
    let stage = directory.path().join("stage");
    std::fs::create_dir(&stage).unwrap();
    let mut command = Command::new(["/bin/sh", "-c", script]);
    command.env = vec![("PATH".into(), "/usr/bin:/bin:/usr/sbin:/sbin".into())];
    let spec = Spec {
        name: "test".into(),
        hostname: "sandboxed".into(),
        stage,
        root: "root".into(),
        mounts: host_root(),
        command,
        privileges: Privileges {
            capabilities: Capabilities::DockerDefault,
            no_new_privs: true,
            seccomp: true,
        },
        limits: Limits::default(),
        network: Network::Host,
        user_namespace: None,
    };
    Fixture { spec, directory }
}

/// Drives a start to its end.
pub(crate) fn started(mut pending: Pending) -> Result<Sandbox, Failure> {
    loop {
        match pending.next_event(SOON).unwrap() {
            Event::Started(sandbox) => return Ok(sandbox),
            Event::Failed(failure) => return Err(failure),
            _ => {}
        }
    }
}

pub(crate) fn pipe() -> (File, OwnedFd) {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    (read.into(), write)
}

/// A sandbox that runs, with the read ends of its output.
pub(crate) struct Running {
    pub(crate) sandbox: Sandbox,
    pub(crate) stdout: File,
    pub(crate) stderr: File,
}

impl Running {
    pub(crate) fn start(spec: &Spec, within: Option<&MountNamespace>) -> Result<Self, Failure> {
        Self::start_with(launcher(), spec, within)
    }

    fn start_with(
        launcher: &Launcher,
        spec: &Spec,
        within: Option<&MountNamespace>,
    ) -> Result<Self, Failure> {
        let ((stdout, out), (stderr, err)) = (pipe(), pipe());
        let stdio = Stdio {
            stdout: Some(out),
            stderr: Some(err),
            ..Stdio::default()
        };
        let sandbox = started(launcher.spawn(spec, stdio, within).unwrap())?;
        Ok(Self {
            sandbox,
            stdout,
            stderr,
        })
    }

    /// Reads one line of the output.
    pub(crate) fn line(&mut self) -> String {
        read_line(&mut self.stdout)
    }

    pub(crate) fn finish(mut self) -> Finished {
        let status = self
            .sandbox
            .wait(Some(SOON))
            .unwrap()
            .expect("the sandbox did not end");
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        self.stdout.read_to_end(&mut stdout).unwrap();
        self.stderr.read_to_end(&mut stderr).unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Finished {
            status,
            stdout: text(stdout),
            stderr: text(stderr),
        }
    }
}

pub(crate) fn read_line(file: &mut File) -> String {
    let mut line = Vec::new();
    let mut byte = [0];
    while readable(&*file, SOON) && file.read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
        line.push(byte[0]);
    }
    String::from_utf8(line).unwrap()
}

/// What a command left.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a spec to its end.
pub(crate) fn run(spec: &Spec) -> Finished {
    Running::start(spec, None).unwrap().finish()
}

/// Runs a script that must succeed; answers its output.
pub(crate) fn output(script: &str) -> String {
    let finished = run(&shell(script).spec);
    assert!(finished.status.success(), "{finished:?}");
    finished.stdout
}

/// Runs a spec that must succeed with a launcher; answers its output.
pub(crate) fn output_of(
    launcher: &Launcher,
    spec: &Spec,
    within: Option<&MountNamespace>,
) -> String {
    let finished = Running::start_with(launcher, spec, within)
        .unwrap()
        .finish();
    assert!(finished.status.success(), "{finished:?}");
    finished.stdout
}

/// Waits until a descriptor is readable (a pidfd: until the process is gone).
pub(crate) fn readable(fd: impl AsFd, timeout: Duration) -> bool {
    let timeout = Timespec {
        tv_sec: timeout.as_secs().cast_signed(),
        tv_nsec: timeout.subsec_nanos().into(),
    };
    poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&timeout)).unwrap() > 0
}

/// Lists the processes in a pid namespace that have not ended.
pub(crate) fn processes_in(namespace: &str) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let inside = processes.filter(|process| {
        let found = std::fs::read_link(process.path().join("ns/pid")).unwrap_or_default();
        let stat = std::fs::read_to_string(process.path().join("stat")).unwrap_or_default();
        let state = stat
            .rsplit_once(')')
            .map_or("", |(_, rest)| rest.trim_start());
        found == Path::new(namespace) && !state.is_empty() && !state.starts_with(['Z', 'X'])
    });
    inside
        .map(|process| process.file_name().to_string_lossy().into_owned())
        .collect()
}
