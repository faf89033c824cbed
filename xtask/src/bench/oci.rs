//! `cargo xtask bench oci`: an image from the local registry into an empty store, and the first command in it,
//! beside Docker and Podman; and its layers from the disk into one, beside umoci and tar. `--only` runs one of
//! the two parts.

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

const USAGE: &str = "usage: cargo xtask bench oci [--only pull|unpack] [--image REFERENCE] [--rounds N] [--hd PROGRAM]";
/// The image of the registry that `cargo xtask images` serves.
const IMAGE: &str = "127.0.0.1:5055/python:3.11-slim";

struct Asked {
    /// The one part that is wanted; both when there is none.
    only: Option<Part>,
    image: String,
    rounds: usize,
    hd: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Part {
    Pull,
    Unpack,
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
    let (mut measures, mut left_out) = (Vec::new(), Vec::new());
    let mut hd_pull = Value::Null;
    if asked.only != Some(Part::Unpack) {
        let contenders = contenders(&hd, &place, &asked.image, &mut left_out);
        let rows = pulls(&asked, &contenders)?;
        measures = compare(&contenders, &rows);
        hd_pull = own(&rows);
    }
    if asked.only != Some(Part::Pull) {
        measures.extend(unpack::rows(&hd, &place, &asked.image, asked.rounds)?);
    }
    remove_dir(&place)?;
    Ok(report(&asked, measures, &left_out, hd_pull))
}

/// One after the other in each round, so that a busy machine slows all.
fn pulls(asked: &Asked, contenders: &[Contender]) -> Result<Vec<Row>, Failure> {
    let mut rows: Vec<Row> = Vec::new();
    for round in 0..asked.rounds {
        for contender in contenders {
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
    for contender in contenders {
        contender.empty(&asked.image)?;
    }
    Ok(rows)
}

fn parse(args: &[&str]) -> Result<Asked, Failure> {
    let mut asked = Asked {
        only: None,
        image: IMAGE.to_owned(),
        rounds: 3,
        hd: None,
    };
    for pair in args.chunks(2) {
        match pair {
            ["--only", "pull"] => asked.only = Some(Part::Pull),
            ["--only", "unpack"] => asked.only = Some(Part::Unpack),
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
    Docker {
        /// Why its pull is none, if it is none.
        pulls_nothing: Option<String>,
    },
    Podman {
        root: PathBuf,
    },
}

/// Gives those that are there; who or what is not measured is added to `left_out`.
fn contenders(hd: &Path, place: &Path, image: &str, left_out: &mut Vec<String>) -> Vec<Contender> {
    let mut all = vec![Contender::Hd {
        program: hd.to_owned(),
        project: place.join("project"),
        home: place.join("home"),
    }];
    if succeeds(Command::new("docker").args(["version", "--format", "x"])) {
        let pulls_nothing = shares_layers(image).then(|| {
            format!("pull by Docker: its engine keeps layers of {image} for other images")
        });
        left_out.extend(pulls_nothing.clone());
        all.push(Contender::Docker { pulls_nothing });
    } else {
        left_out.push("Docker: no engine answers".to_owned());
    }
    if find_program("podman").is_some() {
        all.push(Contender::Podman {
            root: place.join("podman"),
        });
    } else {
        left_out.push("Podman: it is not installed".to_owned());
    }
    for one in left_out {
        eprintln!("left out: {one}");
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
            Self::Docker { .. } => "docker",
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
            Self::Docker { .. } => {
                succeeds(Command::new("docker").args(["rmi", "-f", image]));
                Ok(())
            }
            Self::Podman { root } => {
                succeeds(self.podman(root).args(["rmi", "-a", "-f"]));
                remove_dir(root)
            }
        }
    }

    fn pull(&self, image: &str) -> Command {
        match self {
            Self::Hd { .. } => self.hd(&["image", "pull", image]),
            Self::Docker { .. } => words("docker", &["pull", "-q", image]),
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
            Self::Docker { .. } => words(
                "docker",
                &["run", "--rm", "--network", "host", image, "true"],
            ),
            Self::Podman { root } => {
                let mut command = self.podman(root);
                command.args(["run", "--rm", "--network", "host"]);
                // Its own limits are higher than what a machine without CAP_SYS_RESOURCE may ask for.
                command.args([
                    "--ulimit",
                    "nofile=1024:1024",
                    "--ulimit",
                    "nproc=1024:1024",
                ]);
                command.args([image, "true"]);
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

impl Contender {
    /// Whether a measure of it says anything.
    fn counts(&self, measure: &str) -> bool {
        !matches!(self, Self::Docker { pulls_nothing: Some(_) } if measure == "pull")
    }
}

/// What is looked at.
type What = fn(&Row) -> f64;

fn of(rows: &[Row], name: &str, what: What) -> Vec<f64> {
    let own = rows.iter().filter(|row| row.name == name);
    own.map(what).collect()
}

fn compare(contenders: &[Contender], rows: &[Row]) -> Vec<Value> {
    let measures: [(&str, What); 2] = [
        ("pull", |row| row.pull.wall_ms),
        ("first command", |row| row.first.wall_ms),
    ];
    let mut all = Vec::new();
    for (measure, what) in measures {
        let peers = contenders.iter().skip(1).filter(|one| one.counts(measure));
        for peer in peers.map(Contender::name) {
            let (ours, theirs) = (of(rows, "hd", what), of(rows, peer, what));
            all.push(compared(measure, peer, &ours, &theirs));
        }
    }
    all
}

/// What the engines need is spread over a server and its children; hd is one process.
fn own(rows: &[Row]) -> Value {
    json!({
        "rss_mib": median(&of(rows, "hd", |row| row.pull.rss_mib)),
        "cpu_ms": median(&of(rows, "hd", |row| row.pull.cpu_ms)),
    })
}

fn report(asked: &Asked, measures: Vec<Value>, left_out: &[String], hd_pull: Value) -> Value {
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
        "left_out": left_out,
        "hd_pull_rss_mib": hd_pull["rss_mib"],
        "hd_pull_cpu_ms": hd_pull["cpu_ms"],
        "measures": measures,
    })
}
