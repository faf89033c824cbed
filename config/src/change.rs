//! What differs between two readings of an `hd.toml`.

use std::collections::BTreeMap;

use crate::service::Service;

/// Begin of the variables that tell every service the ports of all.
const TOLD_PORTS: &str = "HD_PORT_";

/// Names the keys of a service that differ such that only a new start takes them over.
///
/// What is left out (`watch`, `depends_on`, `restart_policy`, `restart`, `stop_grace`, `pre_stop`,
/// `post_start`, `profiles`) holds from now on for a process that runs. Environments are compared as
/// they stand, so expand them first. A port that hd tells every service of, and that another service
/// has got or given up, is no difference: whoever uses it says so in its own `env`.
#[must_use]
pub fn of_service(old: &Service, new: &Service) -> Vec<&'static str> {
    let differing = [
        ("base", old.base != new.base),
        ("command", old.command != new.command),
        ("kind", old.kind != new.kind),
        (
            "port",
            (old.port, old.auto_port) != (new.port, new.auto_port),
        ),
        ("socket", old.socket != new.socket),
        ("env", !same_env(&old.env, &new.env)),
        ("working_dir", old.working_dir != new.working_dir),
        ("user", old.user != new.user),
        ("resources", old.resources != new.resources),
        ("network", old.network != new.network),
        ("ports", old.ports != new.ports),
        ("volumes", old.volumes != new.volumes),
        ("stop_signal", old.stop_signal != new.stop_signal),
        ("pre_start", old.pre_start != new.pre_start),
        ("healthcheck", old.healthcheck != new.healthcheck),
    ];
    let named = differing.into_iter().filter(|(_, differs)| *differs);
    named.map(|(key, _)| key).collect()
}

fn same_env(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> bool {
    let holds = |one: &BTreeMap<String, String>, other: &BTreeMap<String, String>| {
        one.iter().all(|(name, value)| match other.get(name) {
            Some(there) => there == value,
            None => name.starts_with(TOLD_PORTS),
        })
    };
    holds(old, new) && holds(new, old)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::RestartPolicy;
    use crate::watch::WatchSet;

    #[test]
    fn only_what_a_start_reads_is_a_difference() {
        let old = Service::new("web", "serve");
        type Edit = fn(&mut Service);
        let cases: [(&str, Edit, &[&str]); 7] = [
            ("nothing", |_| {}, &[]),
            (
                "watch",
                |web| web.watch = WatchSet::new(vec!["*.py".into()]).unwrap(),
                &[],
            ),
            ("policy", |web| web.restart = RestartPolicy::Never, &[]),
            ("port", |web| web.port = Some(1), &["port"]),
            (
                "user, dir",
                |web| {
                    (web.user, web.working_dir) = (Some("a".into()), Some("b".into()));
                },
                &["working_dir", "user"],
            ),
            (
                "a port of another",
                |web| drop(web.env.insert("HD_PORT_DB".into(), "1".into())),
                &[],
            ),
            (
                "a variable",
                |web| drop(web.env.insert("A".into(), "1".into())),
                &["env"],
            ),
        ];
        for (what, edit, expected) in cases {
            let mut new = old.clone();
            edit(&mut new);
            assert_eq!(of_service(&old, &new), expected, "{what}");
            assert_eq!(of_service(&new, &old), expected, "{what}, back");
        }
    }

    #[test]
    fn a_port_that_moved_concerns_all_who_were_told() {
        let told = |port: &str| {
            let mut web = Service::new("web", "serve");
            web.env.insert("HD_PORT_DB".into(), port.into());
            web
        };
        assert_eq!(of_service(&told("1"), &told("2")), ["env"]);
    }
}
