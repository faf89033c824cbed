//! One fanotify group on one mount, and the thread that reads it.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use hd_dag::TreePath;
use nix::errno::Errno;
use nix::sys::fanotify::{EventFFlags, Fanotify, FanotifyEvent, InitFlags, MarkFlags, MaskFlags};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use super::seen::Write;
use super::{Scope, Witness};

/// Pause after each reading: the kernel merges what is equal meanwhile, so a service that writes without
/// end does not keep hd busy.
const PAUSE: Duration = Duration::from_millis(2);
/// Events in a row that cannot be had (a file that cannot be opened) before a reading gives up.
const REFUSED_MAX: u32 = 1000;

/// The kernel's word on one mount.
#[derive(Debug)]
pub(super) struct Group {
    /// Read by one at a time: who has waited for the other knows all the other was told.
    fanotify: Mutex<Fanotify>,
    /// The same, to wait on.
    waiting: OwnedFd,
    /// Where the mount is seen by those who use it.
    inside: PathBuf,
    scope: Scope,
}

/// Ends the witnessing of a mount when it is dropped; what was done until then is taken in.
#[derive(Debug)]
pub struct Attached(OwnedFd);

impl Drop for Attached {
    fn drop(&mut self) {
        // The counter cannot be full: this is the only number ever added.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }
}

/// Tells whether the kernel permits to witness anything.
///
/// # Errors
/// Why not.
pub fn permitted() -> io::Result<()> {
    init().map(drop)
}

fn init() -> io::Result<Fanotify> {
    let flags = InitFlags::FAN_CLASS_NOTIF | InitFlags::FAN_CLOEXEC | InitFlags::FAN_NONBLOCK;
    let files = EventFFlags::O_RDONLY
        | EventFFlags::O_CLOEXEC
        | EventFFlags::O_LARGEFILE
        | EventFFlags::O_NONBLOCK;
    Ok(Fanotify::init(flags, files)?)
}

impl Group {
    pub(super) fn open(mount: &OwnedFd, inside: PathBuf, scope: Scope) -> io::Result<Self> {
        let fanotify = init()?;
        let mut mask = MaskFlags::FAN_MODIFY | MaskFlags::FAN_CLOSE_WRITE;
        if scope == Scope::Reads {
            mask |= MaskFlags::FAN_OPEN;
        }
        let flags = MarkFlags::FAN_MARK_ADD | MarkFlags::FAN_MARK_MOUNT;
        // By a name: the descriptor itself is of a path only.
        fanotify.mark(flags, mask, mount, Some("."))?;
        let waiting = fanotify.as_fd().try_clone_to_owned()?;
        Ok(Self {
            fanotify: Mutex::new(fanotify),
            waiting,
            inside,
            scope,
        })
    }

    /// Takes in all there is. Never waits for more.
    pub(super) fn drain(&self, witness: &Witness) {
        let fanotify = self.fanotify.lock().unwrap_or_else(PoisonError::into_inner);
        let mut refused = 0;
        while refused < REFUSED_MAX {
            match fanotify.read_events() {
                Ok(events) if events.is_empty() => return,
                Ok(events) => events.iter().for_each(|event| self.take(event, witness)),
                Err(Errno::EAGAIN) => return,
                Err(_) => refused += 1,
            }
        }
    }

    fn take(&self, event: &FanotifyEvent, witness: &Witness) {
        // An overflow carries none: what was lost counts as somebody else's doing.
        let Some(file) = event.fd() else { return };
        let wrote = MaskFlags::FAN_MODIFY | MaskFlags::FAN_CLOSE_WRITE;
        if event.mask().intersects(wrote)
            && let Ok(stat) = rustix::fs::fstat(file)
        {
            let file = (stat.st_dev, stat.st_ino);
            witness.seen().write(file, Write::now());
        }
        if self.scope == Scope::Reads
            && event.mask().contains(MaskFlags::FAN_OPEN)
            && let Ok(place) = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))
            && let Ok(path) = place.strip_prefix(&self.inside)
            && let Ok(path) = TreePath::new(path.as_os_str().as_bytes())
        {
            witness.seen().open(path);
        }
    }
}

/// Reads a group on a thread of its own.
pub(super) fn follow(group: Arc<Group>, witness: Arc<Witness>) -> io::Result<Attached> {
    let over = eventfd(0, EventfdFlags::CLOEXEC)?;
    let is_over = over.try_clone()?;
    witness.seen().is_witnessed = true;
    thread::Builder::new()
        .name("witness".to_owned())
        .spawn(move || {
            while !waits(&group.waiting, &is_over) {
                group.drain(&witness);
                if pauses(&is_over) {
                    break;
                }
            }
            group.drain(&witness);
            witness.forget(&group);
        })?;
    Ok(Attached(over))
}

/// Waits for events; tells whether the end has come.
fn waits(events: &OwnedFd, over: &OwnedFd) -> bool {
    let mut fds = [
        PollFd::new(events, PollFlags::IN),
        PollFd::new(over, PollFlags::IN),
    ];
    match poll(&mut fds, None) {
        Ok(_) | Err(rustix::io::Errno::INTR) => !fds[1].revents().is_empty(),
        Err(_) => true,
    }
}

/// Pauses; tells whether the end has come.
fn pauses(over: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(over, PollFlags::IN)];
    let pause = Timespec::try_from(PAUSE).ok();
    // An interrupted pause is a short one.
    poll(&mut fds, pause.as_ref()).is_ok_and(|ready| ready > 0)
}
