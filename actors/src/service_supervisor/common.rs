//! What the replicas of a service have in common; a service without replicas has it to itself.
//!
//! The listening sockets that hd holds are shared: who connects is taken by whichever replica accepts
//! first, and is not refused as long as one of them is to run. Turns to start anew are shared too.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hd_config::Published;
use hd_sandbox::NetworkNamespace;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::forward::Forwarding;
use super::reach::Reach;
use super::socket::HeldSocket;

/// What they have in common; clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Common {
    held: Arc<Mutex<Held>>,
    turns: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Held {
    socket: Option<HeldSocket>,
    published: Option<Forwarding>,
    /// Services that are to run.
    users: BTreeSet<String>,
}

impl Held {
    /// Whoever listens on the same ports next finds them free.
    fn withdraw(&mut self) {
        if let Some(published) = self.published.take() {
            published.end();
        }
    }
}

/// The right to start anew, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn(
    #[expect(dead_code, reason = "dropping it is what ends the turn")] OwnedSemaphorePermit,
);

impl Default for Common {
    fn default() -> Self {
        Self {
            held: Arc::default(),
            turns: Arc::new(Semaphore::new(1)),
        }
    }
}

impl Common {
    /// Waits until no other replica is on its way; first come, first served.
    pub(crate) async fn turn(self) -> Option<Turn> {
        // Nobody closes it.
        self.turns.acquire_owned().await.ok().map(Turn)
    }

    /// Notes that a service uses what is held from now on; a socket at another place is given up.
    pub(crate) fn used_by(&self, service: &str, reach: &Reach, place: Option<(IpAddr, u16)>) {
        let mut held = self.lock();
        held.users.insert(service.to_owned());
        held.socket
            .take_if(|socket| place.is_none_or(|place| !socket.is_at(reach, place)));
    }

    /// Gives the listening socket that hd holds, made by `hold` when there is none yet.
    pub(crate) fn socket(
        &self,
        hold: impl FnOnce() -> Result<HeldSocket, String>,
    ) -> Result<HeldSocket, String> {
        let mut held = self.lock();
        if let Some(socket) = &held.socket {
            return Ok(socket.clone());
        }
        let socket = hold()?;
        held.socket = Some(socket.clone());
        Ok(socket)
    }

    /// Listens on published ports of a network, by `start` unless exactly those are listened to already.
    pub(crate) fn publish(
        &self,
        ports: &[Published],
        network: &Arc<NetworkNamespace>,
        start: impl FnOnce() -> Result<Forwarding, String>,
    ) -> Result<(), String> {
        let mut held = self.lock();
        let are_these = |one: &Forwarding| one.leads(ports, network);
        if !held.published.as_ref().is_some_and(are_these) {
            held.withdraw();
            if !ports.is_empty() {
                held.published = Some(start()?);
            }
        }
        Ok(())
    }

    /// Publishes nothing any more.
    pub(crate) fn withdraw(&self) {
        self.lock().withdraw();
    }

    /// A service stays stopped: who connects is refused, unless another replica is to run.
    pub(crate) fn release(&self, service: &str) {
        let mut held = self.lock();
        held.users.remove(service);
        if held.users.is_empty() {
            (held.socket, held.published) = (None, None);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

    use super::*;

    #[test]
    fn the_socket_stays_as_long_as_one_replica_is_to_run() {
        let local = IpAddr::from(Ipv4Addr::LOCALHOST);
        let free = TcpListener::bind((local, 0)).unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let (one, place) = (Common::default(), (local, port));
        let hold = || HeldSocket::listen(&Reach::Host, local, port);
        for name in ["web-1", "web-2"] {
            one.used_by(name, &Reach::Host, Some(place));
            drop(one.clone().socket(hold).unwrap());
        }
        let connects = || TcpStream::connect(SocketAddr::new(local, port)).is_ok();
        one.release("web-1");
        assert!(connects());
        one.release("web-2");
        assert!(!connects());
    }

    #[tokio::test]
    async fn one_has_the_turn() {
        let one = Common::default();
        let first = one.clone().turn().await;
        assert!(one.turns.clone().try_acquire_owned().is_err());
        drop(first);
        assert!(one.clone().turn().await.is_some());
    }
}
