//! YAML as Compose uses it: text, lists and maps with their places; anchors and merge keys resolved.
//!
//! Aliases are copied, so the number of nodes is bounded: a small file must not become a large tree.

use std::collections::BTreeMap;
use std::ops::Range;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span};

use crate::error::{ConfigError, Problem};
use crate::source::Source;

const MAX_NODES: usize = 100_000;
const MAX_DEPTH: usize = 64;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) span: Range<usize>,
    pub(crate) data: Data,
}

/// A value.
#[derive(Debug, Clone)]
pub(crate) enum Data {
    /// Nothing, or a plain `null` or `~`.
    Null,
    /// Any other scalar, as text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map in file order; the key with its place.
    Map(Vec<(Key, Node)>),
}

/// A key of a map.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) span: Range<usize>,
}

impl Node {
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.data {
            Data::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn list(&self) -> &[Node] {
        match &self.data {
            Data::List(nodes) => nodes,
            _ => &[],
        }
    }

    pub(crate) fn map(&self) -> &[(Key, Node)] {
        match &self.data {
            Data::Map(pairs) => pairs,
            _ => &[],
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Node> {
        let found = self.map().iter().find(|(key, _)| key.name == name);
        found.map(|(_, node)| node)
    }

    /// A text, or each text of a list.
    pub(crate) fn texts(&self) -> Vec<String> {
        match &self.data {
            Data::Text(text) => vec![text.clone()],
            _ => self
                .list()
                .iter()
                .filter_map(Node::text)
                .map(str::to_owned)
                .collect(),
        }
    }
}

/// Reads the first document.
///
/// # Errors
/// Text that is no YAML, or too large or deep a tree, with its place.
pub(crate) fn load(source: &Source, text: &str) -> Result<Node, ConfigError> {
    let mut loader = Loader {
        source,
        offsets: text.char_indices().map(|(at, _)| at).collect(),
        end: text.len(),
        parser: Parser::new_from_str(text),
        anchors: BTreeMap::new(),
        nodes: 0,
    };
    loop {
        let (event, span) = loader.next()?;
        match event {
            Event::StreamEnd => {
                let data = Data::Null;
                return Ok(Node { span: 0..0, data });
            }
            Event::Nothing | Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd => {}
            event => return loader.node(event, span, 0),
        }
    }
}

/// Counts the documents; of those after an error nothing is known.
pub(crate) fn documents(text: &str) -> usize {
    let events = Parser::new_from_str(text).map_while(Result::ok);
    events
        .filter(|(event, _)| matches!(event, Event::DocumentStart(_)))
        .count()
}

struct Loader<'a> {
    source: &'a Source,
    /// Byte offset of each character: the parser counts characters.
    offsets: Vec<usize>,
    end: usize,
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
}

impl<'a> Loader<'a> {
    fn offset(&self, marker: &Marker) -> usize {
        self.offsets
            .get(marker.index())
            .copied()
            .unwrap_or(self.end)
    }

    fn range(&self, span: &Span) -> Range<usize> {
        self.offset(&span.start)..self.offset(&span.end)
    }

    fn wrong(&self, span: Range<usize>, message: String) -> ConfigError {
        self.source.error(
            span,
            Problem::Import {
                message,
                hint: String::new(),
            },
        )
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), ConfigError> {
        match self.parser.next() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                let at = self.offset(error.marker());
                Err(self.wrong(at..at, format!("no YAML: {}", error.info())))
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, ConfigError> {
        let start = self.range(&span);
        self.nodes += 1;
        if self.nodes > MAX_NODES || depth > MAX_DEPTH {
            return Err(self.wrong(start, "the document is too large or too deep".to_owned()));
        }
        let (anchor, data) = match event {
            Event::Scalar(text, style, anchor, _) => {
                let plain = style == ScalarStyle::Plain;
                let null = plain && ["", "~", "null", "Null", "NULL"].contains(&text.as_ref());
                (
                    anchor,
                    if null {
                        Data::Null
                    } else {
                        Data::Text(text.into_owned())
                    },
                )
            }
            Event::SequenceStart(anchor, _) => (anchor, self.sequence(depth)?),
            Event::MappingStart(anchor, _) => (anchor, self.mapping(depth)?),
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    return Err(self.wrong(start, "the alias names nothing".to_owned()));
                };
                self.nodes += count(&node);
                if self.nodes > MAX_NODES {
                    return Err(
                        self.wrong(start, "the aliases make the document too large".to_owned())
                    );
                }
                return Ok(node);
            }
            _ => return Err(self.wrong(start, "a value is missing".to_owned())),
        };
        let node = Node { span: start, data };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn sequence(&mut self, depth: usize) -> Result<Data, ConfigError> {
        let mut nodes = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::SequenceEnd | Event::StreamEnd) {
                return Ok(Data::List(nodes));
            }
            nodes.push(self.node(event, span, depth + 1)?);
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Data, ConfigError> {
        let mut pairs: Vec<(Key, Node)> = Vec::new();
        let mut merged: Vec<(Key, Node)> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd | Event::StreamEnd) {
                break;
            }
            let key = self.node(event, span, depth + 1)?;
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth + 1)?;
            let name = match key.data {
                Data::Text(name) => name,
                Data::Null => String::new(),
                _ => return Err(self.wrong(key.span, "a key must be text".to_owned())),
            };
            if name == "<<" {
                let maps = if value.list().is_empty() {
                    std::slice::from_ref(&value)
                } else {
                    value.list()
                };
                merged.extend(maps.iter().flat_map(|map| map.map().iter().cloned()));
                continue;
            }
            if pairs.iter().any(|(key, _)| key.name == name) {
                return Err(self.wrong(key.span, format!("the key `{name}` stands twice")));
            }
            pairs.push((
                Key {
                    name,
                    span: key.span,
                },
                value,
            ));
        }
        for (key, value) in merged {
            if !pairs.iter().any(|(known, _)| known.name == key.name) {
                pairs.push((key, value));
            }
        }
        Ok(Data::Map(pairs))
    }
}

fn count(node: &Node) -> usize {
    match &node.data {
        Data::List(nodes) => 1 + nodes.iter().map(count).sum::<usize>(),
        Data::Map(pairs) => 1 + pairs.iter().map(|(_, node)| 1 + count(node)).sum::<usize>(),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(text: &str) -> Result<Node, String> {
        load(&Source::new("c.yaml", text), text).map_err(|e| e.to_string())
    }

    #[test]
    fn anchors_and_merge_keys_are_resolved() {
        let node = loaded("x: &a {k: 1, l: 2}\ny:\n  <<: *a\n  k: 3\nz: ~\n").unwrap();
        let y = node.get("y").unwrap();
        assert_eq!(y.get("k").and_then(Node::text), Some("3"));
        assert_eq!(y.get("l").and_then(Node::text), Some("2"));
        assert!(matches!(node.get("z").unwrap().data, Data::Null));
    }

    #[test]
    fn what_is_no_yaml_is_named_with_its_place() {
        assert!(loaded("a: [1\nb: 2\n").unwrap_err().starts_with("c.yaml:"));
        assert_eq!(
            loaded("a: 1\na: 2\n").unwrap_err(),
            "c.yaml:2:1: the key `a` stands twice"
        );
        let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for n in 1..12 {
            bomb.push_str(&format!(
                "a{n}: &a{n} [{}]\n",
                vec![format!("*a{}", n - 1); 10].join(",")
            ));
        }
        assert!(loaded(&bomb).unwrap_err().contains("too large"));
        assert!(loaded(&"[".repeat(10_000)).is_err());
    }
}
