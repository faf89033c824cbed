//! A write layer into the store, beside `tar | zstd -1` of the same files.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use hd_store::Store;
use serde_json::json;

use crate::environment::{self, Environment};
use crate::report::{Report, Side, median};
use crate::rounds::Rounds;
use crate::{Failure, Options};

pub(crate) fn measure(
    environment: &Environment,
    options: &Options,
    report: &mut Report,
) -> Result<(), Failure> {
    let side = |name| Side {
        name,
        ms: Vec::new(),
    };
    let (mut ours, mut theirs) = (side("hd capture"), side("tar | zstd -1"));
    let mut used = Vec::new();
    for round in Rounds::of("capture", options.cold_rounds + 1, options.time) {
        let cas = options.scratch.join("cas-captured");
        if cas.exists() {
            fs::remove_dir_all(&cas)?;
        }
        fs::create_dir_all(&cas)?;
        let store = Store::open(&cas)?;
        rustix::fs::sync();
        let (before, start) = (processor_time()?, Instant::now());
        environment::ingest(&environment.directory, &store)?;
        let our = start.elapsed();
        let between = processor_time()?;
        rustix::fs::sync();
        let start = Instant::now();
        packed(environment, &options.scratch.join("captured.tar.zst"))?;
        let their = start.elapsed();
        let after = processor_time()?;
        if round > 0 {
            ours.ms.push(our.as_secs_f64() * 1000.0);
            theirs.ms.push(their.as_secs_f64() * 1000.0);
            let (our, their) = (between.own - before.own, after.ended - between.ended);
            used.push(our as f64 / their.max(1) as f64);
        }
    }
    report.compare("capture", &ours, &theirs);
    report.note("capture, processor time ÷ tar", json!(median(&used)));
    Ok(())
}

/// What the same files cost without us.
fn packed(environment: &Environment, to: &Path) -> Result<(), Failure> {
    let status = Command::new("sh")
        .args(["-c", "tar -c . | zstd -1 -q -f -o \"$1\"", "sh"])
        .arg(to)
        .current_dir(&environment.directory)
        .status()?;
    if status.success() {
        return Ok(());
    }
    Err(format!("tar: {status}").into())
}

/// Processor time in ticks, user and system.
struct Ticks {
    /// Of this process.
    own: u64,
    /// Of its children that have ended, and of theirs.
    ended: u64,
}

/// Reads what the kernel has counted (proc_pid_stat(5), fields 14 to 17).
fn processor_time() -> Result<Ticks, Failure> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The name of the program, before them, may have spaces.
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let ticks: Result<Vec<u64>, _> = fields.split(' ').skip(11).take(4).map(str::parse).collect();
    match ticks?.as_slice() {
        [user, system, children, children_system] => Ok(Ticks {
            own: user + system,
            ended: children + children_system,
        }),
        _ => Err("no times in /proc/self/stat".into()),
    }
}
