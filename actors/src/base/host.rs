//! The host as a base: its system directories and tool roots, read-only, nothing stored.

use std::path::{Path, PathBuf};

use hd_dag::TreePath;
use hd_projection::Graft;

use super::tree_path;

/// Directories of a system that commands need to run.
const SYSTEM: [&str; 10] = [
    "bin", "etc", "lib", "lib32", "lib64", "libx32", "nix", "opt", "sbin", "usr",
];

/// Files that say where the machine is on the network; shown, never observed.
const NETWORK_FILES: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];

/// Tool roots below a home directory: a PATH entry below the first brings all that follow.
///
/// Credentials (`~/.cargo/credentials.toml`, `~/.netrc`, `~/.ssh`, …) are in none of them.
const TOOL_ROOTS: [(&str, &[&str]); 12] = [
    (".pyenv", &[".pyenv"]),
    (
        ".cargo",
        &[".cargo/bin", ".cargo/env", ".cargo/config.toml", ".rustup"],
    ),
    (".nvm", &[".nvm"]),
    (
        ".local",
        &[
            ".local/bin",
            ".local/lib",
            ".local/pipx",
            ".local/share/pipx",
            ".local/share/uv",
        ],
    ),
    (".volta", &[".volta"]),
    (".asdf", &[".asdf"]),
    (".deno", &[".deno/bin"]),
    (".bun", &[".bun/bin"]),
    (".rbenv", &[".rbenv"]),
    (".sdkman", &[".sdkman/candidates"]),
    ("go", &["go/bin"]),
    ("bin", &["bin"]),
];

/// The host as seen from inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostBase {
    /// System directories that are real directories: (path inside, path on the host).
    pub directories: Vec<(String, PathBuf)>,
    /// Top-level links such as `/bin` → `usr/bin`: (path inside, target).
    pub links: Vec<(String, Vec<u8>)>,
    /// Tool roots below the home directory: absolute, the same inside.
    pub tools: Vec<PathBuf>,
    /// Search path inside: the caller's entries that show there.
    pub path: String,
    /// Home directory: the caller's own path, but private and empty but for tool roots.
    pub home: PathBuf,
}

impl HostBase {
    /// Looks at the host once.
    ///
    /// `path` and `home` are those of the caller.
    pub fn detect(path: &str, home: &Path) -> Self {
        use std::os::unix::ffi::OsStringExt;
        let mut directories = Vec::new();
        let mut links = Vec::new();
        for name in SYSTEM {
            let host = Path::new("/").join(name);
            match std::fs::symlink_metadata(&host) {
                Ok(meta) if meta.is_symlink() => {
                    if let Ok(target) = std::fs::read_link(&host) {
                        links.push((format!("/{name}"), target.into_os_string().into_vec()));
                    }
                }
                Ok(meta) if meta.is_dir() => directories.push((format!("/{name}"), host)),
                _ => {}
            }
        }
        let entries: Vec<&Path> = path
            .split(':')
            .map(Path::new)
            .filter(|p| p.is_absolute())
            .collect();
        let tools = tool_roots(&entries, home);
        let shows = |entry: &Path| {
            SYSTEM
                .iter()
                .any(|name| entry.starts_with(Path::new("/").join(name)))
                || tools.iter().any(|tool| entry.starts_with(tool))
        };
        let path = entries
            .iter()
            .filter(|entry| shows(entry) && entry.is_dir())
            .map(|entry| entry.to_string_lossy())
            .collect::<Vec<_>>()
            .join(":");
        Self {
            directories,
            links,
            tools,
            path,
            home: home.to_path_buf(),
        }
    }

    /// Gives the grafts of a view.
    pub fn grafts(&self) -> Vec<Graft> {
        let mut grafts = Vec::new();
        let mut add = |at: Option<TreePath>, host: PathBuf, observed: bool| {
            if let Some(at) = at {
                grafts.push(Graft { at, host, observed });
            }
        };
        for (at, host) in &self.directories {
            add(tree_path(at), host.clone(), true);
        }
        for tool in &self.tools {
            add(tree_path(&tool.to_string_lossy()), tool.clone(), true);
        }
        for file in NETWORK_FILES {
            add(tree_path(file), PathBuf::from(file), false);
        }
        grafts
    }
}

fn tool_roots(path: &[&Path], home: &Path) -> Vec<PathBuf> {
    let mut roots = Vec::new();
    for (first, brought) in TOOL_ROOTS {
        if path.iter().any(|entry| entry.starts_with(home.join(first))) {
            roots.extend(
                brought
                    .iter()
                    .map(|root| home.join(root))
                    .filter(|root| root.exists()),
            );
        }
    }
    roots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_entry_below_home_brings_its_tool_root_and_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        for dir in [".pyenv/shims", ".ssh", ".nvm/versions", "secret/bin"] {
            std::fs::create_dir_all(home.path().join(dir)).unwrap();
        }
        let path = format!(
            "/usr/bin:{0}/.pyenv/shims:{0}/secret/bin:relative:/nonexistent",
            home.path().display()
        );
        let base = HostBase::detect(&path, home.path());
        assert_eq!(base.tools, [home.path().join(".pyenv")]);
        assert_eq!(
            base.path,
            format!("/usr/bin:{}/.pyenv/shims", home.path().display())
        );
        let shown: Vec<String> = base
            .grafts()
            .iter()
            .map(|graft| graft.at.to_string())
            .collect();
        assert!(shown.contains(&"usr".to_owned()) && shown.contains(&"etc/resolv.conf".to_owned()));
        assert!(
            !shown
                .iter()
                .any(|at| at.contains("secret") || at.contains(".ssh"))
        );
    }
}
