//! `volumes` and `tmpfs` of a Compose service.

use super::service::Making;
use super::yaml::Node;
use crate::ingest::draft::{Draft, DraftService, plain_name};
use crate::ingest::report::Book;
use crate::volume::{TMPFS, is_path, target};

/// One entry of `volumes`.
pub(super) struct Entry {
    /// A name or a path; an anonymous volume has none.
    pub(super) source: Option<String>,
    pub(super) target: String,
    read_only: bool,
    is_memory: bool,
}

impl Entry {
    pub(super) fn read(node: &Node) -> Option<Self> {
        let text = |key: &str| node.get(key).and_then(Node::text).map(str::to_owned);
        if let Some(target) = text("target") {
            return Some(Self {
                source: text("source"),
                target,
                read_only: text("read_only").as_deref() == Some("true"),
                is_memory: text("type").as_deref() == Some(TMPFS),
            });
        }
        let mut parts = node.text()?.split(':');
        let first = parts.next()?.to_owned();
        let (source, target) = match parts.next() {
            Some(target) => (Some(first), target.to_owned()),
            None => (None, first),
        };
        Some(Self {
            source,
            target,
            read_only: parts
                .next()
                .is_some_and(|options| options.split(',').any(|one| one == "ro")),
            is_memory: false,
        })
    }

    fn line(&self, source: &str, target: &str) -> String {
        let option = if self.read_only { ":ro" } else { "" };
        format!("{source}:{target}{option}")
    }
}

impl Making<'_, '_> {
    pub(super) fn volumes(
        &mut self,
        line: usize,
        node: &Node,
        service: &mut DraftService,
        draft: &mut Draft,
    ) {
        for one in node.list() {
            // `consistency` is for other systems, and how a bind is made for those who share mounts.
            let read = [
                "type",
                "source",
                "target",
                "read_only",
                "consistency",
                "bind",
            ];
            self.unread(line, one, &read);
            if let Some(entry) = Entry::read(one) {
                self.volume(line, &entry, service, draft);
            }
        }
    }

    /// `tmpfs`: one path or a list; options after a colon are left at the kernel's.
    pub(super) fn tmpfs(&mut self, line: usize, node: &Node, service: &mut DraftService) {
        let paths = match node.list() {
            [] => node.texts(),
            all => all
                .iter()
                .filter_map(Node::text)
                .map(str::to_owned)
                .collect(),
        };
        for path in paths {
            let (path, options) = path.split_once(':').unwrap_or((&path, ""));
            match target(path) {
                Ok(target) => push(service, format!("{TMPFS}:{target}")),
                Err(why) => self.book.left_out(line, why),
            }
            if !options.is_empty() {
                let note = format!("{path}: without {options}");
                self.book.approximated(line, note);
            }
        }
    }

    fn volume(
        &mut self,
        line: usize,
        entry: &Entry,
        service: &mut DraftService,
        draft: &mut Draft,
    ) {
        let place = match target(&entry.target) {
            Ok(place) => place,
            Err(why) => return self.book.left_out(line, format!("{}: {why}", entry.target)),
        };
        let project = self
            .project
            .clone()
            .unwrap_or_else(|| "/workspace".to_owned());
        match entry.source.as_deref() {
            _ if entry.is_memory => push(service, entry.line(TMPFS, &place)),
            None if self.apart.is_none() && place.starts_with(&format!("{project}/")) => {
                // What a step makes there is shown anew after each run; a volume would keep the first.
                self.book
                    .approximated(line, format!("{place} is what steps make of it"));
            }
            None => {
                let name = plain_name(&format!("{}{place}", self.name), "data");
                push(service, entry.line(&name, &place));
                draft.volumes.insert(name);
            }
            Some(source) if is_path(source) => self.bind(line, entry, source, &place, service),
            Some(source) => {
                let name = match plain_name(source, "data") {
                    name if name == TMPFS => "tmpfs-data".to_owned(),
                    name => name,
                };
                push(service, entry.line(&name, &place));
                draft.volumes.insert(name);
            }
        }
    }

    fn bind(
        &mut self,
        line: usize,
        entry: &Entry,
        source: &str,
        place: &str,
        service: &mut DraftService,
    ) {
        let project = self
            .project
            .clone()
            .unwrap_or_else(|| "/workspace".to_owned());
        let inside = source.trim_start_matches("./").trim_matches('/');
        let is_all = matches!(source, "." | "./");
        if is_all && self.apart.is_some() {
            push(service, entry.line(".", place));
        } else if is_all && place != project {
            let note = format!("the project is at {project} in all services, not at {place}");
            self.book.missing(line, note);
        } else if self.apart.is_none() && (is_all || format!("{project}/{inside}") == place) {
            let note = "the project itself is there, live";
            match entry.read_only {
                true => self
                    .book
                    .approximated(line, format!("{note}, and not read-only")),
                false => self.book.translated(line, note),
            }
        } else if source.starts_with(['/', '~']) || source.starts_with("..") {
            push(service, entry.line(source, place));
            self.book
                .approximated(line, format!("{source} must be there on this machine"));
        } else if self.around.file(inside).is_none() {
            self.book
                .missing(line, format!("there is no {inside} in the project"));
        } else {
            push(service, entry.line(&format!("./{inside}"), place));
        }
    }
}

/// Names the volumes that are not the project's own, or not directories of this machine: what they hold is not there.
pub(super) fn elsewhere(volumes: &Node, line: usize, book: &mut Book<'_>) {
    for (name, volume) in volumes.map() {
        let says = |key: &str| {
            let value = volume.get(key).map(|node| node.text().unwrap_or("x"));
            value.filter(|value| !matches!(*value, "false" | "local"))
        };
        for key in ["external", "driver", "driver_opts"] {
            if says(key).is_some() {
                let note = format!(
                    "`{}` begins empty: `{key}` says that its data is elsewhere; a bind (\"DIR:/TARGET\" of `volumes`) \
                     shows a directory of this machine",
                    name.name
                );
                book.missing(line, note);
                break;
            }
        }
    }
}

/// Adds a volume; of two at one place the first stays, as Compose refuses the second.
pub(super) fn push(service: &mut DraftService, volume: String) {
    let place = |volume: &str| volume.split(':').nth(1).map(str::to_owned);
    let all = service.lists.entry("volumes").or_default();
    if !all.iter().any(|one| place(one) == place(&volume)) {
        all.push(volume);
    }
}
