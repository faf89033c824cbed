//! What `hd restore` brings back of write layers: beside edits of the host, and with owners and attributes.

use hd_integration::{Env, SHORT, Up, files, leftovers, needs, samples, skip_unless};

fn serving(env: &Env) -> Up {
    let mut up = env.up();
    up.wait_http(env.port(0), "/", "one");
    up
}

fn inside(env: &Env, script: &str) -> String {
    env.hd(["exec", "sh", "-c", script]).finish().ok().stdout
}

fn ok(env: &Env, args: &[&str]) {
    env.hd(args).finish().ok();
}

#[test]
fn what_a_service_made_of_an_edit_before_the_snapshot_is_brought_back() {
    skip_unless!(needs::fuse());
    let env = samples::projected();
    let mut up = serving(&env);
    files::write(&env.path("answer.txt"), "two\n");
    up.wait_http(env.port(0), "/", "two");
    for file in ["data/old", "data/more"] {
        files::write(&env.path(file), "edited\n");
    }
    let look = "cat answer.txt data/more; ls data";
    up.until("both edits", || {
        (env.hd(["exec", "sh", "-c", look]).finish().stdout == "two\nedited\ngone\nmore\nold\n")
            .then_some(())
    });
    inside(
        &env,
        "echo mine > answer.txt; rm data/old data/more; rm -r data; mkdir data; echo mine > data/new",
    );
    ok(&env, &["snapshot", "s"]);
    let mine = "cat answer.txt; ls data";
    let brought_back = |up: &mut Up| {
        ok(&env, &["restore", "s"]);
        up.until("it runs again", || {
            let status = env.status();
            (status.service("web")["state"] == "ready").then_some(())
        });
        assert_eq!(inside(&env, mine), "mine\nnew\n");
    };
    brought_back(&mut up);
    // What the host edits from now on is seen.
    files::write(&env.path("answer.txt"), "three\n");
    up.wait_http(env.port(0), "/", "three");
    up.interrupt();
    let mut up = env.up();
    up.wait_http(env.port(0), "/", "three");
    brought_back(&mut up);
    up.interrupt();
    leftovers::expect_none(env.mark(), SHORT);
}

#[test]
fn owners_and_attributes_that_a_service_changed_are_brought_back() {
    skip_unless!(needs::fuse(), needs::root());
    let env = samples::projected();
    let steps =
        "\n[build]\nsteps = [\"mkdir -p out/in && echo x > out/in/f && echo y > out/in/g\"]\n";
    let toml = files::read(&env.path("hd.toml"));
    files::write(&env.path("hd.toml"), &(toml + steps));
    let mut up = serving(&env);
    // A directory that only the host makes is none of the service's.
    files::write(&env.path("hosts/own"), "x\n");
    up.until("it is seen", || {
        (env.hd(["exec", "cat", "hosts/own"]).finish().stdout == "x\n").then_some(())
    });
    inside(
        &env,
        "chown -R 65534:65533 out && python3 -c \"import os; os.setxattr('out/in/g', 'user.mark', b'yes')\"",
    );
    let look = "stat -c '%n %u:%g' out out/in out/in/f; python3 -c \"import os; print(os.getxattr('out/in/g', 'user.mark'))\"";
    let before = inside(&env, look);
    assert_eq!(before.matches("65534:65533").count(), 3, "{before}");
    let taken = env.hd(["snapshot", "s", "--json"]).finish().ok().json();
    assert_eq!(
        taken["snapshot"]["services"]["web"]["entries"], 2,
        "{taken}"
    );
    std::fs::remove_dir_all(env.path("hosts")).unwrap();
    ok(&env, &["reset"]);
    up.wait_http(env.port(0), "/", "one");
    assert_ne!(inside(&env, "stat -c %u out/in/f"), "65534\n");
    ok(&env, &["restore", "s"]);
    up.wait_http(env.port(0), "/", "one");
    assert_eq!(inside(&env, look), before);
    assert_eq!(inside(&env, "ls -d hosts 2>/dev/null || :"), "");
    up.interrupt();
    leftovers::expect_none(env.mark(), SHORT);
}
