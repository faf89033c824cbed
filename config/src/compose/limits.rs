//! What a Compose service may use, and how often it is started again: `deploy` and its older keys.

use super::service::Making;
use super::yaml::Node;
use crate::duration;
use crate::ingest::draft::DraftService;
use crate::parse::replicas;
use crate::service::{Backoff, RestartPolicy};

/// Below this `hd.toml` takes no limit: nothing runs in so little.
const MEMORY_MIN: u64 = 1 << 20;

impl Making<'_, '_> {
    /// `mem_limit`, `cpus`, `pids_limit`.
    pub(super) fn limit(
        &mut self,
        line: usize,
        key: &str,
        node: &Node,
        service: &mut DraftService,
    ) {
        let Some(text) = node.text() else { return };
        let (key, value) = match key {
            "mem_limit" | "memory" => ("memory", memory(text)),
            "cpus" => ("cpus", cpus(text)),
            _ => ("pids", pids(text)),
        };
        match value {
            Some(Limit::Of(value)) => {
                let table = service.tables.entry("resources").or_default();
                table.insert(key, value);
            }
            Some(Limit::No) => {}
            None => {
                let note = format!("{text:?} is no limit that hd can hold: without one");
                self.book.approximated(line, note);
            }
        }
    }

    /// `deploy`: what Compose itself heeds of it; the rest is Docker Swarm's.
    pub(super) fn deploy(&mut self, line: usize, node: &Node, service: &mut DraftService) {
        for (key, node) in node.map() {
            match key.name.as_str() {
                "resources" => self.resources(line, node, service),
                "replicas" if self.node.get("scale").is_some() => {}
                "replicas" => self.replicas(line, node, service),
                "restart_policy" if self.node.get("restart").is_some() => {}
                "restart_policy" => self.restart_policy(line, node, service),
                other => {
                    let note = format!("`{other}` is of Docker Swarm");
                    self.book.left_out(line, note);
                }
            }
        }
    }

    fn resources(&mut self, line: usize, node: &Node, service: &mut DraftService) {
        for (key, value) in node.get("limits").map(Node::map).unwrap_or_default() {
            match key.name.as_str() {
                name @ ("memory" | "cpus" | "pids") => self.limit(line, name, value, service),
                other => {
                    let note = format!("`limits.{other}` has no counterpart");
                    self.book.left_out(line, note);
                }
            }
        }
        let Some(reserved) = node.get("reservations") else {
            return;
        };
        if reserved.get("devices").is_some() {
            let note = "`devices`: services never have more than the sandbox gives";
            self.book.missing(line, note);
        }
        if reserved.map().iter().any(|(key, _)| key.name != "devices") {
            self.book.left_out(line, "nothing is reserved");
        }
    }

    /// `scale` and `deploy.replicas`. In Compose each has a network of its own, here they share one.
    pub(super) fn replicas(&mut self, line: usize, node: &Node, service: &mut DraftService) {
        let text = node.text().unwrap_or_default();
        let count = text.parse::<u32>().ok();
        match count.filter(|count| (1..=replicas::MAX).contains(count)) {
            Some(1) => {}
            Some(_) if self.listens() => {
                let note = format!(
                    "one, not {text}: they would all listen on the same port; with port = \"auto\" \
                     (each has its own as PORT) or socket = true, replicas = {text} works"
                );
                self.book.left_out(line, note);
            }
            count @ Some(_) => service.replicas = count,
            None => {
                let note = format!("one, not {text}: `hd up SERVICE…` says which are started");
                self.book.left_out(line, note);
            }
        }
    }

    /// Whether it says that it has ports.
    fn listens(&self) -> bool {
        let has = |key: &str| {
            self.node
                .get(key)
                .is_some_and(|node| !node.list().is_empty())
        };
        has("ports") || has("expose") || self.port_of_image().is_some()
    }

    /// `deploy.restart_policy`, which counts where there is no `restart`.
    fn restart_policy(&mut self, line: usize, node: &Node, service: &mut DraftService) {
        let text = |key: &str| node.get(key).and_then(Node::text);
        let policy = match text("condition") {
            Some("none") => RestartPolicy::Never,
            Some("on-failure") => RestartPolicy::OnFailure,
            _ => RestartPolicy::Always,
        };
        self.restarts(line, policy, text("max_attempts"), service);
        for (theirs, ours) in [("delay", "min_delay"), ("window", "reset_after")] {
            let Some(time) = text(theirs) else { continue };
            match duration::parse(time) {
                // No more is asked of `max_delay` than that it is not shorter.
                Ok(parsed) if !parsed.is_zero() => {
                    let table = service.tables.entry("restart").or_default();
                    table.insert(ours, format!("\"{time}\""));
                    if ours == "min_delay" && parsed > Backoff::default().max_delay {
                        table.insert("max_delay", format!("\"{time}\""));
                    }
                }
                _ => {
                    let note = format!("{theirs}: {time} is left at hd's default");
                    self.book.approximated(line, note);
                }
            }
        }
    }

    /// When it starts again, and after how many ends in a row it does not: Docker's default is never.
    pub(super) fn restarts(
        &mut self,
        line: usize,
        policy: RestartPolicy,
        times: Option<&str>,
        service: &mut DraftService,
    ) {
        service.restart = policy;
        if service.oneshot && policy == RestartPolicy::Always {
            service.restart = RestartPolicy::OnFailure;
            self.book
                .approximated(line, "on_failure: another service waits for its end");
        }
        match (times, Backoff::default().max) {
            (Some(times), _) => self.attempts(line, times, service),
            (None, Some(max)) if policy != RestartPolicy::Never => {
                let note = format!(
                    "given up after {max} ends in a row; with restart = {{ max = \"unlimited\" }} never"
                );
                self.book.approximated(line, note);
            }
            (None, _) => {}
        }
    }

    fn attempts(&mut self, line: usize, times: &str, service: &mut DraftService) {
        match times.parse::<u32>() {
            Ok(times) if times > 0 => {
                let table = service.tables.entry("restart").or_default();
                table.insert("max", times.to_string());
            }
            _ => {
                let note = format!("{times:?} is no number of restarts: hd's default holds");
                self.book.approximated(line, note);
            }
        }
    }
}

/// A limit as `hd.toml` says it.
#[derive(Debug, PartialEq, Eq)]
enum Limit {
    Of(String),
    /// The value that means none.
    No,
}

/// A number with `b`, `k`, `m`, `g` in any case, with or without a `b` after it; all are powers of 1024.
fn memory(text: &str) -> Option<Limit> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = lower.get(digits.len()..)?.trim();
    let shift = match unit.trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return None,
    };
    let number = digits.parse::<f64>().ok().filter(|n| *n >= 0.0)?;
    let bytes = number * (1_u64 << shift) as f64;
    if bytes == 0.0 {
        return Some(Limit::No);
    }
    if !(MEMORY_MIN as f64..1e18).contains(&bytes) {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range was checked"
    )]
    let bytes = bytes as u64;
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10), ("B", 0)];
    let (unit, shift) = units
        .into_iter()
        .find(|(_, shift)| bytes.trailing_zeros() >= *shift)?;
    Some(Limit::Of(format!("\"{}{unit}\"", bytes >> shift)))
}

/// A number of processors; what is below a hundredth, or absurd, `hd.toml` refuses.
fn cpus(text: &str) -> Option<Limit> {
    match text.trim().parse::<f64>().ok()? {
        0.0 => Some(Limit::No),
        cpus if (0.01..=4096.0).contains(&cpus) => Some(Limit::Of(cpus.to_string())),
        _ => None,
    }
}

/// A number of processes; 0 and -1 mean no limit.
fn pids(text: &str) -> Option<Limit> {
    match text.trim().parse::<i64>().ok()? {
        0 | -1 => Some(Limit::No),
        pids if pids > 0 => Some(Limit::Of(pids.to_string())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_said_in_the_units_of_hd() {
        let of = |text: &str| Some(Limit::Of(text.to_owned()));
        let sizes = [
            ("512m", of("\"512MiB\"")),
            ("1.5g", of("\"1536MiB\"")),
            ("2GB", of("\"2GiB\"")),
            ("64 MiB", of("\"64MiB\"")),
            ("1048577", of("\"1048577B\"")),
            ("2048kb", of("\"2MiB\"")),
            ("0", Some(Limit::No)),
            ("4k", None),
            ("-1m", None),
            ("many", None),
            ("9e99g", None),
            ("ü", None),
        ];
        for (text, wanted) in sizes {
            assert_eq!(memory(text), wanted, "{text}");
        }
        for (text, wanted) in [("0.50", of("0.5")), ("2", of("2")), ("0.001", None)] {
            assert_eq!(cpus(text), wanted, "{text}");
        }
        for (text, wanted) in [("-1", Some(Limit::No)), ("20", of("20")), ("-7", None)] {
            assert_eq!(pids(text), wanted, "{text}");
        }
    }
}
