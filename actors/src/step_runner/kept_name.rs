//! What the states of kept directories are called by.

use hd_config::slug::slug;
use hd_dag::TreePath;
use hd_store::Id;
use serde::{Deserialize, Serialize};

use super::wanted::Wanted;

/// What the names of named caches begin with.
const NAMED: &str = "cache";
/// What the names of directories of `[build] cache` begin with. Once it was the number of a step, which
/// means another one as soon as one above it comes or goes.
const OF_STEP: &str = "step ";
/// Digits that tell one command from another.
const DIGITS: usize = 12;

/// Which kept directory is meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeptName(String);

impl KeptName {
    /// A directory of `[build] cache` in one step: the one of that name, or with that command.
    pub fn of_dir(step: &Wanted, dir: &TreePath) -> Self {
        let command = &step.command;
        let step = match step.is_named {
            true => step.slug.clone(),
            false => {
                let digest = Id::of(command.as_bytes()).to_string();
                format!("{} {}", slug(command), &digest[..DIGITS])
            }
        };
        Self(format!("{OF_STEP}{step}:{dir}"))
    }

    /// A named cache.
    pub fn of_cache(name: &str) -> Self {
        Self(format!("{NAMED}:{name}"))
    }

    /// Gives the name of the cache, or the directory.
    pub fn called(&self) -> &str {
        self.0.split_once(':').map_or(&*self.0, |(_, name)| name)
    }

    /// Gives the one step that a directory of `[build] cache` is of: its name, or the short one of its command.
    pub fn step(&self) -> Option<&str> {
        let (step, _) = self.0.strip_prefix(OF_STEP)?.split_once(':')?;
        step.split(' ').next()
    }

    /// Gives it as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Tells whether anything is still called so.
    pub(super) fn is_of_today(&self) -> bool {
        self.step().is_some()
            || self
                .0
                .split_once(':')
                .is_some_and(|(first, _)| first == NAMED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A step with that name, or none.
    fn step(name: &str, command: &str) -> Wanted {
        Wanted {
            name: "step-2".to_owned(),
            slug: name.to_owned(),
            is_named: !name.is_empty(),
            command: command.to_owned(),
            ..Wanted::default()
        }
    }

    #[test]
    fn a_directory_is_of_the_step_with_that_name_or_command() {
        let dir = TreePath::new(b"dist").unwrap();
        let of = |name, command| KeptName::of_dir(&step(name, command), &dir);
        assert_eq!(of("api", "make a"), of("api", "make b"));
        assert_ne!(of("", "make a"), of("", "make b"));
        assert_ne!(of("cache", ""), KeptName::of_cache("dist"));
        let (named, short) = (of("cache", ""), of("", "make docs -j 4"));
        assert_eq!((named.step(), named.called()), (Some("cache"), "dist"));
        assert_eq!((short.step(), short.called()), (Some("make-docs"), "dist"));
        let cache = KeptName::of_cache("cargo");
        assert_eq!((cache.step(), cache.called()), (None, "cargo"));
        let today = [named, short, cache].map(|name| name.is_of_today());
        assert_eq!(today, [true; 3]);
        assert!(!KeptName("step-2:dist".to_owned()).is_of_today());
    }

    #[test]
    fn states_are_written_under_the_names_they_always_had() {
        let dir = TreePath::new(b"dist").unwrap();
        let names = [
            KeptName::of_dir(&step("api", "make"), &dir),
            KeptName::of_dir(&step("", "make"), &dir),
            KeptName::of_cache("cargo"),
        ];
        let text = serde_json::to_string(&names).unwrap();
        let digest = &Id::of(b"make").to_string()[..DIGITS];
        let expected = format!(r#"["step api:dist","step make {digest}:dist","cache:cargo"]"#);
        assert_eq!(text, expected);
    }
}
