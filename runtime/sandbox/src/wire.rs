//! The channel between hd and its helper processes: JSON messages with descriptors, over `SOCK_SEQPACKET`.

use crate::event::{ExitStatus, Failure};
use crate::mount_op::MountOp;
use crate::raw;
use crate::spec::{Command, Limits, Network, Privileges, Spec};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Most descriptors in one message (the kernel's limit is 253).
pub(crate) const MAX_FDS: usize = 64;
const MAX_MESSAGE: usize = 32 * 1024;

/// The first message to a starting helper. A [`Job`] travels in a sealed memfd, the first descriptor of the message.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Job {
    /// Make a sandbox. Descriptors: namespaces to join, then those of the workload.
    Spawn {
        spec: Box<Spec>,
        join: Join,
        wires: Wires,
    },
    /// Make a mount namespace with a stage and report its descriptors.
    Namespace {
        #[serde(with = "raw::one")]
        stage: PathBuf,
        user: bool,
    },
    /// Live in a network namespace, a new one unless one is to be joined, and make sockets there.
    Network { join: Join },
    /// Run operations in a mount namespace.
    RunIn {
        #[serde(with = "raw::one")]
        stage: PathBuf,
        #[serde(with = "raw::one")]
        root: PathBuf,
        ops: Vec<MountOp>,
        join: Join,
    },
    /// Run a command in a running sandbox. Descriptors: its pidfd, then those of the workload.
    Enter {
        rights: Rights,
        command: Command,
        user: bool,
        wires: Wires,
    },
}

/// What a workload may do: the same for the command of a sandbox and those that enter it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Rights {
    pub(crate) privileges: Privileges,
    pub(crate) limits: Limits,
    pub(crate) network: Network,
}

impl From<&Spec> for Rights {
    fn from(spec: &Spec) -> Self {
        Self {
            privileges: spec.privileges,
            limits: spec.limits,
            network: spec.network,
        }
    }
}

/// The descriptors of a workload: those of 0, 1, 2 that are present, then the others from 3 on.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Wires {
    pub(crate) standard: [bool; 3],
    pub(crate) extra: usize,
}

/// Which namespaces to join: one descriptor each, in this order.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Join {
    pub(crate) user: bool,
    pub(crate) mount: bool,
    pub(crate) network: bool,
}

impl Join {
    pub(crate) fn count(self) -> usize {
        usize::from(self.user) + usize::from(self.mount) + usize::from(self.network)
    }
}

/// hd to helper or pid 1.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Start work; the descriptors of the job come along.
    Start,
    /// The id maps are written.
    Mapped,
    /// pid 1 is registered with the guardian and may go on; a mount it has reported was looked at.
    Go,
    /// Signal the process group of the workload.
    Signal(i32),
    /// Make a TCP socket.
    Socket { v6: bool },
}

/// Helper or pid 1 to hd.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// A user namespace was made and wants its maps.
    NeedMaps,
    /// pid 1 exists.
    Cloned(u32),
    Fuse(String),
    Upper(String),
    Mount(String),
    Terminal,
    Socket,
    /// The workload runs; carries its pidfd.
    Started,
    /// The mount namespace (and user namespace) are in the descriptors.
    Namespace,
    /// An operation that takes long is still at work.
    Going,
    Done,
    Failed(Failure),
    Exited(ExitStatus),
}

/// hd to the guardian.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Watch {
    /// Carries the pidfd of hd.
    Owner,
    /// Carries the pidfd of a pid 1.
    Add(u64),
    Remove(u64),
    /// Paths to remove when hd is gone: the whole list anew.
    Paths(Vec<RawPath>),
    /// End without doing anything.
    Release,
}

/// A path on the wire.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct RawPath(#[serde(with = "raw::one")] pub(crate) PathBuf);

/// One end of a channel.
#[derive(Debug)]
pub(crate) struct Channel {
    socket: OwnedFd,
}

/// A message with its descriptors, or the end of the stream.
pub(crate) type Received<T> = Option<(T, Vec<OwnedFd>)>;

impl Channel {
    pub(crate) fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        Ok((Self { socket: ours }, theirs))
    }

    pub(crate) fn from_fd(socket: OwnedFd) -> Self {
        Self { socket }
    }

    /// Sends a message; waits while the other side is behind.
    pub(crate) fn send<T: Serialize>(&self, message: &T, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.send_with(message, fds, SendFlags::empty())
    }

    /// Sends a message; `WouldBlock` when the other side is too far behind. For hd, which must not wait for a process
    /// that somebody stopped.
    pub(crate) fn send_now<T: Serialize>(
        &self,
        message: &T,
        fds: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        self.send_with(message, fds, SendFlags::DONTWAIT)
    }

    fn send_with<T: Serialize>(
        &self,
        message: &T,
        fds: &[BorrowedFd<'_>],
        flags: SendFlags,
    ) -> io::Result<()> {
        let bytes = serde_json::to_vec(message)?;
        if bytes.len() > MAX_MESSAGE || fds.len() > MAX_FDS {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "message too large",
            ));
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "too many descriptors",
            ));
        }
        retry(|| {
            sendmsg(
                &self.socket,
                &[IoSlice::new(&bytes)],
                &mut control,
                flags | SendFlags::NOSIGNAL,
            )
        })?;
        Ok(())
    }

    /// Receives one message. `None` when the other side is gone.
    pub(crate) fn receive<T: DeserializeOwned>(&self) -> io::Result<Received<T>> {
        self.receive_with(RecvFlags::empty())
    }

    /// Receives what is there already; `WouldBlock` when nothing is.
    pub(crate) fn receive_now<T: DeserializeOwned>(&self) -> io::Result<Received<T>> {
        self.receive_with(RecvFlags::DONTWAIT)
    }

    fn receive_with<T: DeserializeOwned>(&self, flags: RecvFlags) -> io::Result<Received<T>> {
        let mut bytes = vec![0_u8; MAX_MESSAGE];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = flags | RecvFlags::CMSG_CLOEXEC;
        let mut receive = || {
            retry(|| {
                let mut parts = [IoSliceMut::new(&mut bytes)];
                recvmsg(&self.socket, &mut parts, &mut control, flags)
            })
        };
        // An end that closes with something unread is told of once, before what it had said.
        let got = match receive() {
            Err(rustix::io::Errno::CONNRESET) => receive(),
            other => other,
        };
        let got = match got {
            Err(rustix::io::Errno::CONNRESET) => return Ok(None),
            other => other?.bytes,
        };
        let mut fds = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = message {
                fds.extend(received);
            }
        }
        if got == 0 {
            return Ok(None);
        }
        Ok(Some((serde_json::from_slice(&bytes[..got])?, fds)))
    }

    /// Receives within a deadline; `TimedOut` after it.
    pub(crate) fn receive_by<T: DeserializeOwned>(
        &self,
        deadline: Instant,
    ) -> io::Result<Received<T>> {
        if !wait_readable(self.as_fd(), Some(deadline))? {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.receive()
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Waits until a descriptor is readable or its peer is gone; `false` when the deadline passed first.
pub(crate) fn wait_readable(fd: BorrowedFd<'_>, deadline: Option<Instant>) -> io::Result<bool> {
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let timeout = left.map(timespec);
        match poll(&mut [PollFd::new(&fd, PollFlags::IN)], timeout.as_ref()) {
            Ok(0) if left.is_none_or(|left| left.is_zero()) => return Ok(false),
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return Ok(true),
            Err(error) => return Err(error.into()),
        }
    }
}

fn timespec(duration: Duration) -> Timespec {
    let longest = Duration::from_secs(365 * 24 * 3600);
    let duration = duration.min(longest);
    Timespec {
        tv_sec: duration.as_secs().cast_signed(),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

/// Repeats a call that a signal interrupted.
pub(crate) fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    loop {
        match call() {
            Err(rustix::io::Errno::INTR) => {}
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_carry_descriptors_and_the_end_is_seen() {
        let (ours, theirs) = Channel::pair().unwrap();
        let theirs = Channel::from_fd(theirs);
        let file = tempfile::tempfile().unwrap();
        ours.send(&Report::Upper("u".into()), &[file.as_fd(), file.as_fd()])
            .unwrap();
        let (message, fds) = theirs.receive::<Report>().unwrap().unwrap();
        assert!(matches!(message, Report::Upper(name) if name == "u"));
        assert_eq!(fds.len(), 2);
        let soon = Instant::now() + Duration::from_millis(5);
        assert_eq!(
            theirs.receive_by::<Report>(soon).unwrap_err().kind(),
            io::ErrorKind::TimedOut
        );
        drop(ours);
        assert!(theirs.receive::<Report>().unwrap().is_none());
    }

    #[test]
    fn what_an_end_said_last_is_received_though_it_left_something_unread() {
        let (ours, theirs) = Channel::pair().unwrap();
        let theirs = Channel::from_fd(theirs);
        theirs.send(&Report::Upper("last".into()), &[]).unwrap();
        ours.send(&Report::Upper("unread".into()), &[]).unwrap();
        drop(theirs);
        let (message, _) = ours.receive::<Report>().unwrap().unwrap();
        assert!(matches!(message, Report::Upper(name) if name == "last"));
        assert!(ours.receive::<Report>().unwrap().is_none());
    }
}
