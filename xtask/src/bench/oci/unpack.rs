//! The rows `unpack` of `cargo xtask bench oci`: layers from a layout on the disk into an empty store,
//! beside umoci and plain `tar -x` into an empty directory. No registry and no transfer is measured.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::super::row::compared;
use super::super::usage::{Usage, measure};
use super::super::{machine, remove_dir};
use super::words;
use crate::shell::{Doing, Failure, find_program, is_root, run};

/// Unpacks each layer over those before it; whiteouts stay files, which `tar` knows nothing of.
const TAR: &str = r#"set -e
into=$1; shift
mkdir -p "$into"
while [ $# -gt 0 ]; do
    case $1 in
        *gzip) gzip -dc "$2" ;;
        *zstd) zstd -dc "$2" ;;
        *) cat "$2" ;;
    esac | tar -x -C "$into"
    shift 2
done"#;

/// Who unpacks.
#[derive(Clone, Copy, PartialEq)]
enum Who {
    Hd,
    Umoci,
    Tar,
}

/// An image in a layout, and places for what is made of it.
struct Bench<'a> {
    hd: &'a Path,
    place: &'a Path,
    /// Media type and file of each layer, the lowest first.
    layers: Vec<(String, PathBuf)>,
}

/// Measures; gives no rows, and says why, where skopeo is not there to make the layout.
pub(super) fn rows(
    hd: &Path,
    place: &Path,
    image: &str,
    rounds: usize,
) -> Result<Vec<Value>, Failure> {
    let place = place.join("unpack");
    std::fs::create_dir_all(&place).doing(|| format!("making {}", place.display()))?;
    if find_program("skopeo").is_none() {
        eprintln!("left out: no skopeo, which makes the layout to unpack");
        return Ok(Vec::new());
    }
    let layout = place.join("layout");
    copy_image(image, &layout)?;
    let bench = Bench {
        hd,
        place: &place,
        layers: layers(&layout)?,
    };
    let mut all = vec![Who::Hd, Who::Tar];
    match find_program("umoci") {
        Some(_) => all.push(Who::Umoci),
        None => eprintln!("left out: no umoci"),
    }
    let mut found: Vec<(Who, Usage)> = Vec::new();
    for round in 0..rounds {
        for who in &all {
            bench.empty()?;
            let usage = measure(&mut bench.command(*who))?;
            eprintln!(
                "round {round}: {:<7} unpack {:.0} ms, {:.0} ms of processor, {:.0} MiB",
                who.name(),
                usage.wall_ms,
                usage.cpu_ms,
                usage.rss_mib
            );
            found.push((*who, usage));
        }
    }
    bench.empty()?;
    Ok(summary(&all, &found))
}

/// Copies an image of the registry into a layout on the disk, where its tag is `x`.
pub(in crate::bench) fn copy_image(image: &str, layout: &Path) -> Result<(), Failure> {
    run(words("skopeo", &["--insecure-policy", "copy", "-q"])
        .args(["--src-tls-verify=false", &format!("docker://{image}")])
        .arg(format!("oci:{}:x", layout.display())))
}

/// What is looked at.
type What = fn(&Usage) -> f64;

fn summary(all: &[Who], found: &[(Who, Usage)]) -> Vec<Value> {
    let of = |who: Who, what: What| -> Vec<f64> {
        let own = found.iter().filter(|(one, _)| *one == who);
        own.map(|(_, usage)| what(usage)).collect()
    };
    let measures: [(&str, What); 2] = [
        ("unpack", |usage| usage.wall_ms),
        ("unpack, processor time", |usage| usage.cpu_ms),
    ];
    let peers = all.iter().filter(|who| **who != Who::Hd);
    peers
        .flat_map(|peer| {
            measures.map(|(measure, what)| {
                compared(measure, peer.name(), &of(Who::Hd, what), &of(*peer, what))
            })
        })
        .collect()
}

impl Who {
    fn name(self) -> &'static str {
        match self {
            Self::Hd => "hd",
            Self::Umoci => "umoci",
            Self::Tar => "tar",
        }
    }
}

impl Bench<'_> {
    /// Leaves nothing that was unpacked.
    fn empty(&self) -> Result<(), Failure> {
        for made in ["home", "bundle", "tree"] {
            remove_dir(&self.place.join(made))?;
        }
        Ok(())
    }

    fn command(&self, who: Who) -> Command {
        let layout = format!("{}:x", self.place.join("layout").display());
        match who {
            Who::Hd => {
                let image = format!("oci:{layout}");
                let mut command = words(&self.hd.display().to_string(), &["image", "pull", &image]);
                command
                    .current_dir(self.place)
                    .env("HD_HOME", self.place.join("home"));
                command
            }
            Who::Umoci => {
                let mut command = words("umoci", &["unpack", "--image", &layout]);
                if !is_root() {
                    command.arg("--rootless");
                }
                command.arg(self.place.join("bundle"));
                command
            }
            Who::Tar => {
                let mut command = words("sh", &["-c", TAR, "sh"]);
                command.arg(self.place.join("tree"));
                for (media_type, file) in &self.layers {
                    command.arg(media_type).arg(file);
                }
                command
            }
        }
    }
}

/// Tells the version of umoci.
pub(super) fn version() -> Option<String> {
    machine::version("umoci", "--version")
}

/// Reads the layers of the one image of a layout ("Image Layout" of the OCI image specification).
fn layers(layout: &Path) -> Result<Vec<(String, PathBuf)>, Failure> {
    let index = json(&layout.join("index.json"))?;
    let manifest = json(&blob(layout, &index["manifests"][0])?)?;
    let layers = manifest["layers"].as_array().map(Vec::as_slice);
    let layers = layers.unwrap_or_default().iter();
    layers
        .map(|layer| {
            let media_type = layer["mediaType"].as_str().unwrap_or_default();
            Ok((media_type.to_owned(), blob(layout, layer)?))
        })
        .collect()
}

fn blob(layout: &Path, descriptor: &Value) -> Result<PathBuf, Failure> {
    let digest = descriptor["digest"].as_str().unwrap_or_default();
    let (algorithm, hex) = digest
        .split_once(':')
        .ok_or_else(|| Failure::new(format!("{}: no digest in {descriptor}", layout.display())))?;
    Ok(layout.join("blobs").join(algorithm).join(hex))
}

fn json(path: &Path) -> Result<Value, Failure> {
    let text = std::fs::read_to_string(path).doing(|| format!("reading {}", path.display()))?;
    serde_json::from_str(&text)
        .map_err(|error| Failure::new(format!("{}: {error}", path.display())))
}
