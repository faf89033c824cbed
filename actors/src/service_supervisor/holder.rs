//! Who listens on a port, from `/proc` (`proc_pid_net(5)`).

use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use rustix::io::Errno;

use super::reach::Reach;

/// State of a listening socket in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// A socket that accepts connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listener {
    /// User who made it.
    pub(crate) uid: u32,
    /// Its inode.
    pub(crate) inode: u64,
    /// Connections that wait to be accepted.
    pub(crate) waiting: u32,
}

/// A process that holds a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    /// Its process id.
    pub(crate) pid: u32,
    /// The name of its command.
    pub(crate) command: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.command, self.pid)
    }
}

/// Says who is in the way of a service that wants to listen on a port, and what to do; nothing when it is free.
///
/// Connections that linger in `TIME_WAIT` are in nobody's way: only listening sockets count.
pub(crate) fn in_use(reach: &Reach, port: u16) -> Option<String> {
    if is_free(reach, port) {
        return None;
    }
    let listeners = listeners(reach, port);
    let first = listeners.first()?;
    let who = listeners.iter().find_map(|listener| holder(listener.inode));
    let who = who.map_or_else(
        || format!("a process of user {}", first.uid),
        |holder| holder.to_string(),
    );
    Some(format!(
        "port {port} is in use by {who}: end that and restart the service, or set another `port` (\"auto\" is a free one)"
    ))
}

/// Says whether a socket could listen on a port; false when it is not certain. Takes microseconds, where
/// the kernel needs 5 ms to print a table of all sockets.
fn is_free(reach: &Reach, port: u16) -> bool {
    let local = [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::from(Ipv6Addr::LOCALHOST),
    ];
    let mut addresses = local.iter().map(|ip| SocketAddr::new(*ip, port));
    addresses.all(|address| match could_bind(reach, address) {
        Ok(()) => true,
        // There is no such family, or no such address, here.
        Err(error) => matches!(
            Errno::from_io_error(&error),
            Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL)
        ),
    })
}

fn could_bind(reach: &Reach, address: SocketAddr) -> std::io::Result<()> {
    let socket = reach.socket(address)?;
    // Then only a listening socket is in the way, none that lingers: socket(7).
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())
}

/// Gives the sockets that accept connections to 127.0.0.1 or ::1 on a port.
pub(crate) fn listeners(reach: &Reach, port: u16) -> Vec<Listener> {
    listening(reach, port, is_local)
}

/// Gives the sockets that accept connections to one address.
pub(crate) fn listeners_at(reach: &Reach, at: SocketAddr) -> Vec<Listener> {
    let ip = at.ip().to_canonical();
    listening(reach, at.port(), |address| address == ip)
}

fn listening(reach: &Reach, port: u16, is_meant: impl Fn(IpAddr) -> bool) -> Vec<Listener> {
    let directory = reach.tables();
    let tables =
        ["tcp", "tcp6"].map(|name| fs::read_to_string(directory.join(name)).unwrap_or_default());
    let tables = tables.iter();
    tables
        .flat_map(|table| parse(table, port, &is_meant))
        .collect()
}

/// Gives the inode of a connection from `peer` to a port, once somebody has accepted it: before, it has
/// none.
pub(crate) fn accepted(reach: &Reach, port: u16, peer: SocketAddr) -> Option<u64> {
    let directory = reach.tables();
    let table = |name| fs::read_to_string(directory.join(name)).unwrap_or_default();
    let find = |name| {
        table(name)
            .lines()
            .find_map(|line| connection(line, port, peer))
    };
    ["tcp", "tcp6"].into_iter().find_map(find)
}

/// Finds a process that holds a socket, among those this process may look into.
pub(crate) fn holder(inode: u64) -> Option<Holder> {
    let socket = format!("socket:[{inode}]");
    let mut pids: Vec<u32> = fs::read_dir("/proc")
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    // What listens on a port of a project was started late, as a rule.
    pids.sort_unstable_by(|a, b| b.cmp(a));
    let pid = pids.into_iter().find(|pid| holds(*pid, &socket))?;
    let command = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some(Holder {
        pid,
        command: command.trim_end().to_owned(),
    })
}

fn holds(pid: u32, socket: &str) -> bool {
    let Ok(fds) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    fds.flatten()
        .any(|fd| fs::read_link(fd.path()).is_ok_and(|target| target == Path::new(socket)))
}

fn parse(table: &str, port: u16, is_meant: impl Fn(IpAddr) -> bool) -> Vec<Listener> {
    table
        .lines()
        .filter_map(|line| listener(line, port))
        .filter(|(address, _)| address.is_unspecified() || is_meant(*address))
        .map(|(_, listener)| listener)
        .collect()
}

fn is_local(address: IpAddr) -> bool {
    address == Ipv4Addr::LOCALHOST || address == Ipv6Addr::LOCALHOST
}

/// Reads a line: `sl local remote st queues timer retransmits uid timeout inode …`.
fn listener(line: &str, wanted: u16) -> Option<(IpAddr, Listener)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (address, port) = fields.get(1)?.split_once(':')?;
    let is_wanted = *fields.get(3)? == LISTEN && u16::from_str_radix(port, 16).ok()? == wanted;
    let (uid, inode) = (fields.get(7)?.parse().ok()?, fields.get(9)?.parse().ok()?);
    let waiting = fields.get(4)?.split_once(':')?.1;
    let waiting = u32::from_str_radix(waiting, 16).ok()?;
    let listener = Listener {
        uid,
        inode,
        waiting,
    };
    let address = parse_address(address)?.to_canonical();
    is_wanted.then_some((address, listener))
}

/// Reads such a line as that of an accepted connection.
fn connection(line: &str, port: u16, peer: SocketAddr) -> Option<u64> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (_, to) = fields.get(1)?.split_once(':')?;
    let (from, from_port) = fields.get(2)?.split_once(':')?;
    let is_it = u16::from_str_radix(to, 16).ok()? == port
        && u16::from_str_radix(from_port, 16).ok()? == peer.port()
        && parse_address(from)?.to_canonical() == peer.ip().to_canonical();
    let inode: u64 = fields.get(9)?.parse().ok()?;
    (is_it && inode > 0).then_some(inode)
}

/// Reads an address as the kernel prints it: words of 32 bit in the byte order of the machine.
fn parse_address(text: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        Some(
            u32::from_str_radix(text.get(at..at + 8)?, 16)
                .ok()?
                .to_ne_bytes(),
        )
    };
    match text.len() {
        8 => Some(IpAddr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            let mut octets = [0; 16];
            octets
                .iter_mut()
                .zip(words.iter().flatten())
                .for_each(|(octet, byte)| *octet = *byte);
            Some(IpAddr::from(octets))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[cfg(target_endian = "little")]
    #[test]
    fn only_listeners_that_answer_for_localhost_count() {
        let rest = "00000000:00000000 00:00000000 00000000  1000        0 4242 1 0 100 0 0 10 0";
        let v6 = |address: &str| format!("{address}:1388 {}:0000", "0".repeat(32));
        let cases = [
            ("0100007F:1388 00000000:0000 0A".to_owned(), true),
            ("00000000:1388 00000000:0000 0A".to_owned(), true),
            ("0100007F:1389 00000000:0000 0A".to_owned(), false),
            ("0100007F:1388 0100007F:C350 01".to_owned(), false),
            ("0100007F:1388 0100007F:C350 06".to_owned(), false),
            ("3500007F:1388 00000000:0000 0A".to_owned(), false),
            ("0501A8C0:1388 00000000:0000 0A".to_owned(), false),
            (format!("{} 0A", v6(&"0".repeat(32))), true),
            (
                format!("{} 0A", v6("00000000000000000000000001000000")),
                true,
            ),
            (
                format!("{} 0A", v6("0000000000000000FFFF00000100007F")),
                true,
            ),
            (
                format!("{} 0A", v6("000080FE00000000FF005450A1B2C3D4")),
                false,
            ),
            ("garbage".to_owned(), false),
        ];
        for (socket, found) in cases {
            let line = format!("   0: {socket} {rest}");
            let expected = if found {
                vec![Listener {
                    uid: 1000,
                    inode: 4242,
                    waiting: 0,
                }]
            } else {
                Vec::new()
            };
            assert_eq!(
                parse(&format!("  sl  local_address\n{line}\n"), 5000, is_local),
                expected,
                "{line}"
            );
        }
    }

    #[test]
    fn the_holder_of_a_real_port_is_named_and_a_lingering_connection_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let me = std::process::id();
        let told = in_use(&Reach::Host, port).unwrap();
        let start = format!("port {port} is in use by ");
        assert!(
            told.starts_with(&start) && told.contains(&format!("(pid {me}): ")),
            "{told}"
        );
        // The side that closes first is the one that lingers.
        let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (server, _) = listener.accept().unwrap();
        drop((server, listener));
        drop(client);
        assert_eq!(in_use(&Reach::Host, port), None);
    }

    #[test]
    fn a_connection_has_a_holder_once_it_is_accepted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let peer = client.local_addr().unwrap();
        assert_eq!(accepted(&Reach::Host, port, peer), None);
        let _server = listener.accept().unwrap();
        let inode = accepted(&Reach::Host, port, peer).unwrap();
        assert_eq!(holder(inode).unwrap().pid, std::process::id());
    }

    #[test]
    fn a_v6_listener_is_found() {
        let Ok(listener) = TcpListener::bind("[::1]:0") else {
            return;
        };
        assert_eq!(
            listeners(&Reach::Host, listener.local_addr().unwrap().port()).len(),
            1
        );
    }
}
