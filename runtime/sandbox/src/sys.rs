//! System calls for which no safe wrapper exists in the libraries used. All `unsafe` of the crate is here.

use rustix::mount::MountAttrFlags;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

/// Which of two processes this is after a fork.
#[derive(Debug)]
pub(crate) enum Fork {
    Child,
    Parent { child: u32 },
}

/// Forks. The caller must be single-threaded, as helper processes are: the child goes on with the whole program.
#[expect(unsafe_code, reason = "fork has no safe wrapper")]
pub(crate) fn fork() -> io::Result<Fork> {
    // SAFETY: helpers never start a thread, so no lock can be held by a thread that is missing in the child.
    let pid = unsafe { libc::fork() };
    forked(pid.into())
}

/// Forks a child whose parent is the parent of this process.
#[expect(unsafe_code, reason = "clone has no safe wrapper that returns twice")]
pub(crate) fn fork_sibling() -> io::Result<Fork> {
    let flags = libc::CLONE_PARENT | libc::SIGCHLD;
    // SAFETY: without CLONE_VM and with a null stack the call acts like fork; helpers have one thread only. On s390x
    // the first two arguments are swapped, there this must not be used as it is.
    let pid = unsafe { libc::syscall(libc::SYS_clone, libc::c_long::from(flags), 0, 0, 0, 0) };
    forked(pid)
}

fn forked(pid: libc::c_long) -> io::Result<Fork> {
    match u32::try_from(pid) {
        Ok(0) => Ok(Fork::Child),
        Ok(child) => Ok(Fork::Parent { child }),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// What [`close_from`] does to the descriptors.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Closing {
    Now,
    OnExec,
}

/// Closes all descriptors from `first` on. With [`Closing::Now`] nothing may own one of them.
#[expect(unsafe_code, reason = "close_range has no safe wrapper")]
pub(crate) fn close_from(first: u32, closing: Closing) -> io::Result<()> {
    let flags = match closing {
        Closing::Now => 0,
        Closing::OnExec => libc::CLOSE_RANGE_CLOEXEC.cast_signed(),
    };
    // SAFETY: called as the first act of a helper, when nothing is open but what was inherited, or only to set a flag.
    match unsafe { libc::close_range(first, u32::MAX, flags) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Makes `number` a copy of a descriptor, without close-on-exec.
#[expect(
    unsafe_code,
    reason = "the target is a bare number, not an owned descriptor"
)]
pub(crate) fn place_fd(fd: BorrowedFd<'_>, number: RawFd) -> io::Result<()> {
    // SAFETY: done just before exec by a process that has moved every descriptor it owns above the numbers placed.
    match unsafe { libc::dup2(fd.as_raw_fd(), number) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Gives every signal its default action.
#[expect(unsafe_code, reason = "signal dispositions have no safe wrapper")]
pub(crate) fn reset_signals() {
    // The kernel's sigaction: handler (0 is the default one), flags, restorer, mask. libc would refuse the two signals
    // it uses itself, which may be ignored by inheritance as any other.
    let default = [0_u64; 4];
    let nothing = std::ptr::null_mut::<libc::c_void>();
    for number in 1..=64_i32 {
        // SAFETY: the default action runs no code of this program, and the kernel only reads the structure. It refuses
        // the two signals that cannot be set; no matter.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                number,
                default.as_ptr(),
                nothing,
                size_of::<u64>(),
            )
        };
    }
}

/// Sends any signal, real-time ones too, to a process group.
#[expect(unsafe_code, reason = "the safe wrappers know named signals only")]
pub(crate) fn signal_group(group: libc::pid_t, signal: libc::c_int) -> io::Result<()> {
    // SAFETY: the call touches no memory, and the kernel checks both numbers.
    match unsafe { libc::killpg(group, signal) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Sends any signal, real-time ones too, to one process.
///
/// # Errors
/// Fails as the kernel does, for one that is gone too.
#[expect(unsafe_code, reason = "the safe wrappers know named signals only")]
pub fn signal_process(process: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let nothing = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: the descriptor is open, nothing is read through the null pointer, and the kernel checks the number.
    let sent = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            process.as_raw_fd(),
            signal,
            nothing,
            0,
        )
    };
    match sent {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Adds attributes to a mount, given by a descriptor of its root, and with `recursive` to all mounts below it.
#[expect(unsafe_code, reason = "mount_setattr has no wrapper yet")]
pub(crate) fn set_mount_attributes(
    mount: BorrowedFd<'_>,
    attributes: MountAttrFlags,
    recursive: bool,
) -> io::Result<()> {
    let attr = libc::mount_attr {
        attr_set: attributes.bits().into(),
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a C string, the structure is valid for the size given, and the kernel only reads both.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            std::ptr::from_ref(&attr),
            size_of::<libc::mount_attr>(),
        )
    };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Brings up the loopback device of a new network namespace.
#[expect(unsafe_code, reason = "the ioctl of network devices has no wrapper")]
pub(crate) fn bring_up_loopback() -> io::Result<()> {
    let socket = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        None,
    )?;
    let mut name = [0; libc::IFNAMSIZ];
    name[0] = libc::c_char::from_ne_bytes(*b"l");
    name[1] = libc::c_char::from_ne_bytes(*b"o");
    let flags =
        libc::c_short::try_from(libc::IFF_UP | libc::IFF_RUNNING).map_err(io::Error::other)?;
    let request = libc::ifreq {
        ifr_name: name,
        ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_flags: flags },
    };
    // SAFETY: the request is a valid ifreq with its flags set, which is what SIOCSIFFLAGS reads.
    match unsafe {
        libc::ioctl(
            socket.as_raw_fd(),
            libc::SIOCSIFFLAGS,
            std::ptr::from_ref(&request),
        )
    } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
