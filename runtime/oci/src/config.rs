//! The configuration of an image: what a container made of it should do by default.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use crate::digest::Digest;
use crate::manifest::ManifestError;
use crate::platform::Platform;

/// Is what an image says about running it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageConfig {
    /// Environment in the image's order; a later name wins over an earlier one.
    pub env: Vec<(String, String)>,
    /// Directory to start in.
    pub workdir: Option<String>,
    /// `user[:group]`, by name or number.
    pub user: Option<String>,
    /// Program to run, with leading arguments.
    pub entrypoint: Vec<String>,
    /// Default arguments, or the program when there is no entry point.
    pub cmd: Vec<String>,
    /// Ports as `8080/tcp`, sorted.
    pub exposed: Vec<String>,
    /// Directories meant to outlive a container, sorted.
    pub volumes: Vec<String>,
    /// Signal that asks the program to end, for example `SIGQUIT`.
    pub stop_signal: Option<String>,
    /// Free-form labels.
    pub labels: BTreeMap<String, String>,
    /// How to tell that the program is well.
    pub healthcheck: Option<Healthcheck>,
    /// Shell of the string form of Dockerfile instructions.
    pub shell: Vec<String>,
    /// Instructions for images built upon this one.
    pub on_build: Vec<String>,
    /// Platform the image was made for; its parts may be empty.
    pub platform: Platform,
    /// Digests of the unpacked layers, lowest first.
    pub diff_ids: Vec<Digest>,
}

/// Is Docker's health check: a command run every now and then.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Healthcheck {
    /// `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", line]`; empty inherits.
    #[serde(default, deserialize_with = "null_as_default")]
    pub test: Vec<String>,
    /// Time between two runs; zero inherits.
    #[serde(default, deserialize_with = "nanoseconds")]
    pub interval: Duration,
    /// Time one run may take; zero inherits.
    #[serde(default, deserialize_with = "nanoseconds")]
    pub timeout: Duration,
    /// Time after the start in which failures do not count.
    #[serde(default, deserialize_with = "nanoseconds")]
    pub start_period: Duration,
    /// Failures in a row that make it unhealthy; zero inherits.
    #[serde(default)]
    pub retries: u32,
}

#[derive(Deserialize)]
struct RawImage {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    variant: Option<String>,
    #[serde(default, deserialize_with = "null_as_default")]
    config: RawConfig,
    rootfs: RawRootfs,
}

#[derive(Deserialize)]
struct RawRootfs {
    #[serde(default, deserialize_with = "null_as_default")]
    diff_ids: Vec<Digest>,
}

/// Docker writes `null` where it means an empty list, so every field takes it.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct RawConfig {
    user: Option<String>,
    env: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    working_dir: Option<String>,
    exposed_ports: Option<BTreeMap<String, serde::de::IgnoredAny>>,
    volumes: Option<BTreeMap<String, serde::de::IgnoredAny>>,
    labels: Option<BTreeMap<String, String>>,
    stop_signal: Option<String>,
    healthcheck: Option<Healthcheck>,
    shell: Option<Vec<String>>,
    on_build: Option<Vec<String>>,
}

fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn nanoseconds<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_nanos)
}

impl ImageConfig {
    /// Reads the JSON of an image configuration, OCI or Docker.
    ///
    /// # Errors
    /// Fails when it is not JSON of that shape.
    pub fn parse(bytes: &[u8]) -> Result<ImageConfig, ManifestError> {
        let raw: RawImage =
            serde_json::from_slice(bytes).map_err(|source| ManifestError::Json {
                what: "image config",
                source,
            })?;
        let config = raw.config;
        let pair = |text: String| match text.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => (text, String::new()),
        };
        let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
        let keys = |map: Option<BTreeMap<String, _>>| map.unwrap_or_default().into_keys().collect();
        Ok(ImageConfig {
            env: config
                .env
                .unwrap_or_default()
                .into_iter()
                .map(pair)
                .collect(),
            workdir: filled(config.working_dir),
            user: filled(config.user),
            entrypoint: config.entrypoint.unwrap_or_default(),
            cmd: config.cmd.unwrap_or_default(),
            exposed: keys(config.exposed_ports),
            volumes: keys(config.volumes),
            stop_signal: filled(config.stop_signal),
            labels: config.labels.unwrap_or_default(),
            healthcheck: config.healthcheck,
            shell: config.shell.unwrap_or_default(),
            on_build: config.on_build.unwrap_or_default(),
            platform: Platform {
                os: raw.os,
                architecture: raw.architecture,
                variant: filled(raw.variant),
            },
            diff_ids: raw.rootfs.diff_ids,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_docker_config_is_read() {
        let text = br#"{"architecture":"arm64","os":"linux","variant":"v8","created":"2024-01-01T00:00:00Z",
            "config":{"User":"app:extra","Env":["PATH=/bin","A=b=c","EMPTY="],"Entrypoint":["/run"],"Cmd":null,
              "WorkingDir":"/home/app","ExposedPorts":{"8080/tcp":{}},"Volumes":{"/data":{}},"Labels":{"k":"v w"},
              "StopSignal":"SIGQUIT","OnBuild":null,"Shell":["/bin/bash","-c"],
              "Healthcheck":{"Test":["CMD-SHELL","true"],"Interval":30000000000,"Retries":3}},
            "rootfs":{"type":"layers","diff_ids":["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]},
            "history":[]}"#;
        let config = ImageConfig::parse(text).expect("config");
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(
            config.env,
            [pair("PATH", "/bin"), pair("A", "b=c"), pair("EMPTY", "")]
        );
        assert_eq!(config.user.as_deref(), Some("app:extra"));
        assert_eq!(config.workdir.as_deref(), Some("/home/app"));
        assert_eq!((config.entrypoint.len(), config.cmd.len()), (1, 0));
        assert_eq!(
            (config.exposed, config.volumes),
            (vec!["8080/tcp".to_owned()], vec!["/data".to_owned()])
        );
        assert_eq!(config.stop_signal.as_deref(), Some("SIGQUIT"));
        assert_eq!(config.labels.get("k").map(String::as_str), Some("v w"));
        let health = config.healthcheck.expect("health check");
        assert_eq!(
            (health.interval, health.timeout, health.retries),
            (Duration::from_secs(30), Duration::ZERO, 3)
        );
        assert_eq!(config.platform.to_string(), "linux/arm64/v8");
        assert_eq!((config.diff_ids.len(), config.shell.len()), (1, 2));
    }

    #[test]
    fn nothing_but_layers_is_enough() {
        let config =
            ImageConfig::parse(br#"{"rootfs":{"diff_ids":null},"config":null}"#).expect("config");
        assert!(config.env.is_empty() && config.user.is_none());
        assert!(ImageConfig::parse(b"{}").is_err());
        assert!(ImageConfig::parse(b"<html>").is_err());
    }
}
