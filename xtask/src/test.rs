//! The one test command: sets the machine up, builds `hd`, serves the base images, runs all tests.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shell::{
    Doing, Failure, cargo, is_root, metadata, root, run as run_command, succeeds, target_dir,
};
use crate::{images, setup};

pub(crate) fn run(args: &[&str]) -> Result<(), Failure> {
    let strict = args.contains(&"--strict");
    let filter = match args
        .iter()
        .copied()
        .filter(|arg| *arg != "--strict")
        .collect::<Vec<_>>()[..]
    {
        [] => None,
        [filter] if !filter.starts_with('-') => Some(filter),
        _ => return Err(Failure::new("usage: cargo xtask test [FILTER] [--strict]")),
    };
    setup::run()?;
    if filter.is_none()
        && is_root()
        && let Err(failure) = crate::suites()
    {
        eprintln!("xtask: the POSIX suites stay missing and their tests are skipped: {failure}");
    }
    let target = target_dir()?;
    let features = fault_feature()?;
    let skips = target.join("test-skips");
    let _ = std::fs::remove_file(&skips);

    let mut tests = test_command(filter);
    tests
        .args(&features)
        .env("HD_PLAIN_BIN", build_hd(&target, &[], "hd-plain")?)
        .env("HD_BIN", build_hd(&target, &features, "hd")?)
        .env("HD_XTASK", kept(&target, "xtask", "xtask")?)
        .env("HD_TEST_SKIPS", &skips);
    if let Err(why) = package_index() {
        tests.env("HD_TEST_OFFLINE", why);
    }
    let images = Images::find();
    images.tell(&mut tests);
    let tested = run_command(&mut tests).and_then(|()| doctests(filter, &features));
    images.stop()?;
    let skipped = report_skips(&skips);
    tested?;
    images.check()?;
    if strict && skipped > 0 {
        return Err(Failure::new(format!(
            "--strict: {skipped} tests were skipped"
        )));
    }
    Ok(())
}

/// Where the base images come from.
enum Images {
    /// A registry that the caller serves: it is in the environment that the tests inherit.
    Told,
    Served(images::Served),
    /// This machine cannot have any: their tests are skipped.
    Cannot(&'static str),
    /// It can, but something went wrong: that must not pass for a skip.
    Failed(Failure),
}

impl Images {
    fn find() -> Self {
        if std::env::var_os("HD_TEST_REGISTRY").is_some() {
            return Self::Told;
        }
        match images::cannot() {
            Some(why) => Self::Cannot(why),
            None => images::up().map_or_else(Self::Failed, Self::Served),
        }
    }

    fn tell(&self, tests: &mut Command) {
        let why = match self {
            Self::Told => return,
            Self::Served(served) => {
                tests.env("HD_TEST_REGISTRY", &served.registry);
                tests.env("HD_TEST_FIXTURES_TSV", &served.fixtures_tsv);
                return;
            }
            Self::Cannot(why) => (*why).to_owned(),
            Self::Failed(failure) => failure.to_string(),
        };
        eprintln!("xtask: no base images: {why}");
        tests.env("HD_TEST_NO_REGISTRY", why);
    }

    fn stop(&self) -> Result<(), Failure> {
        match self {
            Self::Served(served) if served.started => images::stop(),
            _ => Ok(()),
        }
    }

    fn check(self) -> Result<(), Failure> {
        match self {
            Self::Failed(failure) => Err(failure),
            _ => Ok(()),
        }
    }
}

/// Builds `hd` with these features and puts it where no other build replaces it.
fn build_hd(target: &Path, features: &[String], name: &str) -> Result<PathBuf, Failure> {
    run_command(
        cargo()
            .args(["build", "--workspace", "--bins"])
            .args(features),
    )?;
    kept(target, "hd", name)
}

/// Copies a binary that was built to where no other build replaces it.
pub(crate) fn kept(target: &Path, program: &str, name: &str) -> Result<PathBuf, Failure> {
    let kept = target.join("test-bin").join(name);
    let built = target.join("debug").join(program);
    std::fs::create_dir_all(target.join("test-bin"))
        .and_then(|()| match std::fs::remove_file(&kept) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => std::fs::copy(&built, &kept).map(|_| ()),
        })
        .doing(|| format!("copying {}", built.display()))?;
    Ok(kept)
}

/// `--features hd-cli/fault` when hd-cli has it: tests inject panics through it.
fn fault_feature() -> Result<Vec<String>, Failure> {
    let metadata = metadata()?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let has = packages
        .filter(|package| package["name"] == "hd-cli")
        .any(|package| package["features"].get("fault").is_some());
    Ok(if has {
        vec!["--features".to_owned(), "hd-cli/fault".to_owned()]
    } else {
        Vec::new()
    })
}

fn test_command(filter: Option<&str>) -> Command {
    let mut tests = cargo();
    if succeeds(cargo().args(["nextest", "--version"])) {
        tests.args(["nextest", "run", "--workspace", "--no-fail-fast"]);
        tests
            .arg("--config-file")
            .arg(root().join("integration/nextest.toml"));
    } else {
        tests.args([
            "test",
            "--workspace",
            "--no-fail-fast",
            "--lib",
            "--bins",
            "--tests",
        ]);
    }
    tests.args(filter);
    tests
}

/// nextest does not run doctests, and a filter means somebody is after something else.
fn doctests(filter: Option<&str>, features: &[String]) -> Result<(), Failure> {
    if filter.is_some() {
        return Ok(());
    }
    let mut tests = cargo();
    // The features of the other tests, lest everything is built once more.
    run_command(tests.args(["test", "--workspace", "--doc"]).args(features))
}

/// Whether pip finds a package: the examples install from the index.
fn package_index() -> Result<(), String> {
    let scratch = std::env::temp_dir().join(format!("hd-index-{}", std::process::id()));
    let found = succeeds(
        Command::new("python3")
            .args([
                "-m",
                "pip",
                "download",
                "--quiet",
                "--no-deps",
                "--no-cache-dir",
                "--dest",
            ])
            .arg(&scratch)
            .arg("itsdangerous==2.2.0"),
    );
    let _ = std::fs::remove_dir_all(&scratch);
    found
        .then_some(())
        .ok_or_else(|| "pip cannot download from its package index".to_owned())
}

/// Prints what was skipped and why; answers how many.
fn report_skips(file: &Path) -> usize {
    let Ok(text) = std::fs::read_to_string(file) else {
        return 0;
    };
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    eprintln!("xtask: {} tests were skipped:", lines.len());
    for line in &lines {
        eprintln!("  {line}");
    }
    lines.len()
}
