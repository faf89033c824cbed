//! `hd export`: the environment as an image for other engines, the same each time.

use std::path::Path;

use hd_integration::faulty::{Fault, Faulty};
use hd_integration::{Env, Run, files, images, needs, samples, skip_unless};
use serde_json::Value;

fn image(name: &str) -> String {
    format!(
        "{}/{name}",
        needs::registry().expect("checked by skip_unless")
    )
}

/// Everything that is hard to say in a layer, on top of busybox.
const HARD: &str = "mkdir -p out/deep out/gone && echo a > out/a && ln -s ../a out/deep/sym \
    && chmod 4711 out/a && chown 7:3000000 out/deep && chmod 1777 out/deep && rm /etc/group && rm -r /var/www \
    && mkdir /var/www && echo b > /var/www/b && rm /bin/yes && mkdir /bin/yes && touch /bin/yes/dir \
    && echo c > 'out/naïve name' && echo d > out/$(printf '%0120d' 1) && mkfifo out/pipe && mkdir out/none";

fn export(env: &Env, target: &str, more: &[&str]) -> Value {
    let args = ["export", "--json", target];
    env.hd(args.iter().chain(more)).finish().ok().json()
}

/// A project without steps, to look into an image with.
fn reader() -> Env {
    Env::project(&[(
        "hd.toml",
        "[environment]\nname = \"reader\"\nworkdir = \"/elsewhere\"\n",
    )])
}

fn sent(exported: &Value) -> Vec<&str> {
    let layers = exported["layers"].as_array().expect("layers");
    layers
        .iter()
        .map(|layer| layer["sent"].as_str().expect("a word"))
        .collect()
}

#[test]
fn what_is_exported_unpacks_to_what_hd_shows() {
    skip_unless!(needs::fuse(), needs::root(), needs::registry());
    let env = samples::observing(HARD, &[]);
    let base = image("busybox:1");
    let once = env.once_with(&["--base", &base]);
    let place = env.mark().display().to_string();
    let tree = |name: &str| {
        let described = env
            .hd(["image", "inspect", "--json", name])
            .finish()
            .ok()
            .json();
        described["images"][0]["tree"]
            .as_str()
            .expect("a tree")
            .to_owned()
    };
    for (tag, compression) in [("v1", "gzip"), ("v2", "zstd"), ("v3", "none")] {
        let target = format!("oci:{place}/layout:{tag}");
        let exported = export(
            &env,
            &target,
            &["--base", &base, "--compression", compression],
        );
        assert_eq!(exported["base_repacked"], Value::Null, "{exported}");
        env.hd(["image", "pull", &target]).finish().ok();
        assert_eq!(tree(&target), once.view(), "{compression}");
    }
    let archive = format!("docker-archive:{place}/image.tar:hard:1");
    export(&env, &archive, &["--base", &base]);
    env.hd(["image", "pull", &archive]).finish().ok();
    assert_eq!(tree(&archive), once.view());
}

#[test]
fn hard_links_stay_hard_links() {
    skip_unless!(needs::fuse(), needs::registry());
    let env = samples::observing("mkdir out && echo a > out/a && ln out/a out/b", &[]);
    let target = format!("oci:{}/layout", env.mark().display());
    export(&env, &target, &["--base", &image("busybox:1")]);
    let stat = [
        "run",
        "--base",
        &target,
        "stat",
        "-c",
        "%h",
        "/workspace/out/a",
    ];
    assert_eq!(reader().hd(stat).finish().ok().stdout, "2\n");
}

#[test]
fn an_edit_of_the_project_sends_the_last_layer_only() {
    skip_unless!(needs::fuse(), needs::registry());
    let env = samples::observing("mkdir out && cp /etc/passwd out/users", &[]);
    let base = image("busybox:1");
    let target = image(&format!("hd-export/edit-{}:1", std::process::id()));
    let first = export(&env, &target, &["--base", &base]);
    assert_eq!(sent(&first), ["mounted", "new", "new"], "{first}");
    let again = export(&env, &target, &["--base", &base]);
    assert_eq!(
        (&again["digest"], sent(&again)),
        (&first["digest"], vec!["kept"; 3])
    );
    files::write(&env.path("added.txt"), "new\n");
    let edited = export(&env, &target, &["--base", &base]);
    assert_eq!(sent(&edited), ["kept", "kept", "new"], "{edited}");
    assert_ne!(edited["digest"], first["digest"]);
    let pulled = env
        .hd(["image", "pull", "--json", &target])
        .finish()
        .ok()
        .json();
    assert_eq!(pulled["images"][0]["digest"], edited["digest"]);
    let text = reader()
        .hd(["run", "--base", &target, "cat", "/workspace/added.txt"])
        .finish()
        .ok();
    assert_eq!(text.stdout, "new\n");
}

/// A registry may have the blob in a repository that this person may not read.
#[test]
fn several_exports_into_one_layout_at_once_lose_none() {
    skip_unless!(needs::fuse(), needs::registry());
    let base = image("busybox:1");
    let all: Vec<Env> = (0..5).map(|_| reader()).collect();
    let layout = all[0].mark().join("layout");
    let target = |tag: &str| format!("oci:{}:{tag}", layout.display());
    let tags: Vec<String> = (0..all.len()).map(|number| format!("t{number}")).collect();
    std::thread::scope(|scope| {
        for (env, tag) in all.iter().zip(&tags) {
            scope.spawn(|| export(env, &target(tag), &["--base", &base]));
        }
    });
    let index = files::read(&layout.join("index.json"));
    let missing = |tag: &&String| !index.contains(&format!("\"{tag}\""));
    let missing: Vec<&String> = tags.iter().filter(missing).collect();
    assert_eq!(missing, [""; 0], "{index}");
    // Killed before there was an index.
    std::fs::remove_file(layout.join("index.json")).unwrap();
    export(&all[0], &target("again"), &["--base", &base]);
}

#[test]
fn what_may_not_be_taken_over_from_another_repository_is_sent() {
    skip_unless!(needs::fuse(), needs::registry());
    let registry = needs::registry().expect("checked by skip_unless");
    let guard = Faulty::before(&registry, |method, path| {
        match method == "POST" && path.contains("mount=") {
            true => Fault::Status(403, ""),
            false => Fault::None,
        }
    });
    let env = samples::observing("mkdir out && cp /etc/passwd out/users", &[]);
    let base = format!("{}/busybox:1", guard.host());
    let target = format!("{}/hd-export/mount-{}:1", guard.host(), std::process::id());
    let exported = export(&env, &target, &["--base", &base]);
    assert_eq!(sent(&exported), ["new"; 3], "{exported}");
    assert_eq!(guard.count("mount="), 1, "{:?}", guard.requests());
}

/// Engines write the layers of an archive plain; what makes archives smaller afterwards packs them.
#[test]
fn the_packed_layers_of_an_archive_are_taken_over_as_they_are() {
    skip_unless!(needs::fuse(), needs::registry(), needs::program("skopeo"));
    let env = samples::observing("mkdir out && touch out/x", &[]);
    let place = env.mark().join("saved");
    std::fs::create_dir(&place).expect("make a directory");
    let saved = format!("docker-archive:{}:bb:1", place.join("a.tar").display());
    images::copy(&[], &format!("docker://{}", image("busybox:1")), &saved);
    let script = "mkdir in && tar -xf a.tar -C in && cd in && for one in *.tar; do \
        if [ ! -h $one ]; then gzip -n $one && mv $one.gz $one; fi; done && tar -cf ../b.tar *";
    images::output(script, &place);
    let base = format!("docker-archive:{}", place.join("b.tar").display());
    for target in [
        format!("oci:{}", place.join("out").display()),
        format!("docker-archive:{}:x:1", place.join("out.tar").display()),
    ] {
        let exported = export(&env, &target, &["--base", &base]);
        assert_eq!(exported["base_repacked"], Value::Null, "{exported}");
        let run = ["run", "--base", &target, "ls", "/bin/busybox"];
        let listed = reader().hd(run).finish().ok();
        assert_eq!(listed.stdout.trim(), "/bin/busybox");
    }
}

/// In other checkouts a vendored image lies elsewhere.
#[test]
fn where_the_base_lies_on_this_machine_is_not_in_the_image() {
    skip_unless!(needs::fuse(), needs::registry(), needs::program("skopeo"));
    let digests = |is_gone: bool| {
        let mut env = samples::observing("mkdir -p out && echo made > out/x", &[]);
        env.set("SOURCE_DATE_EPOCH", "1700000000");
        let layout = env.mark().join("vendored");
        let base = format!("oci:{}:v1", layout.display());
        images::copy(&[], &format!("docker://{}", image("busybox:1")), &base);
        env.once_with(&["--base", &base]);
        if is_gone {
            std::fs::remove_dir_all(&layout).expect("remove the base");
        }
        let target = env.mark().join("layout");
        let exported = export(
            &env,
            &format!("oci:{}", target.display()),
            &["--base", &base],
        );
        let script = format!("! grep -rlF {} .", env.mark().display());
        assert_eq!(images::output(&script, &target), "");
        exported["digest"].clone()
    };
    for is_gone in [false, true] {
        assert_eq!(digests(is_gone), digests(is_gone), "{is_gone}");
    }
}

#[test]
fn the_same_environment_is_the_same_digest_wherever_it_is_made() {
    skip_unless!(needs::fuse(), needs::registry());
    let base = image("busybox:1");
    let digest = |touched: bool| {
        let mut env = samples::observing("mkdir -p out && echo made > out/x", &[]);
        env.set("SOURCE_DATE_EPOCH", "1700000000");
        if touched {
            files::write(&env.path("extra"), "x");
            std::fs::remove_file(env.path("extra")).expect("remove");
        }
        let target = format!("oci:{}/layout", env.mark().display());
        export(&env, &target, &["--base", &base])["digest"].clone()
    };
    assert_eq!(digest(false), digest(true));
}

#[test]
fn the_defaults_of_a_service_are_those_of_the_image() {
    skip_unless!(needs::fuse(), needs::registry());
    let toml = r#"
[environment]
name = "defaults"
env = { MODE = "production", DB = "postgres://me:${TOKEN}@db" }
env_file = ["secret.env"]

[services.web]
command = ["httpd", "-f"]
port = 8080
env = { OWN = "1", URL = "${NO_SUCH:-http://$TOKEN@db}" }
user = "nobody"
working_dir = "sub"
stop_signal = "QUIT"
healthcheck = { test = "true", interval = "7s" }

[services.job]
command = "echo done"
kind = "oneshot"
"#;
    let env = Env::project(&[
        ("hd.toml", toml),
        ("secret.env", "TOKEN=hunter2\n"),
        ("sub/x", ""),
    ]);
    let base = image("busybox:1");
    let target = format!("oci:{}/layout", env.mark().display());
    let exported = export(&env, &target, &["--base", &base, "--label", "who=me"]);
    let left_out = exported["left_out"].to_string();
    for word in ["secret.env", "DB, whose value", "URL, whose value"] {
        assert!(left_out.contains(word), "{left_out}");
    }
    let described = env
        .hd(["image", "inspect", "--json", &target])
        .finish()
        .ok();
    assert!(
        !described.stdout.contains("hunter2"),
        "a secret is in the image"
    );
    let config = described.json()["images"][0]["config"]["config"].clone();
    let expected = [
        ("Cmd", serde_json::json!(["httpd", "-f"])),
        ("User", "nobody".into()),
        ("WorkingDir", "/workspace/sub".into()),
        ("StopSignal", "SIGQUIT".into()),
        ("Labels", serde_json::json!({ "who": "me" })),
    ];
    for (key, value) in expected {
        assert_eq!(config[key], value, "{config}");
    }
    assert_eq!(
        config["Healthcheck"]["Test"],
        serde_json::json!(["CMD-SHELL", "true"])
    );
    assert_eq!(config["Healthcheck"]["Interval"], 7_000_000_000_u64);
    let variables = config["Env"].to_string();
    assert!(
        variables.contains("MODE=production") && variables.contains("OWN=1"),
        "{variables}"
    );
    let ports = config["ExposedPorts"].as_object().expect("ports");
    assert_eq!(ports.len(), 1, "{ports:?}");
    let job = export(&env, &target, &["--base", &base, "--service", "job"]);
    assert_ne!(job["digest"], exported["digest"]);
}

#[test]
fn what_cannot_be_exported_is_refused_in_words() {
    skip_unless!(needs::fuse(), needs::registry());
    let env = samples::observing("true", &[]);
    let place = env.mark().display().to_string();
    let host = env
        .hd(["export", &format!("oci:{place}/x")])
        .finish()
        .expect_code(2);
    assert!(host.stderr.contains("--base IMAGE"), "{}", host.said());
    let base = image("busybox:1");
    let full = env.path("");
    for (target, part, code) in [
        ("docker-daemon:x".to_owned(), "cannot be exported", 2),
        ("oci:".to_owned(), "no directory", 2),
        (format!("oci:{}", full.display()), "no OCI image layout", 1),
        (
            "docker-archive:/nonexistent/x.tar".to_owned(),
            "/nonexistent",
            1,
        ),
        ("127.0.0.1:1/a:b".to_owned(), "nothing listens", 1),
    ] {
        let done = env.hd(["export", &target, "--base", &base]).finish();
        assert_eq!(done.code(), code, "{target}: {}", done.said());
        assert!(done.stderr.contains(part), "{target}: {}", done.stderr);
    }
    assert_eq!(env.added(), [""; 0]);
}

#[test]
fn without_its_registry_the_base_is_one_layer() {
    skip_unless!(needs::fuse(), needs::registry(), needs::program("skopeo"));
    let env = samples::observing("mkdir out && touch out/x", &[]);
    let layout = format!("oci:{}/base:1", env.mark().display());
    let from = format!("docker://{}", image("busybox:1"));
    let copy = [
        "--insecure-policy",
        "copy",
        "-q",
        "--src-tls-verify=false",
        &from,
        &layout,
    ];
    Run::new(Path::new("skopeo")).args(copy).finish().ok();
    env.once_with(&["--base", &layout]);
    std::fs::remove_dir_all(env.mark().join("base")).expect("remove the base");
    let target = format!("oci:{}/out", env.mark().display());
    let exported = export(&env, &target, &["--base", &layout]);
    assert!(exported["base_repacked"].is_string(), "{exported}");
    assert_eq!(sent(&exported), ["new"; 3]);
    let run = reader()
        .hd(["run", "--base", &target, "ls", "/bin/busybox"])
        .finish()
        .ok();
    assert_eq!(run.stdout.trim(), "/bin/busybox");
}
