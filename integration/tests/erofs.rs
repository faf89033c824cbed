//! Services on an EROFS image over raw copies: all is as it is by FUSE, and hd is asked only for what
//! has no copy yet.

use std::fs;
use std::path::PathBuf;

use hd_integration::{
    Env, Finished, LONG, Run, SHORT, Up, files, leftovers, needs, poll, skip_unless,
};
use serde_json::Value;

const TOML: &str = r#"
[environment]
name = "image"

[build]
steps = ["python3 -I tree.py make tree"]

[services.idle]
command = "sleep 1000000"

[options]
project = "projected"
view = "erofs"
"#;

fn started(env: &Env) -> Up {
    let mut up = env.up();
    up.wait_line(0, &["idle", "ready"]);
    up
}

fn inside(env: &Env, script: &str) -> String {
    env.hd(["exec", "sh", "-c", script]).finish().ok().stdout
}

fn lower(env: &Env) -> Value {
    env.status().value()["lower"].clone()
}

/// The pool of this boot.
fn pool(env: &Env) -> PathBuf {
    let pools = fs::read_dir(env.home().join("cas/blobs")).expect("the pools");
    let pools: Vec<PathBuf> = pools.flatten().map(|entry| entry.path()).collect();
    assert_eq!(pools.len(), 1, "{pools:?}");
    pools[0].clone()
}

/// The raw copies of this boot.
fn copies(env: &Env) -> Vec<PathBuf> {
    let listed = fs::read_dir(pool(env).join("copies")).expect("the copies");
    listed.flatten().map(|entry| entry.path()).collect()
}

fn images(env: &Env) -> Vec<PathBuf> {
    let listed = fs::read_dir(pool(env).join("views")).expect("the images");
    let mut images: Vec<PathBuf> = listed.flatten().map(|entry| entry.path()).collect();
    images.retain(|path| path.extension().is_some_and(|word| word == "erofs"));
    images
}

/// Reads all files and gives how many different contents there are.
const CONTENTS: &str = "find . -type f -size +0 -exec sha256sum {} + | cut -c-65 | tr -d '\\\\' | cut -c-64 | sort -u | wc -l";

fn ready() -> Result<(), String> {
    needs::fuse().and_then(|()| needs::root())
}

#[test]
fn every_kind_of_entry_is_there_and_with_all_copies_made_hd_is_asked_nothing() {
    skip_unless!(ready(), needs::program("python3"));
    let tree = include_str!("fidelity/tree.py");
    let env = Env::project(&[("hd.toml", TOML), ("tree.py", tree)]);
    let mut up = started(&env);
    assert_eq!(lower(&env)["back_end"], "erofs");
    inside(&env, "python3 -I tree.py check tree");
    let contents: u64 = inside(&env, CONTENTS).trim().parse().expect("a number");
    let copied = || {
        lower(&env)["copied"]
            .as_u64()
            .filter(|copied| *copied >= contents)
    };
    poll::until("a copy of all that was read", LONG, copied);
    assert_eq!(copied(), Some(contents), "each once");
    up.interrupt();
    let _up = started(&env);
    inside(&env, "python3 -I tree.py check tree");
    inside(&env, CONTENTS);
    let now = lower(&env);
    assert_eq!(
        (&now["requests"], &now["copied"]),
        (&Value::from(0), &Value::from(0))
    );
}

#[test]
fn another_tool_finds_nothing_wrong_with_an_image() {
    skip_unless!(
        ready(),
        needs::program("python3"),
        needs::program("fsck.erofs")
    );
    let tree = include_str!("fidelity/tree.py");
    let env = Env::project(&[("hd.toml", TOML), ("tree.py", tree)]);
    let _up = started(&env);
    let images = images(&env);
    assert_eq!(images.len(), 1);
    let checked = Run::new(&needs::program("fsck.erofs").expect("looked at above"))
        .args(["-d3".as_ref(), images[0].as_os_str()])
        .finish()
        .ok();
    let said = checked.stdout + &checked.stderr;
    assert!(said.contains("No errors found"), "{said}");
}

const SMALL: &str = r#"
[environment]
name = "image"

[build]
steps = ["mkdir out; for name in one two three; do echo $name > out/$name; done"]

[services.idle]
command = "sleep 1000000"

[options]
project = "projected"
view = "erofs"
"#;

#[test]
fn copies_that_go_under_a_running_view_are_not_missed() {
    skip_unless!(ready());
    let env = Env::project(&[("hd.toml", SMALL)]);
    let mut up = started(&env);
    inside(&env, "cat out/*");
    let copied = || (lower(&env)["copied"] == 3).then_some(());
    poll::until("three copies", LONG, copied);
    up.interrupt();
    let stale = pool(&env).with_file_name("another-boot");
    fs::create_dir_all(stale.join("aa")).expect("a directory");
    files::write(&stale.join("aa/short"), "");
    let _up = started(&env);
    poll::until("copies of another boot are gone", LONG, || {
        (!stale.exists()).then_some(())
    });
    assert_eq!(inside(&env, "cat out/one"), "one\n");
    assert_eq!(lower(&env)["requests"], 0);
    for part in fs::read_dir(pool(&env)).expect("the pool").flatten() {
        if part.file_name() != "views" {
            fs::remove_dir_all(part.path()).expect("remove");
        }
    }
    // The one that is bound to its copy goes on with it, the others are asked for.
    assert_eq!(
        inside(&env, "cat out/one out/two out/three"),
        "one\ntwo\nthree\n"
    );
    assert!(lower(&env)["requests"].as_u64() > Some(0));
    poll::until("copies made anew", LONG, || {
        (lower(&env)["copied"] == 2).then_some(())
    });
}

#[test]
fn verify_hashes_the_copies_too_and_makes_a_damaged_one_anew() {
    skip_unless!(ready(), needs::program("python3"));
    let tree = include_str!("fidelity/tree.py");
    let env = Env::project(&[("hd.toml", TOML), ("tree.py", tree)]);
    let mut up = started(&env);
    inside(&env, CONTENTS);
    poll::until("copies", LONG, || (copies(&env).len() > 3).then_some(()));
    up.interrupt();
    let verify = || env.hd(["cas", "verify", "--read-data", "--json"]).finish();
    let said = |done: Finished| -> Value { serde_json::from_str(&done.stdout).expect("JSON") };
    let clean = said(verify().ok());
    assert!(clean["copies"].as_u64() > Some(3), "{clean}");

    let copy = copies(&env).swap_remove(0);
    let sound = fs::read(&copy).expect("read");
    fs::remove_file(&copy).expect("remove");
    let mut bytes = sound.clone();
    bytes[0] ^= 1;
    fs::write(&copy, bytes).expect("write");
    let found = said(verify().expect_code(1));
    let id = copy.file_name().and_then(|name| name.to_str());
    assert_eq!(found["bad_copies"][0]["id"].as_str(), id, "{found}");
    assert_eq!(found["bad_copies"][0]["made_anew"], true, "{found}");
    assert_eq!(found["damages"].as_array().map(Vec::len), Some(0));
    assert_eq!(fs::read(&copy).expect("read"), sound);
    assert_eq!(said(verify().ok())["clean"], true);
}

#[test]
fn what_is_written_lies_on_top_and_goes_by_reset() {
    skip_unless!(ready());
    let env = Env::project(&[("hd.toml", SMALL), ("mine", "mine\n")]);
    let mut up = started(&env);
    inside(
        &env,
        "echo more >> out/one; chmod 700 out/two; rm out/three; mv mine ours; ln out/one linked",
    );
    let diff = env.hd(["diff"]).finish().ok().stdout;
    let expected = "idle + /workspace/linked\nidle - /workspace/mine\nidle + /workspace/ours\n\
                    idle ~ /workspace/out/one\nidle - /workspace/out/three\nidle ~ /workspace/out/two\n";
    assert_eq!(diff, expected);
    assert_eq!(
        inside(&env, "cat linked out/two ours"),
        "one\nmore\ntwo\nmine\n"
    );
    env.hd(["reset", "idle"]).finish().ok();
    up.until("a view without it", || {
        // The process before may take the look along as it ends.
        let look = env.hd(["exec", "sh", "-c", "cat out/*"]).finish();
        (look.stdout == "one\nthree\ntwo\n").then_some(())
    });
    // Edits of the host are written through.
    files::write(&env.path("mine"), "edited\n");
    up.until("the edit", || {
        (inside(&env, "cat mine") == "edited\n").then_some(())
    });
    up.interrupt();
    leftovers::expect_none(env.mark(), SHORT);
}

#[test]
fn a_tree_that_an_edit_made_gets_an_image_only_when_hd_starts_with_it() {
    skip_unless!(ready());
    let toml = SMALL.replace("\"erofs\"", "\"auto\"");
    let toml = toml.replace("steps = [", "steps = [\"mkdir read && cp input read\", ");
    let env = Env::project(&[("hd.toml", &toml), ("input", "one\n")]);
    let mut up = started(&env);
    poll::until("an image", LONG, || (images(&env).len() == 1).then_some(()));
    files::write(&env.path("input"), "two\n");
    // A command that runs while the service restarts is killed with the old one.
    poll::until("the new view", LONG, || {
        let seen = env.hd(["exec", "cat", "read/input"]).finish();
        (seen.stdout == "two\n").then_some(())
    });
    let shown = lower(&env);
    assert_eq!(shown["back_end"], "fuse", "{shown}");
    assert!(
        shown["why"].to_string().contains("when hd starts"),
        "{shown}"
    );
    assert_eq!(images(&env).len(), 1);
    up.interrupt();
    let mut up = started(&env);
    poll::until("its image", LONG, || {
        (images(&env).len() == 2).then_some(())
    });
    up.interrupt();
}

#[test]
fn by_auto_the_image_is_written_beside_the_first_view_and_shown_by_the_next() {
    skip_unless!(ready());
    let env = Env::project(&[("hd.toml", SMALL)]);
    files::replace(&env.path("hd.toml"), "\"erofs\"", "\"auto\"");
    let mut up = started(&env);
    let first = lower(&env);
    assert_eq!(first["back_end"], "fuse", "{first}");
    assert!(
        first["why"]
            .to_string()
            .contains("written for the next view"),
        "{first}"
    );
    assert_eq!(inside(&env, "cat out/one"), "one\n");
    poll::until("an image", LONG, || (images(&env).len() == 1).then_some(()));
    // What was read meanwhile is copied too, and nothing else.
    poll::until("a copy", LONG, || (copies(&env).len() == 1).then_some(()));
    up.interrupt();
    let mut up = started(&env);
    assert_eq!(lower(&env)["back_end"], "erofs");
    assert_eq!(inside(&env, "cat out/one"), "one\n");
    assert_eq!(lower(&env)["requests"], 0);
    assert_eq!(inside(&env, "cat out/two"), "two\n");
    assert!(lower(&env)["requests"].as_u64() > Some(0));
    up.interrupt();
    // An image that is none is no obstacle.
    files::write(&images(&env)[0], "torn");
    let mut up = started(&env);
    let torn = lower(&env);
    assert!(
        torn["back_end"] == "fuse" && torn["why"].to_string().contains("erofs"),
        "{torn}"
    );
    assert_eq!(inside(&env, "cat out/one"), "one\n");
    up.interrupt();
    files::replace(&env.path("hd.toml"), "\"auto\"", "\"fuse\"");
    let mut up = started(&env);
    assert_eq!(lower(&env)["back_end"], "fuse");
    up.interrupt();
    // It is what a project has that says nothing.
    files::replace(&env.path("hd.toml"), "view = \"fuse\"\n", "");
    poll::until("an image again", LONG, || {
        let _up = started(&env);
        (lower(&env)["back_end"] == "erofs").then_some(())
    });
    let _up = started(&env);
    let checks = env.hd(["doctor", "--json"]).finish().ok().json();
    let views = checks["checks"]
        .as_array()
        .expect("checks")
        .iter()
        .find(|one| one["check"] == "views");
    assert!(
        views.expect("views")["found"].to_string().contains("EROFS"),
        "{checks:#}"
    );
}
