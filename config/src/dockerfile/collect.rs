//! COPY and ADD: sources, destination and flags, variables expanded.

use super::evaluate::{Walk, destination};
use super::event::{Copy, Event, From, Item, What};
use super::heredoc::{Heredoc, is_marker};
use super::instruction::{Instruction, Kind};
use super::state::{State, absolute};
use super::variables;
use crate::error::ConfigError;

impl Walk<'_, '_> {
    pub(super) fn copy(
        &mut self,
        line: usize,
        one: &Instruction,
        state: &State,
    ) -> Result<(), ConfigError> {
        let Kind::Copy { add, sources, dest } = &one.kind else {
            return Ok(());
        };
        let from = match one.flag("from") {
            None => From::Context,
            Some(name) => {
                let name = self.expand(one, state, name)?;
                From::Stage(self.source_of(&name))
            }
        };
        let mut items = Vec::new();
        // Bodies follow each other as their markers do.
        let mut bodies = one.heredocs.iter();
        for source in sources {
            let body = match is_marker(source) {
                true => bodies.next(),
                false => None,
            };
            items.push(match body {
                Some(body) => self.inline(one, state, body)?,
                None => self.item(one, state, &from, *add, source)?,
            });
        }
        let dest = self.expand(one, state, dest)?;
        let (dest, into) = destination(&state.cwd, &dest);
        // A file copied to a directory that is there goes into it, slash or not.
        let into = into || items.len() > 1 || state.is_dir(&dest);
        let text = |name: &str| {
            one.flag(name)
                .map(|value| self.expand(one, state, value))
                .transpose()
        };
        let copy = Copy {
            owner: text("chown")?,
            mode: text("chmod")?,
            checksum: text("checksum")?,
            exclude: one.all("exclude").map(str::to_owned).collect(),
            parents: one.is_set("parents"),
            unpack: *add && one.flag("unpack").is_none_or(|value| value != "false"),
            from,
            items,
            dest,
            into,
        };
        self.events.push(Event {
            line,
            stage: self.stage,
            what: What::Copy(Box::new(copy)),
        });
        Ok(())
    }

    /// A path of the context as one of the project.
    fn in_context(&self, path: &str) -> String {
        let prefix = self.options.prefix;
        match (prefix.is_empty(), path.is_empty()) {
            (true, _) => path.to_owned(),
            (false, true) => prefix.to_owned(),
            (false, false) => format!("{prefix}/{path}"),
        }
    }

    fn inline(&self, one: &Instruction, state: &State, doc: &Heredoc) -> Result<Item, ConfigError> {
        let content = if doc.expand {
            let lookup = |name: &str| state.variable(name);
            variables::body(&doc.body, self.escape, &lookup).map_err(|message| {
                self.wrong(one, message, "quote the name of the heredoc to keep `$`")
            })?
        } else {
            doc.body.clone()
        };
        Ok(Item::Inline {
            name: doc.name.clone(),
            content,
        })
    }

    fn item(
        &self,
        one: &Instruction,
        state: &State,
        from: &From,
        add: bool,
        source: &str,
    ) -> Result<Item, ConfigError> {
        let source = self.expand(one, state, source)?;
        let remote = ["http://", "https://", "git://", "git@", "ssh://"];
        if add && remote.iter().any(|scheme| source.starts_with(scheme)) {
            return Ok(Item::Url(source));
        }
        // Both contexts are a root of their own: `..` cannot leave them.
        let path = absolute("/", &source);
        Ok(Item::Path(match from {
            // `./` marks where --parents begins.
            From::Context if one.is_set("parents") && source.contains("/./") => source,
            From::Context => self.in_context(path.trim_start_matches('/')),
            From::Stage(_) => path,
        }))
    }
}
