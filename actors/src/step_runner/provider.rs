//! Providers of `[dependencies]`: each turns its entry into ordinary observed steps.
//!
//! To add one: implement [`Provide`] and name it in [`of`].

use hd_config::{Dependency, DependencyKind, Provider};

use super::wanted::Wanted;
use crate::messages::BatchError;

/// What a provider may know of the project.
pub trait Facts {
    /// Whether an image is the base.
    fn based(&self) -> bool;
    /// Whether the project has a file.
    fn has_file(&self, path: &str) -> bool;
    /// Which of these Debian packages the host lacks.
    fn missing_packages(&self, packages: &[String]) -> Vec<String>;
}

/// Turns one entry of `[dependencies]` into commands, in order.
trait Provide {
    fn commands(&self, kind: &DependencyKind, facts: &dyn Facts)
    -> Result<Vec<String>, BatchError>;
}

struct Apt;
struct Pip;
struct Npm;
struct Cargo;
struct Runtime(&'static str);

fn of(provider: Provider) -> Box<dyn Provide> {
    match provider {
        Provider::Apt => Box::new(Apt),
        Provider::Pip => Box::new(Pip),
        Provider::Npm => Box::new(Npm),
        Provider::Cargo => Box::new(Cargo),
        Provider::Node => Box::new(Runtime("node")),
        Provider::Python => Box::new(Runtime("python3")),
    }
}

/// Gives the steps of all dependencies, named after their provider.
pub fn steps(dependencies: &[Dependency], facts: &dyn Facts) -> Result<Vec<Wanted>, BatchError> {
    let mut steps = Vec::new();
    for dependency in dependencies {
        let name = dependency.provider.as_str();
        let commands = of(dependency.provider)
            .commands(&dependency.kind, facts)
            .map_err(|e| e.at(name))?;
        for command in commands {
            let version = match &dependency.kind {
                DependencyKind::Version(range) => Some(range.clone()),
                _ => None,
            };
            steps.push(Wanted {
                slug: name.to_owned(),
                command,
                version,
                ..Wanted::default()
            });
        }
    }
    Ok(steps)
}

fn refused(provider: &str, wants: &str) -> BatchError {
    BatchError::new("config", format!("`{provider}` takes {wants}"))
}

fn quoted(words: &[String]) -> String {
    words
        .iter()
        .map(|word| format!("'{}'", word.replace('\'', "'\\''")))
        .collect::<Vec<_>>()
        .join(" ")
}

impl Provide for Apt {
    fn commands(
        &self,
        kind: &DependencyKind,
        facts: &dyn Facts,
    ) -> Result<Vec<String>, BatchError> {
        let DependencyKind::List(packages) = kind else {
            return Err(refused("apt", "a list of packages"));
        };
        if facts.based() {
            let list = quoted(packages);
            return Ok(vec![format!(
                "apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends {list}"
            )]);
        }
        let missing = facts.missing_packages(packages);
        if missing.is_empty() {
            return Ok(Vec::new());
        }
        Err(BatchError::new(
            "config",
            format!("the host is the base and lacks {}", missing.join(", ")),
        )
        .hint(format!("apt-get install {}", missing.join(" "))))
    }
}

impl Provide for Pip {
    fn commands(
        &self,
        kind: &DependencyKind,
        facts: &dyn Facts,
    ) -> Result<Vec<String>, BatchError> {
        let what = match kind {
            DependencyKind::File(file) if !facts.has_file(file) => return Err(no_file(file)),
            DependencyKind::File(file) => format!("-r {}", quoted(std::slice::from_ref(file))),
            DependencyKind::List(packages) => quoted(packages),
            DependencyKind::Version(_) => {
                return Err(refused("pip", "a list of packages or a file"));
            }
        };
        Ok(if facts.based() {
            vec![format!("pip install {what}")]
        } else {
            // The host's own Python is read-only, and belongs to the host.
            vec![
                "python3 -I -m venv .venv".to_owned(),
                format!(".venv/bin/pip install {what}"),
            ]
        })
    }
}

impl Provide for Npm {
    fn commands(
        &self,
        kind: &DependencyKind,
        facts: &dyn Facts,
    ) -> Result<Vec<String>, BatchError> {
        match kind {
            DependencyKind::File(file) if !facts.has_file(file) => Err(no_file(file)),
            DependencyKind::File(file) => {
                let dir = file.rsplit_once('/').map_or("", |(dir, _)| dir);
                let locked = facts.has_file(&if dir.is_empty() {
                    "package-lock.json".to_owned()
                } else {
                    format!("{dir}/package-lock.json")
                });
                let verb = if locked { "ci" } else { "install" };
                Ok(vec![if dir.is_empty() {
                    format!("npm {verb}")
                } else {
                    format!("npm --prefix {} {verb}", quoted(&[dir.to_owned()]))
                }])
            }
            DependencyKind::List(packages) => {
                Ok(vec![format!("npm install --no-save {}", quoted(packages))])
            }
            DependencyKind::Version(_) => Err(refused("npm", "a list of packages or a file")),
        }
    }
}

impl Provide for Cargo {
    fn commands(
        &self,
        kind: &DependencyKind,
        facts: &dyn Facts,
    ) -> Result<Vec<String>, BatchError> {
        match kind {
            DependencyKind::File(file) if !facts.has_file(file) => Err(no_file(file)),
            DependencyKind::File(file) => Ok(vec![format!(
                "cargo fetch --manifest-path {}",
                quoted(std::slice::from_ref(file))
            )]),
            DependencyKind::List(packages) => {
                Ok(vec![format!("cargo install {}", quoted(packages))])
            }
            DependencyKind::Version(_) => Err(refused("cargo", "a list of packages or a file")),
        }
    }
}

impl Provide for Runtime {
    fn commands(&self, kind: &DependencyKind, _: &dyn Facts) -> Result<Vec<String>, BatchError> {
        match kind {
            DependencyKind::Version(range) => Ok(vec![format!("{} --version # {range}", self.0)]),
            _ => Err(refused(self.0, "a version range such as \"20.x\"")),
        }
    }
}

fn no_file(file: &str) -> BatchError {
    BatchError::new(
        "config",
        format!("there is no file `{file}` in the project"),
    )
    .hint("name a file relative to hd.toml that is not excluded")
}

/// Checks the version a command printed.
pub(super) fn version_in(range: &str, tail: &[String]) -> Result<(), String> {
    let printed = tail.last().map_or("", String::as_str);
    let version = printed
        .rsplit(' ')
        .next()
        .unwrap_or_default()
        .trim_start_matches('v');
    match hd_config::version::matches(range, version) {
        Ok(true) => Ok(()),
        Ok(false) => Err(format!("the base has {version}, hd.toml asks for {range}")),
        Err(error) => Err(format!("`{printed}`: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Here {
        based: bool,
    }

    impl Facts for Here {
        fn based(&self) -> bool {
            self.based
        }
        fn has_file(&self, path: &str) -> bool {
            [
                "requirements.txt",
                "package.json",
                "package-lock.json",
                "sub/package.json",
            ]
            .contains(&path)
        }
        fn missing_packages(&self, packages: &[String]) -> Vec<String> {
            packages
                .iter()
                .filter(|package| package.starts_with("no-"))
                .cloned()
                .collect()
        }
    }

    fn commands(
        provider: Provider,
        kind: DependencyKind,
        based: bool,
    ) -> Result<Vec<String>, String> {
        let dependency = Dependency { provider, kind };
        let steps = steps(&[dependency], &Here { based })
            .map_err(|e| format!("{} ({})", e.message, e.hint))?;
        Ok(steps.into_iter().map(|step| step.command).collect())
    }

    #[test]
    fn each_provider_becomes_ordinary_commands() {
        use DependencyKind::{File, List, Version};
        let list = |names: &[&str]| List(names.iter().map(|name| (*name).to_owned()).collect());
        let ok = |provider, kind, based| commands(provider, kind, based).unwrap().join("; ");
        assert!(
            ok(Provider::Apt, list(&["curl"]), true)
                .ends_with("install -y --no-install-recommends 'curl'")
        );
        assert_eq!(ok(Provider::Apt, list(&["curl"]), false), "");
        assert_eq!(
            ok(Provider::Pip, File("requirements.txt".into()), true),
            "pip install -r 'requirements.txt'"
        );
        assert!(
            ok(Provider::Pip, list(&["x; rm"]), false).ends_with(".venv/bin/pip install 'x; rm'")
        );
        assert_eq!(
            ok(Provider::Npm, File("package.json".into()), false),
            "npm ci"
        );
        assert_eq!(
            ok(Provider::Npm, File("sub/package.json".into()), false),
            "npm --prefix 'sub' install"
        );
        assert_eq!(
            ok(Provider::Node, Version("20.x".into()), true),
            "node --version # 20.x"
        );
    }

    #[test]
    fn what_cannot_be_satisfied_is_refused_with_a_way_out() {
        let missing = DependencyKind::List(vec!["no-such".to_owned()]);
        let error = commands(Provider::Apt, missing, false).unwrap_err();
        assert!(
            error.contains("lacks no-such") && error.contains("apt-get install no-such"),
            "{error}"
        );
        assert!(commands(Provider::Pip, DependencyKind::File("none.txt".into()), true).is_err());
        assert!(commands(Provider::Node, DependencyKind::List(vec![]), true).is_err());
    }
}
