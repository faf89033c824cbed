//! Why a step ran or was kept, in words.

use hd_dag::TreePath;
use hd_dag::trace::{Miss, Observation, Seen};
use hd_store::Id;

/// A step whose results nobody has made yet.
pub const FIRST: &str = "no earlier result of this command in this environment";

/// There are results, but not what this project used last: nothing here has changed since.
pub const OF_OTHERS: &str =
    "results of this command are kept, but none that this project used last, and none fits";

/// A result was valid, but a part of it was damaged or lost.
pub const BROKEN: &str = "what it made is damaged in the store, and is made again";

/// A stored result is valid.
pub const KEPT: &str = "nothing it read has changed";

/// Says which observation no longer holds.
///
/// Paths below the working directory are shown relative to it.
pub fn missed(miss: &Miss, workdir: &TreePath) -> String {
    let path = shown(&miss.path, workdir);
    match (&miss.old, &miss.new) {
        (Observation::List(_), None) => format!("{path}/ is no directory any more"),
        (Observation::List(_), _) => format!("the names in {path}/ changed, and it listed them"),
        (Observation::Lookup(old), Some(Observation::Lookup(new))) => looked_up(&path, old, new),
        (Observation::Lookup(_), _) => format!("{path} changed"),
    }
}

fn looked_up(path: &str, old: &Seen, new: &Seen) -> String {
    match (identity(old), identity(new)) {
        (Identity::Absent, Identity::Absent) => format!("{path} is absent for another reason"),
        (Identity::Absent, _) => format!("{path} appeared; it looked for it in vain before"),
        (_, Identity::Absent) => format!("{path} is gone"),
        (Identity::Content(old), Identity::Content(new)) => {
            format!("{path} changed {}… → {}…", short(&old), short(&new))
        }
        _ => format!("{path} changed"),
    }
}

enum Identity {
    Absent,
    Content(Id),
    Other,
}

fn identity(seen: &Seen) -> Identity {
    match seen {
        Seen::Absent | Seen::HostAbsent => Identity::Absent,
        Seen::Entry { id } => Identity::Content(*id),
        _ => Identity::Other,
    }
}

fn short(id: &Id) -> String {
    id.to_string().chars().take(4).collect()
}

/// Shows a path of the view: relative below the working directory, absolute elsewhere.
pub fn shown(path: &TreePath, workdir: &TreePath) -> String {
    match path.strip_prefix(workdir) {
        Some(rest) if rest.is_root() => ".".to_owned(),
        Some(rest) => rest.to_string(),
        None => format!("/{path}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_miss_reads_as_a_sentence() {
        let path = |text: &str| TreePath::new(text.as_bytes()).unwrap();
        let entry = |text: &str| Seen::Entry {
            id: Id::of(text.as_bytes()),
        };
        let workdir = path("workspace");
        let lookup = |at: &str, old, new| Miss {
            path: path(at),
            old: Observation::Lookup(old),
            new: Some(Observation::Lookup(new)),
        };
        let cases = [
            (
                lookup("workspace/a", Seen::Absent, entry("x")),
                "a appeared; it looked for it in vain before",
            ),
            (
                lookup("etc/pip.conf", entry("x"), Seen::Absent),
                "/etc/pip.conf is gone",
            ),
        ];
        for (miss, words) in cases {
            assert_eq!(missed(&miss, &workdir), words);
        }
        let changed = missed(&lookup("workspace/a", entry("x"), entry("y")), &workdir);
        assert!(
            changed.starts_with("a changed ") && changed.contains("… → "),
            "{changed}"
        );
    }
}
