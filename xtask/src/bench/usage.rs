//! What a command used: time, processor, memory.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Instant;

use crate::shell::{Doing, Failure, shown};

/// What one run of a command used, with all descendants it waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usage {
    /// From spawn to exit.
    pub(super) wall_ms: f64,
    /// User and system time.
    pub(super) cpu_ms: f64,
    /// The largest resident set of any one of its processes.
    pub(super) rss_mib: f64,
}

/// Runs a command to its end, silently; one that fails is no measurement.
pub(super) fn measure(command: &mut Command) -> Result<Usage, Failure> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit());
    let start = Instant::now();
    let child = command.spawn().doing(|| shown(command))?;
    let (status, usage) = wait_for(child.id()).doing(|| shown(command))?;
    let wall_ms = start.elapsed().as_secs_f64() * 1000.0;
    if !status.success() {
        return Err(Failure::new(format!("{}: {status}", shown(command))));
    }
    let ms = |time: libc::timeval| time.tv_sec as f64 * 1000.0 + time.tv_usec as f64 / 1000.0;
    Ok(Usage {
        wall_ms,
        cpu_ms: ms(usage.ru_utime) + ms(usage.ru_stime),
        rss_mib: usage.ru_maxrss as f64 / 1024.0,
    })
}

/// Waits for a child; unlike the standard library's wait this answers what it used.
fn wait_for(pid: u32) -> std::io::Result<(ExitStatus, libc::rusage)> {
    loop {
        let mut status = 0;
        #[expect(unsafe_code, reason = "only wait4 tells the usage of one child")]
        // SAFETY: all-zero bytes are a valid rusage, a plain structure of numbers; both pointers
        // are to live variables; the pid is of our own child, which nobody else waits for.
        let (waited, usage) = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            let waited = libc::wait4(pid as libc::pid_t, &mut status, 0, &mut usage);
            (waited, usage)
        };
        if waited >= 0 {
            return Ok((ExitStatus::from_raw(status), usage));
        }
        let error = std::io::Error::last_os_error();
        if error.kind() != std::io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}
