//! An image as a bundle that runc runs: its files unpacked, and a config.json.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::needs;
use crate::bench::oci::copy_image;
use crate::shell::{find_program, is_root, output};

/// A bundle of the OCI runtime specification.
pub(super) struct Bundle {
    place: PathBuf,
    /// Each container has a name of its own.
    runs: Cell<usize>,
}

impl Bundle {
    /// Makes it, or says why it cannot be made.
    pub(super) fn make(image: &str, place: &Path) -> Result<Self, String> {
        ["runc", "skopeo", "umoci"]
            .map(needs)
            .into_iter()
            .collect::<Result<(), _>>()?;
        if !is_root() {
            return Err("runc's containers need root".to_owned());
        }
        let layout = place.with_extension("layout");
        copy_image(image, &layout).map_err(|failure| failure.to_string())?;
        let mut unpack = Command::new("umoci");
        unpack.args(["unpack", "--image", &format!("{}:x", layout.display())]);
        output(unpack.arg(place)).map_err(|failure| failure.to_string())?;
        let file = place.join("config.json");
        let text = std::fs::read_to_string(&file).map_err(|error| error.to_string())?;
        let config = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let text = adapted(config).to_string();
        std::fs::write(&file, text).map_err(|error| error.to_string())?;
        Ok(Self {
            place: place.to_owned(),
            runs: Cell::new(0),
        })
    }

    /// Runs `true` in it.
    pub(super) fn run(&self) -> Command {
        self.runs.set(self.runs.get() + 1);
        let program = find_program("runc").unwrap_or_else(|| "runc".into());
        let mut command = Command::new(program);
        command
            .arg("--root")
            .arg(self.place.with_extension("state"));
        command.args(["run", "--bundle"]).arg(&self.place);
        command.arg(format!(
            "hd-bench-{}-{}",
            std::process::id(),
            self.runs.get()
        ));
        command
    }
}

/// Runs `true` without a terminal, on this machine's network as the others do.
fn adapted(mut config: Value) -> Value {
    config["process"]["terminal"] = json!(false);
    config["process"]["args"] = json!(["true"]);
    if let Some(namespaces) = config["linux"]["namespaces"].as_array_mut() {
        namespaces.retain(|one| one["type"] != "network");
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_runs_true_on_the_network_of_the_machine() {
        let made = adapted(json!({
            "process": { "terminal": true, "args": ["bash"], "cwd": "/" },
            "linux": { "namespaces": [{ "type": "pid" }, { "type": "network" }] },
        }));
        let expected = json!({
            "process": { "terminal": false, "args": ["true"], "cwd": "/" },
            "linux": { "namespaces": [{ "type": "pid" }] },
        });
        assert_eq!(made, expected);
    }
}
