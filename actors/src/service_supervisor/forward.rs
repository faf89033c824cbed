//! Published ports: hd listens on the machine and connects in the isolated network.
//!
//! A connection that comes while the service starts anew waits until it listens again.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hd_config::Published;
use hd_sandbox::NetworkNamespace;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Semaphore, oneshot};

use super::reach::Reach;
use super::socket::HeldSocket;

/// Connections that one port relays at a time; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 512;
/// How long a connection waits for a service that does not listen.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is tried in that time.
const AGAIN: Duration = Duration::from_millis(20);

/// Published ports, listened to as long as this is held.
#[derive(Debug)]
pub(crate) struct Forwarding {
    ports: Vec<Published>,
    network: Arc<NetworkNamespace>,
    end: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Forwarding {
    /// Listens on all ports. The error says who is in the way of one.
    pub(crate) fn start(
        service: &str,
        ports: &[Published],
        network: &Arc<NetworkNamespace>,
    ) -> Result<Self, String> {
        let mut listeners = Vec::new();
        for one in ports {
            let Some(place) = one.place() else {
                return Err(format!("no free port was found for port {}", one.target));
            };
            let held = HeldSocket::listen(&Reach::Host, place.ip(), place.port())?;
            let listener = held.descriptor().map_err(|e| e.to_string())?;
            listeners.push((listener, one.target));
        }
        let (end, is_over) = oneshot::channel();
        let (within, name) = (network.clone(), format!("ports {service}"));
        let thread = thread::Builder::new().name(name).spawn(move || {
            if let Err(error) = relay_all(listeners, within, is_over) {
                tracing::error!(%error, "published ports are not served");
            }
        });
        let thread = thread.map_err(|e| format!("cannot start a thread: {e}"))?;
        Ok(Self {
            ports: ports.to_vec(),
            network: network.clone(),
            end,
            thread,
        })
    }

    /// Tells whether it is from these ports into this network.
    pub(crate) fn leads(&self, ports: &[Published], network: &Arc<NetworkNamespace>) -> bool {
        self.ports == ports && Arc::ptr_eq(&self.network, network)
    }

    /// Ends it and waits until its ports are free; dropped, it gives them up a little later.
    pub(crate) fn end(self) {
        drop(self.end);
        if self.thread.join().is_err() {
            tracing::error!("the thread of published ports panicked");
        }
    }
}

fn relay_all(
    listeners: Vec<(OwnedFd, u16)>,
    network: Arc<NetworkNamespace>,
    is_over: oneshot::Receiver<()>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let tasks = tokio::task::LocalSet::new();
    for (listener, target) in listeners {
        let (network, listener) = (network.clone(), TcpListener::from(listener));
        tasks.spawn_local(async move {
            if let Err(error) = accept(listener, target, network).await {
                tracing::warn!(target, %error, "a published port is not served any more");
            }
        });
    }
    // Its sender is dropped when the ports are given up.
    let _ = tasks.block_on(&runtime, is_over);
    Ok(())
}

async fn accept(
    listener: TcpListener,
    target: u16,
    network: Arc<NetworkNamespace>,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let free = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = free.clone().acquire_owned().await;
        let place = place.map_err(io::Error::other)?;
        let mut outside = match listener.accept().await {
            Ok((outside, _)) => outside,
            Err(error) => {
                // Of one connection, or of descriptors that others give back.
                tracing::debug!(%error, "a connection was not accepted");
                tokio::time::sleep(AGAIN).await;
                continue;
            }
        };
        let network = network.clone();
        tokio::task::spawn_local(async move {
            let _place = place;
            match connect(&network, target).await {
                Ok(mut inside) => {
                    for end in [&outside, &inside] {
                        // What is relayed has been collected once already, and must not wait for more.
                        let _ = end.set_nodelay(true);
                    }
                    // Either side may end it as it likes.
                    let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
                }
                Err(error) => tracing::debug!(target, %error, "nobody takes a connection"),
            }
        });
    }
}

async fn connect(network: &NetworkNamespace, target: u16) -> io::Result<TcpStream> {
    let deadline = Instant::now() + PATIENCE;
    let local = [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::from(Ipv6Addr::LOCALHOST),
    ];
    loop {
        let mut last = io::Error::from(io::ErrorKind::NotConnected);
        for address in local {
            let to = SocketAddr::new(address, target);
            let socket = match network.socket(to.is_ipv6()) {
                Ok(socket) => std::net::TcpStream::from(socket),
                // A kernel may know one kind of address only.
                Err(error) => {
                    last = io::Error::other(error);
                    continue;
                }
            };
            socket.set_nonblocking(true)?;
            match TcpSocket::from_std_stream(socket).connect(to).await {
                // With nobody listening it may have been connected to itself: its own port is chosen
                // from the same range.
                Ok(stream) if stream.local_addr()? == to => {}
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        if Instant::now() >= deadline {
            return Err(last);
        }
        tokio::time::sleep(AGAIN).await;
    }
}
