//! Who runs steps, and what of that person's a step may reach: users that a step made, the SSH agent.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use hd_integration::{Env, SHORT, images, needs, skip_unless, until};

fn image(name: &str) -> String {
    let registry = needs::registry().expect("checked by skip_unless");
    format!("{registry}/{name}")
}

/// A project with these steps on a base.
fn project(more: &str, base: &str, steps: &[(&str, &str, &str)]) -> Env {
    let mut toml = format!(
        "[environment]\nname = \"x\"\nbase = \"{}\"\n{more}\n",
        image(base)
    );
    for (name, run, more) in steps {
        toml += &format!("[[build.step]]\nname = \"{name}\"\nrun = '''{run}'''\n{more}\n");
    }
    Env::project(&[("hd.toml", toml.as_str())])
}

fn made(env: &Env, script: &str) -> String {
    let run = ["run", "--", "sh", "-c", script];
    env.hd(run).finish().ok().stdout.trim().to_owned()
}

#[test]
fn the_user_of_the_environment_is_the_one_that_a_step_made() {
    skip_unless!(needs::fuse(), needs::root(), needs::registry());
    let add = "echo app:x:4321:4321::/home/app:/bin/sh >> /etc/passwd && mkdir -p /home/app";
    let who = "mkdir out && id -u > out/who && echo $HOME > out/home";
    let user = "user = \"app\"";
    let root = "user = \"root\"";
    let steps = [("add", add, root), ("who", who, "")];
    let env = project(user, "busybox:1", &steps);
    env.once().ran(&["step-1", "step-2"]);
    assert_eq!(made(&env, "cat out/who out/home"), "4321\n/home/app");
    env.once().ran(&[]);
    // As under Docker it is who the name means then.
    let again = [
        ("add", add, root),
        ("move", "sed -i s/4321/4322/ /etc/passwd", root),
        ("who", who, ""),
    ];
    let env = project(user, "busybox:1", &again);
    env.once();
    assert_eq!(made(&env, "cat out/who"), "4322");
    // Nobody made it: the step that would run as it is named.
    let env = project(user, "busybox:1", &[("who", who, "")]);
    let failed = env.hd(["up", "--once"]).finish().expect_code(2);
    for word in ["who", "app", "one that a step before makes"] {
        assert!(failed.stderr.contains(word), "{}", failed.stderr);
    }
}

/// An agent with one key, which ends with the test.
struct Agent {
    child: Child,
    socket: String,
    key: String,
}

impl Agent {
    fn start(place: &Path) -> Self {
        let socket = place.join("agent").display().to_string();
        let child = Command::new("ssh-agent")
            .args(["-D", "-a", &socket])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start ssh-agent");
        until("the agent listens", SHORT, || {
            Path::new(&socket).exists().then_some(())
        });
        images::output(
            "ssh-keygen -q -t ed25519 -N '' -C of-the-test -f key",
            place,
        );
        images::output(&format!("SSH_AUTH_SOCK={socket} ssh-add -q key"), place);
        let key = images::output("cut -d' ' -f2 key.pub", place);
        Self { child, socket, key }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_step_reaches_the_ssh_agent_when_it_asks_and_no_other_does() {
    skip_unless!(needs::fuse(), needs::root(), needs::program("ssh-agent"));
    let list = "mkdir out && ssh-add -L > out/keys";
    let none = "mkdir other && echo ${SSH_AUTH_SOCK-unset} > other/said && ls -R /run > other/run";
    let toml = format!(
        "[environment]\nname = \"x\"\n[[build.step]]\nname = \"keys\"\nrun = '''{list}'''\nssh = true\n\
         [[build.step]]\nname = \"other\"\nrun = '''{none}'''\n"
    );
    let mut env = Env::project(&[("hd.toml", toml.as_str())]);
    env.set("SSH_AUTH_SOCK", "");
    let failed = env.hd(["up", "--once"]).finish().expect_code(2);
    for word in ["keys", "SSH agent", "SSH_AUTH_SOCK is not set", "ssh-add"] {
        assert!(failed.stderr.contains(word), "{}", failed.stderr);
    }
    let agent = Agent::start(env.mark());
    env.set("SSH_AUTH_SOCK", &agent.socket);
    env.once().ran(&["step-1", "step-2"]);
    assert!(made(&env, "cat out/keys").contains(&agent.key));
    assert_eq!(made(&env, "cat other/said"), "unset");
    assert!(!made(&env, "cat other/run").contains("agent"));
    // Another agent, or none, is no reason to run it again; a command beside the steps has none.
    env.set("SSH_AUTH_SOCK", "");
    env.once().ran(&[]);
    assert!(!made(&env, "ls -R /run; env").contains("agent"));
}

#[test]
fn a_dockerfile_that_mounts_the_agent_is_carried_out() {
    skip_unless!(needs::fuse(), needs::root(), needs::registry());
    let file = format!(
        "FROM {}\nWORKDIR /app\nCOPY . .\nRUN --mount=type=ssh mkdir one && test -S \"$SSH_AUTH_SOCK\" && echo yes > one/said\n\
         RUN mkdir two && test -z \"$SSH_AUTH_SOCK\" && echo no > two/said\n",
        image("busybox:1")
    );
    let mut env = Env::project(&[("Dockerfile", file.as_str()), ("file", "x")]);
    let report = env.hd(["ingest", "Dockerfile", "--json"]).finish().ok();
    assert!(report.stdout.contains("approximated"), "{}", report.said());
    assert!(report.stdout.contains("SSH_AUTH_SOCK"), "{}", report.said());
    let toml = std::fs::read_to_string(env.path("hd.toml")).expect("an hd.toml");
    assert_eq!(toml.matches("ssh = true").count(), 1, "{toml}");
    // A socket is enough for this one.
    let socket = env.mark().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("bind");
    env.set("SSH_AUTH_SOCK", &socket.display().to_string());
    env.once();
    assert_eq!(made(&env, "cat /app/one/said /app/two/said"), "yes\nno");
}
