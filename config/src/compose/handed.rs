//! `secrets` and `configs` of a Compose service: files that it finds at places of their own.

use std::collections::BTreeMap;

use super::service::Making;
use super::volumes::push;
use super::yaml::Node;
use crate::ingest::draft::DraftService;
use crate::volume::target;

/// What the file declares, by kind and name: the path of a file, or why there is none.
#[derive(Debug, Default)]
pub(crate) struct Handed(BTreeMap<(String, String), Result<String, &'static str>>);

impl Handed {
    /// Reads the top level of the file.
    pub(super) fn read(root: &Node) -> Self {
        let mut all = BTreeMap::new();
        for kind in ["secrets", "configs"] {
            for (key, node) in root.get(kind).map(Node::map).unwrap_or_default() {
                let source = match node.get("file").and_then(Node::text) {
                    Some(path) => Ok(path.to_owned()),
                    None if node.get("environment").is_some() => {
                        Err("it is a variable, which `env` can pass on")
                    }
                    None if node.get("content").is_some() => {
                        Err("its content stands in the file: write it to one of its own")
                    }
                    None => Err("it is kept by Docker Swarm, which hd does not ask"),
                };
                all.insert((kind.to_owned(), key.name.clone()), source);
            }
        }
        Self(all)
    }
}

impl Making<'_, '_> {
    pub(super) fn handed(
        &mut self,
        line: usize,
        kind: &str,
        node: &Node,
        service: &mut DraftService,
    ) {
        for entry in node.list() {
            let text = |key: &str| entry.get(key).and_then(Node::text);
            let Some(name) = entry.text().or(text("source")) else {
                continue;
            };
            let known = self.handed.0.get(&(kind.to_owned(), name.to_owned()));
            let path = match known {
                Some(Ok(path)) => path,
                Some(Err(why)) => {
                    self.book.missing(line, format!("`{name}`: {why}"));
                    continue;
                }
                None => {
                    let note = format!("the file declares no `{name}` in its `{kind}`");
                    self.book.missing(line, note);
                    continue;
                }
            };
            let place = place(kind, text("target").unwrap_or(name));
            self.file(line, (name, path), &place, service);
            if ["uid", "gid", "mode"].iter().any(|key| text(key).is_some()) {
                let note = format!("`{name}` keeps the owner and mode of {path}");
                self.book.approximated(line, note);
            }
        }
    }

    fn file(
        &mut self,
        line: usize,
        (name, path): (&str, &str),
        place: &str,
        service: &mut DraftService,
    ) {
        let place = match target(place) {
            Ok(place) => place,
            Err(why) => return self.book.missing(line, format!("`{name}`: {why}")),
        };
        let elsewhere = path.starts_with(['/', '~']) || path.starts_with("..");
        let inside = path.trim_start_matches("./");
        if !elsewhere && self.around.file(inside).is_none() {
            let note = format!("`{name}`: there is no {inside} in the project");
            return self.book.missing(line, note);
        }
        let source = match elsewhere {
            true => path.to_owned(),
            false => format!("./{inside}"),
        };
        push(service, format!("{source}:{place}:ro"));
        self.book
            .translated(line, format!("`{name}` is {path}, at {place}"));
    }
}

/// Where a service finds it: secrets below `/run/secrets`, configs at the root.
fn place(kind: &str, target: &str) -> String {
    match (kind, target.starts_with('/')) {
        (_, true) => target.to_owned(),
        ("secrets", false) => format!("/run/secrets/{target}"),
        (_, false) => format!("/{target}"),
    }
}
