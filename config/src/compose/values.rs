//! Values of Compose as `hd.toml` says them.

use std::collections::BTreeMap;

use super::yaml::{Data, Node};
use crate::dockerfile::words;
use crate::service::Command;

/// A command or entry point: a list as it stands, a string split as a shell would but run without one.
pub(crate) fn command(node: &Node) -> Vec<String> {
    match &node.data {
        Data::Text(text) => words(text),
        _ => node.texts(),
    }
}

/// `environment`: a map, or a list of `NAME=value`; a name alone takes the caller's value.
pub(crate) fn environment(node: &Node) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    for (key, value) in node.map() {
        let value = value
            .text()
            .map_or_else(|| format!("${{{}:-}}", key.name), str::to_owned);
        env.insert(key.name.clone(), value);
    }
    for text in node.list().iter().filter_map(Node::text) {
        match text.split_once('=') {
            Some((name, value)) => env.insert(name.to_owned(), value.to_owned()),
            None => env.insert(text.to_owned(), format!("${{{text}:-}}")),
        };
    }
    env
}

/// One entry of `ports`: the port outside, if it is said, and that of the service.
pub(crate) fn port(node: &Node) -> Option<(Option<u16>, u16)> {
    let number = |text: &str| {
        text.split('-')
            .next()
            .and_then(|text| text.parse::<u16>().ok())
            .filter(|port| *port > 0)
    };
    if let Some(target) = node.get("target").and_then(Node::text) {
        let outside = node.get("published").and_then(Node::text).and_then(number);
        return Some((outside, number(target)?));
    }
    let text = node.text()?;
    let (text, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    if protocol != "tcp" {
        return None;
    }
    let mut parts = text.rsplit(':');
    let target = parts.next().and_then(number)?;
    Some((parts.next().and_then(number), target))
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
