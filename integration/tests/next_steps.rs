//! Errors and hints that name the place, the cause and what to do, where nobody would guess it.

use hd_integration::disk::Disk;
use hd_integration::{Env, files, needs, skip_unless};

const EMPTY: &str = "[environment]\nname = \"x\"\n";

#[test]
fn a_cache_that_cannot_be_where_it_shall_be_is_named() {
    skip_unless!(needs::fuse());
    let toml = format!(
        "{EMPTY}[build.caches.wheels]\npath = \"/var/cache/hd-none-here\"\n\
         [[build.step]]\nname = \"fetch\"\nrun = \"true\"\ncaches = [\"wheels\"]\n"
    );
    let env = Env::project(&[("hd.toml", &toml)]);
    let done = env.hd(["build"]).finish().expect_code(2);
    for word in ["`wheels`", "/var/cache/hd-none-here", "step-1", "hint: "] {
        assert!(done.stderr.contains(word), "{word}: {}", done.said());
    }
}

#[test]
fn a_store_that_is_full_while_a_step_is_kept_is_said_once_with_a_way_out() {
    skip_unless!(needs::root(), needs::fuse());
    let toml = format!(
        "{EMPTY}[build]\nsteps = [\"mkdir out && head -c 6000000 /dev/urandom > out/f\"]\n"
    );
    let env = Env::project(&[("hd.toml", &toml)]);
    let disk = Disk::tmpfs(env.home(), "size=10m");
    let done = env.hd(["build"]).finish().expect_code(1);
    let said = &done.stderr;
    assert_eq!(said.matches("No space left").count(), 1, "{said}");
    assert!(said.contains("`hd prune`"), "{said}");
    assert!(!said.contains(" : "), "a path is empty: {said}");
    drop(disk);
}

#[test]
fn a_store_of_a_newer_version_is_found_by_doctor() {
    let env = Env::project(&[("hd.toml", EMPTY)]);
    let found = |grade: &str| {
        let done = env.hd(["doctor", "--json"]).finish();
        let checks = done.json()["checks"].as_array().expect("checks").clone();
        let store = checks.into_iter().find(|one| one["check"] == "store");
        let store = store.unwrap_or_else(|| panic!("no store: {}", done.said()));
        assert_eq!(store["grade"], grade, "{}", done.said());
        (store["found"].to_string(), done.code())
    };
    let (none, _) = found("ok");
    assert!(none.contains("none yet"), "{none}");
    assert!(!env.home().join("cas").exists(), "doctor makes nothing");
    env.once();
    found("ok");
    let format = env.home().join("cas/FORMAT");
    let text = files::read(&format).replacen("version ", "version 9", 1);
    std::fs::write(&format, text).expect("write");
    let (newer, code) = found("bad");
    assert!(newer.contains("format 9"), "{newer}");
    assert_eq!(code, 7);
    let prune = env.hd(["cas", "gc"]).finish().expect_code(1);
    assert!(prune.stderr.contains("HD_HOME"), "{}", prune.said());
}

#[test]
fn a_path_to_explain_counts_from_the_directory_of_the_option() {
    let env = Env::project(&[("hd.toml", EMPTY), ("src/a.py", "")]);
    let project = env.path("");
    let from_outside = |path: &str| {
        let args = ["-C", project.to_str().expect("a name of the test")];
        let run = env.hd(args).args(["watch", "--explain", path]);
        run.dir(env.mark()).finish()
    };
    let told = from_outside("src/a.py").ok().stdout;
    assert!(told.starts_with("src/a.py  counts"), "{told}");
    let refused = from_outside("../a.py").expect_code(2);
    assert!(refused.stderr.contains("`-C`"), "{}", refused.said());
}

#[test]
fn a_variable_that_is_not_set_is_told_where_it_stands_and_stays_empty() {
    let toml =
        format!("{EMPTY}env = {{ A = \"x${{HD_TEST_NOPE}}\", B = \"${{HD_TEST_NOPE:-}}\" }}\n");
    let env = Env::project(&[("hd.toml", &toml)]);
    for args in [&["config"][..], &["up", "--once"]] {
        let done = env.hd(args).finish().ok();
        let told = done.stderr.matches("HD_TEST_NOPE is not set").count();
        assert_eq!(told, 1, "{}", done.said());
        assert!(done.stderr.contains("hd.toml:3:9"), "{}", done.said());
    }
    let value = env
        .hd(["config", "environment.env.A", "--json"])
        .finish()
        .ok();
    assert_eq!(value.json()["values"][0]["value"], "x", "{}", value.said());
}

#[test]
fn a_project_that_cannot_be_written_names_the_option_that_does_without() {
    skip_unless!(needs::root(), needs::fuse());
    let env = Env::project(&[]);
    let disk = Disk::tmpfs(&env.path(""), "size=1m");
    let toml = format!(
        "{EMPTY}[build]\nsteps = [\"mkdir dist && echo 1 > dist/f\"]\n[services.web]\ncommand = \"cat dist/f; sleep 1000\"\n"
    );
    files::write(&env.path("hd.toml"), &toml);
    disk.remount("ro");
    let done = env.hd(["up"]).finish().expect_code(1);
    assert!(done.stderr.contains("\"projected\""), "{}", done.said());
    drop(disk);
}
