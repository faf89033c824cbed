//! `hd top` on a real terminal.

use hd_integration::leftovers::signal;
use hd_integration::poll::{SHORT, within};
use hd_integration::pty::Pty;
use hd_integration::{Env, needs, skip_unless};

const TOML: &str = r#"[environment]
name = "watched"
[services.web]
command = ["sh", "-c", "echo one-of-many; exec sleep 1000"]
[services.worker]
command = "sleep 1000"
resources = { memory = "512MiB", cpus = 1.5, pids = 200 }
"#;

/// Waits for something, and shows the terminal when it does not come.
#[track_caller]
fn soon(top: &Pty, what: &str, look: impl FnMut() -> Option<()>) {
    let came = within(SHORT, look);
    came.unwrap_or_else(|| panic!("not within {SHORT:?}: {what}\n{:?}", top.written()));
}

fn top(env: &Env) -> Pty {
    Pty::start(
        env.hd(["top"])
            .env("TERM", "xterm")
            .env("NO_COLOR", "1")
            .into_command(),
    )
}

#[test]
fn keys_restart_stop_and_open_a_shell_and_the_terminal_is_given_back() {
    skip_unless!(needs::fuse());
    let env = Env::project(&[("hd.toml", TOML)]);
    let mut up = env.up();
    up.wait_line(0, &["web", "ready"]);
    up.wait_line(0, &["worker", "ready"]);
    let pid = |name: &str| env.status().service(name)["pid"].clone();
    let before = (pid("web"), pid("worker"));

    let mut top = top(&env);
    top.wait_for("worker");
    top.wait_for("one-of-many");
    // Of memory, processor time and processes; blanks are not written.
    for used in ["/537", "/150%", "/200"] {
        top.wait_for(used);
    }
    top.press("r");
    soon(&top, "web was restarted", || {
        (pid("web") != before.0 && !pid("web").is_null()).then_some(())
    });
    assert_eq!(pid("worker"), before.1, "only the selected one");
    top.press("js");
    soon(&top, "worker was stopped", || {
        (env.status().service("worker")["state"] == "exited").then_some(())
    });
    top.wait_for("exited");
    top.press("ke");
    // What is typed before the prompt may be lost between two terminals.
    soon(&top, "the shell prompts", || {
        let (_, shell) = top
            .written()
            .rsplit_once("\u{1b}[?1049l")
            .map(|(a, b)| (a.len(), b.to_owned()))?;
        shell.contains(['#', '$']).then_some(())
    });
    top.press("echo in-$((40+2)); exit\n");
    top.wait_for("in-42");
    // The screen is taken once more.
    soon(&top, "top is back", || {
        (top.written().matches("\u{1b}[?1049h").count() == 2).then_some(())
    });
    top.press("q");
    assert_eq!(top.wait_exit().code(), Some(0), "{}", top.written());
    soon(&top, "the terminal is given back", || {
        (top.written().matches("\u{1b}[?1049l").count() == 2).then_some(())
    });
    let written = top.written();
    // Without colours: no attribute but those of the selection.
    for colour in ["\u{1b}[31", "\u{1b}[32", "\u{1b}[36", "\u{1b}[38;5;1m"] {
        assert!(!written.contains(colour), "{written:?}");
    }
}

#[test]
fn a_letter_with_control_or_alt_is_not_the_letter() {
    skip_unless!(needs::fuse());
    let env = Env::project(&[("hd.toml", TOML)]);
    let mut up = env.up();
    up.wait_line(0, &["web", "ready"]);
    let mut top = top(&env);
    top.wait_for("one-of-many");
    // Stop, restart, a shell and the end, with both; then the filter, and more of them in it.
    top.press("\u{13}\u{12}\u{5}\u{11}\u{1b}s\u{1b}r\u{1b}e\u{1b}q");
    top.press("/one\u{15}\u{17}-of");
    // What is typed is written key by key.
    top.wait_for("f_\"");
    let written = top.written();
    for done in ["stopping", "restarting", "u_\"", "w_\"", "\u{1b}[?1049l"] {
        assert!(!written.contains(done), "{done:?} in {written:?}");
    }
    top.press("\u{3}");
    assert_eq!(top.wait_exit().code(), Some(0), "{}", top.written());
}

#[test]
fn it_shows_what_is_gone_and_ends_with_a_signal() {
    skip_unless!(needs::fuse());
    let env = Env::project(&[("hd.toml", TOML)]);
    let refused = env.hd(["top"]).finish().expect_code(2);
    assert!(
        refused.stderr.contains("there is none"),
        "{}",
        refused.said()
    );
    let mut up = env.up();
    up.wait_line(0, &["web", "ready"]);
    let mut top = top(&env);
    top.wait_for("running");
    assert_eq!(up.interrupt().code(), Some(130));
    top.wait_for("not");
    signal(top.pid(), rustix::process::Signal::TERM);
    assert_eq!(top.wait_exit().code(), Some(143), "{}", top.written());
    top.wait_for("\u{1b}[?1049l");
}
