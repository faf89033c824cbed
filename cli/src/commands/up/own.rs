//! What in a project directory is no part of the project: what this process writes to itself, and
//! files of secrets.
//!
//! With `hd up > up.log` each line about an edit would be an edit, and so on for ever.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use hd_actors::Settings;
use hd_actors::step_runner::secrets::place;
use hd_config::SecretSource;
use hd_dag::TreePath;

use crate::project::Located;

/// Gives `HD_HOME` and the files that standard output and error go to, as far as they lie in the
/// project.
pub(super) fn paths(located: &Located) -> BTreeSet<TreePath> {
    let outputs = [1, 2].map(|fd| std::fs::read_link(format!("/proc/self/fd/{fd}")));
    // A pipe or a terminal reads as a name that is in no project.
    let outputs = outputs.into_iter().flatten().filter(|file| is_file(file));
    let home = located.paths.home();
    let home = home.canonicalize().unwrap_or_else(|_| home.to_path_buf());
    below(&located.directory, outputs.chain([home]))
}

/// Gives the files of secrets that lie in the project: nothing of them may be stored.
pub(super) fn secrets(settings: &Settings) -> BTreeSet<TreePath> {
    let files = settings
        .first
        .project
        .secrets
        .iter()
        .filter_map(|secret| match &secret.source {
            SecretSource::File(file) => Some(place(settings, file)),
            SecretSource::Env(_) => None,
        });
    // A link is left out and so is what it leads to.
    let led_to = |file: PathBuf| [file.canonicalize().ok(), Some(file)];
    below(&settings.project_dir, files.flat_map(led_to).flatten())
}

fn is_file(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file())
}

fn below(project: &Path, paths: impl Iterator<Item = PathBuf>) -> BTreeSet<TreePath> {
    let relative = paths.filter_map(|path| {
        let relative = path.strip_prefix(project).ok()?;
        TreePath::new(relative.as_os_str().as_bytes()).ok()
    });
    // The project itself cannot be left out of itself.
    relative.filter(|path| path.file_name().is_some()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_in_the_project_counts() {
        let paths = ["/p/up.log", "/p/.hd", "/p", "/elsewhere/up.log", "/pp/x"];
        let found = below(Path::new("/p"), paths.into_iter().map(PathBuf::from));
        let names: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(names, [".hd", "up.log"]);
    }
}
