//! Which changed files concern a service, and what is done about them.

use std::sync::Arc;

use crate::glob::{Dialect, Rules, RulesBuilder};
use crate::path::ancestors;
use crate::service::Command;
use crate::signal::Signal;

/// A glob of a watch list that does not compile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("bad glob `{glob}`: {why}")]
pub struct WatchError {
    /// Position in the list.
    pub index: usize,
    /// The glob as written.
    pub glob: String,
    /// What is wrong with it.
    pub why: String,
}

/// What is done when a watched file has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchAction {
    /// The service is restarted.
    Restart,
    /// The service gets a signal, most often to read its configuration again.
    Signal(Signal),
    /// A command is run beside it.
    Exec(Command),
    /// Nothing: the file is taken back from what earlier globs cover.
    None,
}

/// A glob with what is done about files it covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchRule {
    /// The glob.
    pub glob: String,
    /// What is done.
    pub action: WatchAction,
}

/// The `watch` globs of a service, relative to the project, gitignore-style.
///
/// A glob that matches a directory covers all below it; one that begins with `!` takes files back;
/// the last glob that covers a path decides. `*.py` matches at every depth, `/app.py` and
/// `src/**/*.{ts,tsx}` only from the project down. An empty set watches nothing.
#[derive(Debug, Clone, Default)]
pub struct WatchSet {
    globs: Vec<String>,
    actions: Vec<WatchAction>,
    rules: Option<Arc<Rules>>,
    auto: bool,
}

impl PartialEq for WatchSet {
    fn eq(&self, other: &Self) -> bool {
        (self.auto, &self.globs, &self.actions) == (other.auto, &other.globs, &other.actions)
    }
}

impl Eq for WatchSet {}

impl WatchSet {
    /// Compiles globs that restart the service.
    ///
    /// # Errors
    /// The first glob that does not compile, with its position.
    pub fn new(globs: Vec<String>) -> Result<Self, WatchError> {
        let rule = |glob| WatchRule {
            glob,
            action: WatchAction::Restart,
        };
        Self::with_actions(globs.into_iter().map(rule).collect())
    }

    /// Compiles globs with what each of them does; the last one that covers a path decides.
    ///
    /// # Errors
    /// The first glob that does not compile, with its position.
    pub fn with_actions(rules: Vec<WatchRule>) -> Result<Self, WatchError> {
        let (globs, actions): (Vec<String>, Vec<WatchAction>) = rules
            .into_iter()
            .map(|rule| (rule.glob, rule.action))
            .unzip();
        let fail = |index: usize, why: String| WatchError {
            index,
            glob: globs.get(index).cloned().unwrap_or_default(),
            why,
        };
        let mut builder = RulesBuilder::new(Dialect::Config);
        for (index, glob) in globs.iter().enumerate() {
            let place = u32::try_from(index).unwrap_or(u32::MAX);
            builder.add(glob, place).map_err(|why| fail(index, why))?;
        }
        let rules = if globs.is_empty() {
            None
        } else {
            Some(Arc::new(builder.build().map_err(|why| fail(0, why))?))
        };
        Ok(Self {
            globs,
            actions,
            rules,
            auto: false,
        })
    }

    /// Watches whatever the service reads, and restarts it.
    #[must_use]
    pub fn auto() -> Self {
        Self {
            auto: true,
            ..Self::default()
        }
    }

    /// Tells whether whatever the service reads is watched; there are no globs then.
    #[must_use]
    pub fn is_auto(&self) -> bool {
        self.auto
    }

    /// What each glob does, in their order.
    #[must_use]
    pub fn actions(&self) -> &[WatchAction] {
        &self.actions
    }

    /// The globs as written.
    #[must_use]
    pub fn globs(&self) -> &[String] {
        &self.globs
    }

    /// Tells whether nothing is watched.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.globs.is_empty() && !self.auto
    }

    /// Tells whether a change of the file at `path` (raw bytes, relative) concerns the service.
    #[must_use]
    pub fn matches(&self, path: &[u8]) -> bool {
        self.action(path).is_some()
    }

    /// What is done when the file at `path` changes, if anything is.
    #[must_use]
    pub fn action(&self, path: &[u8]) -> Option<&WatchAction> {
        let action = self.actions.get(self.deciding(path)?)?;
        (*action != WatchAction::None).then_some(action)
    }

    /// The glob that decides about `path`, for explanations.
    #[must_use]
    pub fn matched_by(&self, path: &[u8]) -> Option<&str> {
        self.globs.get(self.deciding(path)?).map(String::as_str)
    }

    fn deciding(&self, path: &[u8]) -> Option<usize> {
        let rules = self.rules.as_deref()?;
        let mut last = rules.last_match(path, false, &[]);
        for ancestor in ancestors(path) {
            last = last.max(rules.last_match(ancestor, true, &[]));
        }
        let rule = rules.get(last?).filter(|rule| !rule.negated)?;
        Some(rule.place as usize)
    }

    /// The paths up to the first wildcard of those globs that name one: `dist` of `dist/**/*.js`,
    /// `config/.env` of itself. A watcher enters these though ignore files hide them. A plain name is
    /// taken for one of the project directory, though it matches at every depth.
    #[must_use]
    pub fn literal_roots(&self) -> Vec<&str> {
        let rules = self.globs.iter().zip(&self.actions);
        let positive =
            rules.filter(|(glob, action)| !glob.starts_with('!') && **action != WatchAction::None);
        positive
            .filter_map(|(glob, _)| literal_root(glob))
            .collect()
    }
}

fn literal_root(glob: &str) -> Option<&str> {
    let glob = glob.strip_prefix("./").unwrap_or(glob);
    let glob = glob.trim_start_matches('/').trim_end_matches('/');
    let wild = glob.find(['*', '?', '[', '{', '\\']);
    let literal = match wild {
        None => glob,
        Some(at) => glob.get(..at)?.rsplit_once('/')?.0,
    };
    (!literal.is_empty()).then_some(literal)
}

#[cfg(test)]
mod tests {
    use super::{WatchAction, WatchRule, WatchSet};
    use crate::signal::Signal;

    fn set(globs: &[&str]) -> WatchSet {
        WatchSet::new(globs.iter().map(|glob| (*glob).to_owned()).collect()).unwrap()
    }

    #[test]
    fn globs_match_as_gitignore_does() {
        let cases: &[(&[&str], &str, bool)] = &[
            (&[], "app.py", false),
            (&["*.py"], "app.py", true),
            (&["*.py"], "a/b/c.py", true),
            (&["/app.py"], "a/app.py", false),
            (&["src/**/*.ts"], "src/a.ts", true),
            (&["src/**/*.ts"], "src/x/y/a.ts", true),
            (&["src/**/*.ts"], "lib/src/a.ts", false),
            (&["src/**/*.{ts,tsx}"], "src/a.tsx", true),
            (&["lib/**"], "lib/a/b.js", true),
            (&["lib/**"], "lib", false),
            (&["src"], "src/deep/file", true),
            (&["src/"], "src/file", true),
            (&["./src"], "src/file", true),
            (&["src", "!*.test.ts"], "src/a.test.ts", false),
            (&["src", "!*.test.ts"], "src/a.ts", true),
            (&["!src", "src/a"], "src/a", true),
            (&["src/*"], "src/a/b", true),
            (&["a?c"], "abc", true),
            (&["[id].tsx"], "i.tsx", true),
            (&["\\[id\\].tsx"], "[id].tsx", true),
        ];
        for (globs, path, expected) in cases {
            let found = set(globs).matches(path.as_bytes());
            assert_eq!(found, *expected, "{path} in {globs:?}");
        }
    }

    #[test]
    fn names_that_are_not_utf8_match() {
        assert!(set(&["src/*.py"]).matches(b"src/\xff\xfe.py"));
        assert!(set(&["a?b"]).matches(b"a\xffb"));
        assert!(!set(&["*.py"]).matches(b"src/\xff.rs"));
    }

    #[test]
    fn the_glob_that_matched_is_named() {
        let set = set(&["*.html", "src", "!*.md"]);
        assert_eq!(set.matched_by(b"src/x.html"), Some("src"));
        assert_eq!(set.matched_by(b"x.html"), Some("*.html"));
        assert_eq!(set.matched_by(b"src/x.md"), None);
    }

    #[test]
    fn the_last_rule_that_covers_a_path_says_what_is_done() {
        let rule = |glob: &str, action| WatchRule {
            glob: glob.to_owned(),
            action,
        };
        let set = WatchSet::with_actions(vec![
            rule("conf", WatchAction::Restart),
            rule("*.css", WatchAction::None),
            rule("conf/nginx.conf", WatchAction::Signal(Signal::HUP)),
        ])
        .unwrap();
        let hup = WatchAction::Signal(Signal::HUP);
        assert_eq!(set.action(b"conf/a"), Some(&WatchAction::Restart));
        assert_eq!(set.action(b"conf/nginx.conf"), Some(&hup));
        assert_eq!(set.action(b"conf/a.css"), None);
        assert!(!set.matches(b"conf/a.css") && set.matches(b"conf/nginx.conf"));
    }

    #[test]
    fn literal_roots_end_before_the_first_wildcard() {
        let set = set(&[
            "dist/**/*.js",
            "config/.env",
            "*.py",
            "/top.txt",
            "!a/b",
            "x/y?z/w",
            ".env",
        ]);
        assert_eq!(
            set.literal_roots(),
            ["dist", "config/.env", "top.txt", "x", ".env"]
        );
    }

    #[test]
    fn bad_globs_are_refused_at_their_position() {
        for glob in ["[a", "{a", "../x", "/", "!", "a\\"] {
            let error = WatchSet::new(vec!["ok".to_owned(), glob.to_owned()]).unwrap_err();
            assert_eq!((error.index, error.glob.as_str()), (1, glob));
        }
    }
}
