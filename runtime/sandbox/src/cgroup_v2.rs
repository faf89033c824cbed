//! Where control groups of version 2 may be made (cgroups(7), *Control group delegation* and *No internal processes*).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A group whose children may have controllers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parent {
    pub(crate) path: PathBuf,
    pub(crate) controllers: Vec<&'static str>,
}

/// Finds the group, `own` or one above it up to `top`, whose children may have the most of these controllers; the
/// nearest of several, whose limits hold for them too.
///
/// There is one for all: a process is in one group of version 2.
///
/// # Errors
/// The last reason why a group lets its children have none of them.
pub(crate) fn parent(own: &Path, top: &Path, wanted: &[&'static str]) -> io::Result<Parent> {
    let above = own.ancestors().take_while(|path| path.starts_with(top));
    let above: Vec<&Path> = above.collect();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no hierarchy has this controller");
    let mut best: Option<Parent> = None;
    // From the top down: a group has the controllers that the one above lets it have.
    for path in above.into_iter().rev() {
        if !may_have_children(path) {
            let busy = format!("{} has processes of its own", path.display());
            last = io::Error::new(io::ErrorKind::ResourceBusy, busy);
            continue;
        }
        let mut controllers = Vec::new();
        for controller in wanted {
            match lets_children_have(path, controller) {
                Ok(true) => controllers.push(*controller),
                Ok(false) => {}
                Err(error) => last = error,
            }
        }
        let most = best.as_ref().map_or(1, |best| best.controllers.len());
        if controllers.len() >= most {
            let path = path.to_owned();
            best = Some(Parent { path, controllers });
        }
    }
    best.ok_or(last)
}

/// Tells whether a group is the root of all, or has no processes. One that has could still let its children have
/// `cpu` and `pids`, but then they take threads only, and no process.
fn may_have_children(group: &Path) -> bool {
    let is_root = !group.join("cgroup.type").exists();
    let processes = || fs::read_to_string(group.join("cgroup.procs"));
    is_root || processes().is_ok_and(|text| text.trim().is_empty())
}

/// Lets the children of a group have a controller, if it has it itself; tells whether they may.
fn lets_children_have(group: &Path, controller: &str) -> io::Result<bool> {
    let has = |file: &str| {
        let text = fs::read_to_string(group.join(file)).unwrap_or_default();
        text.split_whitespace().any(|word| word == controller)
    };
    if !has("cgroup.subtree_control") {
        if !has("cgroup.controllers") {
            return Ok(false);
        }
        let on = format!("+{controller}");
        fs::write(group.join("cgroup.subtree_control"), on)?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Groups as files; what is said of each: its processes, what it has, what its children have.
    fn groups(all: &[(&str, &str, &str, &str)]) -> tempfile::TempDir {
        let top = tempfile::tempdir().unwrap();
        for (name, processes, has, children) in all {
            let group = top.path().join(name);
            fs::create_dir_all(&group).unwrap();
            for (file, text) in [
                ("cgroup.procs", processes),
                ("cgroup.controllers", has),
                ("cgroup.subtree_control", children),
            ] {
                fs::write(group.join(file), format!("{text}\n")).unwrap();
            }
            if !name.is_empty() {
                fs::write(group.join("cgroup.type"), "domain\n").unwrap();
            }
        }
        top
    }

    #[test]
    fn it_is_the_nearest_without_processes_that_has_them_all() {
        let all = "cpu memory pids";
        let top = groups(&[
            ("", "1\n2", all, all),
            ("user", "", all, "memory"),
            ("user/session", "4711", "memory", ""),
        ]);
        let own = top.path().join("user/session");
        let found = parent(&own, top.path(), &["memory", "cpu"]).unwrap();
        assert_eq!(found.path, top.path().join("user"));
        assert_eq!(found.controllers, ["memory", "cpu"]);
        let on = fs::read_to_string(top.path().join("user/cgroup.subtree_control"));
        assert_eq!(on.unwrap(), "+cpu");
        let untouched = fs::read_to_string(own.join("cgroup.subtree_control"));
        assert_eq!(untouched.unwrap(), "\n", "it has processes");
    }

    #[test]
    fn one_further_up_that_has_more_is_better_and_none_is_an_error_with_its_reason() {
        let top = groups(&[
            ("", "", "cpu memory", "cpu memory"),
            ("a", "", "memory", "memory"),
            ("a/b", "7", "memory", ""),
        ]);
        let own = top.path().join("a/b");
        let found = parent(&own, top.path(), &["memory", "cpu", "pids"]).unwrap();
        assert_eq!(found.path, top.path());
        assert_eq!(found.controllers, ["memory", "cpu"]);
        let error = parent(&own, top.path(), &["pids"]).unwrap_err();
        assert!(
            error.to_string().contains("has processes of its own"),
            "{error}"
        );
        let error = parent(&own, &own, &["memory"]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
    }
}
