//! What watch rules do to a service that runs, or is about to.

use hd_integration::{Env, SHORT, files, leftovers, needs, skip_unless};

const EXEC: &str = r#"[environment]
name = "rules"

[services.web]
command = "sleep 1000"

[[services.web.watch]]
files = "*.src"
exec = "echo b >> /tmp/l; until test -e /tmp/go; do sleep 0.02; done; echo e >> /tmp/l"
"#;

#[test]
fn a_command_of_a_rule_never_runs_beside_itself() {
    skip_unless!(needs::fuse());
    let env = Env::project(&[("hd.toml", EXEC), ("a.src", "0\n")]);
    let mut up = env.up();
    up.wait_line(0, &["web", "ready"]);
    let inside = |script: &str| {
        let look = env.hd(["exec", "sh", "-c", script]).finish().ok();
        look.stdout
    };
    for number in 1..=3 {
        let from = up.so_far();
        files::write(&env.path("a.src"), &format!("{number}\n"));
        up.wait_line(from, &["a.src"]);
        up.until("it runs, once", || {
            (inside("cat /tmp/l 2>/dev/null || :") == "b\n").then_some(())
        });
    }
    inside("touch /tmp/go");
    // Once more for all that was saved meanwhile.
    up.until("it ran again", || {
        (inside("cat /tmp/l") == "b\ne\nb\ne\n").then_some(())
    });
    files::write(&env.path("a.src"), "4\n");
    up.until("and for what is saved later", || {
        (inside("cat /tmp/l") == "b\ne\nb\ne\nb\ne\n").then_some(())
    });
    up.interrupt();
    leftovers::expect_none(env.mark(), SHORT);
}

const LATE: &str = r#"[environment]
name = "rules"

[build]
steps = ["cp in.txt out.txt"]

[services.web]
command = "echo serves $(cat out.txt); exec sleep 1000"
pre_start = ["echo begun; until test -e go; do sleep 0.02; done"]
healthcheck = { log = "serves" }
watch = [{ files = ["conf"], action = "signal=HUP" }]

[options]
project = "projected"
"#;

/// An action that has to wait for a start must not put the service back into the view before.
#[test]
fn an_action_that_a_restart_overtakes_is_done_for() {
    skip_unless!(needs::fuse());
    let env = Env::project(&[("hd.toml", LATE), ("conf", "0\n"), ("in.txt", "one\n")]);
    let mut up = env.up();
    up.wait_line(0, &["web", "begun"]);
    let from = up.so_far();
    files::write(&env.path("conf"), "1\n");
    up.wait_line(from, &["conf"]);
    files::write(&env.path("in.txt"), "two\n");
    up.until("it is to see what the step made of that", || {
        let view = env.status().value()["view"].clone();
        (env.status().steps("ran") == ["step-1"] && !view.is_null()).then_some(())
    });
    files::write(&env.path("go"), "");
    up.wait_line(from, &["web", "ready"]);
    // It follows the project where it is now.
    files::write(&env.path("late"), "seen\n");
    up.until("all of it", || {
        let look = env.hd(["exec", "cat", "out.txt", "late"]).finish();
        (look.stdout == "two\nseen\n").then_some(())
    });
    up.interrupt();
    leftovers::expect_none(env.mark(), SHORT);
}
