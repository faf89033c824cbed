//! What a running instance costs while nothing happens, and what a look at it costs.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::contender::Contender;
use crate::bench::median;
use crate::bench::usage::measure as usage;
use crate::shell::Failure;

/// How often a command is timed.
const TIMES: usize = 20;
/// How long nothing happens.
const IDLE: Duration = Duration::from_secs(20);

/// Measures the instance of hd, the first contender.
pub(super) fn measure(hd: &Path, contenders: &[Contender]) -> Result<Value, Failure> {
    let Some(ours) = contenders.first() else {
        return Ok(Value::Null);
    };
    let timed = |args: &[&str]| -> Result<(f64, f64), Failure> {
        let (mut wall, mut cpu) = (Vec::new(), Vec::new());
        for _ in 0..TIMES {
            let mut command = Command::new(hd);
            command.args(args).current_dir(&ours.directory);
            let used = usage(command.env("HD_HOME", ours.home()))?;
            wall.push(used.wall_ms);
            cpu.push(used.cpu_ms);
        }
        Ok((median(&wall), median(&cpu)))
    };
    let (start, exec, status) = (
        timed(&["version"])?,
        timed(&["exec", "true"])?,
        timed(&["status"])?,
    );
    let before = processes(hd);
    std::thread::park_timeout(IDLE);
    let after = processes(hd);
    let ticks = |all: &[Process]| all.iter().map(|one| one.ticks).sum::<u64>();
    let pss = after.iter().map(|one| one.pss_kib).sum::<u64>() as f64 / 1024.0;
    eprintln!(
        "hd exec true {:.1} ms, of which its own start {:.1}; hd status {:.1} ms; idle {pss:.1} MiB PSS in {} processes, {} ticks in {} s",
        exec.0,
        start.0,
        status.0,
        after.len(),
        ticks(&after).saturating_sub(ticks(&before)),
        IDLE.as_secs(),
    );
    Ok(json!({
        "version_ms": start.0, "exec_true_ms": exec.0, "status_ms": status.0,
        "version_cpu_ms": start.1, "exec_true_cpu_ms": exec.1, "status_cpu_ms": status.1,
        "idle_pss_mib": pss, "idle_ticks": ticks(&after).saturating_sub(ticks(&before)),
        "idle_seconds": IDLE.as_secs(),
    }))
}

struct Process {
    ticks: u64,
    pss_kib: u64,
}

/// The processes that run the binary, its helpers from memory included: they share its name.
fn processes(hd: &Path) -> Vec<Process> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let process = |entry: std::fs::DirEntry| {
        let proc = entry.path();
        let exe = std::fs::read_link(proc.join("exe")).ok()?;
        let ours = exe == hd || is_of_ours(&proc, hd);
        let stat = std::fs::read_to_string(proc.join("stat"))
            .ok()
            .filter(|_| ours)?;
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok());
        let rollup = std::fs::read_to_string(proc.join("smaps_rollup")).ok()?;
        let pss = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        Some(Process {
            ticks: number(11)? + number(12)?,
            pss_kib: pss.split_whitespace().next()?.parse().ok()?,
        })
    };
    entries.filter_map(process).collect()
}

/// Whether a process that runs from memory descends from one that runs the binary.
fn is_of_ours(proc: &Path, hd: &Path) -> bool {
    let Ok(exe) = std::fs::read_link(proc.join("exe")) else {
        return false;
    };
    if !exe.to_string_lossy().starts_with("/memfd:") {
        return false;
    }
    let stat = std::fs::read_to_string(proc.join("stat")).unwrap_or_default();
    let parent = stat
        .rsplit_once(')')
        .and_then(|(_, rest)| rest.split_whitespace().nth(1));
    let parent = parent.map(|pid| Path::new("/proc").join(pid).join("exe"));
    parent.is_some_and(|exe| std::fs::read_link(exe).is_ok_and(|exe| exe == hd))
}
