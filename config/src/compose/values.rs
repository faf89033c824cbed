//! Values of Compose as `hd.toml` says them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use super::yaml::{Data, Node};
use crate::dockerfile::words;
use crate::expand::expand;
use crate::service::Command;

/// Most ports of one range that are taken one by one.
const LONGEST_RANGE: u16 = 100;

/// A command or entry point: a list as it stands, a string split as a shell would but run without one.
pub(crate) fn command(node: &Node) -> Vec<String> {
    match &node.data {
        Data::Text(text) => words(text),
        _ => node.texts(),
    }
}

/// `environment`: a map, or a list of `NAME=value`. A name alone takes the caller's value, and has none where the
/// caller sets none.
pub(crate) fn environment(node: &Node) -> BTreeMap<String, Option<String>> {
    pairs(node).collect()
}

/// `args` of a build: a name alone takes the caller's value; where there is none, what the Dockerfile says
/// holds.
pub(crate) fn build_args(
    node: &Node,
    variables: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let given = |(name, value): (String, Option<String>)| {
        let value = value.or_else(|| variables.get(&name).cloned())?;
        Some((name, value))
    };
    pairs(node).filter_map(given).collect()
}

/// The names of a map or of a list of `NAME=value`, with the values that stand there.
fn pairs(node: &Node) -> impl Iterator<Item = (String, Option<String>)> {
    let of_map = node
        .map()
        .iter()
        .map(|(key, value)| (key.name.clone(), value.text().map(str::to_owned)));
    let texts = node.list().iter().filter_map(Node::text);
    let of_list = texts.map(|text| match text.split_once('=') {
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
        None => (text.to_owned(), None),
    });
    of_map.chain(of_list)
}

/// The variables that a value may take something from.
pub(crate) fn named(value: &str) -> BTreeSet<String> {
    let names = RefCell::new(BTreeSet::new());
    let note = |name: &str| {
        names.borrow_mut().insert(name.to_owned());
        Some("x".to_owned())
    };
    // What is malformed is refused where the file that is made is read.
    let _ = expand(value, &note);
    names.into_inner()
}

/// A port of a service, and where it is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Port {
    /// The address of the machine, if it is said.
    pub(crate) address: Option<IpAddr>,
    /// The port of the machine, if it is said.
    pub(crate) outside: Option<u16>,
    /// Where the service listens.
    pub(crate) target: u16,
}

impl fmt::Display for Port {
    /// As `ports` of `hd.toml` says it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(IpAddr::V6(address)) => write!(f, "[{address}]:")?,
            Some(IpAddr::V4(address)) => write!(f, "{address}:")?,
            None => {}
        }
        match self.outside {
            Some(outside) => write!(f, "{outside}:{}", self.target),
            None => write!(f, "auto:{}", self.target),
        }
    }
}

/// One entry of `ports` or `expose`; none where it is not of TCP, no port, or too long a range.
pub(crate) fn ports(node: &Node) -> Option<Vec<Port>> {
    let text = |key: &str| node.get(key).and_then(Node::text);
    let (address, outside, target, protocol) = if let Some(target) = text("target") {
        (text("host_ip"), text("published"), target, text("protocol"))
    } else {
        let (text, protocol) = match node.text()?.split_once('/') {
            Some((text, protocol)) => (text, Some(protocol)),
            None => (node.text()?, None),
        };
        let mut parts = text.rsplitn(3, ':');
        let target = parts.next()?;
        let outside = parts.next();
        (parts.next(), outside, target, protocol)
    };
    if protocol.is_some_and(|protocol| protocol != "tcp") {
        return None;
    }
    let address = match address {
        Some(address) => Some(address.trim_matches(['[', ']']).parse().ok()?),
        None => None,
    };
    let targets = range(target)?;
    let outsides = outside.filter(|text| !text.is_empty()).map(range);
    let outsides = match outsides {
        Some(outsides) => Some(outsides?),
        None => None,
    };
    let one = |(at, target): (u16, u16)| Port {
        address,
        outside: outsides
            .as_ref()
            .and_then(|all| all.start().checked_add(at)),
        target,
    };
    Some((0..).zip(targets).map(one).collect())
}

/// `80` or `80-89`.
fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse::<u16>().ok()?, last.parse::<u16>().ok()?);
    (first > 0 && last.checked_sub(first)? < LONGEST_RANGE).then_some(first..=last)
}

/// The test of a health check; `None` when it is switched off or says nothing.
pub(crate) fn test(node: &Node) -> Option<Command> {
    if let Some(line) = node.text() {
        return Some(Command::Shell(line.to_owned())).filter(|_| line != "NONE");
    }
    let words = node.texts();
    match words.split_first()? {
        (word, rest) if word == "CMD" && !rest.is_empty() => Some(Command::Exec(rest.to_vec())),
        (word, rest) if word == "CMD-SHELL" && !rest.is_empty() => {
            Some(Command::Shell(rest.join(" ")))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::yaml;
    use super::*;
    use crate::source::Source;

    #[test]
    fn ports_are_read_in_both_forms() {
        let cases = [
            ("80", Some("auto:80")),
            ("8080:80/tcp", Some("8080:80")),
            ("127.0.0.1:8080:80", Some("127.0.0.1:8080:80")),
            ("'[::1]:8080:80'", Some("[::1]:8080:80")),
            ("127.0.0.1::80", Some("127.0.0.1:auto:80")),
            ("8000-8001:80-81", Some("8000:80 8001:81")),
            (
                "{ target: 80, published: '81', host_ip: 0.0.0.0 }",
                Some("0.0.0.0:81:80"),
            ),
            ("{ target: 80, protocol: udp }", None),
            ("53:53/udp", None),
            ("1-65535", None),
            ("9-1", None),
            ("0", None),
            ("web:80:80", None),
        ];
        for (text, wanted) in cases {
            let node = yaml::load(&Source::new("c.yaml", text), text).unwrap();
            let shown = ports(&node).map(|all| {
                let all: Vec<String> = all.iter().map(ToString::to_string).collect();
                all.join(" ")
            });
            assert_eq!(shown.as_deref(), wanted, "{text}");
        }
    }
}
