//! Exported images run under Docker and Podman.

use std::path::Path;
use std::time::Duration;

use hd_integration::{Env, LONG, Run, http, needs, skip_unless, until};
use serde_json::Value;

fn export(env: &Env, target: &str, base: &str) -> Value {
    let args = ["export", "--json", target, "--base", base];
    env.hd(args).finish().ok().json()
}

/// Flask-demo, built on a real Python image and exported in two ways.
struct Flask {
    env: Env,
    archive: String,
    /// What Docker and Podman call the image.
    id: String,
}

fn flask() -> Flask {
    let env = Env::example("flask-demo");
    let registry = needs::registry().expect("checked by skip_unless");
    let base = format!("{registry}/python:3.11-slim");
    let layout = format!("{}/layout", env.mark().display());
    let target = format!("oci:{layout}:1");
    let first = export(&env, &target, &base);
    let second = export(&env, &target, &base);
    assert_eq!(
        first["digest"], second["digest"],
        "exported twice gives one digest"
    );
    let archive = format!("{}/image.tar", env.mark().display());
    let name = format!("docker-archive:{archive}:hd-test-{}:1", std::process::id());
    let exported = export(&env, &name, &base);
    let id = exported["id"].as_str().expect("an id").to_owned();
    Flask { env, archive, id }
}

fn answers(env: &Env, engine: &str) {
    let port = env.port(0);
    let page = until(
        &format!("the exported image answers under {engine}"),
        LONG,
        || http::get(port, "/version").filter(|answer| answer.status == 200),
    );
    assert!(page.body.contains("1.0.0"), "{}", page.body);
}

#[test]
fn flask_demo_answers_under_docker() {
    skip_unless!(
        needs::fuse(),
        needs::registry(),
        needs::package_index(),
        needs::docker()
    );
    let Flask { env, archive, id } = flask();
    let name = format!("hd-test-{}", std::process::id());
    let docker = |args: &[&str]| {
        Run::new(Path::new("docker"))
            .args(args)
            .deadline(LONG)
            .finish()
    };
    docker(&["load", "-q", "-i", &archive]).ok();
    let ends = Undo(vec![
        ["docker", "rm", "-f", &name].map(str::to_owned).into(),
        ["docker", "rmi", "-f", &id].map(str::to_owned).into(),
    ]);
    docker(&["run", "-d", "--network", "host", "--name", &name, &id]).ok();
    answers(&env, "docker");
    drop(ends);
}

#[test]
fn flask_demo_answers_under_podman() {
    skip_unless!(
        needs::fuse(),
        needs::root(),
        needs::registry(),
        needs::package_index(),
        needs::program("podman")
    );
    let Flask { env, archive, id } = flask();
    let place = env.mark().display().to_string();
    let (root, run) = (format!("{place}/containers"), format!("{place}/run"));
    let runtime = needs::program("runc").or_else(|_| needs::program("crun"));
    let runtime = runtime.expect("podman brings one").display().to_string();
    // It writes into no registry of containers but its own.
    let own: Vec<String> = [
        "podman",
        "--root",
        &root,
        "--runroot",
        &run,
        "--storage-driver",
        "overlay",
        "--runtime",
        &runtime,
        "--cgroup-manager",
        "cgroupfs",
    ]
    .map(str::to_owned)
    .into();
    let podman = |args: &[&str]| {
        Run::new(Path::new("podman"))
            .args(
                own[1..]
                    .iter()
                    .map(String::as_str)
                    .chain(args.iter().copied()),
            )
            .deadline(LONG)
            .finish()
    };
    podman(&["load", "-q", "-i", &archive]).ok();
    let id = id.trim_start_matches("sha256:");
    let undo = |last: &[&str]| {
        own.iter()
            .cloned()
            .chain(last.iter().map(|word| (*word).to_owned()))
            .collect()
    };
    let ends = Undo(vec![
        undo(&["rm", "-f", "-t", "0", "web"]),
        undo(&["rmi", "-f", "-a"]),
        ["umount", "-l", &format!("{root}/overlay")]
            .map(str::to_owned)
            .into(),
    ]);
    // Podman's own limits are higher than what a machine without CAP_SYS_RESOURCE may ask for.
    let limits = [
        "--ulimit",
        "nofile=1024:1024",
        "--ulimit",
        "nproc=1024:1024",
    ];
    let run = ["run", "-d", "--network", "host", "--name", "web"];
    podman(&[&run[..], &limits, &[id]].concat()).ok();
    answers(&env, "podman");
    drop(ends);
}

/// Commands that are run when a test ends, however it does.
struct Undo(Vec<Vec<String>>);

impl Drop for Undo {
    fn drop(&mut self) {
        for words in &self.0 {
            let run = Run::new(Path::new(&words[0])).args(&words[1..]);
            // It may be gone already.
            let _ = run.deadline(Duration::from_secs(60)).finish();
        }
    }
}
