//! Why not everything is watched, and what people are told of it.

use super::watches::Refusal;

/// Why not everything is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lack {
    /// There is no project directory.
    Root,
    /// Another directory is in its place in which nothing is declared yet: a copy or a clone may have only begun.
    Declaration,
    /// Some directories are not watched.
    Watches(Refusal),
    /// Nothing is watched at all.
    Everything(String),
}

impl Lack {
    /// Says what is amiss where edits are found by looking at the whole project, every so many seconds, and
    /// what can be done about it.
    pub(super) fn told(&self, every: u64) -> String {
        let found = format!("found by looking at the whole project every {every} s");
        match self {
            Self::Root => "the project directory is gone".to_owned(),
            Self::Declaration => "nothing is declared in the project directory".to_owned(),
            Self::Watches(refusal) => {
                let hint = match refusal {
                    Refusal::Limit => raised("max_user_watches", 1_048_576),
                    Refusal::Gone | Refusal::Denied | Refusal::Failed(_) => String::new(),
                };
                format!("not all directories are watched: {refusal}; edits there are {found}{hint}")
            }
            Self::Everything(reason) => {
                let hint = raised("max_user_instances", 1024);
                format!("nothing is watched: {reason}; edits are {found}{hint}")
            }
        }
    }
}

/// How a limit is looked at and raised.
fn raised(limit: &str, to: u32) -> String {
    let name = format!("fs.inotify.{limit}");
    format!("; `sysctl {name}` shows the limit, `sysctl -w {name}={to}` raises it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_that_is_reached_is_the_one_to_raise() {
        let cases = [
            (Lack::Watches(Refusal::Limit), Some("max_user_watches=")),
            (Lack::Watches(Refusal::Failed("no".to_owned())), None),
            (
                Lack::Everything("too many open files".to_owned()),
                Some("max_user_instances="),
            ),
        ];
        for (lack, raises) in cases {
            let told = lack.told(2);
            assert!(told.contains("every 2 s"), "{told}");
            let raised = told
                .split_once("sysctl -w fs.inotify.")
                .map(|(_, rest)| rest);
            assert_eq!(raised.is_some(), raises.is_some(), "{told}");
            let matches = raised
                .zip(raises)
                .is_none_or(|(raised, name)| raised.starts_with(name));
            assert!(matches, "{told}");
        }
    }
}
