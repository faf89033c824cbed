//! What `hd doctor` says of the base: what `hd up` would meet.

use hd_integration::faulty::{Fault, Faulty};
use hd_integration::{Env, files, needs, skip_unless};

/// A host that no name server knows: only a proxy finds it.
const HOST: &str = "registry.test";

/// A project whose base is this, where nothing else is said about registries.
fn project(base: &str) -> Env {
    let mut env = Env::project(&[("hd.toml", &toml(base))]);
    let home = env.mark().join("person");
    std::fs::create_dir(&home).expect("make a home");
    let home = home.display().to_string();
    env.set("HOME", &home).set("DOCKER_CONFIG", &home);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
        env.set(name, "").set(&name.to_lowercase(), "");
    }
    env
}

fn toml(base: &str) -> String {
    format!("[environment]\nname = \"x\"\nbase = \"{base}\"\n")
}

/// How good the registry is found, if it is asked, and the exit code.
fn registry(env: &Env) -> (String, i32) {
    let done = env.hd(["doctor", "--json"]).finish();
    let checks = done.json()["checks"].clone();
    let checks = checks.as_array().expect("checks").iter();
    let mut of_registry = checks.filter(|one| one["check"] == "registry");
    let grade = of_registry.next().map(|one| one["grade"].clone());
    let grade = grade.unwrap_or_else(|| "not asked".into());
    (grade.as_str().expect("a word").to_owned(), done.code())
}

fn is(grade: &str, code: i32) -> (String, i32) {
    (grade.to_owned(), code)
}

#[test]
fn what_lies_on_this_machine_is_in_no_registry() {
    skip_unless!(needs::fuse(), needs::root());
    let env = project("oci:./image");
    for base in [
        "oci:./image",
        "oci:image:v1",
        "docker-archive:x.tar",
        "docker-daemon:x",
    ] {
        files::write(&env.path("hd.toml"), &toml(base));
        assert_eq!(registry(&env), is("not asked", 0), "{base}");
    }
}

#[test]
fn a_base_that_was_pulled_needs_no_registry_and_one_that_was_not_does() {
    skip_unless!(needs::fuse(), needs::root(), needs::registry());
    let upstream = needs::registry().expect("checked by skip_unless");
    let server = Faulty::before(&upstream, |_, _| Fault::None);
    let base = format!("{}/busybox:1", server.host());
    let mut env = project(&base);
    assert_eq!(registry(&env), is("ok", 0));
    let pulled = env.hd(["image", "pull", "--json", &base]).finish().ok();
    let digest = pulled.json()["images"][0]["digest"].clone();
    let digest = digest.as_str().expect("a digest");
    files::write(&env.path("hd.toml"), &toml(&format!("{base}@{digest}")));
    assert_eq!(registry(&env), is("ok", 0), "a digest is asked for, too");

    drop(server);
    assert_eq!(registry(&env), is("poor", 0), "it is known by its digest");
    files::write(&env.path("hd.toml"), &toml(&base));
    assert_eq!(registry(&env), is("poor", 0));
    env.once();
    env.second_home();
    assert_eq!(registry(&env), is("bad", 7));
    // The same cause has the same code, whoever meets it.
    env.once_fails(2);
    env.hd(["image", "pull", &base]).finish().expect_code(2);
}

#[test]
fn it_is_asked_the_way_that_the_image_comes() {
    skip_unless!(needs::fuse(), needs::root(), needs::registry());
    let upstream = needs::registry().expect("checked by skip_unless");
    let mut env = project(&format!("{upstream}/busybox:1"));
    // What is on this machine is behind no proxy.
    env.set("HTTPS_PROXY", "http://127.0.0.1:1");
    assert_eq!(registry(&env), is("ok", 0));

    let base = format!("{HOST}:5000/busybox:1");
    files::write(&env.path("hd.toml"), &toml(&base));
    let conf = env.mark().join("registries.conf");
    let text = format!("[[registry]]\nlocation = \"{HOST}:5000\"\ninsecure = true\n");
    files::write(&conf, &text);
    env.set("CONTAINERS_REGISTRIES_CONF", &conf.display().to_string());
    assert_eq!(registry(&env), is("bad", 7), "there is no such host");
    let proxy = Faulty::before(&upstream, |_, _| Fault::None);
    env.set("HTTP_PROXY", &format!("http://{}", proxy.host()));
    assert_eq!(registry(&env), is("ok", 0));
    env.set("NO_PROXY", HOST);
    assert_eq!(registry(&env), is("bad", 7));
}
