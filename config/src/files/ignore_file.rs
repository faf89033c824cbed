//! The ignore files of one directory.

use std::sync::Arc;

use crate::glob::{Dialect, Rules, RulesBuilder};

/// What the ignore files of one directory say, paths being relative to that directory.
#[derive(Debug)]
pub(super) struct IgnoreRules {
    rules: Rules,
    /// For each rule its file, relative to the project.
    files: Vec<Arc<str>>,
}

impl IgnoreRules {
    /// Reads ignore files in the order of `names`, so that later ones win; `None` when they hold no
    /// rule. A line that git would not understand, or that is not UTF-8, matches nothing.
    pub(super) fn read(
        names: &[String],
        dir: &[u8],
        contents: &[(String, Vec<u8>)],
    ) -> Option<Self> {
        let mut builder = RulesBuilder::new(Dialect::IgnoreFile);
        let mut files = Vec::new();
        for name in names {
            let Some((_, bytes)) = contents.iter().find(|(file, _)| file == name) else {
                continue;
            };
            let file = display_path(dir, name);
            let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
            for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
                let number = u32::try_from(at + 1).unwrap_or(u32::MAX);
                let before = builder.len();
                if let Ok(line) = std::str::from_utf8(line)
                    && builder.add(line, number).is_ok()
                    && builder.len() > before
                {
                    files.push(Arc::clone(&file));
                }
            }
        }
        if files.is_empty() {
            return None;
        }
        let rules = builder.build().ok()?;
        Some(Self { rules, files })
    }

    /// The last rule that matches, not counting `skip`.
    pub(super) fn last_match(
        &self,
        path: &[u8],
        is_dir: bool,
        skip: &[usize],
    ) -> Option<IgnoreMatch<'_>> {
        let at = self.rules.last_match(path, is_dir, skip)?;
        let rule = self.rules.get(at)?;
        Some(IgnoreMatch {
            hides: !rule.negated,
            file: self.files.get(at)?,
            line: rule.place,
        })
    }

    /// The rules that would hide whatever lies in `dir`: those that match a name nobody chose.
    pub(super) fn hiding_all_of(&self, dir: &[u8]) -> Vec<usize> {
        let mut probe = dir.to_vec();
        if !probe.is_empty() {
            probe.push(b'/');
        }
        probe.extend_from_slice(b"\x01any name\x01");
        let mut found = self.rules.all_matches(&probe, true);
        found.retain(|at| self.rules.get(*at).is_some_and(|rule| !rule.negated));
        found
    }
}

/// The rule that decides.
#[derive(Debug)]
pub(super) struct IgnoreMatch<'a> {
    /// False for a `!` rule.
    pub(super) hides: bool,
    /// The ignore file, relative to the project.
    pub(super) file: &'a Arc<str>,
    /// Its line, from 1.
    pub(super) line: u32,
}

fn display_path(dir: &[u8], name: &str) -> Arc<str> {
    if dir.is_empty() {
        return name.into();
    }
    format!("{}/{name}", String::from_utf8_lossy(dir)).into()
}
