//! `cargo xtask bench oci`: an image from the local registry into an empty store, and the first command in it,
//! beside Docker and Podman; and its layers from the disk into one, beside umoci and tar.

mod unpack;

pub(super) use unpack::copy_image;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::row::compared;
use super::usage::{Usage, measure};
use super::{machine, median, remove_dir};
use crate::shell::{
    Doing, Failure, cargo, find_program, output, run as run_command, succeeds, target_dir,
};

const USAGE: &str = "usage: cargo xtask bench oci [--image REFERENCE] [--rounds N] [--hd PROGRAM]";
/// The image of the registry that `cargo xtask images` serves.
const IMAGE: &str = "127.0.0.1:5055/python:3.11-slim";

struct Asked {
    image: String,
    rounds: usize,
    hd: Option<PathBuf>,
}

pub(crate) fn run(args: &[&str]) -> Result<Value, Failure> {
    let asked = parse(args)?;
    let place = target_dir()?.join("oci-bench");
    remove_dir(&place)?;
    std::fs::create_dir_all(&place).doing(|| format!("making {}", place.display()))?;
    let hd = match &asked.hd {
        Some(hd) => hd.clone(),
        None => {
            run_command(cargo().args(["build", "--release", "--package", "hd-cli"]))?;
            target_dir()?.join("release/hd")
        }
    };
    let contenders = contenders(&hd, &place, &asked.image);
    let mut rows: Vec<Row> = Vec::new();
    // One after the other in each round, so that a busy machine slows all.
    for round in 0..asked.rounds {
        for contender in &contenders {
            contender.empty(&asked.image)?;
            let pull = measure(&mut contender.pull(&asked.image))?;
            let first = measure(&mut contender.first(&asked.image))?;
            eprintln!(
                "round {round}: {:<7} pull {:.0} ms, first command {:.0} ms, {:.0} MiB",
                contender.name(),
                pull.wall_ms,
                first.wall_ms,
                pull.rss_mib
            );
            rows.push(Row {
                name: contender.name(),
                pull,
                first,
            });
        }
    }
    for contender in &contenders {
        contender.empty(&asked.image)?;
    }
    let unpacked = unpack::rows(&hd, &place, &asked.image, asked.rounds)?;
    remove_dir(&place)?;
    Ok(summary(&asked, &contenders, &rows, unpacked))
}

fn parse(args: &[&str]) -> Result<Asked, Failure> {
    let mut asked = Asked {
        image: IMAGE.to_owned(),
        rounds: 5,
        hd: None,
    };
    for pair in args.chunks(2) {
        match pair {
            ["--image", image] => asked.image = (*image).to_owned(),
            ["--rounds", number] => {
                asked.rounds = number.parse().map_err(|_| Failure::new(USAGE))?;
            }
            ["--hd", program] => asked.hd = Some(PathBuf::from(program)),
            _ => return Err(Failure::new(USAGE)),
        }
    }
    Ok(asked)
}

struct Row {
    name: &'static str,
    pull: Usage,
    first: Usage,
}

/// Who takes part, each with a place of its own.
enum Contender {
    Hd {
        program: PathBuf,
        project: PathBuf,
        home: PathBuf,
    },
    Docker,
    Podman {
        root: PathBuf,
    },
}

fn contenders(hd: &Path, place: &Path, image: &str) -> Vec<Contender> {
    let mut all = vec![Contender::Hd {
        program: hd.to_owned(),
        project: place.join("project"),
        home: place.join("home"),
    }];
    if succeeds(Command::new("docker").args(["version", "--format", "x"])) {
        all.push(Contender::Docker);
        if shares_layers(image) {
            eprintln!("Docker keeps layers of {image} for other images: its pull is none");
        }
    } else {
        eprintln!("left out: no Docker engine answers");
    }
    if find_program("podman").is_some() {
        all.push(Contender::Podman {
            root: place.join("podman"),
        });
    } else {
        eprintln!("left out: no podman");
    }
    all
}

/// Whether a pull by Docker would find layers, which it keeps as long as any image has them.
fn shares_layers(image: &str) -> bool {
    succeeds(Command::new("docker").args(["rmi", "-f", image]));
    let said = output(&mut words("docker", &["pull", image]));
    said.is_ok_and(|text| text.contains("Already exists"))
}

impl Contender {
    fn name(&self) -> &'static str {
        match self {
            Self::Hd { .. } => "hd",
            Self::Docker => "docker",
            Self::Podman { .. } => "podman",
        }
    }

    /// Leaves nothing of the image.
    fn empty(&self, image: &str) -> Result<(), Failure> {
        match self {
            Self::Hd { project, home, .. } => {
                remove_dir(home)?;
                let toml = "[environment]\nname = \"bench\"\n";
                std::fs::create_dir_all(project)
                    .and_then(|()| std::fs::write(project.join("hd.toml"), toml))
                    .doing(|| format!("making {}", project.display()))
            }
            Self::Docker => {
                succeeds(Command::new("docker").args(["rmi", "-f", image]));
                Ok(())
            }
            Self::Podman { root } => {
                succeeds(self.podman(root).args(["rmi", "-a", "-f"]));
                succeeds(Command::new("umount").arg("-l").arg(root.join("overlay")));
                remove_dir(root)
            }
        }
    }

    fn pull(&self, image: &str) -> Command {
        match self {
            Self::Hd { .. } => self.hd(&["image", "pull", image]),
            Self::Docker => words("docker", &["pull", "-q", image]),
            Self::Podman { root } => {
                let mut command = self.podman(root);
                command.args(["pull", "-q", "--tls-verify=false", image]);
                command
            }
        }
    }

    fn first(&self, image: &str) -> Command {
        match self {
            Self::Hd { .. } => self.hd(&["run", "--base", image, "true"]),
            Self::Docker => words(
                "docker",
                &["run", "--rm", "--network", "host", image, "true"],
            ),
            Self::Podman { root } => {
                let mut command = self.podman(root);
                command.args(["run", "--rm", "--network", "host", image, "true"]);
                command
            }
        }
    }

    fn hd(&self, args: &[&str]) -> Command {
        let mut command = Command::new("false");
        if let Self::Hd {
            program,
            project,
            home,
        } = self
        {
            command = words(&program.display().to_string(), args);
            command.current_dir(project).env("HD_HOME", home);
        }
        command
    }

    fn podman(&self, root: &Path) -> Command {
        let mut command = words(
            "podman",
            &[
                "--storage-driver",
                "overlay",
                "--cgroup-manager",
                "cgroupfs",
            ],
        );
        if let Some(runc) = find_program("runc") {
            command.arg("--runtime").arg(runc);
        }
        command
            .arg("--root")
            .arg(root)
            .arg("--runroot")
            .arg(root.join("run"));
        command
    }
}

fn words(program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args);
    command
}

/// What is looked at.
type What = fn(&Row) -> f64;

fn summary(asked: &Asked, contenders: &[Contender], rows: &[Row], unpacked: Vec<Value>) -> Value {
    let of = |name: &str, what: What| -> Vec<f64> {
        let own = rows.iter().filter(|row| row.name == name);
        own.map(what).collect()
    };
    let measures: [(&str, What); 2] = [
        ("pull", |row| row.pull.wall_ms),
        ("first command", |row| row.first.wall_ms),
    ];
    let mut all = Vec::new();
    for (measure, what) in measures {
        for peer in contenders.iter().skip(1).map(Contender::name) {
            all.push(compared(measure, peer, &of("hd", what), &of(peer, what)));
        }
    }
    all.extend(unpacked);
    let docker = output(&mut words(
        "docker",
        &["version", "--format", "{{.Server.Version}}"],
    ));
    json!({
        "schema": 1,
        "bench": "oci",
        "image": asked.image,
        "rounds": asked.rounds,
        "machine": machine::describe(),
        "load": machine::load(),
        "docker": docker.ok().map(|text| text.trim().to_owned()),
        "umoci": unpack::version(),
        "podman": machine::version("podman", "--version"),
        // What the engines need is spread over a server and its children; hd is one process.
        "hd_pull_rss_mib": median(&of("hd", |row| row.pull.rss_mib)),
        "hd_pull_cpu_ms": median(&of("hd", |row| row.pull.cpu_ms)),
        "measures": all,
    })
}
