//! Finds the addresses of a host that a probe names, without waiting for the resolver longer than it may.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};

use super::reach::Reach;

/// How the addresses of a name are found; may take as long as it likes.
type Find = fn(&str) -> io::Result<Vec<IpAddr>>;

/// The look-ups of one probe. A name is looked up once at a time, however often it is asked for.
#[derive(Debug)]
pub(crate) struct Lookup {
    find: Find,
    under_way: Option<Receiver<io::Result<Vec<IpAddr>>>>,
}

impl Default for Lookup {
    fn default() -> Self {
        Self {
            find: by_resolver,
            under_way: None,
        }
    }
}

impl Lookup {
    /// Gives the addresses of the host. In the isolated network every name is the loopback address.
    pub(crate) fn addresses(
        &mut self,
        reach: &Reach,
        host: &str,
        within: Duration,
    ) -> Result<Vec<IpAddr>, String> {
        if let Some(known) = without_resolver(reach, host) {
            return Ok(known);
        }
        let answer = match self.under_way.take() {
            Some(answer) => answer,
            None => self.start(host).map_err(|e| format!("{host}: {e}"))?,
        };
        match answer.recv_timeout(within) {
            Ok(found) => found.map_err(|e| format!("{host}: {e}")),
            Err(_) => {
                self.under_way = Some(answer);
                Err(format!("{host}: no address was found within {within:?}"))
            }
        }
    }

    fn start(&self, host: &str) -> io::Result<Receiver<io::Result<Vec<IpAddr>>>> {
        let (tell, answer) = bounded(1);
        let (find, host) = (self.find, host.to_owned());
        thread::Builder::new()
            .name(format!("look up {host}"))
            .spawn(move || {
                // Whoever asked may be gone.
                let _ = tell.send(find(&host));
            })?;
        Ok(answer)
    }
}

/// What is known of a host whatever the resolver says (RFC 6761 §6.3).
fn without_resolver(reach: &Reach, host: &str) -> Option<Vec<IpAddr>> {
    if let Ok(address) = host.parse() {
        return Some(vec![address]);
    }
    if let Reach::Within(_) = reach {
        return Some(vec![IpAddr::from(Ipv4Addr::LOCALHOST)]);
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let top = name.rsplit_once('.').map_or(name, |(_, top)| top);
    top.eq_ignore_ascii_case("localhost").then(|| {
        vec![
            IpAddr::from(Ipv4Addr::LOCALHOST),
            IpAddr::from(Ipv6Addr::LOCALHOST),
        ]
    })
}

fn by_resolver(host: &str) -> io::Result<Vec<IpAddr>> {
    let found = (host, 0).to_socket_addrs()?;
    Ok(found.map(|address| address.ip()).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    const SHORT: Duration = Duration::from_millis(1);
    const LONG: Duration = Duration::from_secs(60);

    /// Held while the resolver is to be slow.
    static SLOW: Mutex<()> = Mutex::new(());

    fn slow(_: &str) -> io::Result<Vec<IpAddr>> {
        let _wait = SLOW.lock();
        Ok(vec![IpAddr::from([192, 0, 2, 1])])
    }

    #[test]
    fn a_slow_resolver_fails_the_try_and_its_answer_is_of_use_to_the_next() {
        let mut lookup = Lookup {
            find: slow,
            under_way: None,
        };
        let mut find = |within| lookup.addresses(&Reach::Host, "db.example", within);
        let wait = SLOW.lock();
        for _ in 0..2 {
            let error = find(SHORT).unwrap_err();
            assert_eq!(error, "db.example: no address was found within 1ms");
        }
        drop(wait);
        assert_eq!(find(LONG), Ok(vec![IpAddr::from([192, 0, 2, 1])]));
    }

    #[test]
    fn the_own_machine_is_known_without_a_resolver() {
        let local = [
            IpAddr::from(Ipv4Addr::LOCALHOST),
            IpAddr::from(Ipv6Addr::LOCALHOST),
        ];
        let found = |host| without_resolver(&Reach::Host, host);
        for host in [
            "localhost",
            "LOCALHOST.",
            "web.localhost",
            "a.web.localhost",
        ] {
            assert_eq!(found(host).as_deref(), Some(&local[..]), "{host}");
        }
        assert_eq!(found("::1").as_deref(), Some(&local[1..]));
        for host in ["db", "localhost.example", "notlocalhost"] {
            assert_eq!(found(host), None, "{host}");
        }
    }
}
