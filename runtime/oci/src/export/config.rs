//! The documents of an exported image: configuration and manifest. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::assemble::{Assembly, Layer};
use super::{ExportError, Recipe};
use crate::config::{Healthcheck, ImageConfig};
use crate::digest::Digest;
use crate::manifest::Descriptor;
use crate::media;

/// Says what a container does by default, laid over what the base says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunConfig {
    /// Program and arguments; `None` leaves those of the base.
    pub command: Option<Vec<String>>,
    /// Variables, beating those of the base.
    pub env: BTreeMap<String, String>,
    /// Directory to start in.
    pub workdir: String,
    /// `user[:group]`; `None` leaves that of the base.
    pub user: Option<String>,
    /// Ports as `8080/tcp`, beside those of the base.
    pub exposed: BTreeSet<String>,
    /// Signal that asks the program to end, for example `SIGQUIT`.
    pub stop_signal: Option<String>,
    /// How to tell that the program is well.
    pub healthcheck: Option<Healthcheck>,
    /// Labels, beating those of the base.
    pub labels: BTreeMap<String, String>,
}

/// Is a document and where it is.
#[derive(Debug, Clone)]
pub(super) struct Documents {
    pub(super) config: Vec<u8>,
    pub(super) config_descriptor: Descriptor,
    pub(super) manifest: Vec<u8>,
    pub(super) manifest_descriptor: Descriptor,
}

/// Writes configuration and manifest. Keys are sorted, and nothing of the moment is in them.
pub(super) fn documents(image: &Assembly, recipe: &Recipe) -> Result<Documents, ExportError> {
    let base = &recipe.base.image;
    let before: Value = serde_json::from_str(&base.config_json).map_err(|source| {
        let what = "configuration of the base";
        ExportError::Json { what, source }
    })?;
    let config = bytes(
        "configuration",
        &configuration(before, &base.config, image, recipe),
    )?;
    let config_descriptor = descriptor(media::OCI_CONFIG, &config);
    let mut annotations = json!({
        "org.opencontainers.image.base.digest": base.manifest.to_string(),
        "org.opencontainers.image.created": time(created(image, recipe)),
    });
    // By its definition the name of an image in a registry ("annotations.md").
    if let Some(name) = recipe.base.source.reference() {
        annotations["org.opencontainers.image.base.name"] = json!(name.to_string());
    }
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": media::OCI_MANIFEST,
        "config": shown(&config_descriptor),
        "layers": image.layers.iter().map(|layer| shown(&layer.descriptor)).collect::<Vec<_>>(),
        "annotations": annotations,
    });
    let manifest = bytes("manifest", &manifest)?;
    Ok(Documents {
        manifest_descriptor: descriptor(media::OCI_MANIFEST, &manifest),
        config,
        config_descriptor,
        manifest,
    })
}

fn bytes(what: &'static str, value: &Value) -> Result<Vec<u8>, ExportError> {
    serde_json::to_vec(value).map_err(|source| ExportError::Json { what, source })
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Descriptor {
    Descriptor {
        media_type: media_type.to_owned(),
        digest: Digest::of(bytes),
        size: bytes.len() as u64,
        platform: None,
    }
}

pub(super) fn shown(descriptor: &Descriptor) -> Value {
    json!({
        "mediaType": descriptor.media_type,
        "digest": descriptor.digest.to_string(),
        "size": descriptor.size,
    })
}

fn configuration(before: Value, base: &ImageConfig, image: &Assembly, recipe: &Recipe) -> Value {
    let mut whole = object(before);
    let mut config = object(whole.remove("config").unwrap_or_default());
    lay(&mut config, base, recipe);
    let created = time(created(image, recipe));
    let mut history = match whole.remove("history") {
        Some(Value::Array(history)) if image.base_repacked.is_none() => history,
        _ => Vec::new(),
    };
    let own = |layer: &&Layer| !layer.is_base || image.base_repacked.is_some();
    history.extend(
        image.layers.iter().filter(own).map(
            |layer| json!({ "created": created, "created_by": layer.made_by, "comment": "hd" }),
        ),
    );
    let diff_ids: Vec<String> = image
        .layers
        .iter()
        .map(|one| one.diff_id.to_string())
        .collect();
    for gone in [
        "container",
        "container_config",
        "docker_version",
        "id",
        "parent",
    ] {
        whole.remove(gone);
    }
    whole.entry("os").or_insert_with(|| json!("linux"));
    whole
        .entry("architecture")
        .or_insert_with(|| json!(crate::platform::Platform::host().architecture));
    whole.insert("config".to_owned(), Value::Object(config));
    whole.insert("created".to_owned(), json!(created));
    whole.insert("history".to_owned(), Value::Array(history));
    whole.insert(
        "rootfs".to_owned(),
        json!({ "type": "layers", "diff_ids": diff_ids }),
    );
    Value::Object(whole)
}

/// Lays what hd knows over the configuration of the base.
fn lay(config: &mut Map<String, Value>, base: &ImageConfig, recipe: &Recipe) {
    let run = &recipe.run;
    let mut set = |key: &str, value: Value| config.insert(key.to_owned(), value);
    let mut env: Vec<(String, String)> = Vec::new();
    let before = base.env.iter().map(|(name, value)| (name, value));
    for (name, value) in before.chain(&run.env) {
        match env.iter_mut().find(|(known, _)| known == name) {
            Some(pair) => pair.1.clone_from(value),
            None => env.push((name.clone(), value.clone())),
        }
    }
    let env: Vec<String> = env
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    set("Env", json!(env));
    set("WorkingDir", json!(run.workdir));
    if let Some(command) = &run.command {
        // What runs a service of hd is the command alone.
        set("Entrypoint", Value::Null);
        set("Cmd", json!(command));
    }
    if let Some(user) = &run.user {
        set("User", json!(user));
    }
    if let Some(signal) = &run.stop_signal {
        set("StopSignal", json!(signal));
    }
    if let Some(check) = &run.healthcheck {
        set("Healthcheck", health(check));
    } else if run.command.is_some() && base.healthcheck.is_some() {
        // That of the base asks for another program.
        set("Healthcheck", json!({ "Test": ["NONE"] }));
    }
    let ports = base.exposed.iter().chain(&run.exposed);
    let ports: Map<String, Value> = ports.map(|port| (port.clone(), json!({}))).collect();
    if !ports.is_empty() {
        set("ExposedPorts", Value::Object(ports));
    }
    let mut labels = base.labels.clone();
    labels.extend(run.labels.clone());
    if !labels.is_empty() {
        set("Labels", json!(labels));
    }
}

fn health(check: &Healthcheck) -> Value {
    let nanoseconds = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(0);
    json!({
        "Test": check.test,
        "Interval": nanoseconds(check.interval),
        "Timeout": nanoseconds(check.timeout),
        "StartPeriod": nanoseconds(check.start_period),
        "Retries": check.retries,
    })
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// The epoch asked for, else the latest change in what was laid upon the base: the same for the same files.
fn created(image: &Assembly, recipe: &Recipe) -> i64 {
    let own = image.layers.iter().filter(|layer| !layer.is_base);
    let newest = own.map(|layer| layer.newest).max().unwrap_or(0);
    recipe.epoch.unwrap_or(newest)
}

/// Writes a time as RFC 3339 has it, in UTC (days to date after H. Hinnant, "chrono-compatible low-level date
/// algorithms").
fn time(seconds: i64) -> String {
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 {
        month_index + 3
    } else {
        month_index - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        let table = [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_704_067_199, "2023-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ];
        for (seconds, wanted) in table {
            assert_eq!(time(seconds), wanted);
        }
    }
}
