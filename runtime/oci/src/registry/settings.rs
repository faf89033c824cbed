//! What a machine says about registries, in the words of the container tools: `registries.conf`
//! (containers-registries.conf(5), version 2) and `certs.d` (containers-certs.d(5), also Docker's).

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Says why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{}: {problem}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong, with its line.
        problem: String,
    },
}

/// Is another place that has a registry's images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// `host[:port][/path]`, which takes the place of the prefix.
    pub location: String,
    /// It may be spoken to without TLS.
    pub insecure: bool,
}

/// Is what is known of the images whose names begin alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// `host[:port][/path]`; `*.host[…]` stands for all hosts below that one.
    pub prefix: String,
    /// Nothing is fetched from there.
    pub blocked: bool,
    /// The registry itself may be spoken to without TLS.
    pub insecure: bool,
    /// Where they are instead, when not under their own name.
    pub location: Option<String>,
    /// To be asked first, in this order.
    pub mirrors: Vec<Mirror>,
}

/// Is what a machine says about registries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegistrySettings {
    /// One for each prefix.
    pub rules: Vec<Rule>,
    /// Directories with one directory for each registry, which holds its authorities as `*.crt`.
    pub certificates: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct RawFile {
    #[serde(default)]
    registry: Vec<RawRegistry>,
}

#[derive(Deserialize)]
struct RawRegistry {
    prefix: Option<String>,
    location: Option<String>,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    blocked: bool,
    #[serde(default)]
    mirror: Vec<RawMirror>,
}

#[derive(Deserialize)]
struct RawMirror {
    location: String,
    #[serde(default)]
    insecure: bool,
}

impl RegistrySettings {
    /// Reads what there is: `$CONTAINERS_REGISTRIES_CONF`, else `~/.config/containers/registries.conf`, else
    /// `/etc/containers/registries.conf` with the files of its `.d` directory.
    ///
    /// # Errors
    /// Fails when a file is there but cannot be read or understood.
    pub fn discover() -> Result<RegistrySettings, SettingsError> {
        let variable = |name: &str| {
            let value = std::env::var_os(name).filter(|value| !value.is_empty());
            value.map(PathBuf::from)
        };
        let home = variable("HOME");
        let own = home
            .as_ref()
            .map(|home| home.join(".config/containers/registries.conf"));
        let main = variable("CONTAINERS_REGISTRIES_CONF")
            .or_else(|| own.filter(|path| path.is_file()))
            .unwrap_or_else(|| "/etc/containers/registries.conf".into());
        let mut settings = RegistrySettings::default();
        settings.add_file(&main)?;
        let mut more = main.into_os_string();
        more.push(".d");
        for path in configurations(Path::new(&more)) {
            settings.add_file(&path)?;
        }
        let of_home = home.map(|home| home.join(".config/containers/certs.d"));
        let system = ["/etc/containers/certs.d", "/etc/docker/certs.d"].map(PathBuf::from);
        settings.certificates = of_home.into_iter().chain(system).collect();
        Ok(settings)
    }

    /// Adds a file, if it is there; its rules take the place of earlier ones for the same prefix.
    ///
    /// # Errors
    /// Fails when it cannot be read or understood.
    pub fn add_file(&mut self, path: &Path) -> Result<(), SettingsError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => {
                let path = path.to_owned();
                return Err(SettingsError::Read { path, source });
            }
        };
        let rules = parse(&text).map_err(|problem| SettingsError::Parse {
            path: path.to_owned(),
            problem,
        })?;
        for rule in rules {
            self.rules.retain(|known| known.prefix != rule.prefix);
            self.rules.push(rule);
        }
        Ok(())
    }

    /// Returns the rule with the longest prefix of `registry/repository`.
    pub(crate) fn rule(&self, name: &str) -> Option<&Rule> {
        let length = |rule: &Rule| Some(name.len() - rule.rest(name)?.len());
        let fitting = self.rules.iter().filter(|rule| rule.rest(name).is_some());
        // Of two that fit as far, the one that names the host knows better.
        fitting.max_by_key(|rule| (length(rule), !rule.is_pattern()))
    }

    /// Says whether a host may be spoken to without TLS.
    pub(crate) fn is_insecure(&self, host: &str) -> bool {
        let host_of = |location: &str| location.split('/').next() == Some(host);
        self.rules.iter().any(|rule| {
            let own = match &rule.location {
                Some(location) => host_of(location),
                None => rule.rest(host) == Some("") || host_of(&rule.prefix),
            };
            let mut mirrors = rule.mirrors.iter();
            (rule.insecure && own)
                || mirrors.any(|mirror| mirror.insecure && host_of(&mirror.location))
        })
    }

    /// Reads the authorities that a host has of its own, as PEM.
    pub(crate) fn authorities(&self, host: &str) -> Vec<Vec<u8>> {
        let directories = self.certificates.iter().map(|all| all.join(host));
        let files = directories.flat_map(|directory| listed(&directory, "crt"));
        files.filter_map(|path| std::fs::read(path).ok()).collect()
    }
}

impl Rule {
    /// Returns what follows the prefix in a name, `registry/repository`; none when it does not fit.
    pub(crate) fn rest<'n>(&self, name: &'n str) -> Option<&'n str> {
        let rest = name
            .strip_prefix(self.prefix.as_str())
            .or_else(|| below(name, &self.prefix))?;
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    }

    fn is_pattern(&self) -> bool {
        self.prefix.starts_with("*.")
    }
}

/// Returns what follows a pattern, `*.example.com[…]`, in a name whose host is below the one of the pattern.
fn below<'n>(name: &'n str, pattern: &str) -> Option<&'n str> {
    // The dot belongs to it: the host itself is not meant.
    let tail = pattern
        .strip_prefix('*')
        .filter(|tail| tail.starts_with('.'))?;
    let host = name.split('/').next().unwrap_or_default();
    let places = name
        .match_indices(tail)
        .filter(|(at, _)| (1..host.len()).contains(at));
    let mut rests = places.map(|(at, _)| &name[at + tail.len()..]);
    rests.find(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn configurations(directory: &Path) -> Vec<PathBuf> {
    listed(directory, "conf")
}

/// Lists the files of a directory with an extension, sorted; none when there is no such directory.
fn listed(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let wanted = |path: &PathBuf| path.extension().is_some_and(|own| own == extension);
    let mut files: Vec<PathBuf> = paths.filter(wanted).collect();
    files.sort();
    files
}

fn parse(text: &str) -> Result<Vec<Rule>, String> {
    let raw: RawFile = toml::from_str(text).map_err(|error| error.to_string())?;
    let rules = raw.registry.into_iter().map(|one| {
        let prefix = one.prefix.or_else(|| one.location.clone());
        let prefix = prefix.ok_or("a [[registry]] has neither `prefix` nor `location`")?;
        let named = prefix.strip_prefix("*.").unwrap_or(&prefix);
        if named.contains('*') {
            return Err(format!(
                "the prefix `{prefix}` is no pattern: only `*.` before a host is one"
            ));
        }
        Ok(Rule {
            location: one.location.filter(|location| *location != prefix),
            prefix,
            blocked: one.blocked,
            insecure: one.insecure,
            mirrors: one
                .mirror
                .into_iter()
                .map(|mirror| Mirror {
                    location: mirror.location,
                    insecure: mirror.insecure,
                })
                .collect(),
        })
    });
    rules.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        unqualified-search-registries = ["docker.io"]
        [[registry]]
        location = "docker.io"
        [[registry.mirror]]
        location = "mirror.example:5000/hub"
        insecure = true
        [[registry.mirror]]
        location = "second.example"
        [[registry]]
        prefix = "docker.io/private"
        blocked = true
        [[registry]]
        prefix = "old.example/a"
        location = "new.example/b"
        insecure = true
    "#;

    fn settings() -> RegistrySettings {
        RegistrySettings {
            rules: parse(TEXT).expect("settings"),
            certificates: Vec::new(),
        }
    }

    #[test]
    fn the_longest_prefix_rules() {
        let settings = settings();
        let prefix = |name: &str| settings.rule(name).map(|rule| rule.prefix.as_str());
        assert_eq!(prefix("docker.io/library/a"), Some("docker.io"));
        assert_eq!(prefix("docker.io/private/a"), Some("docker.io/private"));
        assert_eq!(prefix("docker.io/privately"), Some("docker.io"));
        assert_eq!(prefix("docker.iox/a"), None);
        let hub = settings.rule("docker.io/library/a").expect("a rule");
        assert_eq!((hub.mirrors.len(), hub.location.as_ref()), (2, None));
        assert!(
            settings
                .rule("docker.io/private/a")
                .expect("a rule")
                .blocked
        );
    }

    #[test]
    fn only_what_is_named_goes_without_tls() {
        let settings = settings();
        for (host, wanted) in [
            ("mirror.example:5000", true),
            ("new.example", true),
            ("old.example", false),
            ("second.example", false),
            ("docker.io", false),
        ] {
            assert_eq!(settings.is_insecure(host), wanted, "{host}");
        }
    }

    #[test]
    fn a_pattern_stands_for_the_hosts_below_one() {
        let text = r#"
            [[registry]]
            prefix = "*.corp.example"
            insecure = true
            [[registry]]
            prefix = "*.corp.example/team"
            location = "team.example/t"
            [[registry]]
            prefix = "one.corp.example"
        "#;
        let settings = RegistrySettings {
            rules: parse(text).expect("settings"),
            certificates: Vec::new(),
        };
        for (name, wanted) in [
            ("a.corp.example/x", Some(("*.corp.example", "/x"))),
            ("a.b.corp.example/x", Some(("*.corp.example", "/x"))),
            ("a.corp.example/team/x", Some(("*.corp.example/team", "/x"))),
            (
                "a.corp.example/teams/x",
                Some(("*.corp.example", "/teams/x")),
            ),
            ("one.corp.example/x", Some(("one.corp.example", "/x"))),
            ("corp.example/x", None),
            ("a.corp.example.evil/x", None),
            ("a.corp.example:5000/x", None),
            ("evil/a.corp.example/x", None),
        ] {
            let found = settings.rule(name);
            let found = found.map(|rule| (rule.prefix.as_str(), rule.rest(name).unwrap_or("-")));
            assert_eq!(found, wanted, "{name}");
        }
        for (host, wanted) in [
            ("a.corp.example", true),
            ("corp.example", false),
            ("a.corp.example:5000", false),
            ("team.example", false),
        ] {
            assert_eq!(settings.is_insecure(host), wanted, "{host}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        assert!(parse("[[registry]]\nblocked = true").is_err());
        assert!(parse("[[registry]]\nprefix = \"*example\"").is_err());
        assert!(parse("[[registry]]\nprefix = \"a.*.example\"").is_err());
        assert!(parse("registry = 3").is_err());
        let mut settings = RegistrySettings::default();
        assert!(
            settings
                .add_file(Path::new("/nonexistent/registries.conf"))
                .is_ok()
        );
    }
}
