//! The Debian packages that tests need: installed when we may, else named.

use std::process::{Command, Stdio};

use crate::shell::{Failure, find_program, is_root, run as run_command, shown, succeeds};

/// One row of `xtask/debian-packages`.
struct Package {
    name: &'static str,
    program: &'static str,
    purpose: &'static str,
}

impl Package {
    /// Wanted by benches alone, which say per row what is absent.
    fn is_peer(&self) -> bool {
        self.purpose.starts_with("bench:")
    }
}

/// Installs what building and testing need; answers the packages that are still missing.
pub(crate) fn run() -> Result<Vec<&'static str>, Failure> {
    install_missing(packages().filter(|package| !package.is_peer()))
}

/// Installs what benches compare with; answers the packages that are still missing.
pub(crate) fn bench_peers() -> Result<Vec<&'static str>, Failure> {
    install_missing(packages().filter(Package::is_peer))
}

fn install_missing(packages: impl Iterator<Item = Package>) -> Result<Vec<&'static str>, Failure> {
    let missing: Vec<Package> = packages.filter(|package| !is_there(package)).collect();
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    if let Some(reason) = cannot_install() {
        eprintln!(
            "xtask: {reason}, so these packages stay missing and what needs them is skipped:"
        );
        for package in &missing {
            eprintln!("  {:16} {}", package.name, package.purpose);
        }
        eprintln!("  by hand: apt-get install {}", names.join(" "));
        return Ok(names);
    }
    install(&names)?;
    Ok(Vec::new())
}

fn packages() -> impl Iterator<Item = Package> {
    include_str!("../debian-packages")
        .lines()
        .filter_map(|line| {
            let line = line.split('#').next().unwrap_or_default();
            let (name, rest) = line.split_once(char::is_whitespace)?;
            let (program, purpose) = rest.trim_start().split_once(char::is_whitespace)?;
            let (name, wanted) = name.split_once(':').unwrap_or((name, ""));
            let is_of_here = wanted.is_empty() || wanted == std::env::consts::ARCH;
            is_of_here.then(|| Package {
                name,
                program,
                purpose: purpose.trim(),
            })
        })
}

/// A program may also come from elsewhere (nvm, pyenv, a vendor's package): that is fine too.
fn is_there(package: &Package) -> bool {
    (package.program != "-" && find_program(package.program).is_some())
        || succeeds(Command::new("dpkg").args(["--status", package.name]))
}

fn cannot_install() -> Option<&'static str> {
    if !std::path::Path::new("/etc/debian_version").exists() || find_program("apt-get").is_none() {
        Some("this is not Debian")
    } else if !is_root() {
        Some("not root")
    } else {
        None
    }
}

fn install(names: &[&str]) -> Result<(), Failure> {
    let no_services = NoServices::start();
    let apt = |args: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.args(["--quiet", "--yes", "-o", "Dpkg::Use-Pty=0"])
            .args(args);
        apt.env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null());
        apt
    };
    run_command(&mut apt(&["update"]))?;
    let mut install = apt(&["install", "--no-install-recommends"]);
    install.args(names);
    let done = run_command(&mut install);
    drop(no_services);
    done.map_err(|failure| Failure::new(format!("{failure}\n  tried: {}", shown(&install))))
}

/// Keeps packages (docker-registry) from starting their services while they are installed.
struct NoServices(Option<&'static str>);

impl NoServices {
    fn start() -> Self {
        use std::os::unix::fs::PermissionsExt;
        const POLICY: &str = "/usr/sbin/policy-rc.d";
        if std::path::Path::new(POLICY).exists() {
            return Self(None);
        }
        let made = std::fs::write(POLICY, "#!/bin/sh\nexit 101\n").and_then(|()| {
            std::fs::set_permissions(POLICY, std::fs::Permissions::from_mode(0o755))
        });
        Self(made.is_ok().then_some(POLICY))
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if let Some(policy) = self.0 {
            // Nothing to do about a failure here; apt keeps working, services just stay off.
            let _ = std::fs::remove_file(policy);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_of_the_list_is_a_package() {
        let text = include_str!("../debian-packages");
        let rows = text.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(packages().count(), rows);
        assert!(packages().all(|package| package.purpose.contains(": ")));
        let linker = packages()
            .find(|package| package.program == "cc")
            .expect("a linker is listed");
        assert!(
            linker.purpose.starts_with("build:"),
            ".ci/run looks for the word"
        );
    }
}
