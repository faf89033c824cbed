//! Where a service is on the network, and where it is reached from.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// What a service sees of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ServiceNetwork {
    /// The network of the machine; the default.
    #[default]
    Host,
    /// None but a loopback device of its own.
    None,
    /// A loopback device that all isolated services of the instance share; nothing leads out of it.
    Isolated,
}

impl ServiceNetwork {
    /// The word in `hd.toml`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::None => "none",
            Self::Isolated => "isolated",
        }
    }
}

/// A port of an isolated service that the machine has too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// Where hd listens.
    pub address: IpAddr,
    /// The port there; with `auto` none until it is assigned.
    pub port: Option<u16>,
    /// hd looks for a free one.
    pub auto: bool,
    /// The port in the isolated network.
    pub target: u16,
}

impl Published {
    /// Where it is reached, once that is known.
    #[must_use]
    pub fn place(&self) -> Option<SocketAddr> {
        self.port.map(|port| SocketAddr::new(self.address, port))
    }

    /// Reads `8080:80`, `127.0.0.1:8080:80`, `[::1]:8080:80`, `auto:80`; `/tcp` may follow.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let plain = match text.split_once('/') {
            None | Some((_, "tcp")) => text.strip_suffix("/tcp").unwrap_or(text),
            Some((_, protocol)) => return Err(format!("{protocol:?} is not published, only tcp")),
        };
        let number = |word: &str| match word.parse::<u16>() {
            Ok(port) if port > 0 => Ok(port),
            _ => Err(format!("{word:?} is no port")),
        };
        let (rest, target) = plain
            .rsplit_once(':')
            .ok_or_else(|| format!("{text:?} does not say where to listen"))?;
        let (address, outside) = match rest.rsplit_once(':') {
            None => (IpAddr::from(Ipv4Addr::LOCALHOST), rest),
            Some((address, outside)) => {
                let bare = address.trim_start_matches('[').trim_end_matches(']');
                let address = bare.parse();
                let address = address.map_err(|_| format!("{bare:?} is no IP address"))?;
                (address, outside)
            }
        };
        let auto = outside == "auto";
        Ok(Self {
            address,
            port: if auto { None } else { Some(number(outside)?) },
            auto,
            target: number(target)?,
        })
    }
}

impl fmt::Display for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place() {
            Some(place) => write!(f, "{place}:{}", self.target),
            None => write!(f, "auto:{}", self.target),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_ports_say_where_and_what() {
        let cases = [
            ("8080:80", "127.0.0.1:8080:80"),
            ("0.0.0.0:8080:80/tcp", "0.0.0.0:8080:80"),
            ("[::1]:8080:80", "[::1]:8080:80"),
            ("auto:80", "auto:80"),
        ];
        for (text, shown) in cases {
            let shown = Ok(shown.to_owned());
            assert_eq!(
                Published::parse(text).map(|one| one.to_string()),
                shown,
                "{text}"
            );
        }
        let wrong = [
            ("80", "\"80\" does not say where to listen"),
            ("8080:80/udp", "\"udp\" is not published, only tcp"),
            ("web:8080:80", "\"web\" is no IP address"),
            ("0:80", "\"0\" is no port"),
            ("80:x", "\"x\" is no port"),
        ];
        for (text, why) in wrong {
            assert_eq!(Published::parse(text), Err(why.to_owned()), "{text}");
        }
    }
}
