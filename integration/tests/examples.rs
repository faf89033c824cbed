//! Every example of the project runs as it is, without a base.

use hd_integration::{Env, SHORT, Up, files, leftovers, needs, skip_unless, until};

fn down(env: &Env, mut up: Up) {
    env.hd(["down"]).finish().ok();
    up.wait_exit(SHORT);
    leftovers::expect_none(env.mark(), SHORT);
    assert_eq!(env.added(), [""; 0]);
}

#[test]
fn flask_demo() {
    skip_unless!(needs::fuse(), needs::package_index());
    let env = Env::example("flask-demo");
    let mut up = env.up();
    up.wait_http(env.port(0), "/", "<h1>flask-demo <small>1.0.0");
    up.wait_http(env.port(0), "/healthz", "ok");
    up.wait_line(0, &["web", "|", "Running on"]);
    down(&env, up);
}

#[test]
fn node_web() {
    skip_unless!(needs::fuse(), needs::package_index(), needs::program("npm"));
    let env = Env::example("node-web");
    let mut up = env.up();
    up.wait_http(env.port(0), "/version", "1.0.0");
    up.wait_http(env.port(0), "/", "<h1>node-web <small>1.0.0");
    let from = up.so_far();
    files::replace(&env.path("src/version.ts"), "1.0.0", "2.0.0");
    up.wait_http(env.port(0), "/version", "2.0.0");
    up.wait_line(from, &["version.ts", "1 ran"]);
    assert_eq!(env.status().steps("ran"), ["step-2"]);
    let from = up.so_far();
    files::replace(
        &env.path("public/index.html"),
        "<main>",
        "<main id=\"edited\">",
    );
    up.wait_http(env.port(0), "/", "<main id=\"edited\">");
    up.wait_line(from, &["index.html", "0 ran"]);
    down(&env, up);
}

#[test]
fn two_services() {
    skip_unless!(needs::fuse());
    let env = Env::example("two-services");
    let (worker, web) = (env.port(0), env.port(1));
    let mut up = env.up();
    up.wait_http(web, "/", "<h1>alder</h1>");
    up.wait_http(worker, "/word", "birch");
    let status = until("all three are where they belong", SHORT, || {
        let status = env.status();
        (status.service("web")["state"] == "ready").then_some(status)
    });
    assert_eq!(status.service("setup")["state"], "exited");
    assert_eq!(status.service("worker")["state"], "ready");
    // In order: the one-shot ended before the worker began, the worker before web.
    let said = up.said();
    let at = |text: &str| {
        said.find(text)
            .unwrap_or_else(|| panic!("no {text:?} in\n{said}"))
    };
    assert!(at("8 words") < at("worker on http"), "{said}");
    assert!(at("worker on http") < at("web on http"), "{said}");

    files::replace(
        &env.path("web.py"),
        "Reload for the next.",
        "Reload for more.",
    );
    up.wait_http(web, "/", "Reload for more.");
    let status = env.status();
    assert_eq!(status.service("web")["restarts"]["watch"], 1);
    assert_eq!(status.service("worker")["restarts"]["watch"], 0);
    down(&env, up);
}
