//! `hd ingest`: Dockerfiles translated, run, and compared with what `docker build` makes of them.
//!
//! Each directory of `integration/ingest` has a Dockerfile and, in `expected.tree`, the paths that
//! `docker build` changes in its base; those lists were made by Docker (`HD_TEST_DOCKER=write` writes
//! them anew, `HD_TEST_DOCKER=1` compares with the engine that answers). Debian's reads no heredocs: it
//! gets `Dockerfile.plain`, which says the same without them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use hd_integration::env::workspace;
use hd_integration::tree::{self, Tree};
use hd_integration::{Env, Run, SHORT, files, leftovers, needs, skip_unless};

fn fixtures() -> PathBuf {
    workspace().join("integration/ingest")
}

fn registry() -> String {
    format!(
        "REGISTRY={}",
        needs::registry().expect("checked by skip_unless")
    )
}

/// Paths that may differ, each with its reason in the file.
fn differences() -> Vec<String> {
    let text = files::read(&fixtures().join("differences.txt"));
    let lines = text
        .lines()
        .filter_map(|line| line.split('#').next())
        .map(str::trim);
    lines
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}

fn workdir(env: &Env) -> String {
    let text = files::read(&env.path("hd.toml"));
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("workdir = "));
    line.map_or("/workspace", |line| line.trim_matches('"'))
        .to_owned()
}

/// The tree as one more step sees it: services see the project itself, and no file that a step made
/// inside it.
fn listed(env: &Env, project: &str) -> Tree {
    let file = env.path("hd.toml");
    let before = files::read(&file);
    let step = format!("(set -- {project}\n{}) > /.listing", tree::SCRIPT);
    let text = if before.contains("[[build.step]]") {
        format!("{before}\n[[build.step]]\nname = \"listing\"\nrun = '''{step}'''\n")
    } else if let Some((head, tail)) = before.split_once("\n]\n") {
        assert!(head.contains("steps = ["), "{before}");
        format!("{head}\n    '''{step}''',\n]\n{tail}")
    } else {
        format!("{before}\n[build]\nsteps = ['''{step}''']\n")
    };
    files::write(&file, &text);
    let done = env.hd(["run", "cat", "/.listing"]).finish().ok();
    files::write(&file, &before);
    let mut tree = tree::read(&done.stdout);
    tree.remove("/.listing");
    assert!(tree.len() > 100, "not much of a tree: {}", done.said());
    tree
}

/// What the environment holds beyond its base.
fn changed_by_hd(env: &Env) -> BTreeSet<String> {
    let toml = files::read(&env.path("hd.toml"));
    let base = toml
        .lines()
        .find(|line| line.starts_with("base = "))
        .expect("a base");
    let bare = format!("[environment]\nname = \"bare\"\n{base}\nworkdir = \"/hd-nothing\"\n");
    let bare = Env::project(&[("hd.toml", &bare)]);
    let project = workdir(env);
    let base = listed(&bare, &project);
    tree::changed(&listed(env, &project), &base, &differences())
}

/// Path of a line of a tree.
fn path(line: &str) -> &str {
    line.find(" /")
        .and_then(|at| line.get(at + 1..))
        .unwrap_or_default()
}

/// Tells whether a line is about a file of the project itself.
fn is_of_project(line: &str, env: &Env) -> bool {
    let below = path(line)
        .strip_prefix(&workdir(env))
        .map(|rest| rest.trim_start_matches('/'));
    below.is_some_and(|below| env.path(below).exists())
}

/// The project is there whole, whatever a Dockerfile copies of it.
fn without_project(
    changed: &BTreeSet<String>,
    env: &Env,
    expected: &BTreeSet<String>,
) -> BTreeSet<String> {
    let of_project = |line: &&String| is_of_project(line, env);
    changed
        .iter()
        .filter(|line| expected.contains(*line) || !of_project(line))
        .cloned()
        .collect()
}

/// Files of the project belong to who runs it, whatever --chown says.
fn without_owners(lines: &BTreeSet<String>, env: &Env) -> BTreeSet<String> {
    let plain = |line: &String| match line.split(' ').nth(1) {
        Some(owner) if is_of_project(line, env) => line.replacen(owner, "-", 1),
        _ => line.clone(),
    };
    lines.iter().map(plain).collect()
}

fn docker(args: &[&str], directory: &Path) -> Run {
    Run::new(Path::new("/usr/bin/docker"))
        .args(args)
        .dir(directory)
        .env("DOCKER_BUILDKIT", "1")
}

/// What `docker build` changes in the base, where an engine is to be asked.
fn changed_by_docker(name: &str, env: &Env) -> BTreeSet<String> {
    let directory = fixtures().join(name);
    let tag = format!("hd-ingest-{name}");
    // The syntax image cannot be had everywhere; the engine's own front end reads the file.
    let plain = directory.join("Dockerfile.plain");
    let read = if plain.exists() {
        plain
    } else {
        directory.join("Dockerfile")
    };
    let text = files::read(&read).replace("# syntax=", "# no syntax=");
    let file = tempfile::NamedTempFile::new().expect("a Dockerfile");
    std::fs::write(file.path(), text).expect("write the Dockerfile");
    let file = file.path().to_str().expect("a path of text");
    let arg = registry();
    docker(
        &[
            "build",
            "-q",
            "--network",
            "host",
            "-t",
            &tag,
            "-f",
            file,
            "--build-arg",
            &arg,
            ".",
        ],
        &directory,
    )
    .finish()
    .ok();
    let project = workdir(env);
    let run = |image: &str| {
        let options = [
            "run",
            "--rm",
            "--network",
            "none",
            "--user",
            "0",
            "--entrypoint",
            "sh",
            "-v",
        ];
        let script = files_script();
        let volume = format!("{}:/tmp/list.sh:ro", script.path().display());
        let args: Vec<&str> = options
            .into_iter()
            .chain([volume.as_str(), image, "/tmp/list.sh", &project])
            .collect();
        tree::read(&docker(&args, &directory).finish().ok().stdout)
    };
    let toml = files::read(&env.path("hd.toml"));
    let base = toml
        .lines()
        .find_map(|line| line.strip_prefix("base = "))
        .expect("a base");
    let changed = tree::changed(&run(&tag), &run(base.trim_matches('"')), &differences());
    // What the engine itself mounts.
    let own = [
        "/etc/hosts",
        "/etc/hostname",
        "/etc/resolv.conf",
        "/.dockerenv",
    ];
    changed
        .into_iter()
        .filter(|line| !own.iter().any(|path| line.ends_with(path)))
        .collect()
}

fn files_script() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a script");
    std::fs::write(file.path(), tree::SCRIPT).expect("write the script");
    file
}

/// Translates a fixture and makes its steps true.
fn ingested(name: &str, code: i32) -> Env {
    let env = Env::copy(&fixtures().join(name));
    std::fs::remove_file(env.path("expected.tree")).unwrap_or_default();
    env.hd(["ingest", "--build-arg", &registry()])
        .finish()
        .expect_code(code);
    env.once();
    env
}

/// Compares with the expected tree.
fn compare(name: &str, env: &Env) {
    let file = fixtures().join(name).join("expected.tree");
    let asked = std::env::var("HD_TEST_DOCKER").unwrap_or_default();
    if !asked.is_empty() {
        let by_docker = changed_by_docker(name, env);
        let text: String = by_docker.iter().map(|line| format!("{line}\n")).collect();
        if asked == "write" {
            files::write(&file, &text);
        }
        assert_eq!(
            files::read(&file),
            text,
            "{name}: Docker makes another tree now"
        );
    }
    let expected: BTreeSet<String> = files::read(&file).lines().map(str::to_owned).collect();
    assert!(
        expected.len() > 2,
        "{name}: an empty expectation proves nothing"
    );
    let expected = without_owners(&expected, env);
    let changed = without_owners(&changed_by_hd(env), env);
    let found = without_project(&changed, env, &expected);
    let missing: Vec<_> = expected.difference(&found).collect();
    assert!(
        missing.is_empty(),
        "{name}: missing or otherwise than by Docker: {missing:#?}\n{}",
        near(&missing, &changed)
    );
    let more: Vec<_> = found.difference(&expected).collect();
    assert!(more.is_empty(), "{name}: not made by Docker: {more:#?}");
}

/// What `hd` made at the paths that differ.
fn near(missing: &[&String], found: &BTreeSet<String>) -> String {
    let paths: Vec<&str> = missing.iter().map(|line| path(line)).collect();
    let lines = found.iter().filter(|line| paths.contains(&path(line)));
    lines.map(|line| format!("hd: {line}\n")).collect()
}

macro_rules! fixture {
    ($test:ident, $name:literal $(, $need:expr)*) => {
        #[test]
        fn $test() {
            skip_unless!(needs::fuse(), needs::root(), needs::registry() $(, $need)*);
            let env = ingested($name, 0);
            compare($name, &env);
            env.once().ran(&[]);
        }
    };
}

fixture!(python_service, "python-service", needs::package_index());
fixture!(node_stages, "node-stages", needs::package_index());
fixture!(c_stages, "c-stages", needs::package_index());
fixture!(busybox_files, "busybox-files");
fixture!(heredocs, "heredocs");
fixture!(build_args, "build-args");
fixture!(cache_mounts, "cache-mounts", needs::package_index());
fixture!(next_standalone, "next-standalone", needs::package_index());
fixture!(static_server, "static-server", needs::package_index());
fixture!(
    server_entrypoint,
    "server-entrypoint",
    needs::package_index()
);

/// What Docker made of the plain twin is held against what hd makes of the heredocs, so the two must say
/// the same.
#[test]
fn the_plain_twin_of_the_heredocs() {
    skip_unless!(needs::fuse(), needs::root(), needs::registry());
    let env = Env::copy(&fixtures().join("heredocs"));
    std::fs::remove_file(env.path("expected.tree")).unwrap_or_default();
    let args = ["ingest", "Dockerfile.plain", "--build-arg", &registry()];
    env.hd(args).finish().ok();
    env.once();
    compare("heredocs", &env);
}

#[test]
fn no_more_than_ten_patterns_are_left_out() {
    assert!(differences().len() < 10, "{:?}", differences());
}

#[test]
fn the_service_runs_and_answers() {
    skip_unless!(
        needs::fuse(),
        needs::root(),
        needs::registry(),
        needs::package_index()
    );
    let env = ingested("python-service", 0);
    let port = hd_integration::ports::Port::free();
    let text = files::read(&env.path("hd.toml")).replace("8080", &port.number.to_string());
    files::write(&env.path("hd.toml"), &text);
    let mut up = env.up();
    up.wait_http(port.number, "/hello", "/hello.");
    up.interrupt();
    leftovers::expect_none(env.mark(), SHORT);
}
