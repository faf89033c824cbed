//! Connects to a port that perhaps nobody listens on yet.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::reach::Reach;

/// Connects, but never to itself.
///
/// With nobody listening on a port of this machine, a connection whose own port the kernel chose to be
/// the same one would end up at itself (RFC 9293 §3.5, simultaneous open), and take the port away from
/// the service. So its own port is chosen first. `/proc/net/tcp` would tell as well who listens, but
/// takes the kernel 5 ms a look.
pub(super) fn connect_to(
    reach: &Reach,
    address: SocketAddr,
    within: Duration,
) -> Result<TcpStream, String> {
    let connected = if address.ip().is_loopback() {
        from_another_port(reach, address, within)
    } else {
        elsewhere(reach, address, within)
    };
    connected.map_err(|e| match e.kind() {
        io::ErrorKind::ConnectionRefused => format!("nothing listens on {address}"),
        _ => format!("{address}: {e}"),
    })
}

fn elsewhere(reach: &Reach, address: SocketAddr, within: Duration) -> io::Result<TcpStream> {
    let socket = reach.socket(address)?;
    socket.connect_timeout(&address.into(), within)?;
    Ok(socket.into())
}

fn from_another_port(
    reach: &Reach,
    address: SocketAddr,
    within: Duration,
) -> io::Result<TcpStream> {
    let socket = reach.socket(address)?;
    socket.bind(&SocketAddr::new(address.ip(), 0).into())?;
    let own = socket.local_addr()?.as_socket();
    if own.is_some_and(|own| own.port() == address.port()) {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    socket.connect_timeout(&address.into(), within)?;
    Ok(socket.into())
}
