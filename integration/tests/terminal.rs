//! A command inside on a terminal: when `hd` leaves it, and what does not go to it.

use hd_integration::pty::Pty;
use hd_integration::{Env, Run, env, files, needs, skip_unless};

const TOML: &str = r#"[environment]
name = "terminal"

[services.web]
command = "sleep 1000"
watch = []
"#;

fn project() -> Env {
    Env::project(&[("hd.toml", TOML)])
}

/// A line of shell on a terminal; `$HD` is the binary, `$OUT` a place outside of the project.
fn on_terminal(env: &Env, line: &str) -> Pty {
    let run = Run::new(std::path::Path::new("sh"))
        .args(["-c", line])
        .dir(&env.path(""))
        .env("HD_HOME", env.home())
        .env("HD", env::binary())
        .env("OUT", env.mark());
    Pty::start(run.into_command())
}

#[test]
fn a_job_that_goes_on_talking_does_not_keep_hd() {
    skip_unless!(needs::fuse());
    let env = project();
    env.hd(["up", "-d", "--wait"]).finish().ok();
    // It ends once nobody has its terminal any more.
    let script = r#"trap "" HUP; while echo tick; do :; done & exit 5"#;
    let line = format!(r#"exec "$HD" exec sh -c '{script}'"#);
    let mut hd = on_terminal(&env, &line);
    assert_eq!(hd.wait_exit().code(), Some(5), "{}", hd.written());
    env.hd(["down"]).finish().ok();
}

#[test]
fn what_stderr_is_elsewhere_goes_there() {
    skip_unless!(needs::fuse());
    let env = project();
    let script = "echo seen; echo told >&2; test -t 0 && test -t 1 && ! test -t 2";
    let look = |verb: &str| {
        let line = format!(r#"exec "$HD" {verb} sh -c '{script}' 2> "$OUT/err.log""#);
        let mut hd = on_terminal(&env, &line);
        assert_eq!(hd.wait_exit().code(), Some(0), "{verb}: {}", hd.written());
        hd.wait_for("seen\r\n");
        let told = files::read(&env.mark().join("err.log"));
        assert!(told.ends_with("told\n"), "{verb}: {told:?}");
    };
    look("run");
    env.hd(["up", "-d", "--wait"]).finish().ok();
    look("exec");
    env.hd(["down"]).finish().ok();
}
