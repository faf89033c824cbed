//! The source files of the workspace, for tests of its rules.

use std::path::{Path, PathBuf};

use crate::env::workspace;

/// A Rust source file.
#[derive(Debug)]
pub struct Source {
    /// Relative to the workspace, with `/`.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// Every `.rs` file of the workspace, sorted by path; build output is left out.
pub fn all() -> Vec<Source> {
    let mut found = Vec::new();
    walk(workspace(), &mut found);
    found.sort();
    let read = |path: PathBuf| Source {
        path: path
            .strip_prefix(workspace())
            .expect("below the workspace")
            .to_string_lossy()
            .into_owned(),
        text: std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display())),
    };
    found.into_iter().map(read).collect()
}

fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory)
        .expect("list a source directory")
        .flatten()
    {
        let (path, name) = (entry.path(), entry.file_name());
        if entry.file_type().expect("kind of an entry").is_dir() {
            if name != "target"
                && name != "node_modules"
                && !name.as_encoded_bytes().starts_with(b".")
            {
                walk(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

impl Source {
    /// The code without comments and without the inline test module, by line number from 1.
    ///
    /// Good enough for rules on words: text in string literals counts as code, `//` in one ends it.
    pub fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self
            .text
            .lines()
            .take_while(|line| *line != "#[cfg(test)]")
            .enumerate();
        lines.map(|(index, line)| (index + 1, line.split("//").next().unwrap_or_default()))
    }

    /// The module's documentation.
    pub fn module_doc(&self) -> String {
        self.text
            .lines()
            .filter_map(|line| line.strip_prefix("//!"))
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// Whether a line holds `word` as a whole word.
pub fn has_word(line: &str, word: &str) -> bool {
    let part_of_word = |char: char| char.is_alphanumeric() || char == '_';
    line.match_indices(word).any(|(at, _)| {
        !line[..at].chars().next_back().is_some_and(part_of_word)
            && !line[at + word.len()..]
                .chars()
                .next()
                .is_some_and(part_of_word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_whole() {
        assert!(has_word("a: Addr<X>", "Addr"));
        assert!(!has_word("SocketAddr", "Addr"));
        assert!(!has_word("Address", "Addr"));
    }

    #[test]
    fn tests_and_comments_are_no_code() {
        let text = "fn a() {} // todo\n#[cfg(test)]\nmod tests {}\n".to_owned();
        let source = Source {
            path: String::new(),
            text,
        };
        assert_eq!(source.code().collect::<Vec<_>>(), [(1, "fn a() {} ")]);
    }
}
