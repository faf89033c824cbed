//! Every key of `hd.toml`: those that work, those that come later, and the nearest to a typing error.

/// The keys of one table.
pub(crate) struct Keys {
    /// Keys that work.
    pub(crate) known: &'static [&'static str],
    /// Keys of the design that do not work yet, with what to do until then (may be empty).
    pub(crate) later: &'static [(&'static str, &'static str)],
}

const TABLE_HINT: &str = "leave it out for now";

pub(crate) const ROOT: Keys = Keys {
    known: &[
        "environment",
        "dependencies",
        "build",
        "services",
        "files",
        "options",
        "profiles",
        "secrets",
        "volumes",
    ],
    later: &[
        ("include", "keep everything in one hd.toml for now"),
        ("remote", TABLE_HINT),
    ],
};

/// What a profile lays over the rest of the file.
pub(crate) const PROFILE: Keys = Keys {
    known: &[
        "environment",
        "dependencies",
        "build",
        "services",
        "files",
        "options",
    ],
    later: &[],
};

pub(crate) const ENVIRONMENT: Keys = Keys {
    known: &["name", "base", "workdir", "env", "env_file", "user"],
    later: &[],
};

pub(crate) const BUILD: Keys = Keys {
    known: &["steps", "step", "cache", "caches", "stages"],
    later: &[],
};

pub(crate) const BUILD_STEP: Keys = Keys {
    known: &[
        "name", "run", "needs", "inputs", "outputs", "env", "network", "timeout", "workdir",
        "caches", "secrets", "ssh", "stage", "from", "user",
    ],
    later: &[("write_back", "`hd run cat FILE` shows what a step made")],
};

pub(crate) const BUILD_CACHE: Keys = Keys {
    known: &["path"],
    later: &[],
};

pub(crate) const SECRET: Keys = Keys {
    known: &["env", "file"],
    later: &[],
};

pub(crate) const BUILD_STAGE: Keys = Keys {
    known: &["base", "from", "workdir"],
    later: &[],
};

pub(crate) const SERVICE: Keys = Keys {
    known: &[
        "base",
        "command",
        "watch",
        "port",
        "depends_on",
        "restart_policy",
        "env",
        "kind",
        "healthcheck",
        "env_file",
        "working_dir",
        "user",
        "stop_signal",
        "stop_grace",
        "socket",
        "pre_start",
        "post_start",
        "pre_stop",
        "restart",
        "profiles",
        "volumes",
        "network",
        "ports",
        "resources",
        "replicas",
    ],
    later: &[("logs", TABLE_HINT)],
};

/// A volume in `[volumes]`.
pub(crate) const VOLUME: Keys = Keys {
    known: &[],
    later: &[(
        "external",
        "`./PATH` and `/PATH` are directories of the host",
    )],
};

pub(crate) const SERVICE_VOLUME: Keys = Keys {
    known: &["source", "target", "type", "read_only", "size"],
    later: &[],
};

pub(crate) const RESOURCES: Keys = Keys {
    known: &["memory", "cpus", "pids"],
    later: &[(
        "nofile",
        "`ulimit -n` before `hd up` holds for services too",
    )],
};

pub(crate) const RESTART: Keys = Keys {
    known: &["max", "min_delay", "max_delay", "factor", "reset_after"],
    later: &[],
};

pub(crate) const WATCH_RULE: Keys = Keys {
    known: &["files", "action", "exec"],
    later: &[],
};

pub(crate) const DEPENDS_ON: Keys = Keys {
    known: &["condition"],
    later: &[],
};

pub(crate) const HEALTHCHECK: Keys = Keys {
    known: &[
        "test",
        "http",
        "tcp",
        "log",
        "notify",
        "interval",
        "timeout",
        "retries",
        "start_period",
    ],
    later: &[],
};

pub(crate) const DEPENDENCY: Keys = Keys {
    known: &["file"],
    later: &[],
};

pub(crate) const FILES: Keys = Keys {
    known: &["include", "exclude", "ignore_files"],
    later: &[],
};

pub(crate) const OPTIONS: Keys = Keys {
    known: &["restart_grace", "project", "view", "jobs", "gc"],
    later: &[("debounce", TABLE_HINT), ("strict_ports", TABLE_HINT)],
};

pub(crate) const GC: Keys = Keys {
    known: &["max_size", "min_free", "keep"],
    later: &[],
};

/// Tables whose keys are told apart well enough to say where a misplaced one belongs.
const HOMES: &[(&str, &Keys)] = &[
    ("[services.NAME]", &SERVICE),
    ("[environment]", &ENVIRONMENT),
    ("[build]", &BUILD),
    ("[[build.step]]", &BUILD_STEP),
    ("[files]", &FILES),
    ("[options]", &OPTIONS),
    ("the top level", &ROOT),
];

/// What Compose files, Dockerfiles and CI files call what has another name here, or another place: only where that is
/// known is it said, and the key itself must not be known there.
const ELSEWHERE: &[(&str, &str)] = &[
    ("environment", "env"),
    ("entrypoint", "command"),
    ("cmd", "command"),
    ("working_dir", "workdir"),
    ("workdir", "working_dir"),
    ("after", "needs"),
    ("depends_on", "needs"),
    ("needs", "depends_on"),
    ("command", "run"),
    ("run", "command"),
    ("stop_grace_period", "stop_grace"),
    ("mem_limit", "resources"),
    ("deploy", "resources"),
    ("scale", "replicas"),
    ("expose", "port"),
    ("develop", "watch"),
    ("image", "base"),
    ("from", "base"),
];

impl Keys {
    /// Advice for a key that is not in this table: what it is called here, the nearest one, else the table it belongs
    /// to, else the whole list.
    pub(crate) fn advice(&self, key: &str) -> String {
        let here = |(other, name): &&(&str, &str)| *other == key && self.known.contains(name);
        if let Some((_, name)) = ELSEWHERE.iter().find(here) {
            return format!("`{key}` is called `{name}` here");
        }
        // Only a service has those.
        let is_service = self.known.contains(&"replicas");
        if key == "build" && is_service {
            return "[build] steps make what services run".to_owned();
        }
        let later = self.later.iter().map(|(name, _)| *name);
        if let Some(near) = nearest(key, self.known.iter().copied().chain(later)) {
            return format!("did you mean `{near}`?");
        }
        let home = HOMES.iter().find(|(_, keys)| keys.known.contains(&key));
        match home {
            Some((home, _)) => format!("`{key}` belongs in {home}"),
            None => format!("known here: {}", self.known.join(", ")),
        }
    }
}

/// Finds the name closest to what was typed, if any is close enough to be meant.
pub(crate) fn nearest<'a>(typed: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let typed = typed.to_lowercase().replace('-', "_");
    let allowed = (typed.chars().count() / 3).clamp(1, 3);
    names
        .map(|name| {
            (
                strsim::damerau_levenshtein(&typed, &name.replace('-', "_")),
                name,
            )
        })
        .filter(|(distance, name)| {
            // Short names are near to everything; half of the name must have been typed.
            *distance <= allowed && distance * 2 <= name.chars().count()
                || name.len() > 3 && (name.starts_with(typed.as_str()) && typed.len() > 3)
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Advice for a name that is none of those declared.
pub(crate) fn name_advice<'a>(typed: &str, names: impl Iterator<Item = &'a str> + Clone) -> String {
    if let Some(near) = nearest(typed, names.clone()) {
        return format!("did you mean `{near}`?");
    }
    let known: Vec<&str> = names.take(12).collect();
    if known.is_empty() {
        String::new()
    } else {
        format!("known: {}", known.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::{BUILD_STEP, ENVIRONMENT, ROOT, SERVICE, nearest};

    #[test]
    fn typing_errors_find_the_key() {
        let cases = [
            ("prot", Some("port")),
            ("comand", Some("command")),
            ("dependson", Some("depends_on")),
            ("depends-on", Some("depends_on")),
            ("Watch", Some("watch")),
            ("health", Some("healthcheck")),
            ("image", None),
            ("x", None),
        ];
        for (typed, expected) in cases {
            assert_eq!(
                nearest(typed, SERVICE.known.iter().copied()),
                expected,
                "{typed}"
            );
        }
    }

    #[test]
    fn names_of_other_tools_are_known() {
        let cases = [
            (
                &SERVICE,
                "environment",
                "`environment` is called `env` here",
            ),
            (
                &SERVICE,
                "workdir",
                "`workdir` is called `working_dir` here",
            ),
            (&SERVICE, "image", "`image` is called `base` here"),
            (&SERVICE, "build", "[build] steps make what services run"),
            (
                &BUILD_STEP,
                "depends_on",
                "`depends_on` is called `needs` here",
            ),
            (&BUILD_STEP, "command", "`command` is called `run` here"),
            (
                &BUILD_STEP,
                "working_dir",
                "`working_dir` is called `workdir` here",
            ),
            (&ENVIRONMENT, "image", "`image` is called `base` here"),
        ];
        for (keys, key, advice) in cases {
            assert_eq!(keys.advice(key), advice, "{key}");
        }
    }

    #[test]
    fn a_misplaced_key_is_sent_home() {
        assert_eq!(ROOT.advice("port"), "`port` belongs in [services.NAME]");
        assert_eq!(
            ROOT.advice("zzzz"),
            "known here: environment, dependencies, build, services, files, options, profiles, secrets, volumes"
        );
    }
}
