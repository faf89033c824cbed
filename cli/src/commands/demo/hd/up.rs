//! A running `hd up` and what it tells.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use super::super::process::Group;
use crate::error::{CliError, exit};

/// Last lines of `hd up` that are kept for an error.
const KEPT: usize = 20;

/// A running `hd up`; dropping it ends it.
#[derive(Debug)]
pub(super) struct Up {
    /// The process.
    pub(super) group: Group,
    /// What it told.
    pub(super) heard: Arc<Heard>,
}

/// What a running `hd up` has told.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// How often the service became ready.
    pub(super) ready: AtomicU32,
    /// How often it was told to be anything else.
    left: AtomicU32,
    /// How many steps ran.
    pub(super) ran: AtomicU32,
    /// Its last lines that are no events.
    said: Mutex<Vec<String>>,
}

impl Up {
    /// Starts it; `service` is the one that is asked.
    pub(super) fn start(command: &mut Command, service: &str) -> Result<Self, CliError> {
        let mut group = Group::spawn(command.stdout(Stdio::null()).stderr(Stdio::piped()))?;
        let heard: Arc<Heard> = Arc::default();
        if let Some(stderr) = group.child().stderr.take() {
            let (heard, service) = (Arc::clone(&heard), service.to_owned());
            let listen = move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    heard.line(&line, &service);
                }
            };
            std::thread::Builder::new()
                .name("hd up".to_owned())
                .spawn(listen)
                .map_err(|e| CliError::io("start a thread for", Path::new("hd up"), &e))?;
        }
        Ok(Self { group, heard })
    }

    /// Gives how often the service became ready.
    pub(super) fn times_ready(&self) -> u32 {
        self.heard.ready.load(Ordering::Relaxed)
    }

    /// Gives how often the service was told not to be ready.
    pub(super) fn times_left(&self) -> u32 {
        self.heard.left.load(Ordering::Relaxed)
    }

    /// Fails when `hd up` has ended by itself.
    pub(super) fn must_run(&mut self) -> Result<(), CliError> {
        if self.group.ended()?.is_none() {
            return Ok(());
        }
        let said = self.heard.said.lock();
        let said = said.unwrap_or_else(PoisonError::into_inner);
        Err(failed("", &said.join("; ")))
    }
}

impl Heard {
    /// Takes one line of `--progress json`.
    fn line(&self, line: &str, service: &str) {
        let event: Value = serde_json::from_str(line).unwrap_or_default();
        if event["event"] == "service" && event["name"] == service {
            let count = match event["state"] == "ready" {
                true => &self.ready,
                false => &self.left,
            };
            count.fetch_add(1, Ordering::Relaxed);
        }
        if event["event"] == "step_done" && event["step"]["result"] == "ran" {
            self.ran.fetch_add(1, Ordering::Relaxed);
        }
        // What went wrong is said in plain lines, and in the tail of a failed step.
        if !event.is_object() || event["event"] == "step_failed" {
            let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
            if said.len() >= KEPT {
                said.remove(0);
            }
            said.push(crate::output::style::tame(line, false));
        }
    }
}

/// Makes an error of the JSON that a failed hd printed, else of its last words.
pub(super) fn failed(stdout: &str, last_words: &str) -> CliError {
    let report: Value = serde_json::from_str(stdout).unwrap_or_default();
    let of = |key: &str| report["error"][key].as_str().unwrap_or_default().to_owned();
    let message = Some(of("message")).filter(|message| !message.is_empty());
    let message = message.unwrap_or_else(|| last_words.to_owned());
    let error = CliError::new("demo", exit::INTERNAL, format!("hd failed: {message}"));
    error.at(of("place")).hint(of("hint"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_and_steps_are_counted_and_complaints_are_kept() {
        let heard = Heard::default();
        for line in [
            r#"{"event":"service","name":"web","state":"ready"}"#,
            r#"{"event":"service","name":"worker","state":"ready"}"#,
            r#"{"event":"service","name":"web","state":"stopping"}"#,
            r#"{"event":"step_done","step":{"name":"step-1","result":"kept"}}"#,
            r#"{"event":"step_done","step":{"name":"step-2","result":"ran"}}"#,
            "hd: no /dev/fuse",
        ] {
            heard.line(line, "web");
        }
        assert_eq!(heard.ready.load(Ordering::Relaxed), 1);
        assert_eq!(heard.left.load(Ordering::Relaxed), 1);
        assert_eq!(heard.ran.load(Ordering::Relaxed), 1);
        assert_eq!(heard.said.into_inner().unwrap(), ["hd: no /dev/fuse"]);
    }

    #[test]
    fn a_failure_is_told_by_the_report_else_by_the_last_words() {
        let report = r#"{"error":{"message":"m","place":"step-1"}}"#;
        assert_eq!(failed(report, "w").report().message, "hd failed: m");
        assert_eq!(failed("", "w").report().message, "hd failed: w");
    }
}
