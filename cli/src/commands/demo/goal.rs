//! What is edited, and how the answer shows that the edit has arrived.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use super::edit::VersionLine;
use super::http::Answer;
use super::subject::Subject;

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
        let shown = versions.find(|(_, found)| answer.tells(&found.value));
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

    #[test]
    fn an_answer_is_accepted_by_status_and_version() {
        let answer = |status, body: &str| Answer {
            status,
            body: body.to_owned(),
        };
        let line = version_line("VERSION = \"1\"\n").unwrap();
        let goal = Goal::Version("a.py".into(), line);
        assert!(goal.accepts(&answer(200, "v7\n"), Some("v7")));
        assert!(!goal.accepts(&answer(200, "v6\n"), Some("v7")));
        assert!(!goal.accepts(&answer(404, "v7"), None));
        let goal = Goal::Restart("a.py".into());
        assert!(goal.accepts(&answer(404, ""), None));
        assert!(!goal.accepts(&answer(502, ""), None));
    }
}
