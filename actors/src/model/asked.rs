//! What commands ask for beside what the `hd.toml` says, until the runtime ends. Pure.

use std::collections::BTreeMap;

/// Services, profiles and replicas: of one command, or of all so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// All services that the profiles leave in.
    pub all: bool,
    /// Services asked for by name; what they depend on comes with them.
    pub services: Vec<String>,
    /// Profiles, later ones over earlier ones.
    pub profiles: Vec<String>,
    /// Numbers of replicas, whatever the file says.
    pub scale: BTreeMap<String, u32>,
}

impl Asked {
    /// What an `hd up` asks for: all services when it names none.
    pub fn by_up(
        services: Vec<String>,
        profiles: Vec<String>,
        scale: BTreeMap<String, u32>,
    ) -> Self {
        Self {
            all: services.is_empty(),
            services,
            profiles,
            scale,
        }
    }

    /// Gives this and what another command asks for; of one service its number of replicas holds.
    #[must_use]
    pub fn united(&self, other: Self) -> Self {
        let mut both = self.clone();
        both.all |= other.all;
        add(&mut both.services, other.services);
        add(&mut both.profiles, other.profiles);
        both.scale.extend(other.scale);
        both
    }
}

fn add(names: &mut Vec<String>, more: Vec<String>) {
    for name in more {
        if !names.contains(&name) {
            names.push(name);
        }
    }
}

/// A change of what is asked for.
#[derive(Clone, Debug)]
pub struct Change {
    /// What was asked for before.
    pub before: Asked,
    /// What is asked for now.
    pub now: Asked,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn up(services: &[&str], profiles: &[&str], scale: &[(&str, u32)]) -> Asked {
        let texts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let scale = scale
            .iter()
            .map(|(name, count)| ((*name).to_owned(), *count));
        Asked::by_up(texts(services), texts(profiles), scale.collect())
    }

    #[test]
    fn a_second_command_takes_nothing_back() {
        let first = up(&["web"], &["dev"], &[("web", 2), ("job", 1)]);
        let both = first.united(up(&["job", "web"], &["debug", "dev"], &[("web", 3)]));
        assert_eq!(
            both,
            up(
                &["web", "job"],
                &["dev", "debug"],
                &[("web", 3), ("job", 1)]
            )
        );
        assert_eq!(first.united(up(&["web"], &[], &[])), first);
    }

    #[test]
    fn who_names_no_service_wants_all_from_then_on() {
        let both = up(&["web"], &[], &[]).united(up(&[], &[], &[]));
        assert!(both.all && both.services == ["web"]);
        assert!(both.united(up(&["job"], &[], &[])).all);
        let scale = Asked {
            scale: BTreeMap::from([("web".to_owned(), 2)]),
            ..Asked::default()
        };
        assert!(!up(&["web"], &[], &[]).united(scale).all);
    }
}
