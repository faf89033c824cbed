//! Verbs that are not carried out: those that come later, and those mistyped.

use std::ffi::OsStr;

use clap::CommandFactory;

use crate::args::Cli;
use crate::error::{CliError, exit};

/// Verbs of the design that do not work yet, and what to use until then.
const LATER: &[(&str, &str)] = &[
    (
        "commit",
        "an environment is its hd.toml: commit that with git",
    ),
    (
        "lock",
        "pin versions in the files that your package manager reads",
    ),
    (
        "pause",
        "`hd watch pause` holds edits back, `hd stop` stops services, `hd kill -s STOP` halts their main process",
    ),
    (
        "push",
        "`hd export REGISTRY/REPOSITORY:TAG` pushes the environment as an image",
    ),
];

/// Says why `verb` is not carried out.
pub(crate) fn refuse(verb: &OsStr) -> CliError {
    let verb = verb.to_string_lossy();
    if let Some((_, instead)) = LATER.iter().find(|(name, _)| *name == verb) {
        return not_yet(&format!("hd {verb}")).hint(*instead);
    }
    let known = known();
    let names = || {
        known
            .iter()
            .map(String::as_str)
            .chain(LATER.iter().map(|(name, _)| *name))
    };
    let hint = match nearest(&verb, names()) {
        Some(name) => format!("did you mean `hd {name}`?"),
        None => "`hd --help` lists what there is".to_owned(),
    };
    CliError::new("usage", exit::USAGE, format!("there is no `hd {verb}`")).hint(hint)
}

/// Answers something that comes later.
pub(crate) fn not_yet(what: &str) -> CliError {
    CliError::new("not_yet", exit::USAGE, format!("{what}: not yet"))
}

/// Gives the name most like `word`, if one is like it at all.
pub(crate) fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let scored = names.map(|name| (strsim::damerau_levenshtein(&word, name), name));
    let allowed = (word.chars().count() / 3).max(1);
    scored
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, name)| name)
}

fn known() -> Vec<String> {
    Cli::command()
        .get_subcommands()
        .map(|verb| verb.get_name().to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verb_either_works_or_comes_later() {
        let known = known();
        let both: Vec<_> = LATER
            .iter()
            .filter(|(name, _)| known.iter().any(|k| k == name))
            .collect();
        assert!(both.is_empty(), "{both:?}");
        assert!(LATER.is_sorted());
    }

    #[test]
    fn a_mistyped_verb_suggests_the_nearest() {
        let cases = [
            ("stauts", "did you mean `hd status`?"),
            ("updat", "`hd --help` lists what there is"),
            ("dwon", "did you mean `hd down`?"),
            ("biuld", "did you mean `hd build`?"),
            ("xyzzy", "`hd --help` lists what there is"),
        ];
        for (verb, hint) in cases {
            let error = refuse(OsStr::new(verb));
            assert_eq!(
                (error.report().hint.as_str(), error.exit()),
                (hint, 2),
                "{verb}"
            );
        }
    }

    #[test]
    fn a_later_verb_says_so() {
        let error = refuse(OsStr::new("lock"));
        assert_eq!(
            (error.report().message.as_str(), error.exit()),
            ("hd lock: not yet", 2)
        );
        assert!(!error.report().hint.is_empty());
    }
}
