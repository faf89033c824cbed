//! The process that lives in a network namespace and makes sockets there for hd.

use super::namespace::enter_namespaces;
use super::{Outcome, Tried};
use crate::event::{Failure, Stage};
use crate::sys;
use crate::wire::{Channel, Join, Order, Report};
use nix::sched::{CloneFlags, unshare};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

/// Makes or joins the namespace, then answers until hd is gone.
pub(super) fn run(channel: &Channel, join: Join, joined: &[OwnedFd]) -> Outcome<i32> {
    enter_namespaces(join, joined)?;
    if !join.network {
        unshare(CloneFlags::CLONE_NEWNET).tried(Stage::Namespaces, "make a network namespace")?;
        sys::bring_up_loopback().tried(Stage::Namespaces, "bring up the loopback device")?;
        open_low_ports();
    }
    let namespace = File::open("/proc/self/ns/net").tried(Stage::Namespaces, "open a namespace")?;
    channel
        .send(&Report::Namespace, &[namespace.as_fd()])
        .tried(Stage::Helper, "report the network namespace")?;
    drop(namespace);
    loop {
        let order = channel.receive::<Order>();
        let Some((Order::Socket { v6 }, _)) = order.tried(Stage::Helper, "wait for an order")?
        else {
            return Ok(0);
        };
        let family = if v6 {
            AddressFamily::INET6
        } else {
            AddressFamily::INET
        };
        let made = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None);
        let told = match made {
            Ok(socket) => channel.send(&Report::Socket, &[socket.as_fd()]),
            Err(error) => {
                let failure = Failure::new(Stage::Namespaces, "make a socket", error);
                channel.send(&Report::Failed(failure), &[])
            }
        };
        told.tried(Stage::Helper, "hand over a socket")?;
    }
}

/// Lets everybody listen on ports below 1024 of a network that is reached by nobody else: services need not
/// be root there. Where the kernel does not let hd, they are root's.
fn open_low_ports() {
    let _ = std::fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
}
