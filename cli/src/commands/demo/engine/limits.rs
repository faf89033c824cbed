//! Limits of resources that a container can be given on this machine.

use rustix::process::{Resource, Rlimit, getrlimit};

/// Gives the arguments that ask Podman for no more than this process may have.
///
/// Podman asks for a million open files and processes of its own accord, which needs CAP_SYS_RESOURCE where
/// the limits of the caller are lower: without it no container starts.
pub(super) fn podman() -> [String; 4] {
    let option = || "--ulimit".to_owned();
    let files = getrlimit(Resource::Nofile);
    let processes = getrlimit(Resource::Nproc);
    [
        option(),
        argument("nofile", &files, u64::MAX),
        option(),
        argument("nproc", &processes, PROCESSES),
    ]
}

/// As many processes as Podman leaves itself, whatever it could have: its `main` sets its own limit to that.
const PROCESSES: u64 = 32 * 1024;

/// Gives `NAME=SOFT:HARD`, neither above `most`; -1 is no limit.
fn argument(name: &str, limit: &Rlimit, most: u64) -> String {
    let shown = |value: Option<u64>| match value.unwrap_or(u64::MAX).min(most) {
        u64::MAX => "-1".to_owned(),
        bounded => bounded.to_string(),
    };
    format!("{name}={}:{}", shown(limit.current), shown(limit.maximum))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_asked_for_than_there_is() {
        let limit = |current, maximum| Rlimit { current, maximum };
        let cases = [
            (limit(Some(1024), Some(20_000)), u64::MAX, "n=1024:20000"),
            (limit(Some(1024), None), u64::MAX, "n=1024:-1"),
            (limit(None, None), u64::MAX, "n=-1:-1"),
            (
                limit(Some(96_364), Some(96_364)),
                PROCESSES,
                "n=32768:32768",
            ),
            (limit(Some(100), None), PROCESSES, "n=100:32768"),
        ];
        for (limit, most, expected) in cases {
            assert_eq!(argument("n", &limit, most), expected);
        }
    }
}
