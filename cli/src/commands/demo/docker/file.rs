//! The Dockerfiles of a project, and the base that each begins with. Pure but for reading them.

use std::path::Path;

/// Names of the files, and what each stands for.
const FILES: [(&str, &str); 2] = [("Dockerfile", "naive"), ("Dockerfile.ordered", "ordered")];

/// A Dockerfile whose base can be chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Dockerfile {
    /// Its name.
    pub(in super::super) name: String,
    /// `naive` or `ordered`.
    pub(in super::super) kind: &'static str,
    /// Default of its `ARG BASE`.
    pub(in super::super) default: Option<String>,
}

/// Reads the Dockerfiles of a project; the error says why there is none to compare with.
pub(in super::super) fn dockerfiles(project: &Path) -> Result<Vec<Dockerfile>, String> {
    let mut found = Vec::new();
    let mut fixed = None;
    for (name, kind) in FILES {
        let Ok(text) = std::fs::read_to_string(project.join(name)) else {
            continue;
        };
        match base_argument(&text) {
            Some(default) => found.push(Dockerfile {
                name: name.to_owned(),
                kind,
                default,
            }),
            None => fixed = Some(name),
        }
    }
    match (found.is_empty(), fixed) {
        (false, _) => Ok(found),
        (true, None) => Err("the project has no Dockerfile".to_owned()),
        (true, Some(name)) => Err(format!(
            "{name} does not begin with `ARG BASE=…` and `FROM ${{BASE}}`: both sides could not stand on the same image"
        )),
    }
}

/// Gives the default of `ARG BASE` when the first `FROM` uses it.
fn base_argument(text: &str) -> Option<Option<String>> {
    let mut default = None;
    for line in text.lines().map(str::trim) {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        if word.eq_ignore_ascii_case("arg") {
            let (name, value) = rest.split_once('=').unwrap_or((rest, ""));
            if name == "BASE" {
                let value = value.trim_matches(['"', '\'']);
                default = Some((!value.is_empty()).then(|| value.to_owned()));
            }
        } else if word.eq_ignore_ascii_case("from") {
            let image = rest
                .split_whitespace()
                .find(|word| !word.starts_with("--"))?;
            return default.filter(|_| ["${BASE}", "$BASE"].contains(&image));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_is_an_argument_or_the_file_does_not_count() {
        let some = |text: &str| Some(Some(text.to_owned()));
        let cases = [
            ("ARG BASE=python:3.11\nFROM ${BASE}\n", some("python:3.11")),
            (
                "# x\narg BASE=\"a\"\nfrom --platform=x $BASE AS b\n",
                some("a"),
            ),
            ("ARG BASE\nFROM $BASE\n", Some(None)),
            ("FROM python\nARG BASE=x\n", None),
            ("ARG BASE=x\nFROM python\n", None),
            ("ARG BASE=x\n", None),
        ];
        for (text, expected) in cases {
            assert_eq!(base_argument(text), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_compared_says_why() {
        let place = tempfile::tempdir().unwrap();
        let why = dockerfiles(place.path()).unwrap_err();
        assert_eq!(why, "the project has no Dockerfile");
        std::fs::write(place.path().join("Dockerfile"), "FROM x\n").unwrap();
        let why = dockerfiles(place.path()).unwrap_err();
        assert!(
            why.starts_with("Dockerfile does not begin with `ARG BASE"),
            "{why}"
        );
        let text = "ARG BASE=x\nFROM ${BASE}\n";
        std::fs::write(place.path().join("Dockerfile.ordered"), text).unwrap();
        let found = dockerfiles(place.path()).unwrap();
        assert_eq!((found.len(), found[0].kind), (1, "ordered"));
    }
}
