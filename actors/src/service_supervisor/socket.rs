//! A listening socket that hd holds for a service, so that nobody is refused while it restarts.
//!
//! The service gets it as descriptor 3, announced as `sd_listen_fds(3)` says: `LISTEN_FDS=1`,
//! `LISTEN_FDNAMES` (its name) and, from the sandbox, `LISTEN_PID`. Connections that come in while
//! no process accepts wait in the kernel's queue.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::holder;
use super::reach::Reach;

/// Connections that may wait; the kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// The socket; clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct HeldSocket {
    listener: Arc<TcpListener>,
    reach: Reach,
    place: (IpAddr, u16),
}

impl HeldSocket {
    /// Listens on a port. The error says who is in the way.
    pub(crate) fn listen(reach: &Reach, address: IpAddr, port: u16) -> Result<Self, String> {
        let listener = reach.listen(SocketAddr::new(address, port), BACKLOG);
        let listener = listener.map_err(|error| {
            let is_taken = error.kind() == io::ErrorKind::AddrInUse;
            let in_use = is_taken.then(|| holder::in_use(reach, port));
            in_use
                .flatten()
                .unwrap_or_else(|| format!("cannot listen on {address}, port {port}: {error}"))
        })?;
        Ok(Self {
            listener: Arc::new(listener),
            reach: reach.clone(),
            place: (address, port),
        })
    }

    /// Tells whether it listens there: on that network, address and port.
    pub(crate) fn is_at(&self, reach: &Reach, place: (IpAddr, u16)) -> bool {
        self.place == place && self.reach.is(reach)
    }

    /// Gives a descriptor of it for a process.
    pub(crate) fn descriptor(&self) -> io::Result<OwnedFd> {
        Ok(self.listener.try_clone()?.into())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn who_connects_waits_until_somebody_accepts_and_is_refused_when_it_is_given_up() {
        let local = IpAddr::from([127, 0, 0, 1]);
        let port = {
            let free = TcpListener::bind((local, 0)).unwrap();
            free.local_addr().unwrap().port()
        };
        let held = HeldSocket::listen(&Reach::Host, local, port).unwrap();
        let waiting = TcpStream::connect((local, port)).unwrap();
        let listener = TcpListener::from(held.descriptor().unwrap());
        let (_, from) = listener.accept().unwrap();
        assert_eq!(from, waiting.local_addr().unwrap());
        let error = HeldSocket::listen(&Reach::Host, local, port).unwrap_err();
        assert!(
            error.starts_with(&format!("port {port} is in use by ")),
            "{error}"
        );
        drop((listener, held));
        assert!(TcpStream::connect((local, port)).is_err());
    }
}
