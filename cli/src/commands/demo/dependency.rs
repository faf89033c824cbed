//! An edit of the list of what a project depends on: every side installs again. Pure.

use std::path::{Path, PathBuf};

use super::edit::with_comment;

/// Names of such lists, those that say most about what is installed first.
const LISTS: [&str; 7] = [
    "requirements.txt",
    "package.json",
    "go.mod",
    "Gemfile",
    "mix.exs",
    "pyproject.toml",
    "Cargo.toml",
];

/// A list of dependencies in the top directory of a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dependency {
    /// Its name.
    pub(super) file: PathBuf,
}

impl Dependency {
    /// Chooses one among the files of a project.
    pub(super) fn find(files: &[PathBuf]) -> Option<Self> {
        let mut lists = LISTS.iter().map(Path::new);
        let list = lists.find(|list| files.iter().any(|file| file == list))?;
        Some(Self {
            file: list.to_owned(),
        })
    }

    /// Makes content that was never there before and asks for the same packages; `mark` is a word
    /// of letters, digits and points. `None` when the file is not as such a file should be.
    pub(super) fn edited(&self, text: &str, mark: &str) -> Option<String> {
        match self.file.to_str()? {
            "package.json" => with_package_version(text, &format!("0.0.0-{mark}")),
            "requirements.txt" | "Gemfile" => with_comment("list.rb", text, mark),
            "go.mod" => with_comment("list.go", text, mark),
            other => with_comment(other, text, mark),
        }
    }
}

/// Gives the package another version: JSON knows no comments, and installers look at the whole file.
fn with_package_version(text: &str, version: &str) -> Option<String> {
    const KEY: &str = "\"version\"";
    if let Some(at) = text.find(KEY) {
        let value = at + KEY.len();
        let open = value + text[value..].find('"')?;
        let close = open + 1 + text[open + 1..].find('"')?;
        return Some(format!("{}\"{version}{}", &text[..open], &text[close..]));
    }
    let open = text.find('{')? + 1;
    let comma = if text[open..].trim_start().starts_with('}') {
        ""
    } else {
        ","
    };
    Some(format!(
        "{}\n  {KEY}: \"{version}\"{comma}{}",
        &text[..open],
        &text[open..]
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(name: &str) -> Dependency {
        Dependency { file: name.into() }
    }

    #[test]
    fn the_list_that_says_most_is_chosen() {
        let files = ["Cargo.toml", "a/requirements.txt", "package.json"].map(PathBuf::from);
        assert_eq!(Dependency::find(&files), Some(list("package.json")));
        assert_eq!(Dependency::find(&files[1..2]), None);
    }

    #[test]
    fn each_kind_of_list_is_edited_in_its_own_way() {
        let cases = [
            ("requirements.txt", "flask\n", "flask\n# m\n"),
            ("go.mod", "module x", "module x\n// m\n"),
            ("pyproject.toml", "", "# m\n"),
            (
                "package.json",
                r#"{"name":"a","version" : "1.0"}"#,
                r#"{"name":"a","version" : "0.0.0-m"}"#,
            ),
            (
                "package.json",
                r#"{"name":"a"}"#,
                "{\n  \"version\": \"0.0.0-m\",\"name\":\"a\"}",
            ),
            ("package.json", "{ }", "{\n  \"version\": \"0.0.0-m\" }"),
        ];
        for (name, text, expected) in cases {
            let edited = list(name).edited(text, "m").unwrap();
            assert_eq!(edited, expected, "{name}");
        }
        assert_eq!(list("package.json").edited("[]", "m"), None);
    }
}
