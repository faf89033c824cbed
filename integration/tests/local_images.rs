//! Images from where no registry is, and `hd image`.

use std::os::unix::net::UnixListener;
use std::path::Path;

use hd_integration::faulty::{Fault, Faulty};
use hd_integration::{Env, Run, SHORT, images, leftovers, needs, samples, skip_unless};
use serde_json::Value;

fn image(name: &str) -> String {
    format!(
        "{}/{name}",
        needs::registry().expect("checked by skip_unless")
    )
}

fn env() -> Env {
    samples::observing("mkdir out && cp /etc/passwd out/users", &[])
}

#[test]
fn each_place_of_an_image_gives_the_same_environment() {
    skip_unless!(needs::fuse(), needs::registry(), needs::program("skopeo"));
    let env = env();
    let from = image("busybox:1");
    let wanted = env.once_with(&["--base", &from]).view().to_owned();
    let place = env.mark().display().to_string();
    let docker = format!("docker://{from}");
    for (to, base) in [
        (
            format!("oci:{place}/layout:v1"),
            format!("oci:{place}/layout:v1"),
        ),
        (format!("oci:{place}/only:v1"), format!("oci:{place}/only")),
        (
            format!("oci-archive:{place}/a.tar:v1"),
            format!("oci-archive:{place}/a.tar"),
        ),
        (
            format!("docker-archive:{place}/d.tar:bb:1"),
            format!("docker-archive:{place}/d.tar:bb:1"),
        ),
    ] {
        images::copy(&[], &docker, &to);
        let once = env.once_with(&["--base", &base]);
        assert_eq!(once.view(), wanted, "{base}");
    }
    // A path begins where it is said: in the project for hd.toml, here for --base.
    images::copy(
        &[],
        &docker,
        &format!("oci:{}:v1", env.path("vendored").display()),
    );
    let once = env.once_with(&["--base", "oci:vendored:v1"]);
    assert_eq!(
        once.value()["base"],
        format!("oci:{}:v1", env.path("vendored").display())
    );
}

#[test]
fn a_path_begins_where_it_is_typed_also_for_what_runs_in_the_background() {
    skip_unless!(needs::fuse(), needs::registry(), needs::program("skopeo"));
    let env = Env::project(&[
        (
            "hd.toml",
            "[environment]\nname = \"away\"\n[services.web]\ncommand = \"exec sleep 1000\"\n",
        ),
        ("below/file", ""),
    ]);
    let below = env.path("below");
    let docker = format!("docker://{}", image("busybox:1"));
    images::copy(
        &[],
        &docker,
        &format!("oci:{}:v1", below.join("image").display()),
    );
    let typed = |args: &[&str]| {
        let hd = env.hd(args).dir(&below).env("HD_HOME", "../../relative");
        hd.finish().ok()
    };
    let base = format!("oci:{}:v1", below.join("image").display());
    // The second one is asked of the first, on the same base.
    for _ in 0..2 {
        let up = typed(&["up", "--wait", "--json", "--base", "oci:image:v1"]);
        assert_eq!(up.json()["base"], base, "{}", up.said());
    }
    let report = typed(&["build", "--json", "--base", "oci:image:v1"]).json();
    assert_eq!(report["base"], base);
    typed(&["down"]);
    assert!(env.path("../relative/instances").is_dir());
    leftovers::expect_none(env.mark(), SHORT);
}

/// Lets the configuration of an image in a `dir:` name what its layers unpack to; answers how many of them are
/// zstd:chunked. The skopeo of Debian 12 drops zeros behind the end of an archive and keeps the old digests.
fn honest_ids(place: &Path) -> usize {
    let manifest = images::change(place, |config, manifest| {
        let layers = manifest["layers"].as_array().expect("layers");
        let id = |layer: &Value| {
            let script = format!(
                "zstd -dc < {} | sha256sum | cut -d' ' -f1",
                images::hex(layer)
            );
            Value::from(format!("sha256:{}", images::output(&script, place)))
        };
        config["rootfs"]["diff_ids"] = layers.iter().map(id).collect();
    });
    let chunked = |layer: &&Value| {
        !layer["annotations"]["io.containers.zstd-chunked.manifest-position"].is_null()
    };
    let layers = manifest["layers"].as_array().expect("layers");
    layers.iter().filter(chunked).count()
}

#[test]
fn zstd_chunked_layers_are_read_as_what_they_hold() {
    skip_unless!(
        needs::fuse(),
        needs::registry(),
        needs::program("skopeo"),
        needs::program("zstd")
    );
    let mut env = env();
    let from = image("fixtures/layers:1");
    let place = env.mark().display().to_string();
    // Only what is not compressed is compressed anew.
    let (plain, chunked) = (format!("dir:{place}/plain"), format!("dir:{place}/chunked"));
    images::copy(&["--dest-decompress"], &format!("docker://{from}"), &plain);
    let format = ["--dest-compress", "--dest-compress-format", "zstd:chunked"];
    images::copy(&format, &plain, &chunked);
    assert_eq!(honest_ids(&env.mark().join("chunked")), 4);
    let local = format!("oci:{place}/layout:v1");
    images::copy(&[], &chunked, &local);
    // The same archives as they are: which layer brought a hard link is told by its digest.
    let wanted = format!("oci:{place}/wanted:v1");
    images::copy(&["--dest-decompress"], &chunked, &plain);
    images::copy(&[], &plain, &wanted);
    let wanted = env.once_with(&["--base", &wanted]).view().to_owned();
    let pushed = image(&format!("hd-chunked/layers-{}:1", std::process::id()));
    let remote = format!("docker://{pushed}");
    images::copy(&[], &chunked, &remote);
    for (home, base) in [("local", &local), ("remote", &pushed)] {
        // A store that knows none of the layers.
        env.use_home(home);
        let once = env.once_with(&["--base", base]);
        assert_eq!(once.view(), wanted, "{base}");
        env.hd(["cas", "verify", "--read-data"]).finish().ok();
    }
}

#[test]
fn the_docker_engine_of_this_machine_is_asked() {
    skip_unless!(
        needs::fuse(),
        needs::registry(),
        needs::docker(),
        needs::program("skopeo")
    );
    let env = env();
    let from = image("busybox:1");
    let wanted = env.once_with(&["--base", &from]).view().to_owned();
    let name = format!("hd-test-{}:1", std::process::id());
    images::copy(
        &[],
        &format!("docker://{from}"),
        &format!("docker-daemon:{name}"),
    );
    let base = format!("docker-daemon:{name}");
    let once = env.hd(["up", "--once", "--json", "--base", &base]).finish();
    let absent = env
        .hd(["image", "pull", "docker-daemon:hd-no-such-image:1"])
        .finish();
    Run::new(Path::new("docker"))
        .args(["rmi", "-f", &name])
        .finish();
    assert_eq!(once.ok().report().view(), wanted);
    assert!(
        absent.code() == 2 && absent.stderr.contains("has no such image"),
        "{}",
        absent.said()
    );
}

/// With images in containerd, as new engines keep them, the id of an image is the digest of its index.
#[test]
fn an_engines_id_need_not_be_the_digest_of_a_configuration() {
    skip_unless!(needs::fuse(), needs::registry(), needs::program("skopeo"));
    let mut env = env();
    let place = env.mark().display().to_string();
    let from = format!("docker://{}", image("busybox:1"));
    images::copy(
        &[],
        &from,
        &format!("docker-archive:{place}/saved.tar:bb:1"),
    );
    let id = format!("sha256:{}", "5".repeat(64));
    let answer = serde_json::json!({ "Id": id }).to_string();
    let saved = env.mark().join("saved.tar");
    let engine = Faulty::before("127.0.0.1:1", move |_, path| match path {
        path if path.ends_with("/json") => Fault::Json(200, String::new(), answer.clone()),
        path if path.ends_with("/get") => Fault::File(saved.clone()),
        _ => Fault::Status(404, ""),
    });
    env.set("DOCKER_HOST", &format!("tcp://{}", engine.host()));
    let base = "docker-daemon:bb:1";
    for _ in 0..2 {
        env.hd(["image", "pull", base]).finish().ok();
    }
    assert_eq!(engine.count(&format!("/images/{id}/get")), 1);
    assert_eq!(engine.count("/get"), 1, "{:?}", engine.requests());
    let target = format!("docker-archive:{place}/out.tar:x:1");
    env.hd(["export", "--base", base, &target]).finish().ok();
}

#[test]
fn what_is_wrong_with_a_local_image_is_named_and_nothing_is_stored() {
    skip_unless!(needs::registry(), needs::program("skopeo"));
    let env = env();
    let place = env.mark().display().to_string();
    let layout = env.mark().join("layout");
    for tag in ["v1", "v2"] {
        let from = format!("docker://{}", image("busybox:1"));
        images::copy(&[], &from, &format!("oci:{place}/layout:{tag}"));
    }
    let fails = |name: &str, parts: &[&str]| {
        let done = env.hd(["image", "pull", name]).finish();
        assert_eq!(done.code(), 2, "{}", done.said());
        for part in parts {
            assert!(
                done.stderr.contains(part),
                "{name}: no `{part}` in {}",
                done.stderr
            );
        }
        let stats = env.hd(["cas", "stats", "--json"]).finish().ok().json();
        assert_eq!(
            (&stats["blobs"], &stats["nodes"]),
            (&0.into(), &0.into()),
            "{stats}"
        );
    };
    fails(&format!("oci:{place}/layout:v3"), &["v3", "v1, v2"]);
    fails(&format!("oci:{place}/layout"), &["several", "v1, v2"]);
    fails(&format!("oci:{place}"), &["no `oci-layout`"]);
    fails(
        "docker-archive:/nonexistent/x.tar",
        &["/nonexistent/x.tar", "No such file"],
    );
    std::fs::write(
        env.mark().join("text.tar"),
        "this is no archive, but long enough to be looked at",
    )
    .expect("write");
    fails(&format!("docker-archive:{place}/text.tar"), &["text.tar"]);
    let blobs = std::fs::read_dir(layout.join("blobs/sha256")).expect("list the blobs");
    let largest = blobs.map(|entry| entry.expect("an entry").path());
    let largest = largest
        .max_by_key(|path| path.metadata().expect("stat").len())
        .expect("a blob");
    let mut bytes = std::fs::read(&largest).expect("read the layer");
    *bytes.last_mut().expect("bytes") ^= 1;
    std::fs::write(&largest, bytes).expect("write the layer");
    fails(
        &format!("oci:{place}/layout:v1"),
        &["digest", "wanted was", "nothing was stored"],
    );
}

#[test]
fn an_archive_that_cannot_be_read_is_no_reason_to_take_the_image_of_before() {
    skip_unless!(needs::fuse(), needs::registry(), needs::program("skopeo"));
    let env = env();
    let archive = env.mark().join("a.tar");
    let base = format!("docker-archive:{}", archive.display());
    images::copy(
        &[],
        &format!("docker://{}", image("busybox:1")),
        &format!("{base}:bb:1"),
    );
    let wanted = env.once_with(&["--base", &base]).view().to_owned();
    let whole = std::fs::read(&archive).expect("read");
    std::fs::write(&archive, &whole[..whole.len() / 2]).expect("write");
    for args in [
        ["up", "--once", "--base", &base],
        ["build", "--json", "--base", &base],
        ["image", "inspect", "--json", &base],
    ] {
        let done = env.hd(args).finish();
        assert_ne!(done.code(), 0, "{args:?}: {}", done.said());
        assert!(done.stderr.contains("cut off"), "{args:?}: {}", done.said());
    }
    // What is gone altogether was there when it was pulled.
    std::fs::remove_file(&archive).expect("remove");
    let once = env
        .hd(["up", "--once", "--json", "--base", &base])
        .finish()
        .ok();
    assert_eq!(once.report().view(), wanted);
    assert!(once.stderr.contains("was pulled before"), "{}", once.said());
}

#[test]
fn why_no_docker_engine_answers_is_told() {
    skip_unless!(needs::root());
    let mut env = env();
    env.as_user(false);
    let socket = env.mark().join("engine.sock");
    env.set("DOCKER_HOST", &format!("unix://{}", socket.display()));
    let refused = |env: &Env, word: &str| {
        let done = env.hd(["image", "pull", "docker-daemon:a:1"]).finish();
        assert_ne!(done.code(), 0, "{}", done.said());
        assert!(done.stderr.contains(word), "no `{word}` in {}", done.stderr);
    };
    refused(&env, "No such file");
    let listener = UnixListener::bind(&socket).expect("listen");
    refused(&env, "join the group");
    drop(listener);
}

#[test]
fn images_are_listed_described_and_forgotten() {
    skip_unless!(needs::fuse(), needs::registry());
    let env = env();
    let (busybox, layers) = (image("busybox:1"), image("fixtures/layers:1"));
    let images = |env: &Env| {
        let listed = env.hd(["image", "ls", "--json"]).finish().ok().json();
        let images = listed["images"].as_array().expect("images").clone();
        let name = |one: &Value| one["name"].as_str().expect("a name").to_owned();
        images.iter().map(name).collect::<Vec<_>>()
    };
    assert_eq!(images(&env), [""; 0]);
    let asked = env
        .hd(["image", "inspect", "--json", &busybox])
        .finish()
        .ok()
        .json();
    assert_eq!(asked["images"][0]["pulled"], false);
    let pulled = env.hd(["image", "pull", &busybox, &layers]).finish().ok();
    assert_eq!(pulled.stdout.lines().count(), 2, "{}", pulled.stdout);
    assert_eq!(images(&env), [busybox.clone(), layers.clone()]);
    let known = env
        .hd(["image", "inspect", "--json", &busybox])
        .finish()
        .ok()
        .json();
    assert_eq!(known["images"][0]["pulled"], true);
    for key in ["digest", "manifest", "config"] {
        assert_eq!(known["images"][0][key], asked["images"][0][key], "{key}");
    }

    let held =
        |env: &Env| env.hd(["cas", "stats", "--json"]).finish().ok().json()["blobs"].as_u64();
    let both = held(&env);
    env.hd(["image", "rm", &layers]).finish().ok();
    assert_eq!(images(&env), std::slice::from_ref(&busybox));
    env.hd(["cas", "gc"]).finish().ok();
    assert!(held(&env) < both, "{:?} of {both:?}", held(&env));
    env.hd(["cas", "verify", "--read-data"]).finish().ok();
    // The other one is whole; the one that is gone can be had again.
    let base = ["run", "--base", busybox.as_str(), "true"];
    env.hd(base).finish().ok();
    env.hd(["image", "pull", &layers]).finish().ok();
    assert_eq!(images(&env), [busybox, layers]);
    let unknown = env
        .hd(["image", "rm", "no-such-image"])
        .finish()
        .expect_code(2);
    assert!(unknown.stderr.contains("hd image ls"), "{}", unknown.stderr);
}
