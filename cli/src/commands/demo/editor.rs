//! Edits of a copy, each with content that was never there before.

use std::path::{Path, PathBuf};

use super::dependency::Dependency;
use super::edit::{version_line, with_comment, with_version};
use super::goal::Goal;
use super::subject::{read, write};
use crate::error::{CliError, exit};

/// What is done to a copy before an answer is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change<'a> {
    /// An edit of a source file.
    Source,
    /// An edit of the list of dependencies, and of a source file: the answer shows that it is over.
    Dependency(&'a Dependency),
    /// All edited files become again what they were.
    Back(&'a Snapshot),
}

/// What was in the files that are edited.
#[derive(Debug)]
pub(super) struct Snapshot {
    files: Vec<(PathBuf, String)>,
    version: Option<String>,
}

/// Makes edits.
#[derive(Debug)]
pub(super) struct Editor {
    /// What is edited.
    pub(super) goal: Goal,
    nonce: String,
    count: usize,
}

impl Editor {
    /// Starts with a nonce of this run and side.
    pub(super) fn new(goal: Goal, nonce: &str) -> Self {
        Self {
            goal,
            nonce: nonce.to_owned(),
            count: 0,
        }
    }

    /// Changes a copy; gives the version to wait for, where it shows.
    pub(super) fn make(
        &mut self,
        change: Change<'_>,
        copy: &Path,
    ) -> Result<Option<String>, CliError> {
        match change {
            Change::Source => self.source(copy),
            Change::Dependency(list) => {
                self.count += 1;
                let path = copy.join(&list.file);
                let edited = list.edited(&read(&path)?, &self.mark());
                write(&path, &edited.ok_or_else(|| cannot_edit(&path))?)?;
                self.source(copy)
            }
            Change::Back(snapshot) => {
                for (file, text) in &snapshot.files {
                    write(&copy.join(file), text)?;
                }
                Ok(snapshot.version.clone())
            }
        }
    }

    /// Remembers what is in the files that edits change.
    pub(super) fn snapshot(
        &self,
        dependency: Option<&Dependency>,
        copy: &Path,
    ) -> Result<Snapshot, CliError> {
        let source = match &self.goal {
            Goal::Version(file, _) | Goal::Restart(file) => Some(file),
            Goal::Nothing => None,
        };
        let list = dependency.map(|list| &list.file);
        let mut files = Vec::new();
        for file in list.into_iter().chain(source) {
            files.push((file.clone(), read(&copy.join(file))?));
        }
        let version = match (&self.goal, files.last()) {
            (Goal::Version(..), Some((_, text))) => version_line(text).map(|found| found.value),
            _ => None,
        };
        Ok(Snapshot { files, version })
    }

    fn source(&mut self, copy: &Path) -> Result<Option<String>, CliError> {
        self.count += 1;
        let mark = self.mark();
        let (file, version) = match &self.goal {
            Goal::Version(file, found) => (file, Some(format!("{}-{mark}.", found.value))),
            Goal::Restart(file) => (file, None),
            Goal::Nothing => return Ok(None),
        };
        let path = copy.join(file);
        let old = read(&path)?;
        let new = match (&self.goal, &version) {
            (Goal::Version(_, found), Some(version)) => with_version(&old, found, version),
            _ => with_comment(&file.to_string_lossy(), &old, &mark),
        };
        write(&path, &new.ok_or_else(|| cannot_edit(&path))?)?;
        Ok(version)
    }

    /// Every mark has a length of its own: Python takes its cached bytecode for that of a source of
    /// the same length that was written in the same second.
    fn mark(&self) -> String {
        let letters: String = std::iter::repeat_n('x', self.count).collect();
        format!("demo.n{}.{letters}", self.nonce)
    }
}

fn cannot_edit(path: &Path) -> CliError {
    let message = format!("cannot edit {}: its line went away", path.display());
    CliError::new("internal", exit::INTERNAL, message)
}

#[cfg(test)]
mod tests {
    use super::super::goal::nonce;
    use super::super::http::Answer;
    use super::*;

    fn answer(body: &str) -> Answer {
        Answer {
            status: 200,
            body: body.to_owned(),
        }
    }

    fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
        let place = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(place.path().join(name), text).unwrap();
        }
        place
    }

    fn version_goal() -> Goal {
        let found = version_line("VERSION = \"1.0\"\n").unwrap();
        Goal::Version("config.py".into(), found)
    }

    #[test]
    fn each_edit_is_new_and_is_told_from_all_others() {
        let place = project(&[("config.py", "VERSION = \"1.0\"\n")]);
        let mut editor = Editor::new(version_goal(), &nonce());
        let mut edit = || editor.make(Change::Source, place.path()).unwrap().unwrap();
        let versions: Vec<String> = (0..11).map(|_| edit()).collect();
        // The first is no part of the eleventh, and no two are of one length.
        assert!(!versions[10].contains(&versions[0]), "{versions:?}");
        let mut pairs = versions.windows(2);
        assert!(pairs.all(|pair| pair[0].len() < pair[1].len()));
        let text = read(&place.path().join("config.py")).unwrap();
        assert!(text.contains(&versions[10]));
        let goal = &editor.goal;
        assert!(goal.accepts(&answer(&versions[10]), Some(&versions[10])));
        assert!(!goal.accepts(&answer(&versions[9]), Some(&versions[10])));
    }

    #[test]
    fn a_comment_is_edited_where_no_answer_tells() {
        let place = project(&[("web.py", "x = 1\n")]);
        let mut editor = Editor::new(Goal::Restart("web.py".into()), "n");
        assert_eq!(editor.make(Change::Source, place.path()).unwrap(), None);
        editor.make(Change::Source, place.path()).unwrap();
        let text = read(&place.path().join("web.py")).unwrap();
        assert_eq!(text, "x = 1\n# demo.nn.x\n# demo.nn.xx\n");
    }

    #[test]
    fn a_branch_and_back_leaves_all_as_it_was() {
        let files = [
            ("requirements.txt", "flask\n"),
            ("config.py", "VERSION = \"1.0\"\n"),
        ];
        let place = project(&files);
        let list = Dependency::find(&["requirements.txt".into()]).unwrap();
        let mut editor = Editor::new(version_goal(), "n");
        let before = editor.snapshot(Some(&list), place.path()).unwrap();
        let there = editor.make(Change::Dependency(&list), place.path());
        let there = there.unwrap().unwrap();
        let lists = || read(&place.path().join("requirements.txt")).unwrap();
        assert!(lists().starts_with("flask\n# demo.nn."), "{}", lists());
        let back = editor.make(Change::Back(&before), place.path()).unwrap();
        assert_eq!(
            (back.as_deref(), lists().as_str()),
            (Some("1.0"), "flask\n")
        );
        assert_ne!(there, "1.0");
    }
}
