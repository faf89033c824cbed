//! Ways to a registry: proxies, authorities, passwords and tokens; and a pull that a person ends.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use hd_integration::faulty::{Asked, Fault, Faulty};
use hd_integration::leftovers::signal;
use hd_integration::registry::{BASIC, PASSWORD, Registry};
use hd_integration::{Env, LONG, SHORT, leftovers, needs, samples, skip_unless, until};
use rustix::process::Signal;
use serde_json::{Value, json};

/// A host that no name server knows: only a proxy finds it.
const HOST: &str = "registry.test";

fn upstream() -> String {
    needs::registry().expect("checked by skip_unless")
}

fn own_registry() -> Result<(), String> {
    ["docker-registry", "openssl", "skopeo"]
        .iter()
        .try_for_each(|name| needs::program(name).map(drop))
}

/// An environment in which this machine says nothing about registries.
fn env() -> Env {
    let mut env = Env::project(&[("hd.toml", "[environment]\nname = \"x\"\n")]);
    let home = env.mark().join("person");
    std::fs::create_dir(&home).expect("make a home");
    env.set("HOME", &home.display().to_string());
    env.set("DOCKER_CONFIG", &home.join("docker").display().to_string());
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"] {
        both(&mut env, name, "");
    }
    env
}

/// Sets a variable in both ways in which it is written.
fn both(env: &mut Env, name: &str, value: &str) {
    env.set(name, value).set(&name.to_lowercase(), value);
}

fn write(env: &Env, path: &str, text: &str) {
    let path = env.mark().join("person").join(path);
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("make directories");
    std::fs::write(path, text).expect("write");
}

/// Lets a person log in, as `docker login` does.
fn log_in(env: &Env, host: &str) {
    let config = json!({ "auths": { host: { "auth": BASIC } } });
    write(env, "docker/config.json", &config.to_string());
}

#[track_caller]
fn pull(env: &Env, image: &str) {
    env.hd(["image", "pull", image]).finish().ok();
    env.hd(["cas", "verify"]).finish().ok();
}

#[track_caller]
fn refuses(env: &Env, image: &str, words: &[&str]) {
    let done = env.hd(["image", "pull", image]).finish().expect_code(2);
    for word in words {
        assert!(done.stderr.contains(word), "no `{word}` in {}", done.stderr);
    }
}

#[test]
fn plain_http_goes_through_the_proxy_of_the_environment() {
    skip_unless!(needs::registry());
    let proxy = Faulty::before(&upstream(), |_, _| Fault::None);
    let mut env = env();
    both(&mut env, "HTTP_PROXY", &format!("http://{}", proxy.host()));
    let image = format!("{HOST}:5000/busybox:1");
    let conf = format!("[[registry]]\nlocation = \"{HOST}:5000\"\ninsecure = true\n");
    write(&env, ".config/containers/registries.conf", &conf);
    pull(&env, &image);
    assert!(
        proxy.count(&format!("http://{HOST}:5000/v2/busybox/blobs/")) >= 2,
        "{:?}",
        proxy.requests()
    );
    // Loopback is never behind a proxy, and neither is what NO_PROXY names.
    let before = proxy.requests().len();
    pull(&env, &format!("{}/fixtures/layers:1", upstream()));
    both(env.second_home(), "NO_PROXY", HOST);
    refuses(&env, &image, &[HOST]);
    assert_eq!(proxy.requests().len(), before);
}

#[test]
fn a_pattern_of_hosts_in_the_settings_of_the_machine_is_understood() {
    skip_unless!(needs::registry());
    let proxy = Faulty::before(&upstream(), |_, _| Fault::None);
    let mut env = env();
    both(&mut env, "HTTP_PROXY", &format!("http://{}", proxy.host()));
    let conf = "[[registry]]\nprefix = \"*.test:5000\"\ninsecure = true\n";
    write(&env, ".config/containers/registries.conf", conf);
    pull(&env, &format!("{HOST}:5000/busybox:1"));
    pull(&env, &format!("{}/fixtures/layers:1", upstream()));
}

#[test]
fn a_tag_of_an_image_called_docker_is_no_transport() {
    let env = env();
    let conf = "[[registry]]\nprefix = \"docker.io\"\nblocked = true\n";
    write(&env, ".config/containers/registries.conf", conf);
    for name in ["docker:27", "docker://docker:27"] {
        refuses(&env, name, &["docker.io/library/docker:27 is blocked"]);
    }
}

#[test]
fn a_helper_that_keeps_logins_is_quoted_and_an_empty_name_is_none() {
    let guard = Faulty::before("127.0.0.1:1", |_, _| {
        let challenge = "\r\nwww-authenticate: Basic realm=\"x\"";
        Fault::Json(
            401,
            challenge.to_owned(),
            json!({ "errors": [] }).to_string(),
        )
    });
    let mut env = env();
    let image = format!("{}/a:1", guard.host());
    let none = json!({ "auths": null, "credsStore": "", "credHelpers": { guard.host(): "" } });
    write(&env, "docker/config.json", &none.to_string());
    refuses(&env, &image, &["`docker login", "may be misspelt"]);

    let bin = env.mark().join("person/bin");
    write(
        &env,
        "bin/docker-credential-hdtest",
        "#!/bin/sh\necho the keychain is locked\nexit 1\n",
    );
    let helper = bin.join("docker-credential-hdtest");
    std::fs::set_permissions(helper, PermissionsExt::from_mode(0o755)).expect("chmod");
    let path = std::env::var("PATH").expect("a PATH");
    env.set("PATH", &format!("{}:{path}", bin.display()));
    let store = json!({ "credsStore": "hdtest" });
    write(&env, "docker/config.json", &store.to_string());
    refuses(
        &env,
        &image,
        &["docker-credential-hdtest", "the keychain is locked"],
    );
}

#[test]
fn tls_goes_through_a_proxy_and_trusts_the_authorities_it_is_told_of() {
    skip_unless!(needs::registry(), own_registry());
    let registry = Registry::with_tls(HOST);
    registry.copy_from(&format!("{}/busybox:1", upstream()), "busybox:1");
    let proxy = Faulty::before(&registry.host(), |_, _| Fault::None);
    let mut env = env();
    // An empty name hides no other: that in capitals stays as `env` set it.
    env.set("https_proxy", &format!("http://{}", proxy.host()));
    let image = format!("{HOST}/busybox:1");
    refuses(&env, &image, &[HOST, "certificate"]);
    assert!(proxy.count(&format!("{HOST}:443")) > 0);

    write(
        &env,
        &format!(".config/containers/certs.d/{HOST}/own.crt"),
        &registry.authority(),
    );
    pull(&env, &image);
    let place = env.mark().join("person/.config");
    std::fs::remove_dir_all(place).expect("forget the authority");
    env.second_home();
    refuses(&env, &image, &["certificate"]);

    write(&env, "bundle.pem", &registry.authority());
    let bundle = env.mark().join("person/bundle.pem");
    env.set("SSL_CERT_FILE", &bundle.display().to_string());
    pull(&env, &image);
    both(env.use_home("third"), "NO_PROXY", HOST);
    let before = proxy.requests().len();
    refuses(&env, &image, &[HOST]);
    assert_eq!(proxy.requests().len(), before);
}

fn exported(env: &Env, target: &str) -> Value {
    let base = format!("{}/busybox:1", upstream());
    let args = ["export", "--json", "--base", &base, target];
    env.hd(args).finish().ok().json()
}

/// Pulls what was pushed, in another home; answers its digest.
fn pulled(env: &mut Env, target: &str) -> Value {
    env.second_home();
    let args = ["image", "pull", "--json", target];
    env.hd(args).finish().ok().json()["images"][0]["digest"].clone()
}

#[test]
fn a_registry_with_a_password_takes_an_export() {
    skip_unless!(needs::fuse(), needs::registry(), own_registry());
    let registry = Registry::with_password();
    let target = format!("{}/team/app:1", registry.host());
    let mut env = env();
    let base = format!("{}/busybox:1", upstream());
    let refused = env
        .hd(["export", "--base", &base, &target])
        .finish()
        .expect_code(1);
    assert!(
        refused.stderr.contains("docker login"),
        "{}",
        refused.stderr
    );
    log_in(&env, &registry.host());
    let digest = exported(&env, &target)["digest"].clone();
    assert_eq!(pulled(&mut env, &target), digest);
}

/// Lets in who shows a token that is good for what is asked; tokens are for sale at `/token`.
fn with_tokens(asked: &Asked) -> Fault {
    let shown = asked.authorization.as_deref().unwrap_or_default();
    if asked.path.starts_with("/token") {
        // The token says what it is good for.
        let right = if asked.path.contains("push") {
            "push"
        } else {
            "pull"
        };
        return match shown == format!("Basic {BASIC}") {
            true => Fault::Json(200, String::new(), json!({ "token": right }).to_string()),
            false => Fault::Status(401, ""),
        };
    }
    let reads = matches!(asked.method.as_str(), "GET" | "HEAD");
    if shown == "Bearer push" || (reads && shown == "Bearer pull") {
        return Fault::None;
    }
    let right = if reads { "pull" } else { "pull,push" };
    let challenge = format!(
        "\r\nwww-authenticate: Bearer realm=\"/token\",service=\"s\",scope=\"repository:team/app:{right}\""
    );
    Fault::Json(401, challenge, json!({ "errors": [] }).to_string())
}

/// The guard before a registry of its own, which knows its own address.
fn guard(upstream: &str) -> Faulty {
    let own: std::sync::Arc<std::sync::OnceLock<String>> = std::sync::Arc::default();
    let host = own.clone();
    let guard = Faulty::judging(upstream, move |asked| match with_tokens(asked) {
        Fault::Json(401, lines, json) => {
            let host = host.get().expect("set below");
            let realm = format!("realm=\"http://{host}/token\"");
            Fault::Json(401, lines.replace("realm=\"/token\"", &realm), json)
        }
        fault => fault,
    });
    own.set(guard.host()).expect("set once");
    guard
}

#[test]
fn a_registry_with_tokens_takes_an_export() {
    skip_unless!(needs::fuse(), needs::registry());
    let guard = guard(&upstream());
    let target = format!("{}/team/app:{}", guard.host(), std::process::id());
    let mut env = env();
    log_in(&env, &guard.host());
    let digest = exported(&env, &target)["digest"].clone();
    let tokens = guard.count("/token");
    assert!((1..=3).contains(&tokens), "{:?}", guard.requests());
    assert!(guard.count("PUT ") >= 2, "{:?}", guard.requests());
    assert_eq!(pulled(&mut env, &target), digest);
    let stray = |asked: &Asked| {
        asked
            .authorization
            .as_deref()
            .is_some_and(|shown| shown.contains(BASIC))
            && !asked.path.starts_with("/token")
    };
    assert!(
        !guard.asked().iter().any(stray),
        "the password is for the token server"
    );
    // Neither it nor a token is anywhere in what was kept.
    let grep =
        hd_integration::Run::new(Path::new("grep")).args(["-r", "-l", "-e", PASSWORD, "-e", BASIC]);
    let kept = grep
        .args([env.mark().join("home"), env.mark().join("home2")])
        .finish();
    assert_eq!(kept.stdout, "");
}

#[test]
fn a_redirect_to_another_host_shows_neither_password_nor_token() {
    skip_unless!(needs::registry());
    let basic = |asked: &Asked| match asked.authorization {
        Some(_) => Fault::None,
        None => Fault::Status(401, "\r\nwww-authenticate: Basic realm=\"x\""),
    };
    let guards = [Faulty::judging(&upstream(), basic), guard(&upstream())];
    for guard in guards {
        let there = Faulty::before(&upstream(), |_, _| Fault::None);
        let port = there.host().rsplit_once(':').expect("a port").1.to_owned();
        let first = Faulty::judging(&guard.host(), move |asked| {
            let is_in = asked.authorization.is_some() && asked.path.contains("/blobs/");
            match is_in {
                true => Fault::Redirect(format!("http://localhost:{port}")),
                false => Fault::None,
            }
        });
        let env = env();
        log_in(&env, &first.host());
        // The token server is where the guard says, with the credentials of who is asked.
        pull(&env, &format!("{}/busybox:1", first.host()));
        assert!(there.count("/blobs/") >= 2, "{:?}", there.requests());
        let shown = |asked: &Asked| asked.authorization.is_some();
        assert!(!there.asked().iter().any(shown), "{:?}", there.asked());
        assert!(guard.asked().iter().any(shown));
    }
}

#[test]
fn ctrl_c_in_the_middle_of_a_pull_leaves_nothing_half_there() {
    skip_unless!(needs::fuse(), needs::registry());
    // The first is the configuration, which all layers wait for.
    let blobs = Arc::new(AtomicU32::new(0));
    let silent = || {
        let blobs = Arc::clone(&blobs);
        blobs.store(0, Ordering::SeqCst);
        move |_: &str, path: &str| match path.contains("/blobs/") {
            true if blobs.fetch_add(1, Ordering::SeqCst) > 0 => Fault::Silent,
            _ => Fault::None,
        }
    };
    let toml = "[environment]\nname = \"x\"\nbase = \"HOST/python:3.11-slim\"\n[build]\nsteps = [\"true\"]\n";
    for verb in [&["image", "pull"][..], &["up", "--once"]] {
        let server = Faulty::before(&upstream(), silent());
        let image = format!("{}/python:3.11-slim", server.host());
        let env = samples::observing("true", &[]);
        std::fs::write(env.path("hd.toml"), toml.replace("HOST", &server.host())).expect("write");
        let args: Vec<&str> = match verb[0] {
            "image" => verb.iter().copied().chain([image.as_str()]).collect(),
            _ => verb.to_vec(),
        };
        let mut child = env
            .hd(&args)
            .into_command()
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("start hd");
        until("a layer is on its way", LONG, || {
            (server.count("/blobs/") >= 2).then_some(())
        });
        signal(i32::try_from(child.id()).expect("a pid"), Signal::INT);
        let status = until("hd ends", SHORT, || child.try_wait().expect("wait"));
        use std::os::unix::process::ExitStatusExt;
        let code = status.code().or(status.signal().map(|signal| 128 + signal));
        assert_eq!(code, Some(130), "{args:?}");
        leftovers::expect_none(env.mark(), SHORT);
        let listed = env.hd(["image", "ls", "--json"]).finish().ok().json();
        assert_eq!(listed["images"], json!([]));
        env.hd(["cas", "verify", "--read-data"]).finish().ok();
        // The next one needs no repair.
        pull(&env, &format!("{}/python:3.11-slim", upstream()));
    }
}
