//! Starting the command: fork, terminal, descriptors, rights, exec.

use super::{Outcome, Tried, privileges, supervise};
use crate::event::{Failure, Stage};
use crate::process::open_pidfd;
use crate::spec::{Command, TtySize};
use crate::sys::{self, Closing, Fork};
use crate::terminal::set_size;
use crate::wire::{Channel, Report, Rights};
use rustix::fs::{FileType, Mode, OFlags, Uid, fchown, fstat};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::pty::OpenptFlags;
use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// The descriptors a command gets.
pub(super) struct Descriptors {
    /// 0, 1, 2; an absent one is the terminal, else `/dev/null`.
    pub(super) standard: [Option<OwnedFd>; 3],
    /// From 3 on.
    pub(super) extra: Vec<OwnedFd>,
}

/// A command whose program was executed.
pub(super) struct Started {
    pub(super) pid: u32,
    pub(super) pidfd: OwnedFd,
}

/// Starts the command and waits until its program is executed or that has failed.
pub(super) fn start(
    channel: &Channel,
    command: &Command,
    rights: Rights,
    fds: Descriptors,
) -> Outcome<Started> {
    let mut program = Program::new(command)?;
    let terminal = command
        .tty
        .map(|size| open_terminal(channel, size, command))
        .transpose()?;
    give_pipes(&fds, command);
    let (read, mut write) = pipe_with(PipeFlags::CLOEXEC).tried(Stage::Helper, "make a pipe")?;
    match sys::fork().tried(Stage::Helper, "fork")? {
        Fork::Child => {
            program.tell_own_id();
            let failure = become_command(command, &program, rights, fds, terminal, &mut write);
            let text = serde_json::to_vec(&failure).unwrap_or_default();
            // Nobody is left to tell when this fails; the exit code says it as well.
            let _ = File::from(write).write_all(&text);
            std::process::exit(failure.exit_code());
        }
        Fork::Parent { child } => {
            drop((write, fds, terminal));
            let pidfd = open_pidfd(child).tried(Stage::Helper, "open a pidfd of the command")?;
            let mut text = Vec::new();
            File::from(read)
                .read_to_end(&mut text)
                .tried(Stage::Helper, "wait for the command")?;
            if text.is_empty() {
                return Ok(Started { pid: child, pidfd });
            }
            supervise::collect(child);
            Err(serde_json::from_slice(&text)
                .map_err(io::Error::from)
                .tried(Stage::Helper, "read a failure")?)
        }
    }
}

/// Does in the child all that comes before exec; returns only when something failed.
fn become_command(
    command: &Command,
    program: &Program,
    rights: Rights,
    fds: Descriptors,
    terminal: Option<OwnedFd>,
    report: &mut OwnedFd,
) -> Failure {
    let prepared = (|| {
        sys::reset_signals();
        let nothing = nix::sys::signal::SigSet::empty();
        nothing
            .thread_set_mask()
            .tried(Stage::Privileges, "unblock signals")?;
        rustix::process::setsid().tried(Stage::Privileges, "make a session")?;
        place(fds, terminal, report)
            .tried(Stage::Helper, "place the descriptors of the command")?;
        privileges::apply(rights, command)?;
        rustix::process::umask(Mode::from_bits_truncate(command.umask));
        let cwd = format!("change to the working directory {}", command.cwd.display());
        rustix::process::chdir(&command.cwd).tried(Stage::WorkingDirectory, cwd)
    })();
    match prepared {
        Ok(()) => program.execute(),
        Err(failure) => failure,
    }
}

/// Puts the descriptors where the command expects them; all others close on exec. The pipe for a failure makes room.
fn place(fds: Descriptors, terminal: Option<OwnedFd>, report: &mut OwnedFd) -> io::Result<()> {
    let first_free = 3 + i32::try_from(fds.extra.len()).map_err(io::Error::other)?;
    let above = |fd: BorrowedFd<'_>| rustix::io::fcntl_dupfd_cloexec(fd, first_free);
    *report = above(report.as_fd())?;
    let mut sources = Vec::new();
    for standard in &fds.standard {
        sources.push(match (standard, &terminal) {
            (Some(fd), _) => above(fd.as_fd())?,
            (None, Some(terminal)) => above(terminal.as_fd())?,
            (None, None) => {
                let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
                above(rustix::fs::open("/dev/null", flags, Mode::empty())?.as_fd())?
            }
        });
    }
    for fd in &fds.extra {
        sources.push(above(fd.as_fd())?);
    }
    if let Some(terminal) = &terminal {
        rustix::process::ioctl_tiocsctty(terminal)?;
    }
    // These are closed first, as their numbers may be among those placed below.
    drop((fds, terminal));
    for (number, fd) in (0..).zip(&sources) {
        sys::place_fd(fd.as_fd(), number)?;
    }
    sys::close_from(first_free.cast_unsigned(), Closing::OnExec)
}

/// Opens a terminal of the sandbox, gives its master side to hd and its other side to the user of the command.
fn open_terminal(channel: &Channel, size: TtySize, command: &Command) -> Outcome<OwnedFd> {
    let open = || -> io::Result<(OwnedFd, OwnedFd)> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = rustix::pty::openpt(flags)?;
        rustix::pty::unlockpt(&master)?;
        set_size(master.as_fd(), size)?;
        let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags)?;
        Ok((master, slave))
    };
    let (master, slave) = open().tried(Stage::Terminal, "open a terminal inside (/dev/ptmx)")?;
    fchown(&slave, Some(uid(command)), None)
        .tried(Stage::Terminal, "give the terminal to the user")?;
    channel
        .send(&Report::Terminal, &[master.as_fd()])
        .tried(Stage::Terminal, "hand the terminal over")?;
    Ok(slave)
}

/// Gives pipes to the user of the command, who could not open `/dev/stdout` otherwise.
fn give_pipes(fds: &Descriptors, command: &Command) {
    for fd in fds.standard.iter().flatten() {
        if fstat(fd).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo) {
            // A convenience: the descriptor itself works in any case.
            let _ = fchown(fd, Some(uid(command)), None);
        }
    }
}

fn uid(command: &Command) -> Uid {
    Uid::from_raw(command.uid)
}

/// A program with its arguments, in the form the kernel takes.
struct Program {
    name: OsString,
    candidates: Vec<CString>,
    arguments: Vec<CString>,
    environment: Vec<CString>,
}

impl Program {
    fn new(command: &Command) -> Outcome<Self> {
        let c_string = |text: &OsStr| {
            CString::new(text.as_bytes())
                .map_err(io::Error::from)
                .tried(Stage::Exec, format_args!("use {}", text.display()))
        };
        let name = command.argv.first().cloned().unwrap_or_default();
        let candidates = candidates(&name, &command.env);
        let environment = command.env.iter().map(|(name, value)| {
            let mut entry = name.clone();
            entry.push("=");
            entry.push(value);
            c_string(&entry)
        });
        Ok(Self {
            candidates: candidates
                .iter()
                .map(|path| c_string(path))
                .collect::<Outcome<_>>()?,
            arguments: command
                .argv
                .iter()
                .map(|text| c_string(text))
                .collect::<Outcome<_>>()?,
            environment: environment.collect::<Outcome<_>>()?,
            name,
        })
    }

    /// Adds `LISTEN_PID` where `LISTEN_FDS` announces sockets: `sd_listen_fds(3)` takes them only with it, and only
    /// the process itself knows its id in its namespace.
    fn tell_own_id(&mut self) {
        let announced = |entry: &CString| entry.as_bytes().starts_with(b"LISTEN_FDS=");
        if self.environment.iter().any(announced)
            && let Ok(entry) = CString::new(format!("LISTEN_PID={}", std::process::id()))
        {
            self.environment.push(entry);
        }
    }

    /// Executes the first candidate there is; answers why none could be.
    fn execute(&self) -> Failure {
        let mut worst = nix::errno::Errno::ENOENT;
        for path in &self.candidates {
            let Err(error) = nix::unistd::execve(path, &self.arguments, &self.environment);
            match error {
                nix::errno::Errno::ENOENT | nix::errno::Errno::ENOTDIR => {}
                // As a shell does: what may not be executed here may be found further on.
                nix::errno::Errno::EACCES => worst = error,
                _ => {
                    worst = error;
                    break;
                }
            }
        }
        Failure::new(
            Stage::Exec,
            format_args!("execute {}", self.name.display()),
            worst,
        )
    }
}

/// Lists the paths a program name may mean.
fn candidates(name: &OsStr, env: &[(OsString, OsString)]) -> Vec<OsString> {
    if name.is_empty() {
        return Vec::new();
    }
    if name.as_bytes().contains(&b'/') {
        return vec![name.to_owned()];
    }
    let path = env
        .iter()
        .rev()
        .find(|(key, _)| key == "PATH")
        .map(|(_, value)| value.as_bytes());
    let path = path.unwrap_or(b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    path.split(|byte| *byte == b':')
        .map(|directory| {
            let directory: &[u8] = if directory.is_empty() {
                b"."
            } else {
                directory
            };
            OsString::from_vec([directory, b"/", name.as_bytes()].concat())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_looked_up_in_the_path_of_the_command() {
        let env = |path: &str| vec![(OsString::from("PATH"), OsString::from(path))];
        let cases: [(&str, &str, &[&str]); 4] = [
            ("/bin/sh", "/usr/bin", &["/bin/sh"]),
            ("./sh", "/usr/bin", &["./sh"]),
            ("sh", "/a::/b", &["/a/sh", "./sh", "/b/sh"]),
            ("", "/a", &[]),
        ];
        for (name, path, expected) in cases {
            assert_eq!(candidates(OsStr::new(name), &env(path)), expected, "{name}");
        }
        assert!(candidates(OsStr::new("sh"), &[]).contains(&"/bin/sh".into()));
    }
}
