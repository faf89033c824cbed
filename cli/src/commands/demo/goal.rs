//! What is edited, and how the answer shows that the edit has arrived.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::edit::{VersionLine, with_comment, with_version};
use super::http::Answer;
use super::subject::{Subject, read, write};
use crate::error::{CliError, exit};

/// How an edit is seen from outside.
#[derive(Clone, Debug)]
pub(super) enum Goal {
    /// The value of this line is in the answer of `/version`.
    Version(PathBuf, VersionLine),
    /// No answer tells: a comment goes into this file, and the service answers again.
    Restart(PathBuf),
    /// There is no file to edit.
    Nothing,
}

impl Goal {
    /// Gives the path to ask before it is known what the service answers.
    pub(super) fn first_path(subject: &Subject) -> &'static str {
        if subject.versions.is_empty() {
            "/"
        } else {
            "/version"
        }
    }

    /// Decides by the first answer.
    pub(super) fn of(subject: &Subject, answer: &Answer) -> Self {
        let mut versions = subject.versions.iter();
        let shown = versions.find(|(_, found)| answer.body.contains(&found.value));
        match (shown, &subject.watched) {
            (Some((file, found)), _) if answer.status == 200 => {
                Self::Version(file.clone(), found.clone())
            }
            (_, Some(file)) => Self::Restart(file.clone()),
            (_, None) => Self::Nothing,
        }
    }

    /// Gives the path to ask.
    pub(super) fn path(&self) -> &'static str {
        match self {
            Self::Version(..) => "/version",
            Self::Restart(_) | Self::Nothing => "/",
        }
    }

    /// Says for people what is asked.
    pub(super) fn asked(&self) -> String {
        match self {
            Self::Version(..) => "GET /version until 200".to_owned(),
            Self::Restart(_) | Self::Nothing => "GET / until it answers (below 500)".to_owned(),
        }
    }

    /// Says for people what an edit is.
    pub(super) fn edit(&self) -> String {
        match self {
            Self::Version(file, _) => format!(
                "a never-seen version in {}, until GET /version answers it",
                file.display()
            ),
            Self::Restart(file) => format!(
                "a never-seen comment in {}, until the restarted service answers: no `version = \"…\"` of a source file is the answer of GET /version",
                file.display()
            ),
            Self::Nothing => "none: the service watches no file that could be edited".to_owned(),
        }
    }

    /// Tells whether an answer is that of a service that works; with `version`, of that one.
    pub(super) fn accepts(&self, answer: &Answer, version: Option<&str>) -> bool {
        match self {
            Self::Version(..) => {
                answer.status == 200 && version.is_none_or(|version| answer.body.contains(version))
            }
            Self::Restart(_) | Self::Nothing => answer.status < 500,
        }
    }
}

/// Makes edits, each with content that was never there before.
#[derive(Debug)]
pub(super) struct Editor {
    /// What is edited.
    pub(super) goal: Goal,
    nonce: String,
    count: usize,
}

impl Editor {
    /// Starts with a nonce of this run.
    pub(super) fn new(goal: Goal, nonce: &str) -> Self {
        Self {
            goal,
            nonce: nonce.to_owned(),
            count: 0,
        }
    }

    /// Edits a copy; gives the version to wait for, where it shows.
    pub(super) fn write(&mut self, copy: &Path) -> Result<Option<String>, CliError> {
        self.count += 1;
        // Every edit has a length of its own: Python takes its cached bytecode for that of a source
        // of the same length that was written in the same second.
        let letters: String = std::iter::repeat_n('x', self.count).collect();
        let mark = format!("demo.{}.{letters}", self.nonce);
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
        let new = new.ok_or_else(|| {
            let message = format!("cannot edit {}: its line went away", path.display());
            CliError::new("internal", exit::INTERNAL, message)
        })?;
        write(&path, &new)?;
        Ok(version)
    }
}

/// Gives a word that no other run uses.
pub(super) fn nonce() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |now| now.as_nanos());
    format!("{:x}{:x}", now & 0xff_ffff_ffff, std::process::id())
}

#[cfg(test)]
mod tests {
    use super::super::edit::version_line;
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status,
            body: body.to_owned(),
        }
    }

    #[test]
    fn each_edit_is_new_and_is_told_from_all_others() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("config.py");
        std::fs::write(&file, "VERSION = \"1.0\"\n").unwrap();
        let found = version_line("VERSION = \"1.0\"\n").unwrap();
        let mut editor = Editor::new(Goal::Version("config.py".into(), found), &nonce());
        let versions: Vec<String> = (0..11)
            .map(|_| editor.write(place.path()).unwrap().unwrap())
            .collect();
        // The first is no part of the eleventh, and no two are of one length.
        assert!(!versions[10].contains(&versions[0]), "{versions:?}");
        assert!(
            versions
                .windows(2)
                .all(|pair| pair[0].len() < pair[1].len())
        );
        assert!(
            std::fs::read_to_string(&file)
                .unwrap()
                .contains(&versions[10])
        );
        let goal = &editor.goal;
        assert!(goal.accepts(&answer(200, &versions[10]), Some(&versions[10])));
        assert!(!goal.accepts(&answer(200, &versions[9]), Some(&versions[10])));
        assert!(!goal.accepts(&answer(404, &versions[10]), None));
    }

    #[test]
    fn a_comment_is_edited_where_no_answer_tells() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("web.py");
        std::fs::write(&file, "x = 1\n").unwrap();
        let mut editor = Editor::new(Goal::Restart("web.py".into()), "n");
        assert_eq!(editor.write(place.path()).unwrap(), None);
        editor.write(place.path()).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(text, "x = 1\n# demo.n.x\n# demo.n.xx\n");
        assert!(editor.goal.accepts(&answer(404, ""), None));
        assert!(!editor.goal.accepts(&answer(502, ""), None));
    }
}
