//! Containers over a bind mount: both generations of Compose, with the framework's own reloader,
//! with a restart after each save, and with Compose's own watching.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::candidates::{Candidate, How, registry_answers};
use super::sample::Sample;
use super::write;
use crate::bench::tools::Tools;
use crate::shell::{Failure, find_program, output};

/// The first Compose whose `--watch` can restart what it has synchronised.
const WATCHES_SINCE: (u32, u32) = (2, 23);

/// What of Docker is on this machine.
pub(super) struct Engine {
    image: Result<&'static str, String>,
    classic: Result<(), String>,
    watch: Result<(), String>,
    /// The packages of Flask on this machine, mounted into its containers.
    site: Option<PathBuf>,
}

impl Engine {
    /// Looks for it and fetches the sample's image.
    pub(super) fn find(sample: Sample, tools: &Tools) -> Self {
        let image = registry_answers(sample.image()).map(|()| sample.image());
        let docker = |args: &[&str]| output(Command::new("docker").args(args));
        let answers = docker(&["version", "--format", "{{.Server.Version}}"])
            .map_err(|_| "no Docker engine answers".to_owned());
        let has = answers.and(image.clone()).and_then(|image| {
            let pulled = docker(&["pull", "-q", image]);
            pulled.map(|_| ()).map_err(|failure| failure.to_string())
        });
        let classic = match find_program("docker-compose") {
            Some(_) => has.clone(),
            None => Err("no docker-compose on this machine".to_owned()),
        };
        let plugin = docker(&["compose", "version", "--short"])
            .map_err(|_| "`docker compose version` fails: no Compose 2 here".to_owned());
        let watch = plugin.and_then(|text| watches(&text)).and(has);
        Self {
            image,
            classic,
            watch,
            site: (sample == Sample::Flask)
                .then(|| tools.site_packages())
                .flatten(),
        }
    }

    /// Whether hd can have the image.
    pub(super) fn has_image(&self) -> Result<(), String> {
        self.image.clone().map(|_| ())
    }

    /// Its versions, of those that answer.
    pub(super) fn versions() -> serde_json::Value {
        let ask = |program: &str, args: &[&str]| {
            find_program(program)?;
            let said = output(Command::new(program).args(args)).ok()?;
            Some(said.trim().to_owned())
        };
        serde_json::json!({
            "docker": ask("docker", &["version", "--format", "{{.Server.Version}}"]),
            "docker-compose": ask("docker-compose", &["version", "--short"]),
            "docker compose": ask("docker", &["compose", "version", "--short"]),
        })
    }

    /// Writes the Compose files of a sample.
    pub(super) fn files(&self, sample: Sample, directory: &Path, port: u16) -> Result<(), Failure> {
        let Ok(image) = &self.image else {
            return Ok(());
        };
        let mounts = self
            .site
            .as_ref()
            .map(|site| format!("{}:/site:ro", site.display()));
        let service = |own: &str, volumes: &[&str]| {
            let volumes = volumes.iter().copied().chain(mounts.as_deref());
            let volumes: Vec<String> = volumes.map(|one| format!("\"{one}\"")).collect();
            format!(
                "services:\n  web:\n{own}    network_mode: host\n    working_dir: /app\n    \
                 environment: [\"PORT={port}\", \"PYTHONPATH=/site\", \"PYTHONDONTWRITEBYTECODE=1\"]\n    \
                 volumes: [{}]\n",
                volumes.join(", ")
            )
        };
        let bound = |command: &str| {
            // A `$` of the command is its shell's.
            let command = command.replace('$', "$$");
            let own = format!("    image: {image}\n    command: [sh, -c, \"exec {command}\"]\n");
            service(&own, &[".:/app"])
        };
        let (file, run) = (sample.file(), sample.run());
        let built = "    build: .\n    develop:\n      watch:\n        - action: sync+restart\n";
        let built = format!("{built}          path: ./{file}\n          target: /app/{file}\n");
        let dockerfile = format!("FROM {image}\nWORKDIR /app\nCOPY {file} .\nCMD exec {run}\n");
        for (name, text) in [
            ("reload.yaml", bound(sample.reloader())),
            ("restart.yaml", bound(run)),
            ("watch.yaml", service(&built, &[])),
            ("Dockerfile", dockerfile),
            (".dockerignore", "signalled\n".to_owned()),
        ] {
            write(&directory.join(name), &text)?;
        }
        Ok(())
    }
}

/// Whether this version of Compose can watch.
fn watches(version: &str) -> Result<(), String> {
    let mut numbers = version
        .trim()
        .trim_start_matches('v')
        .split(['.', '-', '+']);
    let mut number = || numbers.next().and_then(|text| text.parse().ok());
    match (number(), number()) {
        (Some(major), Some(minor)) if (major, minor) >= WATCHES_SINCE => Ok(()),
        _ => Err(format!(
            "Compose {} cannot watch and restart",
            version.trim()
        )),
    }
}

/// Its ways to follow edits.
pub(super) fn candidates(sample: Sample, engine: &Engine) -> Vec<Candidate> {
    let project = |way: &str| format!("hd-bench-{}-{way}", sample.name());
    let classic = |way: &str| format!("docker-compose -p {} -f {way}.yaml", project(way));
    let follows = |way: &str, follow: Option<&str>| How::Engine {
        start: format!("{} up -d", classic(way)),
        follow: follow.map(|verb| format!("{} {verb}", classic(way))),
        undo: format!("{} down -t 0", classic(way)),
    };
    let plugin = format!("docker compose -p {} -f watch.yaml", project("watch"));
    let watch = How::Stays {
        script: format!("exec {plugin} up --build --watch"),
        undo: Some(format!("{plugin} down -t 0 --rmi local")),
    };
    [
        (
            format!("docker-compose, {}", sample.reloader_name()),
            engine.classic.clone().map(|()| follows("reload", None)),
        ),
        (
            "docker-compose restart".to_owned(),
            engine
                .classic
                .clone()
                .map(|()| follows("restart", Some("restart -t 5"))),
        ),
        (
            "docker compose up --watch".to_owned(),
            engine.watch.clone().map(|()| watch),
        ),
    ]
    .map(|(name, how)| Candidate {
        name,
        in_image: true,
        how,
    })
    .into()
}

#[cfg(test)]
mod tests {
    use super::watches;

    #[test]
    fn only_a_compose_that_can_restart_watches() {
        for version in ["2.23.0", "v2.26.1-4", "3.0.0\n"] {
            assert_eq!(watches(version), Ok(()), "{version}");
        }
        for version in ["1.29.2", "2.22.1", "dev", ""] {
            assert!(watches(version).is_err(), "{version}");
        }
    }
}
