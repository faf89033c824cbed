//! A Linux kernel of a test's own: User-mode Linux (`user-mode-linux(1)`), a kernel that is an ordinary program.
//! For what this machine's kernel is not set up to show: its control groups are of version 2 alone.
//!
//! Its root is this machine's, read-only (hostfs); `/tmp`, `/run` and `/dev` are its own.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::needs;
use crate::poll::within;

/// Memory, which the machine gives as it is touched.
const MEMORY: &str = "mem=2G";
/// It is slow at what takes many page faults, as starting a program does.
const DEADLINE: Duration = Duration::from_secs(150);
/// The variable that tells tests they run there.
const TOLD: &str = "HD_TEST_OWN_KERNEL";
/// What the last line of the kernel's first process begins with.
const ENDED: &str = "== ended with ";

/// Its program, and the modules it lacks until they are loaded: FUSE and overlayfs.
///
/// # Errors
/// What is not installed.
pub fn installed() -> Result<(PathBuf, Vec<PathBuf>), String> {
    let program = needs::program("linux.uml")?;
    needs::program("python3")?;
    let versions = fs::read_dir("/usr/lib/uml/modules").map_err(|error| error.to_string())?;
    let versions = versions.flatten().map(|one| one.path().join("kernel/fs"));
    let modules = |fs: PathBuf| {
        let all = ["fuse/fuse.ko", "overlayfs/overlay.ko"].map(|module| fs.join(module));
        all.iter().all(|file| file.is_file()).then(|| all.to_vec())
    };
    let found = versions.filter_map(modules).next();
    let found = found.ok_or("no modules of User-mode Linux for FUSE and overlayfs")?;
    Ok((program, found))
}

/// Whether this process runs in such a kernel.
pub fn is_inside() -> bool {
    std::env::var_os(TOLD).is_some()
}

/// Runs tests of this very executable in such a kernel, by a process in a control group two below the root's, as in a
/// session of a desktop; gives what they said.
///
/// # Panics
/// When one of them fails, is skipped, or there are not that many.
#[track_caller]
pub fn runs(tests: &[&str]) -> String {
    let (program, modules) = installed().expect("asked before");
    let place = tempfile::tempdir().expect("a directory");
    let init = place.path().join("init");
    let test = std::env::current_exe().expect("where this test is");
    fs::write(&init, script(&test, tests, &modules)).expect("write the first program");
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755)).expect("let it be executed");
    let mut machine = Command::new(&program);
    machine
        .args(["root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro"])
        .args([MEMORY, "quiet", "panic=-1", "con=null", "con0=fd:0,fd:1"])
        .arg(format!("init={}", init.display()))
        .arg(format!("uml_dir={}/", place.path().display()))
        .env("TMPDIR", place.path());
    let said = Machine::boot(machine).ends();
    assert!(said.contains(&format!("{ENDED}0")), "{said}");
    let passed = format!("{} passed; 0 failed", tests.len());
    assert!(
        said.contains(&passed) && !said.contains("SKIPPED"),
        "{said}"
    );
    said
}

/// A running kernel: a session of processes, which ends with this.
struct Machine(Child);

impl Machine {
    fn boot(mut program: Command) -> Self {
        program.stdin(Stdio::null()).stdout(Stdio::piped());
        let program = program.stderr(Stdio::null()).spawn();
        Self(program.expect("start a kernel"))
    }

    /// Waits for its end; gives all it said.
    fn ends(mut self) -> String {
        let mut output = self.0.stdout.take().expect("its console");
        let said = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = output.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        });
        let ended = within(DEADLINE, || self.0.try_wait().expect("wait for a kernel"));
        drop(self);
        let said = said.join().expect("read the console");
        assert!(ended.is_some(), "not within {DEADLINE:?}; it said:\n{said}");
        said
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
        // It began a session of its own; all of it has ended when it powered itself off.
        let _ = pid.map(|pid| kill_process_group(pid, Signal::KILL));
        let _ = self.0.wait();
    }
}

/// The kernel's first program.
fn script(test: &Path, tests: &[&str], modules: &[PathBuf]) -> String {
    let load = "import ctypes, os, sys\nfor name in sys.argv[1:]:\n    \
                with open(name) as file:\n        \
                if ctypes.CDLL(None).syscall(313, file.fileno(), b'', 0): sys.exit(name)";
    let modules = modules.iter().map(|file| file.display().to_string());
    let modules = modules.collect::<Vec<_>>().join(" ");
    let mut script =
        String::from("#!/bin/sh\nexport PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n");
    for (kind, place) in [
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("tmpfs", "/tmp"),
        ("tmpfs", "/run"),
        ("devpts", "/dev/pts"),
        ("tmpfs", "/dev/shm"),
        ("cgroup2", "/sys/fs/cgroup"),
    ] {
        script += &format!("mkdir -p {place}; mount -t {kind} {kind} {place}\n");
    }
    let (hd, test, tests) = (crate::env::binary(), test.display(), tests.join(" "));
    script += &format!(
        "python3 -I -c \"{load}\" {modules}\n\
         mkdir -p /sys/fs/cgroup/user/session && echo $$ >/sys/fs/cgroup/user/session/cgroup.procs\n\
         export HOME=/tmp {TOLD}=yes HD_BIN={}\n\
         {test} --exact --nocapture --test-threads 1 {tests}\n\
         echo \"{ENDED}$?\"\n\
         echo o >/proc/sysrq-trigger; read never\n",
        hd.display()
    );
    script
}
