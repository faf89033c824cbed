//! A store that a disk has hurt: nothing wrong is ever served, and what is lost comes back from
//! where it came from: the project's files, a step, the registry.

use hd_integration::damage::{KINDS, Kind, hurt};
use hd_integration::{Env, files, needs, samples, skip_unless};

/// Places in a segment that are hurt, for each kind.
fn places() -> u32 {
    let told = std::env::var("HD_TEST_DAMAGES").ok();
    told.and_then(|count| count.parse().ok()).unwrap_or(3)
}

const OUTPUTS: &str = "cat out1/line out2/text out3/names";
const CONTENTS: &str = "alpha\nalpha\nbeta\na\nb\n";

/// What the outputs hold; nothing when a part could not be read. Wrong bytes end the test.
fn contents(env: &Env, when: &str) -> Option<String> {
    let done = env.hd(["run", "sh", "-c", OUTPUTS]).finish();
    if done.code() != 0 {
        let text = format!("{}{}", done.stdout, done.stderr);
        assert!(!text.contains("panicked"), "{when}: {text}");
        return None;
    }
    assert_eq!(done.stdout, CONTENTS, "{when}: wrong bytes were served");
    Some(done.stdout)
}

#[test]
fn whatever_is_hurt_the_next_up_gives_the_same() {
    skip_unless!(needs::fuse());
    let env = samples::chain();
    let clean = env.once();
    assert!(contents(&env, "unhurt").is_some());
    let sound = env.mark().join("sound");
    files::copy_tree(&env.home().join("cas"), &sound, &[]);
    for kind in KINDS {
        for place in 0..places() {
            let when = format!("{kind:?} at place {place}");
            let _ = std::fs::remove_dir_all(env.home().join("cas"));
            files::copy_tree(&sound, &env.home().join("cas"), &[]);
            let share = (f64::from(place) + 0.5) / f64::from(places());
            hurt(env.home(), kind, share);
            let next = env.once();
            assert_eq!(
                (next.root(), next.view()),
                (clean.root(), clean.view()),
                "{when}"
            );
            // What was not read yet may show only now; then it is made again at once.
            if contents(&env, &when).is_none() {
                let healed = env.once();
                assert_eq!(healed.view(), clean.view(), "{when}");
                assert!(contents(&env, &when).is_some(), "{when}: not healed");
            }
            let code = env.hd(["cas", "verify", "--repair"]).finish().code();
            assert!(matches!(code, 0 | 1), "{when}: {code}");
            env.once();
            env.hd(["cas", "verify", "--read-data"]).finish().ok();
        }
    }
}

#[test]
fn what_cannot_be_made_again_is_one_error_that_names_the_paths() {
    skip_unless!(needs::fuse());
    // The first step needs somebody who will not be there the next time.
    let server = std::net::TcpListener::bind("127.0.0.1:0").expect("listen");
    let port = server.local_addr().expect("an address").port();
    let connect = format!(
        "python3 -c 'import socket; socket.create_connection((\\\"127.0.0.1\\\", {port}))'"
    );
    let toml = format!(
        "[environment]\nname = \"lost\"\n\n[build]\nsteps = [\n    \"{connect} && mkdir out && \
         seq 1 40000 > out/numbers\",\n    \"mkdir out2 && cat out/numbers more.txt > out2/all\",\n]\n"
    );
    let env = Env::project(&[("hd.toml", &toml), ("more.txt", "one\n")]);
    env.once();
    drop(server);
    // Nearly all of the store are the numbers.
    hurt(env.home(), Kind::BitFlip, 0.3);
    hd_integration::files::write(&env.path("more.txt"), "two\n");
    let failed = env.hd(["up", "--once", "--json"]).finish().expect_code(3);
    let error = failed.report().error_text();
    for words in ["damaged in the store: ", "out/numbers"] {
        assert!(error.contains(words), "{words} not in {error}");
    }
    assert!(failed.stderr.contains("out/numbers"), "{}", failed.said());
    assert!(!failed.said().contains("panicked"), "{}", failed.said());
}

#[test]
fn verify_names_the_damage_and_what_needs_it() {
    skip_unless!(needs::fuse());
    let env = samples::chain();
    env.once();
    env.hd(["cas", "verify", "--read-data"]).finish().ok();
    hurt(env.home(), Kind::BitFlip, 0.5);
    let found = env.hd(["cas", "verify", "--read-data", "--json"]).finish();
    assert_eq!(found.code(), 1);
    let report = found.json();
    assert_eq!(report["clean"], false, "{report:#}");
    let damage = &report["damages"][0];
    for key in ["segment", "offset", "reason", "reached_by", "has_good_copy"] {
        assert!(damage.get(key).is_some(), "{key} in {report:#}");
    }
    std::fs::write(
        env.home().join("cas/FORMAT"),
        "hd content store\nversion 9\n",
    )
    .expect("write");
    let newer = env.hd(["cas", "verify"]).finish();
    assert_eq!(newer.code(), 2, "it could not be checked");
    assert!(
        newer.stderr.contains("format 9") && newer.stderr.contains("up to 1"),
        "{}",
        newer.stderr
    );
}

#[test]
fn a_damaged_base_image_is_fetched_again() {
    skip_unless!(needs::fuse(), needs::registry());
    let registry = needs::registry().expect("checked above");
    let base = ["--base", &format!("{registry}/busybox:1")];
    let env = samples::observing("mkdir out && cp /etc/passwd out/users", &[]);
    let clean = env.once_with(&base);
    let sound = env.mark().join("sound");
    files::copy_tree(&env.home().join("cas"), &sound, &[]);
    for kind in [Kind::BitFlip, Kind::ZeroBlock, Kind::MissingSegment] {
        for share in [0.2, 0.8] {
            let when = format!("{kind:?} at {share}");
            let _ = std::fs::remove_dir_all(env.home().join("cas"));
            files::copy_tree(&sound, &env.home().join("cas"), &[]);
            hurt(env.home(), kind, share);
            // What nobody reads is found by a check only.
            let checked = env.hd(["cas", "verify", "--repair"]).finish().code();
            assert!(matches!(checked, 0 | 1), "{when}: {checked}");
            let next = env.once_with(&base);
            assert_eq!(
                (next.root(), next.view()),
                (clean.root(), clean.view()),
                "{when}"
            );
            env.hd(["cas", "verify", "--read-data"]).finish().ok();
        }
    }
}

#[test]
fn damaged_references_stop_collections_alone_and_until_a_repair() {
    skip_unless!(needs::fuse(), needs::registry());
    let registry = needs::registry().expect("checked above");
    let base = ["--base", &format!("{registry}/busybox:1")];
    let env = samples::observing("mkdir out && cp /etc/passwd out/users", &[]);
    let clean = env.once_with(&base);
    let refs = std::fs::read_dir(env.home().join("cas/refs")).expect("there are references");
    for file in refs {
        let path = file.expect("listed").path();
        let mut bytes = std::fs::read(&path).expect("read");
        let last = bytes.last_mut().expect("it is not empty");
        *last ^= 1;
        std::fs::write(&path, bytes).expect("written");
    }
    env.hd(["image", "ls"]).finish().ok();
    let verified = env.hd(["cas", "verify", "--json"]).finish();
    let bad = verified.json()["bad_refs"].as_array().map(Vec::len);
    assert!(bad > Some(0) && verified.code() == 1, "{}", verified.stdout);
    // What is not known would be counted, and taken, for unneeded.
    for verb in ["gc", "df"] {
        let refused = env.hd(["cas", verb]).finish();
        assert_ne!(refused.code(), 0);
        for part in ["/cas/refs/", "hd cas verify --repair"] {
            assert!(refused.stderr.contains(part), "{}", refused.stderr);
        }
    }
    // An image that is named again heals its own.
    let pull = ["image", "pull", base[1]];
    env.hd(pull).finish().ok();
    let healed = env.hd(["cas", "verify", "--repair", "--json"]).finish();
    let removed = healed.json()["repaired"]["refs_removed"].as_u64();
    assert!(removed > Some(0), "{}", healed.stdout);
    assert!(removed < bad.map(|all| all as u64), "{}", healed.stdout);
    env.hd(["cas", "verify"]).finish().ok();
    // What a project needs is kept again by its next command, and a collection takes none of it.
    assert_eq!(env.once_with(&base).view(), clean.view());
    env.hd(["cas", "gc"]).finish().ok();
    let after = env.once_with(&base);
    assert_eq!((after.view(), after.root()), (clean.view(), clean.root()));
    env.hd(["cas", "verify", "--read-data"]).finish().ok();
}
