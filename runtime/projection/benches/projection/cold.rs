//! Measures with empty caches and a fresh server, and what mounting costs.

use std::fs;
use std::path::Path;
use std::time::Instant;

use hd_store::Store;
use serde_json::json;

use crate::environment::{self, Environment};
use crate::report::{Report, Side, median};
use crate::server::Server;
use crate::targets::{Overlay, made};
use crate::{Failure, Options, work};

/// Files of the environment that is mounted to read one.
const MANY: usize = 100_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cold {
    Ext4,
    View,
    Traced,
}

pub(crate) fn measure(
    environment: &Environment,
    options: &Options,
    report: &mut Report,
) -> Result<(), Failure> {
    let mut peak = 0;
    for (measure, work) in [
        ("cold-stat-tree", "stat-tree"),
        ("cold-read-all", "read-all"),
        ("cold-scan", "scan"),
        ("cold-flask", "flask"),
    ] {
        if !options.wants(measure) {
            continue;
        }
        let side = |name| Side {
            name,
            ms: Vec::new(),
        };
        let mut sides = [side("ext4"), side("hd view"), side("hd traced, fresh")];
        for round in 0..options.cold_rounds {
            let mut order = [Cold::Ext4, Cold::View, Cold::Traced];
            if round % 2 == 1 {
                order.reverse();
            }
            for target in order {
                let (ms, memory) = one(environment, options, work, target)?;
                sides[target as usize].ms.push(ms);
                peak = peak.max(memory);
            }
        }
        let [ext4, view, traced] = sides;
        report.compare(measure, &view, &ext4);
        report.compare(measure, &traced, &ext4);
    }
    report.note("server peak, cold (MiB)", json!(peak >> 20));
    Ok(())
}

fn one(
    environment: &Environment,
    options: &Options,
    work: &str,
    target: Cold,
) -> Result<(f64, u64), Failure> {
    let list = environment.list.to_string_lossy().into_owned();
    if target == Cold::Ext4 {
        drop_caches()?;
        return Ok((work::run(work, &environment.directory, &list)?, 0));
    }
    drop_caches()?;
    let mut server = Server::start(environment)?;
    let lower = made(&options.scratch.join("cold-lower"))?;
    let how = if target == Cold::View {
        "plain"
    } else {
        "traced"
    };
    server.mount(how, &lower)?;
    let overlay = Overlay::over(&lower, &options.scratch.join("cold"))?.owning(lower);
    let ms = work::run(work, &overlay.merged, &list)?;
    let peak = server.peak_bytes()?;
    drop(overlay);
    Ok((ms, peak))
}

fn drop_caches() -> Result<(), Failure> {
    rustix::fs::sync();
    fs::write("/proc/sys/vm/drop_caches", "3")?;
    Ok(())
}

/// From the wish for a view to the first byte of a file in it, the server running.
pub(crate) fn mounts(
    environment: &Environment,
    options: &Options,
    report: &mut Report,
) -> Result<(), Failure> {
    let ms = first_bytes(environment, options, &environment.largest)?;
    report.note("mount to first byte (ms)", spread(&ms));
    let cas = options.scratch.join("cas-many");
    if cas.exists() {
        fs::remove_dir_all(&cas)?;
    }
    fs::create_dir_all(&cas)?;
    let many = Environment {
        directory: environment.directory.clone(),
        rooted: environment::synthetic(&Store::open(&cas)?, MANY)?,
        list: environment.list.clone(),
        largest: String::new(),
        cas,
        ..*environment
    };
    let ms = first_bytes(&many, options, "d042/e03/f042321")?;
    report.note("mount 100,000 files, read one (ms)", spread(&ms));
    Ok(())
}

fn spread(ms: &[f64]) -> serde_json::Value {
    let worst = ms.iter().copied().fold(0.0, f64::max);
    json!({ "median": median(ms), "worst": worst, "n": ms.len() })
}

fn first_bytes(
    environment: &Environment,
    options: &Options,
    file: &str,
) -> Result<Vec<f64>, Failure> {
    let mut all = Vec::new();
    for _ in 0..options.rounds {
        // A fresh server each time, so that its own caches have nothing of the tree.
        let mut server = Server::start(environment)?;
        let lower = made(&options.scratch.join("first-lower"))?;
        let at = options.scratch.join("first");
        let start = Instant::now();
        server.mount("plain", &lower)?;
        let overlay = Overlay::over(&lower, &at)?.owning(lower);
        read_first(&overlay.merged.join(file))?;
        all.push(start.elapsed().as_secs_f64() * 1000.0);
        drop(overlay);
    }
    Ok(all)
}

fn read_first(path: &Path) -> Result<(), Failure> {
    use std::io::Read;
    let mut byte = [0];
    fs::File::open(path)?.read_exact(&mut byte)?;
    Ok(())
}
