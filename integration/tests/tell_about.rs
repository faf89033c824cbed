//! What hd says about a project and itself, and files carried in and out: `config`, `schema`, `man`, `cp`.

use std::os::unix::fs::PermissionsExt;

use hd_integration::{Env, files, needs, skip_unless};

const TOML: &str = r#"[environment]
name = "told"
env = { MODE = "${MODE:-dev}" }
env_file = "a.env"

[services.web]
command = "sleep 1000"
port = "auto"
healthcheck = "true"

[profiles.loud.environment]
env = { MODE = "loud" }
"#;

fn project() -> Env {
    Env::project(&[("hd.toml", TOML), ("a.env", "FROM=file\n")])
}

#[test]
fn each_setting_is_shown_with_where_it_came_from() {
    let env = project();
    let shown = |args: &[&str]| {
        let value = env.hd(args).env("MODE", "").finish().ok().json();
        assert_eq!(value["schema"], 1);
        value["values"].as_array().cloned().unwrap_or_default()
    };
    let of = |all: &[serde_json::Value], key: &str| {
        let one = all.iter().find(|one| one["key"] == key);
        let one = one.unwrap_or_else(|| panic!("{key} is missing in {all:#?}"));
        (
            one["value"].clone(),
            one["from"].as_str().unwrap_or_default().to_owned(),
        )
    };
    let all = shown(&["config", "--json"]);
    assert_eq!(
        of(&all, "environment.env.MODE"),
        ("dev".into(), "hd.toml:3:9".to_owned())
    );
    assert_eq!(
        of(&all, "environment.env.FROM"),
        ("file".into(), "env_file a.env".to_owned())
    );
    assert_eq!(
        of(&all, "services.web.restart.factor"),
        (2.0.into(), "default".to_owned())
    );
    let port = of(&all, "services.web.port");
    assert!(port.0.is_u64() && port.1.contains("auto"), "{port:?}");
    let loud = shown(&["--profile", "loud", "config", "--json", "environment"]);
    assert_eq!(
        of(&loud, "environment.env.MODE"),
        ("loud".into(), "hd.toml:12:9".to_owned())
    );
    assert!(loud.iter().all(|one| {
        one["key"]
            .as_str()
            .is_some_and(|key| key.starts_with("environment"))
    }));

    let text = env
        .hd(["config", "services.web.healthcheck"])
        .finish()
        .ok()
        .stdout;
    assert!(
        text.contains("services.web.healthcheck.test = \"true\"") && text.contains("# hd.toml:9:1"),
        "{text}"
    );
    let wrong = env
        .hd(["config", "services.web.prot"])
        .finish()
        .expect_code(2);
    assert!(
        wrong.stderr.contains("did you mean `services.web.port`?"),
        "{}",
        wrong.said()
    );
}

#[test]
fn the_schema_and_the_manual_are_printed() {
    let env = project();
    let schema = env.hd(["schema"]).finish().ok().json();
    assert_eq!(schema["required"], serde_json::json!(["environment"]));
    let page = env.hd(["man"]).finish().ok().stdout;
    assert!(
        page.starts_with(".ie") && page.contains(".TH hd 1"),
        "{page}"
    );
    env.hd(["man", "pages"]).finish().ok();
    for verb in ["hd", "hd-up", "hd-cas-gc"] {
        let page = files::read(&env.path(&format!("pages/{verb}.1")));
        assert!(page.contains(".SH SYNOPSIS"), "{verb}: {page}");
    }
    files::write(&env.path("file"), "");
    let wrong = env.hd(["man", "file/x"]).finish().expect_code(1);
    assert!(wrong.stderr.contains("file/x"), "{}", wrong.said());
}

#[test]
fn files_are_copied_into_and_out_of_what_a_service_sees() {
    skip_unless!(needs::fuse());
    let env = project();
    let not_up = env
        .hd(["cp", "a.env", "web:/tmp/x"])
        .finish()
        .expect_code(2);
    assert!(
        not_up.stderr.contains("hd: told is not running"),
        "{}",
        not_up.said()
    );
    let mut up = env.up();
    up.wait_line(0, &["web", "ready"]);
    let inside = |line: &str| env.hd(["exec", "sh", "-c", line]).finish().ok().stdout;

    // A file under another name, into a directory, and a whole directory with a link and modes.
    env.hd(["cp", "a.env", "web:/tmp/with space"]).finish().ok();
    assert_eq!(inside("cat '/tmp/with space'"), "FROM=file\n");
    env.hd(["cp", "a.env", ":/tmp"]).finish().ok();
    assert_eq!(inside("cat /tmp/a.env"), "FROM=file\n");
    files::write(&env.path("tree/sub/run.sh"), "echo ran\n");
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(env.path("tree/sub/run.sh"), mode).unwrap();
    std::os::unix::fs::symlink("sub", env.path("tree/link")).unwrap();
    env.hd(["cp", "tree", "web:/tmp/copy"]).finish().ok();
    assert_eq!(
        inside("/bin/sh /tmp/copy/link/run.sh; readlink /tmp/copy/link"),
        "ran\nsub\n"
    );
    assert_eq!(
        inside("ls -A /tmp | grep -c hd-cp || true"),
        "0\n",
        "nothing of the copy is left"
    );

    // And out again.
    inside("mkdir /tmp/out; echo one > /tmp/out/f; ln -s f /tmp/out/l");
    env.hd(["cp", "web:/tmp/out", "back"]).finish().ok();
    assert_eq!(files::read(&env.path("back/l")), "one\n");
    env.hd(["cp", "web:/tmp/out/f", "."]).finish().ok();
    assert_eq!(files::read(&env.path("f")), "one\n");
    inside("echo two > /tmp/out/f");
    env.hd(["cp", "web:/tmp/out/f", "f"]).finish().ok();
    assert_eq!(
        files::read(&env.path("f")),
        "two\n",
        "a file takes the place of a file"
    );

    for (from, to, says) in [
        ("a.env", "b.env", "neither side"),
        ("web:/a", "web:/b", "both sides"),
        ("nothing", "web:/tmp", "nothing"),
        ("a.env", "wbe:/tmp", "did you mean `web`?"),
    ] {
        let wrong = env.hd(["cp", from, to]).finish().expect_code(2);
        assert!(wrong.stderr.contains(says), "{from} {to}: {}", wrong.said());
    }
    let gone = env.hd(["cp", "web:/no/such", "x"]).finish().expect_code(1);
    assert!(
        gone.stderr.contains("there is no /no/such"),
        "{}",
        gone.said()
    );
    let gone = env
        .hd(["cp", "a.env", "web:/no/such/x"])
        .finish()
        .expect_code(1);
    assert!(
        gone.stderr.contains("no directory /no/such"),
        "{}",
        gone.said()
    );
    assert!(!env.path("x").exists());
}
