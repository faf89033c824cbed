//! Gitignore patterns (gitignore(5), "PATTERN FORMAT") compiled to one set, over raw bytes.

mod syntax;

use globset::{Candidate, GlobBuilder, GlobSet, GlobSetBuilder};

/// Where patterns come from decides how forgiving they are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// A line of an ignore file, exactly as git reads it; what git cannot read matches nothing.
    IgnoreFile,
    /// A string of `hd.toml`: `{a,b}` alternatives work, `./` in front is allowed.
    Config,
}

/// One pattern that was compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rule {
    /// Begins with `!`.
    pub(crate) negated: bool,
    /// Ends with `/`.
    pub(crate) dir_only: bool,
    /// Line (from 1) or position in a list (from 0), as the builder was told.
    pub(crate) place: u32,
}

/// Patterns in order; the last one that matches decides.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    set: GlobSet,
    rules: Vec<Rule>,
}

impl Rules {
    pub(crate) fn empty() -> Self {
        Self {
            set: GlobSet::empty(),
            rules: Vec::new(),
        }
    }

    pub(crate) fn get(&self, at: usize) -> Option<&Rule> {
        self.rules.get(at)
    }

    /// The positions of all rules that match the path itself, ascending.
    pub(crate) fn all_matches(&self, path: &[u8], is_dir: bool) -> Vec<usize> {
        if self.rules.is_empty() {
            return Vec::new();
        }
        let mut found = self.set.matches_candidate(&Candidate::from_bytes(path));
        found.retain(|at| {
            self.rules
                .get(*at)
                .is_some_and(|rule| is_dir || !rule.dir_only)
        });
        found
    }

    /// The last rule that matches the path itself (not its ancestors), not counting `skip`.
    pub(crate) fn last_match(&self, path: &[u8], is_dir: bool, skip: &[usize]) -> Option<usize> {
        let found = self.all_matches(path, is_dir);
        found.into_iter().rev().find(|at| !skip.contains(at))
    }
}

/// Collects patterns.
#[derive(Debug)]
pub(crate) struct RulesBuilder {
    dialect: Dialect,
    set: GlobSetBuilder,
    rules: Vec<Rule>,
}

impl RulesBuilder {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            set: GlobSetBuilder::new(),
            rules: Vec::new(),
        }
    }

    /// How many patterns were added.
    pub(crate) fn len(&self) -> usize {
        self.rules.len()
    }

    /// Adds one pattern; blank ones and comments of ignore files add nothing.
    ///
    /// # Errors
    /// Why the pattern does not compile.
    pub(crate) fn add(&mut self, text: &str, place: u32) -> Result<(), String> {
        let text = match self.dialect {
            Dialect::IgnoreFile => trim_line(text),
            Dialect::Config => text,
        };
        let comment = self.dialect == Dialect::IgnoreFile && text.starts_with('#');
        if text.is_empty() || comment {
            return Ok(());
        }
        let (negated, text) = strip(text, '!');
        let text = match self.dialect {
            Dialect::IgnoreFile => text,
            Dialect::Config => text.strip_prefix("./").unwrap_or(text),
        };
        let glob = self.glob(text)?;
        self.set.add(glob);
        self.rules.push(Rule {
            negated,
            dir_only: text.ends_with('/'),
            place,
        });
        Ok(())
    }

    /// Compiles the set.
    ///
    /// # Errors
    /// The patterns together are too large for one automaton.
    pub(crate) fn build(self) -> Result<Rules, String> {
        let set = self.set.build().map_err(|error| error.to_string())?;
        Ok(Rules {
            set,
            rules: self.rules,
        })
    }

    fn glob(&self, text: &str) -> Result<globset::Glob, String> {
        let text = text.strip_suffix('/').unwrap_or(text);
        let (rooted, text) = strip(text, '/');
        if text.is_empty() || text.ends_with('/') {
            return Err("it names nothing".to_owned());
        }
        if self.dialect == Dialect::Config && text.split('/').any(|part| part == "..") {
            return Err("it leaves the project by `..`".to_owned());
        }
        let mut glob = syntax::rewrite(text, self.dialect == Dialect::IgnoreFile)?;
        // Without a slash inside, a pattern matches at every depth.
        if !rooted && !text.contains('/') {
            glob.insert_str(0, "**/");
        }
        // `a/**` is what lies in `a`, not `a`.
        if glob.ends_with("/**") {
            glob.push_str("/*");
        }
        GlobBuilder::new(&glob)
            .literal_separator(true)
            .backslash_escape(true)
            .build()
            .map_err(|error| error.kind().to_string())
    }
}

fn strip(text: &str, prefix: char) -> (bool, &str) {
    match text.strip_prefix(prefix) {
        Some(rest) => (true, rest),
        None => (false, text),
    }
}

/// Takes off what git takes off the end of a line: a carriage return, then unescaped spaces.
fn trim_line(line: &str) -> &str {
    let line = line.strip_suffix('\r').unwrap_or(line);
    let bare = line.trim_end_matches(' ');
    let slashes = bare.len() - bare.trim_end_matches('\\').len();
    if slashes % 2 == 1 && bare.len() < line.len() {
        line.get(..bare.len() + 1).unwrap_or(line)
    } else {
        bare
    }
}
