//! How hd comes to its end: whoever asks for it is heard, whatever else stands still meanwhile.

use std::io::Read;
use std::process::Stdio;

use hd_integration::leftovers::{self, signal};
use hd_integration::{Env, LONG, SHORT, needs, skip_unless, until};
use rustix::process::Signal;

/// Goes on when it is asked to stop, and says that it was.
const STAYS: &str = "trap 'echo asked > asked' TERM; echo up; while :; do sleep 0.02; done";

fn project(command: &str, more: &str) -> Env {
    let toml = format!(
        "[environment]\nname = \"ends\"\n\n[services.web]\ncommand = [\"sh\", \"serve.sh\"]\n{more}"
    );
    Env::project(&[("hd.toml", &toml), ("serve.sh", command)])
}

#[test]
fn an_end_that_waits_for_a_service_is_told_of_and_can_be_hurried() {
    skip_unless!(needs::fuse());
    let env = project(
        STAYS,
        "stop_grace = \"10m\"\nhealthcheck = { log = \"up\" }\n",
    );
    env.hd(["up", "--wait"]).finish().ok();
    let mut down = env.hd(["down"]).into_command();
    let mut down = down.stderr(Stdio::null()).spawn().expect("start hd down");
    until("the service is asked to stop", SHORT, || {
        env.path("asked").exists().then_some(())
    });
    let status = env.status();
    assert_eq!(
        (&status.value()["running"], &status.value()["ending"]),
        (&true.into(), &true.into())
    );
    assert!(status.service("web")["pid"].is_number());
    let late = env.hd(["restart", "web"]).finish();
    assert!(late.stderr.contains("ending"), "{}", late.said());
    assert!(
        down.try_wait().expect("look at hd down").is_none(),
        "it still waits"
    );
    env.hd(["down", "--now"]).finish().ok();
    assert!(
        until("the first has seen the end", SHORT, || down
            .try_wait()
            .expect("look at hd down"))
        .success()
    );
    leftovers::expect_none(env.mark(), SHORT);
}

#[test]
fn what_nobody_reads_does_not_keep_a_signal_from_being_heard() {
    skip_unless!(needs::fuse());
    let env = project("exec yes this is a line of the log", "");
    let (mut unread, output) = std::io::pipe().expect("a pipe");
    let mut up = env.hd(["up"]).into_command();
    up.stdin(Stdio::null())
        .stdout(output.try_clone().expect("the pipe once more"))
        .stderr(output);
    let mut hd = up.spawn().expect("start hd up");
    // It holds an end of the pipe too.
    drop(up);
    let pid = i32::try_from(hd.id()).expect("a process id");
    until("far more is said than a pipe takes", LONG, || {
        let log = std::fs::metadata(log(&env)?).ok()?;
        (log.len() > 1 << 20).then_some(())
    });
    signal(pid, Signal::TERM);
    until("the service has ended", SHORT, || {
        leftovers::command_is("yes this is a line of the log")
            .is_empty()
            .then_some(())
    });
    let reader = std::thread::spawn(move || {
        let mut said = Vec::new();
        unread.read_to_end(&mut said).map(|_| said)
    });
    until("hd ends once somebody reads", SHORT, || {
        hd.try_wait().expect("look at hd")
    });
    let said = reader.join().expect("a reader").expect("what was said");
    assert!(String::from_utf8_lossy(&said).contains("stopping; once more: at once"));
    leftovers::expect_none(env.mark(), SHORT);
}

/// The log of the service, once there is one.
fn log(env: &Env) -> Option<std::path::PathBuf> {
    let instances = std::fs::read_dir(env.home().join("instances")).ok()?;
    let instance = instances.flatten().next()?.path();
    let logs = std::fs::read_dir(instance.join("logs/services"))
        .ok()?
        .flatten();
    let mut logs = logs.filter(|one| one.file_name().to_string_lossy().starts_with("web"));
    logs.next().map(|one| one.path())
}
