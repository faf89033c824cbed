//! `hd diff` says what services wrote into their views, `hd reset` drops it.

use hd_integration::{Env, SHORT, Up, files, leftovers, needs, samples, skip_unless};

fn serving(env: Env) -> (Env, Up) {
    let mut up = env.up();
    up.wait_http(env.port(0), "/", "one");
    (env, up)
}

fn projected() -> Env {
    let env = samples::server();
    let toml = env.path("hd.toml");
    files::replace(&toml, "[options]", "[options]\nproject = \"projected\"");
    env
}

fn inside(env: &Env, script: &str) -> String {
    env.hd(["exec", "sh", "-c", script]).finish().ok().stdout
}

/// Drops what services wrote, and waits until the service that runs is another process.
fn reset(env: &Env, up: &mut Up) {
    let pid = || env.status().service("web")["pid"].clone();
    let before = pid();
    env.hd(["reset", "web"]).finish().ok();
    up.until("it is another process", || {
        (pid() != before && !pid().is_null()).then_some(())
    });
}

fn diff(env: &Env) -> Vec<String> {
    let text = env.hd(["diff"]).finish().ok().stdout;
    text.lines().map(str::to_owned).collect()
}

/// Writes before its start what it reads, and takes as long for it as the gate is closed.
const PREPARED: &str = r#"
[environment]
name = "prepared"
[services.web]
command = ["sh", "-c", "cat made; exec sleep 1000"]
pre_start = "echo made > made; echo x > /gate/begun; while test -e /gate/closed; do sleep 0.02; done"
healthcheck = { log = "^made$" }
volumes = ["./gate:/gate"]
[options]
project = "projected"
"#;

#[test]
fn a_service_that_is_being_started_is_reset_too() {
    skip_unless!(needs::fuse());
    let env = Env::project(&[("hd.toml", PREPARED), ("gate/closed", "")]);
    let mut up = env.up();
    up.until("it prepares", || {
        env.path("gate/begun").exists().then_some(())
    });
    env.hd(["reset", "web"]).finish().ok();
    std::fs::remove_file(env.path("gate/closed")).expect("open the gate");
    up.wait_line(0, &["web", "ready"]);
    up.interrupt();
    leftovers::expect_none(env.mark(), SHORT);
}

#[test]
fn a_projected_service_is_told_and_reset() {
    skip_unless!(needs::fuse());
    let (env, mut up) = serving(projected());
    assert_eq!(diff(&env), [""; 0]);
    inside(
        &env,
        "mkdir -p made/deep && echo x > made/deep/file && echo more >> serve.py && rm .gitignore && ln -s made ~/link",
    );
    let home = inside(&env, "cd && pwd").trim().to_owned();
    let expected = [
        "web - /workspace/.gitignore".to_owned(),
        "web + /workspace/made/".to_owned(),
        "web + /workspace/made/deep/".to_owned(),
        "web + /workspace/made/deep/file".to_owned(),
        "web ~ /workspace/serve.py".to_owned(),
    ];
    let mut told = diff(&env);
    let link = format!("web + {home}/link");
    assert!(told.contains(&link), "{told:?}");
    told.retain(|line| *line != link);
    assert_eq!(told, expected);
    // What the host edits is no writing of the service's.
    files::write(&env.path("answer.txt"), "two\n");
    files::write(&env.path("host.txt"), "of the host\n");
    up.wait_http(env.port(0), "/", "two");
    told = diff(&env);
    assert!(
        !told
            .iter()
            .any(|line| line.contains("answer") || line.contains("host")),
        "{told:?}"
    );
    let listed = env.hd(["diff", "web", "--json"]).finish().ok().json();
    assert_eq!(listed["written"][0]["service"], "web");
    env.hd(["diff", "nobody"]).finish().expect_code(2);

    reset(&env, &mut up);
    up.wait_http(env.port(0), "/", "two");
    assert_eq!(diff(&env), [""; 0]);
    assert_eq!(
        inside(&env, "cat host.txt; ls -d made 2>/dev/null; true"),
        "of the host\n"
    );
    up.interrupt();
    leftovers::expect_none(env.mark(), SHORT);
    assert_eq!(env.hd(["diff"]).finish().code(), 2);
}

#[test]
fn a_live_service_is_told_what_it_wrote_beside_the_project() {
    skip_unless!(needs::fuse());
    let (env, mut up) = serving(samples::server_with_output());
    inside(
        &env,
        "echo x > out/more && echo y > out/answer.txt && echo z > of-the-project",
    );
    let told = diff(&env);
    assert_eq!(
        told,
        [
            "web ~ /workspace/out/answer.txt",
            "web + /workspace/out/more"
        ]
    );
    // The project is the host's own, so that is no layer's.
    assert_eq!(files::read(&env.path("of-the-project")), "z\n");
    reset(&env, &mut up);
    up.wait_http(env.port(0), "/", "one");
    assert_eq!(diff(&env), [""; 0]);
}
