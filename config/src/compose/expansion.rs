//! Variables in a Compose file, and what is told of them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::Options;
use super::yaml::{Data, Node};
use crate::error::{ConfigError, Problem};
use crate::expand::expand_telling;
use crate::ingest::report::Book;
use crate::source::Source;

/// What is to be said of texts that held variables, by where they begin.
#[derive(Debug, Default)]
pub(crate) struct Told(BTreeMap<usize, Vec<String>>);

impl Told {
    /// Expands `${NAME}` everywhere but in `environment`, where `hd.toml` itself can.
    ///
    /// # Errors
    /// The first text that cannot be expanded, with its place.
    pub(super) fn expand(
        source: &Source,
        root: &mut Node,
        options: &Options<'_>,
    ) -> Result<Self, ConfigError> {
        let mut told = Self::default();
        told.node(source, root, options)?;
        Ok(told)
    }

    fn node(
        &mut self,
        source: &Source,
        node: &mut Node,
        options: &Options<'_>,
    ) -> Result<(), ConfigError> {
        match &mut node.data {
            Data::Null => {}
            Data::Text(text) => {
                let expanded = self.text(node.span.start, text, options);
                *text = expanded.map_err(|message| {
                    let hint = "a plain dollar sign is `$$`".to_owned();
                    source.error(node.span.clone(), Problem::Import { message, hint })
                })?;
            }
            Data::List(nodes) => {
                for node in nodes {
                    self.node(source, node, options)?;
                }
            }
            Data::Map(pairs) => {
                let others = pairs
                    .iter_mut()
                    .filter(|(key, _)| key.name != "environment");
                for (_, node) in others {
                    self.node(source, node, options)?;
                }
            }
        }
        Ok(())
    }

    fn text(&mut self, at: usize, text: &str, options: &Options<'_>) -> Result<String, String> {
        let of_file = RefCell::new(BTreeSet::new());
        let lookup = |name: &str| {
            let value = options.variables.get(name).cloned();
            if options.of_env_file.contains(name) {
                of_file.borrow_mut().insert(name.to_owned());
            }
            value
        };
        let mut unset = Vec::new();
        let expanded = expand_telling(text, &lookup, &mut unset).map_err(|e| e.to_string())?;
        let unset = unset
            .iter()
            .map(|name| format!("{name} is not set now: nothing stands in its place"));
        let of_file = of_file.into_inner();
        let notes: Vec<String> = unset.chain(of_file.iter().map(|name| held(name))).collect();
        if !notes.is_empty() {
            self.0.insert(at, notes);
        }
        Ok(expanded)
    }

    /// Says it at a line, of all texts below a key.
    pub(super) fn say(&self, node: &Node, line: usize, book: &mut Book<'_>) {
        match &node.data {
            Data::Null => {}
            Data::Text(_) => {
                for note in self.0.get(&node.span.start).into_iter().flatten() {
                    book.approximated(line, note);
                }
            }
            Data::List(nodes) => nodes.iter().for_each(|node| self.say(node, line, book)),
            Data::Map(pairs) => {
                for (_, node) in pairs {
                    self.say(node, line, book);
                }
            }
        }
    }
}

/// What is said where the value of a variable of `.env` stands in the hd.toml, a file that one shows others.
pub(super) fn held(name: &str) -> String {
    format!("the value that {name} has in .env now stands in the hd.toml")
}
