//! `cargo xtask bench memory`: what a running instance costs while nothing happens, beside the engine
//! of one container: memory shared with nobody or by parts (PSS), and processor time.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::running::{Container, Instance};
use super::services::sample::Sample;
use super::{machine, median, remove_dir};
use crate::shell::{Doing, Failure, cargo, run as run_command, target_dir};

/// How often memory is looked at while nothing happens.
const LOOKS: u64 = 6;
/// What all processes of hd may take together.
const TARGET_MIB: f64 = 30.0;

pub(super) fn run(args: &[&str]) -> Result<Value, Failure> {
    let usage = || Failure::new("usage: bench memory [--seconds N]");
    let seconds: u64 = match args {
        [] => 60,
        ["--seconds", number] => number.parse().map_err(|_| usage())?,
        _ => return Err(usage()),
    };
    run_command(cargo().args(["build", "--quiet", "--release", "-p", "hd-cli"]))?;
    let target = target_dir()?;
    let (hd, scratch) = (target.join("release/hd"), target.join("bench-memory"));
    remove_dir(&scratch)?;
    let load_before = machine::load();
    let instance = Instance::start(&hd, &scratch, Sample::Flask)?;
    let container = Container::start(Sample::Flask.image());
    let idle = watch(&hd, &container, Duration::from_secs(seconds));
    drop(container);
    instance.end()?;
    remove_dir(&scratch)?;
    let (ours, theirs) = idle?;
    Ok(json!({
        "schema": 1, "bench": "memory", "seconds": seconds,
        "rows": rows(&ours, theirs.as_ref().map_err(String::as_str)),
        "hd": ours.to_json(), "engine": theirs.as_ref().ok().map(Idle::to_json),
        "machine": machine::describe(), "docker": machine::version("docker", "--version"),
        "load": { "before": load_before, "after": machine::load() },
    }))
}

/// What some processes took while nothing happened.
#[derive(Default)]
struct Idle {
    pss_mib: Vec<f64>,
    processes: usize,
    /// Of processor time, at the begin and at the end; a hundred make a second.
    ticks: (u64, u64),
}

impl Idle {
    fn look(&mut self, processes: &[Process], is_first: bool) {
        let pss_kib: u64 = processes.iter().map(|one| one.pss_kib).sum();
        self.pss_mib.push(pss_kib as f64 / 1024.0);
        self.processes = processes.len();
        self.ticks.1 = processes.iter().map(|one| one.ticks).sum();
        if is_first {
            self.ticks.0 = self.ticks.1;
        }
    }

    fn to_json(&self) -> Value {
        json!({
            "pss_mib": { "median": median(&self.pss_mib), "all": self.pss_mib },
            "processes": self.processes, "ticks": self.ticks.1.saturating_sub(self.ticks.0),
        })
    }
}

type Watched = (Idle, Result<Idle, String>);

fn watch(
    hd: &Path,
    container: &Result<Container, String>,
    long: Duration,
) -> Result<Watched, Failure> {
    let file = std::fs::metadata(hd).doing(|| format!("looking at {}", hd.display()))?;
    let (dev, ino) = (file.dev(), file.ino());
    let (mut ours, mut theirs) = (Idle::default(), Idle::default());
    for look in 0..=LOOKS {
        if look > 0 {
            std::thread::park_timeout(long / LOOKS as u32);
        }
        // Helpers run from the same file, on a mount of their own.
        let is_ours = |program: &Program| (program.dev, program.ino) == (dev, ino);
        ours.look(&processes(is_ours), look == 0);
        if let Ok(container) = container {
            let of_engine = |program: &Program| {
                let name = program.exe.file_name().unwrap_or_default();
                let name = name.to_string_lossy();
                matches!(&*name, "dockerd" | "containerd")
                    || name.starts_with("containerd-shim") && program.words.contains(&container.id)
            };
            theirs.look(&processes(of_engine), look == 0);
        }
    }
    let theirs = container.as_ref().map(|_| theirs).map_err(Clone::clone);
    Ok((ours, theirs))
}

struct Process {
    ticks: u64,
    pss_kib: u64,
}

/// What a process runs.
struct Program {
    exe: PathBuf,
    dev: u64,
    ino: u64,
    words: String,
}

impl Program {
    fn of(proc: &Path) -> Option<Self> {
        let exe = proc.join("exe");
        let file = std::fs::metadata(&exe).ok()?;
        let words = std::fs::read(proc.join("cmdline")).ok()?;
        Some(Self {
            exe: std::fs::read_link(&exe).ok()?,
            dev: file.dev(),
            ino: file.ino(),
            words: String::from_utf8_lossy(&words).into_owned(),
        })
    }
}

/// The processes that run such a program.
fn processes(wanted: impl Fn(&Program) -> bool) -> Vec<Process> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let process = |entry: std::fs::DirEntry| {
        let proc = entry.path();
        if !wanted(&Program::of(&proc)?) {
            return None;
        }
        // proc(5): the name may hold blanks; utime and stime are the 12th and 13th field after it.
        let stat = std::fs::read_to_string(proc.join("stat")).ok()?;
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

fn rows(ours: &Idle, theirs: Result<&Idle, &str>) -> Vec<Value> {
    const MEASURE: &str = "idle memory, PSS";
    const PEER: &str = "dockerd, containerd and a shim";
    let own = median(&ours.pss_mib);
    let told = |idle: &Idle| {
        let ticks = idle.ticks.1.saturating_sub(idle.ticks.0);
        let pss = median(&idle.pss_mib);
        format!(
            "{pss:.1} MiB PSS in {} processes, {ticks} ticks",
            idle.processes
        )
    };
    let met = own <= TARGET_MIB;
    let verdict = if met { "met" } else { "MISSED" };
    eprintln!("\nidle: hd {} (≤ {TARGET_MIB} MiB: {verdict})", told(ours));
    let alone = json!({
        "measure": MEASURE, "unit": "MiB", "hd": { "median": own, "all": ours.pss_mib },
        "target": { "at_most": TARGET_MIB }, "met": met,
    });
    let beside = match theirs {
        Ok(theirs) => {
            let peer = median(&theirs.pss_mib);
            eprintln!("      {PEER} {}, hd ÷ it {:.2}", told(theirs), own / peer);
            json!({
                "measure": MEASURE, "unit": "MiB", "hd": { "median": own, "all": ours.pss_mib },
                "peer": { "name": PEER, "median": peer, "all": theirs.pss_mib },
                "ratio": own / peer,
            })
        }
        Err(why) => {
            eprintln!("      {PEER} cannot run: {why}");
            super::row::absent(MEASURE, PEER, why)
        }
    };
    vec![alone, beside]
}
