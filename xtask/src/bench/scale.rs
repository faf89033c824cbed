//! `cargo xtask bench scale`: what one edit costs in projects of very different size, with the watcher,
//! the view and a service alive; what nothing changed costs beside `git status`; memory.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};

use super::live::{Up, is_ready};
use super::repository::commit_all;
use super::store::tiny;
use super::usage::measure;
use super::{machine, median, remove_dir};
use crate::shell::{Doing, Failure, cargo, output, run as run_command, target_dir};

/// Files of the projects, unless somebody says otherwise.
const SIZES: [usize; 3] = [1_000, 10_000, 100_000];
/// A larger project is removed when it is measured: a million files take 5 GiB.
const KEPT_UP_TO: usize = 100_000;
/// One step reads one file, the service watches another, nobody reads a third.
const HD_TOML: &str = r#"[environment]
name = "scale"

[build]
steps = ["mkdir out && cp d00000/f000000.json out/"]

[services.web]
command = "sleep 1000000"
watch = ["d00000/f000001.json"]
"#;

/// An edit of one file, and what it leads to.
struct Edit {
    name: &'static str,
    /// Its number in the first directory, and how many after it take turns: hd says no more of one
    /// file that keeps changing and concerns nothing.
    files: (usize, usize),
    /// Whether the service starts anew; else the edit is over when it has been taken in.
    restarts: bool,
}

const EDITS: [Edit; 3] = [
    Edit {
        name: "edit that nobody reads",
        files: (2, 40),
        restarts: false,
    },
    Edit {
        name: "edit that restarts the service",
        files: (1, 1),
        restarts: true,
    },
    Edit {
        name: "edit that a step reads",
        files: (0, 1),
        restarts: true,
    },
];

/// What an edit may cost in the largest project, of what it costs in the smallest.
const EDIT_AT_MOST: f64 = 1.5;
/// What a command may cost where nothing has changed, of `git status`.
const NO_CHANGE_AT_MOST: f64 = 1.0;

pub(super) fn run(args: &[&str]) -> Result<Value, Failure> {
    let options = Options::parse(args)?;
    run_command(cargo().args(["build", "--release", "--package", "hd-cli"]))?;
    let target = target_dir()?;
    let load_before = machine::load();
    let mut sizes = Vec::new();
    for files in &options.sizes {
        let place = Place::make(&target, *files)?;
        let figures = place.measure(options.runs);
        if let Ok(figures) = &figures {
            print(*files, figures, sizes.first().map(|(_, first)| first));
        }
        remove_dir(&place.home)?;
        if *files > KEPT_UP_TO {
            remove_dir(&place.project)?;
        }
        let figures = figures?;
        sizes.push((*files, figures));
    }
    let rows = sizes.iter().map(|(files, figures)| figures.to_json(*files));
    let first = sizes.first();
    let ratios = sizes
        .iter()
        .flat_map(|(files, figures)| figures.ratios(*files, first));
    Ok(json!({
        "schema": 1,
        "machine": machine::describe(),
        "load": { "before": load_before, "after": machine::load() },
        "runs": options.runs,
        "rows": ratios.collect::<Vec<_>>(),
        "sizes": rows.collect::<Vec<_>>(),
    }))
}

struct Options {
    sizes: Vec<usize>,
    runs: usize,
}

impl Options {
    fn parse(args: &[&str]) -> Result<Self, Failure> {
        let mut options = Self {
            sizes: SIZES.to_vec(),
            runs: 15,
        };
        let usage = || Failure::new("usage: cargo xtask bench scale [--files N,N…] [--runs N]");
        for pair in args.chunks(2) {
            match pair {
                ["--files", list] => {
                    let sizes = list.split(',').map(str::parse);
                    options.sizes = sizes.collect::<Result<_, _>>().map_err(|_| usage())?;
                }
                ["--runs", number] => options.runs = number.parse().map_err(|_| usage())?,
                _ => return Err(usage()),
            }
        }
        Ok(options)
    }
}

/// What one size costs.
struct Figures {
    /// As `EDITS`, milliseconds each.
    edits: Vec<Vec<f64>>,
    /// Processor time of hd for one edit that nobody reads, milliseconds.
    edit_cpu_ms: f64,
    no_change_ms: Vec<f64>,
    git_status_ms: Vec<f64>,
    /// Resident memory of the running hd.
    rss_bytes: u64,
    /// The most it ever was: while all was read for the first time.
    peak_bytes: u64,
    /// From the start of hd, which has seen nothing of the project, until the service is ready.
    first_ms: f64,
}

impl Figures {
    fn to_json(&self, files: usize) -> Value {
        let samples = |samples: &[f64]| json!({ "median": median(samples), "all": samples });
        let edits = EDITS.iter().zip(&self.edits);
        let edits = edits.map(|(edit, times)| json!({ "name": edit.name, "ms": samples(times) }));
        json!({
            "files": files,
            "edits": edits.collect::<Vec<_>>(),
            "edit_cpu_ms": self.edit_cpu_ms,
            "no_change_ms": samples(&self.no_change_ms),
            "git_status_ms": samples(&self.git_status_ms),
            "no_change_ratio": median(&self.no_change_ms) / median(&self.git_status_ms),
            "rss_bytes": self.rss_bytes,
            "rss_bytes_per_file": self.rss_bytes as f64 / files as f64,
            "peak_bytes": self.peak_bytes,
            "first_ms": self.first_ms,
        })
    }
}

impl Figures {
    /// The figures as rows of ratios: to the smallest project, and to git.
    fn ratios(&self, files: usize, first: Option<&(usize, Figures)>) -> Vec<Value> {
        let row = |measure: &str, ours: &[f64], peer: (String, &[f64]), target: f64| {
            let (peer, theirs) = peer;
            let ratio = median(ours) / median(theirs);
            json!({
                "measure": format!("{measure}, {files} files"),
                "hd": { "all": ours },
                "peer": { "name": peer, "all": theirs },
                "ratio": ratio,
                "target": { "ratio_at_most": target },
                "met": ratio <= target,
            })
        };
        let mut rows = vec![row(
            "nothing changed",
            &self.no_change_ms,
            ("git status".to_owned(), &self.git_status_ms),
            NO_CHANGE_AT_MOST,
        )];
        if let Some((fewest, first)) = first.filter(|(fewest, _)| *fewest != files) {
            let edits = EDITS.iter().zip(self.edits.iter().zip(&first.edits));
            rows.extend(edits.map(|(edit, (ours, theirs))| {
                let first = (format!("{fewest} files"), theirs.as_slice());
                row(edit.name, ours, first, EDIT_AT_MOST)
            }));
        }
        rows
    }
}

fn print(files: usize, figures: &Figures, first: Option<&Figures>) {
    eprintln!("\n{files} files");
    for (index, edit) in EDITS.iter().enumerate() {
        let ms = median(&figures.edits[index]);
        let against = first.map(|first| ms / median(&first.edits[index]));
        let against = against.map_or(String::new(), |ratio| format!("  {ratio:.2} × the first"));
        eprintln!("  {:<32} {ms:>9.1} ms{against}", edit.name);
    }
    let (ours, git) = (
        median(&figures.no_change_ms),
        median(&figures.git_status_ms),
    );
    eprintln!(
        "  {:<32} {:>9.2} ms",
        "processor time of an edit", figures.edit_cpu_ms
    );
    eprintln!(
        "  {:<32} {ours:>9.1} ms  {:.2} × git status ({git:.1} ms)",
        "nothing changed, up --once",
        ours / git
    );
    eprintln!(
        "  {:<32} {:>9.1} ms",
        "first start until ready", figures.first_ms
    );
    for (name, bytes) in [
        ("memory of the running hd", figures.rss_bytes),
        ("the most it ever was", figures.peak_bytes),
    ] {
        let (mib, per_file) = (bytes as f64 / 1_048_576.0, bytes as f64 / files as f64);
        eprintln!("  {name:<32} {mib:>9.1} MiB, {per_file:.0} bytes a file");
    }
}

/// A project of one size.
struct Place {
    hd: PathBuf,
    project: PathBuf,
    home: PathBuf,
}

impl Place {
    fn make(target: &Path, files: usize) -> Result<Self, Failure> {
        let project = target.join("bench-sets").join(format!("scale-{files}"));
        let home = target.join("bench-scale-home");
        remove_dir(&home)?;
        if !project.exists() {
            eprintln!("xtask: making {files} files");
            let part = project.with_extension("part");
            remove_dir(&part)?;
            tiny::make(&part, files)?;
            write(&part.join("hd.toml"), HD_TOML)?;
            commit_all(&part)?;
            std::fs::rename(&part, &project).doing(|| format!("naming {}", project.display()))?;
        }
        Ok(Self {
            hd: target.join("release/hd"),
            project,
            home,
        })
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.hd);
        command.args(args).current_dir(&self.project);
        command.env("HD_HOME", &self.home).env_remove("RUST_LOG");
        command
    }

    fn measure(&self, runs: usize) -> Result<Figures, Failure> {
        let started = Instant::now();
        let mut up = Up::start(self.command(&["--progress", "json", "up"]))?;
        let first_ms = started.elapsed().as_secs_f64() * 1000.0;
        let (edits, edit_cpu_ms) = self.edits(&up, runs)?;
        let (rss_bytes, peak_bytes) = up.memory_bytes()?;
        output(&mut self.command(&["down"]))?;
        up.ended()?;
        let (mut no_change_ms, mut git_status_ms) = (Vec::new(), Vec::new());
        for _ in 0..runs {
            no_change_ms.push(measure(&mut self.command(&["up", "--once", "--json"]))?.wall_ms);
            let mut git = Command::new("git");
            git.args(["status", "--porcelain"])
                .current_dir(&self.project);
            git_status_ms.push(measure(&mut git)?.wall_ms);
        }
        Ok(Figures {
            edits,
            edit_cpu_ms,
            no_change_ms,
            git_status_ms,
            rss_bytes,
            peak_bytes,
            first_ms,
        })
    }

    fn edits(&self, up: &Up, runs: usize) -> Result<(Vec<Vec<f64>>, f64), Failure> {
        // The watcher is alive once it has told of a save; what comes first pays for much once.
        for edit in &EDITS {
            self.edit(up, edit, 0)?;
        }
        let mut all = Vec::new();
        let mut edit_cpu_ms = f64::NAN;
        for edit in &EDITS {
            let before = up.cpu_ms()?;
            let times = (1..=runs).map(|round| self.edit(up, edit, round));
            all.push(times.collect::<Result<Vec<f64>, Failure>>()?);
            if !edit.restarts {
                edit_cpu_ms = (up.cpu_ms()? - before) / runs as f64;
            }
        }
        Ok((all, edit_cpu_ms))
    }

    /// Writes content that was never there; gives the time until the edit is over.
    fn edit(&self, up: &Up, edit: &Edit, round: usize) -> Result<f64, Failure> {
        let nonce = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |now| now.as_nanos());
        let (first, turns) = edit.files;
        let number = first + round % turns;
        let started = Instant::now();
        write(
            &self.project.join(format!("d00000/f{number:06}.json")),
            &format!("{{\"edit\": {nonce}}}\n"),
        )?;
        let batch = |event: &Value| event["event"] == "batch";
        if edit.restarts {
            up.wait(is_ready)?;
            let took = started.elapsed();
            return Ok(took.as_secs_f64() * 1000.0);
        }
        up.wait(batch)?;
        Ok(started.elapsed().as_secs_f64() * 1000.0)
    }
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).doing(|| format!("writing {}", path.display()))
}
