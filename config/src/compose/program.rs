//! What a service runs, and the port that its image has for that.

use super::service::Making;
use super::values;
use super::yaml::{Data, Node};
use crate::service::Command;

impl Making<'_, '_> {
    /// What takes the place of the image's own command, or `None` when that stands.
    ///
    /// A `command` replaces CMD alone: ENTRYPOINT stays before it. An `entrypoint` replaces both, an
    /// empty one too (Compose specification, "entrypoint").
    pub(super) fn command(&self) -> Option<Command> {
        let entrypoint = self.said("entrypoint").map(values::command);
        let command = self.said("command").map(values::command);
        let words = match (entrypoint, command) {
            (None, None) => return None,
            (Some(entrypoint), command) => [entrypoint, command.unwrap_or_default()].concat(),
            (None, Some(command)) => {
                match self.own.and_then(|own| own.entrypoint.as_ref()) {
                    None => command,
                    Some(Command::Exec(entrypoint)) => [entrypoint.clone(), command].concat(),
                    // The string form takes no arguments.
                    Some(line @ Command::Shell(_)) => return Some(line.clone()),
                }
            }
        };
        (!words.is_empty()).then_some(Command::Exec(words))
    }

    /// `command`, which [`command`](Self::command) reads: says where nothing takes it, and where it is
    /// not known what does.
    pub(super) fn takes_command(&mut self, line: usize) {
        if self.said("command").is_none() || self.said("entrypoint").is_some() {
            return;
        }
        let image = self.said("image").and_then(Node::text);
        if let Some(image) = image.filter(|_| !self.is_built)
            && let Err(why) = self.around.image(image)
        {
            let note = format!("whether {image} has an ENTRYPOINT before it is not known: {why}");
            self.book.approximated(line, note);
        }
        let entrypoint = self.own.and_then(|own| own.entrypoint.as_ref());
        if matches!(entrypoint, Some(Command::Shell(_))) {
            let note = "the string form of ENTRYPOINT takes no arguments: it runs as it stands";
            self.book.approximated(line, note);
        }
    }

    /// The port that its image opens; that of the image's own command says nothing of another one, nor
    /// of what is meant to end.
    pub(super) fn port_of_image(&self) -> Option<u16> {
        let other = self.said("command").or(self.said("entrypoint")).is_some();
        let own = self.own.filter(|_| !other && !self.completes)?;
        own.service.port
    }

    /// A key with a value; nothing behind it is as if it were not there.
    fn said(&self, key: &str) -> Option<&Node> {
        let node = self.node.get(key)?;
        (!matches!(node.data, Data::Null)).then_some(node)
    }
}
