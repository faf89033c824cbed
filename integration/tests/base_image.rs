//! `--base` with real images from a real registry over HTTP.

use hd_integration::{Env, SHORT, files, leftovers, needs, samples, skip_unless};

fn image(name: &str) -> String {
    format!(
        "{}/{name}",
        needs::registry().expect("checked by skip_unless")
    )
}

#[test]
fn flask_demo_on_python() {
    skip_unless!(needs::fuse(), needs::registry(), needs::package_index());
    let env = Env::example("flask-demo");
    let base = ["--base", &image("python:3.11-slim")];
    let first = env.once_with(&base);
    first.ran(&["step-1", "step-2"]);
    assert_eq!(first.value()["base"], base[1]);
    let second = env.once_with(&base);
    assert_eq!(second.ran(&[]).root(), first.root());

    let mut up = env.up_with(&base);
    let page = up.wait_http(env.port(0), "/", "<h1>flask-demo");
    assert!(page.contains("<dt>Python</dt><dd>3.11"), "{page}");
    files::replace(&env.path("config.py"), "1.0.0", "2.0.0");
    up.wait_http(env.port(0), "/version", "2.0.0");
    up.interrupt();
    leftovers::expect_none(env.mark(), SHORT);
    assert_eq!(env.added(), [""; 0]);
}

#[test]
fn node_web_on_node() {
    skip_unless!(needs::fuse(), needs::registry(), needs::package_index());
    let env = Env::example("node-web");
    let mut up = env.up_with(&["--base", &image("node:20-slim")]);
    up.wait_http(env.port(0), "/version", "1.0.0");
    let page = up.wait_http(env.port(0), "/", "<h1>node-web");
    assert!(page.contains("served by Node v20."), "{page}");
}

#[test]
fn the_base_is_part_of_the_root() {
    skip_unless!(needs::fuse(), needs::registry());
    let env = samples::observing("mkdir out && cp /etc/passwd out/users", &[]);
    let busybox = env.once_with(&["--base", &image("busybox:1")]);
    busybox.ran(&["step-1"]);
    let debian = env.once_with(&["--base", &image("debian:12-slim")]);
    debian.ran(&["step-1"]);
    assert_ne!(busybox.root(), debian.root());
    assert_ne!(busybox.view(), debian.view());
    // Back again: nothing to pull, nothing to run.
    let again = env.once_with(&["--base", &image("busybox:1")]);
    assert_eq!(again.ran(&[]).root(), busybox.root());
    assert_eq!(again.view(), busybox.view());
}

#[test]
fn each_way_of_packing_gives_the_same_tree() {
    skip_unless!(needs::fuse(), needs::registry());
    let toml = "[environment]\nname = \"packing\"\nworkdir = \"/srv/app\"\n\n[build]\nsteps = [\"cat /opt/keep/file /opt/new-in-3\"]\n";
    let env = Env::project(&[("hd.toml", toml)]);
    let views = ["layers:1", "layers:zstd", "layers:v2s2", "multi:1"].map(|name| {
        env.once_with(&["--base", &image(&format!("fixtures/{name}"))])
            .view()
            .to_owned()
    });
    for view in &views {
        assert_eq!(view, &views[0], "{views:#?}");
    }
}

#[test]
fn apt_get_works_inside() {
    skip_unless!(
        needs::fuse(),
        needs::root(),
        needs::registry(),
        needs::package_index()
    );
    let env = samples::observing(
        "apt-get -qq update && apt-get -qq install --no-install-recommends make && make --version",
        &[],
    );
    let base = ["--base", &image("debian:12-slim")];
    env.once_with(&base).ran(&["step-1"]);
    let done = env
        .hd(["run", "--base", base[1], "make", "--version"])
        .finish()
        .ok();
    assert!(done.stdout.starts_with("GNU Make"), "{}", done.said());
    env.once_with(&base).ran(&[]);
}

#[test]
fn an_unknown_image_and_an_unreachable_registry_are_named() {
    skip_unless!(needs::fuse(), needs::registry());
    let env = samples::chain();
    let unreachable = "127.0.0.1:1/busybox:1".to_owned();
    for base in [
        image("no/such:image"),
        image("busybox:no-such-tag"),
        unreachable,
    ] {
        let failed = env.hd(["up", "--once", "--json", "--base", &base]).finish();
        assert_ne!(failed.code(), 0, "{}", failed.said());
        let text = failed.report().error_text();
        assert!(text.contains(&base), "{text}");
    }
}
