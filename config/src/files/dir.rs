//! The filter of one directory, and how it is handed down to the directories below.

use std::sync::Arc;

use super::ignore_file::IgnoreRules;
use super::relation::Relation;
use super::{FileFilter, HiddenBy, Verdict};

/// Answers for the entries of one directory; may be asked by many threads at once.
#[derive(Debug, Clone)]
pub struct DirFilter {
    filter: FileFilter,
    dir: Vec<u8>,
    levels: Vec<Level>,
    /// Set in a directory that is hidden and entered only because it leads to an `include` entry or
    /// because services watch files in it: hides all that does not lead on and is not watched.
    hidden: Option<HiddenBy>,
    /// Set in a directory that is hidden and entered only because it leads to a place that is watched:
    /// what does not lead on is not watched either.
    unwatched: Option<HiddenBy>,
}

/// Whose entries beat rules of the ignore files.
#[derive(Debug, Clone, Copy)]
enum Beats {
    /// `include`: for all that counts.
    Include,
    /// `watch`: for the directories that are entered.
    Watch,
}

/// The ignore files of this or a higher directory.
#[derive(Debug, Clone)]
struct Level {
    rules: Arc<IgnoreRules>,
    /// Bytes of the path, with its slash, that the rules do not see.
    strip: usize,
    /// Rules that an `include` entry above beats.
    included: Vec<usize>,
    /// Rules that a watched place above beats.
    watched: Vec<usize>,
}

impl Level {
    fn beaten(&mut self, beats: Beats) -> &mut Vec<usize> {
        match beats {
            Beats::Include => &mut self.included,
            Beats::Watch => &mut self.watched,
        }
    }

    fn skip(&self, beats: Beats) -> &[usize] {
        match beats {
            Beats::Include => &self.included,
            Beats::Watch => &self.watched,
        }
    }
}

impl DirFilter {
    pub(super) fn root(filter: FileFilter, ignore_files: &[(String, Vec<u8>)]) -> Self {
        let rules = IgnoreRules::read(filter.ignore_file_names(), b"", ignore_files);
        Self::at_root(filter, rules.map(Arc::new))
    }

    pub(super) fn at_root(filter: FileFilter, rules: Option<Arc<IgnoreRules>>) -> Self {
        let mut root = Self {
            filter,
            dir: Vec::new(),
            levels: Vec::new(),
            hidden: None,
            unwatched: None,
        };
        root.push(rules);
        root
    }

    /// The directory, relative to the project.
    #[must_use]
    pub fn dir(&self) -> &[u8] {
        &self.dir
    }

    /// Goes down into the directory `name`, given its ignore files as (name, content).
    #[must_use]
    pub fn enter(&self, name: &[u8], ignore_files: &[(String, Vec<u8>)]) -> Self {
        let dir = self.path(name);
        let names = self.filter.ignore_file_names();
        let rules = IgnoreRules::read(names, &dir, ignore_files);
        self.descend(dir, rules.map(Arc::new))
    }

    pub(super) fn descend(&self, dir: Vec<u8>, rules: Option<Arc<IgnoreRules>>) -> Self {
        let included = self.filter.relation(&dir, true);
        let watched = self.filter.watched(&dir, true);
        let by_ignore_files = |beats| self.ignored(&dir, true, beats);
        let hidden = match (included, watched) {
            (Relation::Named, _) => None,
            (Relation::LeadsTo, _) => {
                by_ignore_files(Beats::Include).or_else(|| self.hidden.clone())
            }
            // Also where a glob begins: only what it covers is watched there.
            (_, Relation::Named | Relation::LeadsTo | Relation::Below) => {
                self.uncounted(&dir, true)
            }
            (_, Relation::Outside) => self.hidden.clone(),
        };
        let unwatched = match watched {
            Relation::LeadsTo => {
                let excluded = self.filter.excluded(&dir, true);
                let hidden = excluded.or_else(|| by_ignore_files(Beats::Watch));
                hidden.or_else(|| self.unwatched.clone())
            }
            Relation::Below => self.unwatched.clone(),
            Relation::Named | Relation::Outside => None,
        };
        let mut below = Self {
            filter: self.filter.clone(),
            dir,
            levels: self.levels.clone(),
            hidden,
            unwatched,
        };
        below.push(rules);
        if included == Relation::Named {
            below.beat_ignore_files(Beats::Include);
        }
        if watched == Relation::Named {
            below.beat_ignore_files(Beats::Watch);
        }
        below
    }

    /// Says whether the entry `name` of this directory counts, and if not, why.
    #[must_use]
    pub fn verdict(&self, name: &[u8], is_dir: bool) -> Verdict {
        match self.hidden_by(&self.path(name), is_dir) {
            Some(by) => Verdict::Hidden { by },
            None => Verdict::Keep,
        }
    }

    /// Tells whether the entry `name` of this directory counts.
    #[must_use]
    pub fn keep(&self, name: &[u8], is_dir: bool) -> bool {
        self.hidden_by(&self.path(name), is_dir).is_none()
    }

    pub(super) fn path(&self, name: &[u8]) -> Vec<u8> {
        let mut path = Vec::with_capacity(self.dir.len() + 1 + name.len());
        if !self.dir.is_empty() {
            path.extend_from_slice(&self.dir);
            path.push(b'/');
        }
        path.extend_from_slice(name);
        path
    }

    fn hidden_by(&self, path: &[u8], is_dir: bool) -> Option<HiddenBy> {
        let by = self.uncounted(path, is_dir)?;
        let watched = if is_dir {
            self.leads_to_watched(path)
        } else {
            self.filter.is_watched(path)
        };
        (!watched).then_some(by)
    }

    /// What hides a path as long as nobody watches it.
    fn uncounted(&self, path: &[u8], is_dir: bool) -> Option<HiddenBy> {
        if let Some(by) = self.filter.excluded(path, is_dir) {
            return Some(by);
        }
        let ignored = || self.ignored(path, is_dir, Beats::Include);
        match self.filter.relation(path, is_dir) {
            Relation::Named | Relation::LeadsTo => None,
            Relation::Below => self.hidden.clone().or_else(ignored),
            Relation::Outside => Some(HiddenBy::Include),
        }
    }

    /// Tells whether a directory is entered for what services watch at or below it.
    fn leads_to_watched(&self, dir: &[u8]) -> bool {
        match self.filter.watched(dir, true) {
            Relation::Named | Relation::LeadsTo => true,
            Relation::Below => {
                self.unwatched.is_none()
                    && self.filter.excluded(dir, true).is_none()
                    && self.ignored(dir, true, Beats::Watch).is_none()
            }
            Relation::Outside => false,
        }
    }

    /// What the ignore files say, the deepest first.
    fn ignored(&self, path: &[u8], is_dir: bool, beats: Beats) -> Option<HiddenBy> {
        for level in self.levels.iter().rev() {
            let relative = path.get(level.strip..).unwrap_or_default();
            if let Some(found) = level.rules.last_match(relative, is_dir, level.skip(beats)) {
                return found.hides.then(|| HiddenBy::IgnoreFile {
                    file: Arc::clone(found.file),
                    line: found.line,
                });
            }
        }
        None
    }

    fn push(&mut self, rules: Option<Arc<IgnoreRules>>) {
        if let Some(rules) = rules {
            let slash = usize::from(!self.dir.is_empty());
            self.levels.push(Level {
                rules,
                strip: self.dir.len() + slash,
                included: Vec::new(),
                watched: Vec::new(),
            });
        }
    }

    /// From here down, rules that would hide whatever lies in this directory no longer count.
    fn beat_ignore_files(&mut self, beats: Beats) {
        for level in &mut self.levels {
            let relative = self.dir.get(level.strip..).unwrap_or_default();
            let beaten = level.rules.hiding_all_of(relative);
            level.beaten(beats).extend(beaten);
        }
    }
}
