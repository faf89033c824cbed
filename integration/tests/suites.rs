//! The POSIX suites `pjdfstest` and `fsx` on a view of a service: nothing fails there that a kernel
//! overlayfs on an ordinary file system does not fail too.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use hd_integration::{Env, LONG, Run, Up, needs, skip_unless};

const TOML: &str = r#"
[environment]
name = "suites"

[build]
steps = ["head -c 300000 /dev/zero | tr '\\0' x > $HOME/lower.bin"]

[services.idle]
command = "sleep 1000000"
"#;

/// Naps must be longer than the clock tick by which a kernel stamps files.
const PJDFSTEST_TOML: &str = r#"
[features]
posix_fallocate = {}

[settings]
naptime = 0.02
allow_remount = false

[dummy_auth]
entries = [["nobody", "nogroup"], ["daemon", "daemon"]]
"#;

/// Where the suites are, built by `cargo xtask suites`.
fn suite(name: &str) -> Result<PathBuf, String> {
    let target = hd_integration::env::binary();
    let built = target
        .ancestors()
        .nth(2)
        .map(|target| target.join("suites/bin"));
    let built = built
        .map(|bin| bin.join(name))
        .filter(|suite| suite.is_file());
    built
        .map_or_else(|| needs::program(name), Ok)
        .map_err(|_| format!("no {name}: `cargo xtask suites` builds it"))
}

/// A running service, and where its view can be written.
struct View {
    env: Env,
    _up: Up,
    pid: u64,
    home: String,
}

impl View {
    fn start(suite: &Path) -> Self {
        let env = Env::project(&[("hd.toml", TOML), ("pjdfstest.toml", PJDFSTEST_TOML)]);
        std::fs::copy(suite, env.path("suite")).expect("a copy of the suite in the project");
        let mut up = env.up();
        up.wait_line(0, &["idle", "ready"]);
        let pid = env.status().value()["services"][0]["pid"].as_u64();
        let pid = pid.expect("a running service has a pid");
        let home = env.hd(["exec", "sh", "-c", "echo $HOME"]).finish().ok();
        let home = home.stdout.trim().to_owned();
        Self {
            env,
            _up: up,
            pid,
            home,
        }
    }

    /// Runs as the machine's root inside the view, past the sandbox's own limits.
    fn inside(&self, script: &str) -> Run {
        let pid = self.pid.to_string();
        Run::new(Path::new("nsenter"))
            .args([
                "--target", &pid, "--mount", "--pid", "--root", "sh", "-c", script,
            ])
            .env("HOME", &self.home)
            .dir(self.env.mark())
            .deadline(LONG)
    }
}

fn failed(output: &str) -> BTreeSet<String> {
    let lines = output
        .lines()
        .filter(|line| line.trim_end().ends_with("FAILED"));
    lines
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

fn ran(output: &str) -> usize {
    output
        .lines()
        .filter(|line| line.trim_end().ends_with(" ok") || line.trim_end().ends_with("FAILED"))
        .count()
}

#[test]
fn pjdfstest_fails_nothing_that_overlayfs_does_not() {
    let pjdfstest = suite("pjdfstest");
    skip_unless!(
        needs::fuse(),
        needs::root(),
        needs::program("nsenter"),
        pjdfstest
    );
    let pjdfstest = pjdfstest.unwrap_or_default();
    let view = View::start(&pjdfstest);
    let ours = view
        .inside("stat -f -c %T $HOME && cd $HOME && mkdir -m 755 posix && /workspace/suite -c /workspace/pjdfstest.toml -p $HOME/posix")
        .finish();
    assert!(ours.stdout.starts_with("overlayfs"), "{}", ours.said());
    let theirs = peer(&view.env, &pjdfstest).finish();
    assert!(ran(&theirs.stdout) > 300, "{}", theirs.said());
    assert_eq!(ran(&ours.stdout), ran(&theirs.stdout), "{}", ours.said());
    let said = ours.said();
    let (ours, theirs) = (failed(&ours.stdout), failed(&theirs.stdout));
    let more: Vec<_> = ours.difference(&theirs).collect();
    assert!(
        more.is_empty(),
        "failed on the view alone: {more:?}: {said}"
    );
}

/// The same suite on an overlay whose lower is a plain directory.
fn peer(env: &Env, pjdfstest: &Path) -> Run {
    let place = env.mark().join("peer");
    for dir in ["lower/posix", "top"] {
        std::fs::create_dir_all(place.join(dir)).expect("a directory for the peer");
    }
    let script = format!(
        "cd {place} && mount -t tmpfs top top && mkdir top/upper top/work top/merged && \
         mount -t overlay peer -o nodev,nosuid,lowerdir=lower,upperdir=top/upper,workdir=top/work,\
         redirect_dir=nofollow,metacopy=off,index=off,xino=off top/merged && \
         {suite} -c {config} -p {place}/top/merged/posix",
        place = place.display(),
        suite = pjdfstest.display(),
        config = env.path("pjdfstest.toml").display(),
    );
    Run::new(Path::new("unshare"))
        .args(["--mount", "sh", "-c", &script])
        .dir(env.mark())
        .deadline(LONG)
}

#[test]
fn fsx_finds_nothing_on_new_files_and_on_files_of_the_lower() {
    let fsx = suite("fsx");
    skip_unless!(needs::fuse(), needs::root(), needs::program("nsenter"), fsx);
    let view = View::start(&fsx.unwrap_or_default());
    view.inside(
        "set -e; cd $HOME; test $(stat -c %s lower.bin) = 300000; \
         for seed in 1 2 3; do /workspace/suite -q -S $seed -N 2000 -P /tmp new.$seed; done; \
         /workspace/suite -q -S 4 -N 2000 -P /tmp lower.bin",
    )
    .finish()
    .ok();
}
