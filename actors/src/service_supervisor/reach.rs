//! How hd itself reaches a service: on the machine's network, or in the isolated one.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use hd_sandbox::NetworkNamespace;
use socket2::{Domain, Socket, Type};

/// The network a service listens on.
#[derive(Clone, Debug, Default)]
pub(crate) enum Reach {
    /// That of the machine.
    #[default]
    Host,
    /// The isolated one.
    Within(Arc<NetworkNamespace>),
}

impl Reach {
    /// Tells whether it is the same network.
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Host, Self::Host) => true,
            (Self::Within(one), Self::Within(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    /// Gives the directory of the kernel's tables of sockets (`proc_pid_net(5)`).
    pub(crate) fn tables(&self) -> PathBuf {
        match self {
            Self::Host => PathBuf::from("/proc/self/net"),
            Self::Within(network) => PathBuf::from(format!("/proc/{}/net", network.pid())),
        }
    }

    /// Makes a socket that is connected to nothing yet.
    pub(crate) fn socket(&self, to: SocketAddr) -> io::Result<Socket> {
        match self {
            Self::Host => Socket::new(Domain::for_address(to), Type::STREAM, None),
            Self::Within(network) => {
                let socket = network.socket(to.is_ipv6()).map_err(io::Error::other)?;
                Ok(socket.into())
            }
        }
    }

    /// Listens; so many connections may wait.
    pub(crate) fn listen(&self, at: SocketAddr, backlog: i32) -> io::Result<TcpListener> {
        let socket = self.socket(at)?;
        // What lingers of a connection is in nobody's way.
        socket.set_reuse_address(true)?;
        socket.bind(&at.into())?;
        socket.listen(backlog)?;
        Ok(socket.into())
    }
}
