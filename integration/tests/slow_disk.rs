//! A disk that takes its time, or fails: services follow an edit all the same, and what the disk did not take is read
//! again.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use hd_integration::poll::until;
use hd_integration::up::Up;
use hd_integration::{Env, SHORT, files, needs, samples, skip_unless};
use rustix::process::{Pid, Signal, kill_process};

/// Does something to the syncs of a running hd until it is dropped.
struct Syncs(Child);

impl Syncs {
    fn hurt(env: &Env, up: &Up, fault: &str) -> Self {
        let pid = up.pid().to_string();
        let strace = Command::new("strace")
            .args(["-f", "-qq", "-e", "trace=fdatasync"])
            .args(["-e", &format!("inject=fdatasync:{fault}"), "-p", &pid, "-o"])
            .arg(env.mark().join("strace.log"))
            .stdin(Stdio::null())
            .spawn()
            .expect("strace starts");
        let tasks = Path::new("/proc").join(&pid).join("task");
        let is_traced = |task: &Path| {
            let status = std::fs::read_to_string(task.join("status")).unwrap_or_default();
            status.is_empty() || !status.contains("TracerPid:\t0\n")
        };
        until("all threads are traced", SHORT, || {
            let mut tasks = std::fs::read_dir(&tasks).expect("it runs").flatten();
            tasks.all(|task| is_traced(&task.path())).then_some(())
        });
        Self(strace)
    }
}

impl Drop for Syncs {
    fn drop(&mut self) {
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
        let _ = kill_process(pid.expect("a process id"), Signal::INT);
        let _ = self.0.wait();
    }
}

#[test]
fn a_service_follows_an_edit_before_the_disk_has_it() {
    skip_unless!(needs::fuse(), needs::program("strace"));
    let env = samples::server();
    let mut up = env.up();
    up.wait_http(env.port(0), "/", "one");
    // Longer than any deadline here.
    let syncs = Syncs::hurt(&env, &up, "delay_enter=900000000");
    files::write(&env.path("answer.txt"), "two\n");
    up.wait_http(env.port(0), "/", "two");
    assert_eq!(env.status().service("web")["restarts"]["watch"], 1);
    drop(syncs);
    files::write(&env.path("answer.txt"), "three\n");
    up.wait_http(env.port(0), "/", "three");
    up.interrupt();
    env.hd(["cas", "verify", "--read-data"]).finish().ok();
}

#[test]
fn what_the_disk_does_not_take_is_told_and_read_again() {
    skip_unless!(needs::fuse(), needs::program("strace"));
    let env = samples::server();
    let mut up = env.up();
    up.wait_http(env.port(0), "/", "one");
    let syncs = Syncs::hurt(&env, &up, "error=EIO");
    files::write(&env.path("answer.txt"), "two\n");
    up.wait_http(env.port(0), "/", "two");
    up.wait_line(0, &["an edit could not be taken over", "nput/output error"]);
    up.until("status says so", || {
        env.status()
            .error_text()
            .contains("nput/output error")
            .then_some(())
    });
    drop(syncs);
    up.wait_line(0, &["edits are taken over again"]);
    up.until("it is over", || {
        env.status().value()["error"].is_null().then_some(())
    });
    let root = env.status().root().to_owned();
    assert_eq!(
        env.status().service("web")["restarts"]["watch"],
        1,
        "restarted once"
    );
    up.interrupt();
    assert_eq!(env.once().root(), root);
    env.hd(["cas", "verify", "--read-data"]).finish().ok();
}
