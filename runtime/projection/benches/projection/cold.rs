//! Measures with empty caches and a fresh server, and what mounting costs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use hd_store::Store;
use serde_json::json;

use crate::environment::{self, Environment};
use crate::image::ImageView;
use crate::report::{Report, Side, median};
use crate::rounds::Rounds;
use crate::server::Server;
use crate::targets::{Overlay, cleared, made};
use crate::{Failure, Options, work};

/// Files of the environment that is mounted to read one.
const MANY: usize = 100_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cold {
    Ext4,
    View,
    Image,
    First,
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
        let mut sides = [
            side("ext4"),
            side("hd view"),
            side("hd image, all copies"),
            side("hd image, no copies"),
            side("hd traced, fresh"),
        ];
        for round in Rounds::of(measure, options.cold_rounds, options.time) {
            let mut order = [
                Cold::Ext4,
                Cold::View,
                Cold::Image,
                Cold::First,
                Cold::Traced,
            ];
            if round % 2 == 1 {
                order.reverse();
            }
            for target in order {
                let (ms, memory) = one(environment, options, work, target)?;
                sides[target as usize].ms.push(ms);
                peak = peak.max(memory);
            }
        }
        let [ext4, ours @ ..] = sides;
        for side in ours {
            report.compare(measure, &side, &ext4);
        }
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
    if matches!(target, Cold::Image | Cold::First) {
        return by_image(environment, options, (work, &list), target == Cold::Image);
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

/// The image was written before: with all raw copies made, or with none.
fn by_image(
    environment: &Environment,
    options: &Options,
    (work, list): (&str, &str),
    is_full: bool,
) -> Result<(f64, u64), Failure> {
    let image = options.scratch.join("cold.erofs");
    let pool = Server::start(environment)?.ask("pool")?.into();
    // To copy every file again for each round would take most of the time of this part.
    let _aside = (!is_full)
        .then(|| Aside::put(pool, options.scratch.join("pool-aside")))
        .transpose()?;
    let mut server = Server::start(environment)?;
    server.ask(&format!("image {}", image.display()))?;
    if is_full {
        server.ask("fill")?;
    }
    drop(server);
    drop_caches()?;
    let mut server = Server::start(environment)?;
    let view = ImageView::mount(&mut server, &image, &options.scratch.join("cold-image"))?;
    let ms = work::run(work, &view.merged, list)?;
    Ok((ms, server.peak_bytes()?))
}

/// The raw copies, put aside until this is dropped.
struct Aside {
    pool: PathBuf,
    kept: PathBuf,
}

impl Aside {
    /// `kept` is not beside the pool, where it would be taken for one of another boot and removed.
    fn put(pool: PathBuf, kept: PathBuf) -> Result<Self, Failure> {
        fs::rename(&pool, &kept)?;
        Ok(Self { pool, kept })
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // What fails here fails the next round, which finds no copies.
        let _ = fs::remove_dir_all(&self.pool);
        let _ = fs::rename(&self.kept, &self.pool);
    }
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
    let (mounts, reads) = image_first_bytes(environment, options)?;
    report.note("mount of an image (ms)", spread(&mounts));
    report.note("mount of an image to first byte (ms)", spread(&reads));
    memory(environment, options, report)?;
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
    for _ in Rounds::of("mount", options.rounds, options.time) {
        // A fresh server each time, so that its own caches have nothing of the tree.
        let mut server = Server::start(environment)?;
        let lower = made(&options.scratch.join("first-lower"))?;
        let at = options.scratch.join("first");
        cleared(&at)?;
        let start = Instant::now();
        server.mount("plain", &lower)?;
        let overlay = Overlay::over(&lower, &at)?.owning(lower);
        read_first(&overlay.merged.join(file))?;
        all.push(start.elapsed().as_secs_f64() * 1000.0);
        drop(overlay);
    }
    Ok(all)
}

fn image_first_bytes(
    environment: &Environment,
    options: &Options,
) -> Result<(Vec<f64>, Vec<f64>), Failure> {
    let image = options.scratch.join("first.erofs");
    let (mut mounts, mut all) = (Vec::new(), Vec::new());
    // By a server of its own: one that has just given back the memory of an image is slow at first.
    Server::start(environment)?.ask(&format!("image {}", image.display()))?;
    for _ in Rounds::of("mount of an image", options.rounds, options.time) {
        let mut server = Server::start(environment)?;
        let at = options.scratch.join("first-image");
        cleared(&at)?;
        let start = Instant::now();
        let view = ImageView::mount(&mut server, &image, &at)?;
        mounts.push(start.elapsed().as_secs_f64() * 1000.0);
        read_first(&view.merged.join(&environment.largest))?;
        all.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    Ok((mounts, all))
}

/// How much five views of one tree, all read through, add to the page cache.
fn memory(
    environment: &Environment,
    options: &Options,
    report: &mut Report,
) -> Result<(), Failure> {
    let list = environment.list.to_string_lossy().into_owned();
    let image = options.scratch.join("memory.erofs");
    let mut server = Server::start(environment)?;
    server.ask(&format!("image {}", image.display()))?;
    server.ask("fill")?;
    drop_caches()?;
    let (before, mut views) = (cached()?, Vec::new());
    for number in 0..5 {
        let at = options.scratch.join(format!("memory-{number}"));
        let view = ImageView::mount(&mut server, &image, &at)?;
        work::run("read-all", &view.merged, &list)?;
        views.push(view);
        if number == 0 || number == 4 {
            let mib = (cached()? - before) / 1024;
            let what = format!("page cache of {} views by an image (MiB)", number + 1);
            report.note(&what, json!(mib));
        }
    }
    Ok(())
}

/// Kibibytes in the page cache.
fn cached() -> Result<i64, Failure> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Cached:"));
    let words = line.and_then(|line| line.split_whitespace().next());
    Ok(words.ok_or("no Cached in meminfo")?.parse()?)
}

fn read_first(path: &Path) -> Result<(), Failure> {
    use std::io::Read;
    let mut byte = [0];
    fs::File::open(path)?.read_exact(&mut byte)?;
    Ok(())
}
