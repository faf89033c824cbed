//! Which files of the project count: `[files]`, ignore files, and what is always left out.
//!
//! A path is kept when every directory above it is kept and
//! 1. the last matching pattern of the defaults followed by `exclude` does not hide it (a `!` pattern
//!    takes back what stands before it, defaults included);
//! 2. it lies at or below an `include` prefix, or leads to one (an empty list, or `.`, is everything);
//! 3. the ignore files do not hide it: the deepest directory's last matching pattern decides, files
//!    named later in `ignore_files` beat earlier ones.
//!
//! An `include` entry beats the ignore files for the path it names, for the directories that lead to
//! it, and against patterns that hide whatever lies in it (`dist/*`, a `*` inside). Other patterns go
//! on speaking about what lies below, so `include = ["src"]` does not let `src/x.pyc` in past `*.pyc`.
//!
//! What services watch beats all three: a file that a `watch` glob covers counts wherever it is reached.
//! Directories are entered for it as for an `include` entry at the part of the glob before its first
//! wildcard, but nothing else counts in a directory that is entered for this only.

mod dir;
mod ignore_file;
mod relation;
mod stack;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

pub use dir::DirFilter;
pub use stack::FilterStack;

use crate::glob::{Dialect, Rules, RulesBuilder};
use crate::path::{ancestors, inside_project};
use crate::watch::WatchSet;
use relation::Relation;

/// Left out of every project: any `.git`, `.DS_Store`, `target` directory, npm's cache in any
/// `node_modules`. `exclude = ["!target"]` takes one back.
pub const ALWAYS_EXCLUDED: [&str; 4] = [".git", "**/node_modules/.cache", ".DS_Store", "target/"];

/// Ignore files that are read unless `ignore_files` says otherwise.
pub const IGNORE_FILES: [&str; 2] = [".gitignore", ".hdignore"];

/// The `[files]` table, compiled.
#[derive(Debug, Clone)]
pub struct Files {
    include: Vec<String>,
    exclude: Vec<String>,
    ignore_files: Vec<String>,
    rules: Arc<Rules>,
}

/// Why a `[files]` list was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}`: {why}")]
pub struct FilesError {
    /// Which list: `include`, `exclude` or `ignore_files`.
    pub list: &'static str,
    /// Position in it.
    pub index: usize,
    /// The entry as written.
    pub text: String,
    /// What is wrong with it.
    pub why: String,
    /// What to do about it, or empty.
    pub hint: String,
}

impl PartialEq for Files {
    fn eq(&self, other: &Self) -> bool {
        self.include == other.include
            && self.exclude == other.exclude
            && self.ignore_files == other.ignore_files
    }
}

impl Eq for Files {}

impl Files {
    /// Checks and compiles the three lists.
    ///
    /// # Errors
    /// The first entry that is refused: a bad glob, a path outside the project, an `include` that
    /// `exclude` always hides, an ignore file that is no plain name.
    pub fn new(
        include: Vec<String>,
        exclude: Vec<String>,
        ignore_files: Vec<String>,
    ) -> Result<Self, FilesError> {
        let rules = Arc::new(compile(&exclude)?);
        let mut prefixes = Vec::with_capacity(include.len());
        for (index, text) in include.into_iter().enumerate() {
            prefixes.push(prefix(index, &text)?);
        }
        for (index, name) in ignore_files.iter().enumerate() {
            if name.is_empty() || name.contains('/') || name == "." || name == ".." {
                let why = "an ignore file is a plain name, looked for in every directory";
                return Err(refused("ignore_files", index, name, why, ""));
            }
        }
        let files = Self {
            include: prefixes,
            exclude,
            ignore_files,
            rules,
        };
        files.check_reachable()?;
        Ok(files)
    }

    /// Normalised path prefixes; empty for everything, an empty string for the whole project.
    #[must_use]
    pub fn include(&self) -> &[String] {
        &self.include
    }

    /// Globs as written, without the defaults.
    #[must_use]
    pub fn exclude(&self) -> &[String] {
        &self.exclude
    }

    /// Names of ignore files; later ones win.
    #[must_use]
    pub fn ignore_files(&self) -> &[String] {
        &self.ignore_files
    }

    /// Refuses an `include` entry that nothing can ever match.
    fn check_reachable(&self) -> Result<(), FilesError> {
        for (index, prefix) in self.include.iter().enumerate() {
            if let Some((dir, by)) = first_excluded(&self.rules, prefix.as_bytes()) {
                let why = format!("it is always hidden by {by}");
                let dir = String::from_utf8_lossy(dir);
                let hint = format!("take it back with exclude = [\"!/{dir}\"]");
                return Err(refused("include", index, prefix, &why, &hint));
            }
        }
        Ok(())
    }
}

impl Default for Files {
    fn default() -> Self {
        let names = IGNORE_FILES.map(str::to_owned).to_vec();
        let rules = compile(&[]).unwrap_or_else(|_| Rules::empty());
        Self {
            include: Vec::new(),
            exclude: Vec::new(),
            ignore_files: names,
            rules: Arc::new(rules),
        }
    }
}

fn refused(list: &'static str, index: usize, text: &str, why: &str, hint: &str) -> FilesError {
    FilesError {
        list,
        index,
        text: text.to_owned(),
        why: why.to_owned(),
        hint: hint.to_owned(),
    }
}

fn prefix(index: usize, text: &str) -> Result<String, FilesError> {
    if text.contains('*') {
        let hint = "name the directory; leave files out with `exclude`";
        return Err(refused(
            "include",
            index,
            text,
            "include takes path prefixes, not globs",
            hint,
        ));
    }
    inside_project(text).map_err(|why| refused("include", index, text, why, ""))
}

fn compile(exclude: &[String]) -> Result<Rules, FilesError> {
    let mut builder = RulesBuilder::new(Dialect::Config);
    let all = ALWAYS_EXCLUDED
        .into_iter()
        .chain(exclude.iter().map(String::as_str));
    for (place, glob) in all.enumerate() {
        let index = place.saturating_sub(ALWAYS_EXCLUDED.len());
        let number = u32::try_from(place).unwrap_or(u32::MAX);
        let added = builder.add(glob, number);
        added.map_err(|why| refused("exclude", index, glob, &why, ""))?;
    }
    builder
        .build()
        .map_err(|why| refused("exclude", 0, "", &why, ""))
}

/// What of the defaults and `exclude` hides exactly this path.
fn excluded(rules: &Rules, path: &[u8], is_dir: bool) -> Option<HiddenBy> {
    let at = rules.last_match(path, is_dir, &[])?;
    let rule = rules.get(at).filter(|rule| !rule.negated)?;
    let place = rule.place as usize;
    Some(match place.checked_sub(ALWAYS_EXCLUDED.len()) {
        Some(index) => HiddenBy::Exclude(index),
        None => HiddenBy::Default,
    })
}

/// The outermost of a path and the directories above it that is hidden, all taken as directories.
fn first_excluded<'p>(rules: &Rules, path: &'p [u8]) -> Option<(&'p [u8], HiddenBy)> {
    let mut paths = ancestors(path).chain([path]);
    paths.find_map(|path| excluded(rules, path, true).map(|by| (path, by)))
}

/// Whether a path counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is part of the project; a directory is entered.
    Keep,
    /// It is not.
    Hidden {
        /// What hides it, or the directory above it.
        by: HiddenBy,
    },
}

impl Verdict {
    /// Tells whether the path is part of the project.
    #[must_use]
    pub fn is_keep(&self) -> bool {
        *self == Self::Keep
    }
}

/// What hides a path; `Display` names it: `.gitignore:3`, `exclude[1]`, `default`, `include`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HiddenBy {
    /// One of [`ALWAYS_EXCLUDED`].
    Default,
    /// An entry of `exclude`, by position.
    Exclude(usize),
    /// It is below no entry of `include`.
    Include,
    /// A line of an ignore file.
    IgnoreFile {
        /// The file, relative to the project.
        file: Arc<str>,
        /// The line, from 1.
        line: u32,
    },
}

impl fmt::Display for HiddenBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Exclude(index) => write!(f, "exclude[{index}]"),
            Self::Include => f.write_str("include"),
            Self::IgnoreFile { file, line } => write!(f, "{file}:{line}"),
        }
    }
}

/// The filter of a project's files; cheap to clone, shared by threads.
#[derive(Debug, Clone)]
pub struct FileFilter {
    files: Arc<Files>,
    watches: Arc<Vec<WatchSet>>,
    /// Where watch globs begin to hold wildcards.
    roots: Arc<BTreeSet<String>>,
}

impl FileFilter {
    /// Makes the filter.
    #[must_use]
    pub fn new(files: &Files) -> Self {
        Self {
            files: Arc::new(files.clone()),
            watches: Arc::default(),
            roots: Arc::default(),
        }
    }

    /// The same filter where services watch these and nothing else.
    #[must_use]
    pub fn watching(self, watches: impl IntoIterator<Item = WatchSet>) -> Self {
        let watches: Vec<WatchSet> = watches.into_iter().collect();
        let roots = watches.iter().flat_map(WatchSet::literal_roots);
        Self {
            roots: Arc::new(roots.map(str::to_owned).collect()),
            watches: Arc::new(watches),
            ..self
        }
    }

    /// The same filter where no service watches anything.
    #[must_use]
    pub fn unwatched(self) -> Self {
        self.watching([])
    }

    /// Everything that this filter decides by, ignore files left out: equal rules decide alike.
    pub fn rules(&self) -> impl Iterator<Item = &str> {
        let Files {
            include,
            exclude,
            ignore_files,
            ..
        } = &*self.files;
        let lists = [&**include, exclude, ignore_files];
        let lists = lists
            .into_iter()
            .chain(self.watches.iter().map(WatchSet::globs));
        // An entry cannot hold a zero byte, so that the lists cannot run into each other.
        let lists = lists.flat_map(|list| {
            let list = list.iter().map(String::as_str);
            list.chain(["\0"])
        });
        ALWAYS_EXCLUDED.into_iter().chain(lists)
    }

    /// Names of the files whose bytes are wanted for each directory.
    #[must_use]
    pub fn ignore_file_names(&self) -> &[String] {
        &self.files.ignore_files
    }

    /// Starts a walk at the project directory, given its ignore files as (name, content).
    #[must_use]
    pub fn root(&self, ignore_files: &[(String, Vec<u8>)]) -> DirFilter {
        DirFilter::root(self.clone(), ignore_files)
    }

    /// Says what would show a hidden path, for people: `include = [".", ".env"]`.
    #[must_use]
    pub fn how_to_show(&self, path: &[u8], by: &HiddenBy) -> String {
        let shown = match by {
            HiddenBy::Default => {
                first_excluded(&self.files.rules, path).map_or(path, |found| found.0)
            }
            _ => path,
        };
        let path = String::from_utf8_lossy(shown);
        match by {
            HiddenBy::Exclude(index) => format!("taking exclude[{index}] out of [files] shows it"),
            HiddenBy::Default => format!("exclude = [\"!/{path}\"] shows it"),
            HiddenBy::Include | HiddenBy::IgnoreFile { .. } => {
                let mut include = self.files.include.clone();
                if include.is_empty() {
                    include.push(String::new());
                }
                include.push(path.into_owned());
                let entries = include.iter().map(|entry| match entry.as_str() {
                    "" => "\".\"".to_owned(),
                    entry => format!("{entry:?}"),
                });
                let entries: Vec<String> = entries.collect();
                format!("include = [{}] shows it", entries.join(", "))
            }
        }
    }

    fn excluded(&self, path: &[u8], is_dir: bool) -> Option<HiddenBy> {
        excluded(&self.files.rules, path, is_dir)
    }

    fn relation(&self, path: &[u8], is_dir: bool) -> Relation {
        let include = &self.files.include;
        if include.is_empty() {
            return Relation::Below;
        }
        Relation::of(path, is_dir, include.iter().map(String::as_bytes))
    }

    /// How a path stands to what services watch.
    fn watched(&self, path: &[u8], is_dir: bool) -> Relation {
        Relation::of(path, is_dir, self.roots.iter().map(String::as_bytes))
    }

    /// Tells whether a service watches a file.
    fn is_watched(&self, path: &[u8]) -> bool {
        self.watches.iter().any(|watch| watch.matches(path))
    }
}
