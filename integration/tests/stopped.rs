//! A stopped hd answers nobody: whoever asks it is told so, and how it goes on.

use std::process::Stdio;

use hd_integration::{Env, LONG, SHORT, leftovers, needs, skip_unless, until};
use rustix::process::Signal;

const TOML: &str = r#"
[environment]
name = "stopped"
[services.web]
command = "sleep 1000"
[services.job]
command = "sleep 1001"
kind = "oneshot"
"#;

#[test]
fn verbs_name_a_stopped_hd_instead_of_waiting_for_it() {
    skip_unless!(needs::fuse());
    let env = Env::project(&[("hd.toml", TOML)]);
    let mut up = env.up();
    up.wait_line(0, &["web", "ready"]);
    let before = env.status().service("web")["pid"].clone();
    // It waits for what takes long, and goes on doing so as long as somebody works on it.
    let mut command = env.hd(["wait", "job"]).into_command();
    command.stderr(Stdio::null());
    let mut waits = command.spawn().expect("start hd wait");
    leftovers::signal(up.pid(), Signal::STOP);
    let verbs: [&[&str]; 8] = [
        &["exec", "true"],
        &["run", "true"],
        &["status"],
        &["diff"],
        &["restart", "web"],
        &["snapshot", "kept"],
        &["build"],
        &["wait", "web"],
    ];
    for verb in verbs {
        let said = env.hd(verb).deadline(LONG / 3).finish().expect_code(6);
        let way = format!("`kill -CONT {}`", up.pid());
        assert!(said.stderr.contains("is stopped"), "{}", said.said());
        assert!(said.stderr.contains(&way), "{}", said.said());
    }
    let ended = until("who waited is told so", SHORT, || {
        waits.try_wait().expect("wait")
    });
    assert_eq!(ended.code(), Some(6));
    leftovers::signal(up.pid(), Signal::CONT);
    // What was refused is not done behind anybody's back.
    let after = env.status().service("web")["pid"].clone();
    assert_eq!(after, before);
    let kept = env.hd(["snapshot", "ls"]).finish().ok().stdout;
    assert!(!kept.contains("kept"), "{kept}");
    env.hd(["down"]).finish().ok();
    up.wait_exit(LONG);
    leftovers::expect_none(env.mark(), SHORT);
}
