//! Bad input gives one clear error that names place, cause and next step, and the right exit code.

use std::net::TcpListener;
use std::path::Path;

use hd_integration::{Env, Run, env, needs, samples, skip_unless};

struct Case {
    name: &'static str,
    toml: &'static str,
    /// Words of the error, cause and place alike.
    words: &'static [&'static str],
}

const USAGE: i32 = 2;
const STEP_FAILED: i32 = 3;
const SERVICE_FAILED: i32 = 5;
const MACHINE_NOT_FIT: i32 = 7;

const CASES: &[Case] = &[
    Case {
        name: "not TOML at all",
        toml: "[environment\nname = \"x\"\n",
        words: &["hd.toml:1"],
    },
    Case {
        name: "no name",
        toml: "[environment]\n",
        words: &["hd.toml:1", "name"],
    },
    Case {
        name: "unknown key, with the nearest one",
        toml: "[environment]\nname = \"x\"\n\n[services.web]\ncomand = \"true\"\n",
        words: &["hd.toml:5", "comand", "command"],
    },
    Case {
        name: "unknown table",
        toml: "[environment]\nname = \"x\"\n\n[service.web]\ncommand = \"true\"\n",
        words: &["hd.toml:4", "service", "services"],
    },
    Case {
        name: "wrong type",
        toml: "[environment]\nname = \"x\"\n\n[services.web]\ncommand = \"true\"\nport = \"five\"\n",
        words: &["hd.toml:6", "port"],
    },
    Case {
        name: "bad glob",
        toml: "[environment]\nname = \"x\"\n\n[services.web]\ncommand = \"true\"\nwatch = [\"src/[a-\"]\n",
        words: &["hd.toml:6", "src/[a-"],
    },
    Case {
        name: "cycle, with its members",
        toml: "[environment]\nname = \"x\"\n\n[services.a]\ncommand = \"true\"\ndepends_on = [\"b\"]\n\n[services.b]\ncommand = \"true\"\ndepends_on = [\"a\"]\n",
        words: &["hd.toml:6", "a -> b -> a"],
    },
    Case {
        name: "unknown dependency",
        toml: "[environment]\nname = \"x\"\n\n[services.web]\ncommand = \"true\"\ndepends_on = [\"wroker\"]\n\n[services.worker]\ncommand = \"true\"\n",
        words: &["hd.toml:6", "wroker", "worker"],
    },
    Case {
        name: "bad duration",
        toml: "[environment]\nname = \"x\"\n\n[options]\nrestart_grace = \"5 parsecs\"\n",
        words: &["hd.toml:5", "5 parsecs"],
    },
    Case {
        name: "missing file of a provider",
        toml: "[environment]\nname = \"x\"\n\n[dependencies.pip]\nfile = \"requirments.txt\"\n",
        words: &["hd.toml", "requirments.txt"],
    },
    Case {
        name: "a key that comes later",
        toml: "[environment]\nname = \"x\"\n\n[remote]\nurl = \"x\"\n",
        words: &["hd.toml:4", "remote", "not work yet"],
    },
];

#[test]
fn a_bad_file_is_refused_with_its_place() {
    for case in CASES {
        let env = Env::project(&[("hd.toml", case.toml)]);
        let report = env.once_fails(USAGE);
        let error = &report.value()["error"];
        assert!(
            error["code"].as_str().is_some_and(is_word_of_config),
            "{}: {error:#}",
            case.name
        );
        let text = report.error_text();
        for word in case.words {
            assert!(
                text.contains(word),
                "{}: {word:?} is missing in {text}",
                case.name
            );
        }
        let spoken = env.hd(["up", "--once"]).finish().expect_code(USAGE);
        assert_eq!(spoken.stdout, "", "{}: stdout is for data", case.name);
        assert!(
            spoken.stderr.contains("hd.toml"),
            "{}: {}",
            case.name,
            spoken.said()
        );
        assert!(
            !spoken.stderr.contains("panicked"),
            "{}: {}",
            case.name,
            spoken.said()
        );
    }
}

/// `config`, or one kind of it as in `config.syntax`.
fn is_word_of_config(code: &str) -> bool {
    matches!(code, "config" | "not_yet") || code.starts_with("config.")
}

#[test]
fn a_file_that_is_no_text_is_refused_with_its_line() {
    let env = Env::project(&[("hd.toml", "")]);
    let bytes = b"[environment]\nname = \"caf\xe9\"\n";
    std::fs::write(env.path("hd.toml"), bytes).expect("write hd.toml");
    let done = env.hd(["up", "--once"]).finish().expect_code(USAGE);
    for word in ["hd.toml:2", "UTF-8"] {
        assert!(done.stderr.contains(word), "{word}: {}", done.said());
    }
}

#[test]
fn a_missing_file_names_what_to_do() {
    let env = Env::project(&[("README", "no hd.toml here\n")]);
    let done = env.hd(["up", "--once"]).finish().expect_code(USAGE);
    for word in ["hd.toml", "hd init"] {
        assert!(done.stderr.contains(word), "{}", done.said());
    }
}

#[test]
fn init_writes_a_file_that_works_and_never_overwrites() {
    skip_unless!(needs::fuse());
    let env = Env::project(&[("README", "empty\n")]);
    env.hd(["init"]).finish().ok();
    env.once();
    let again = env.hd(["init"]).finish().expect_code(USAGE);
    assert!(again.stderr.contains("hd.toml"), "{}", again.said());
}

#[test]
fn usage_errors_have_their_code() {
    let env = samples::chain();
    for args in [
        &["no-such-verb"][..],
        &["up", "--no-such-flag"],
        &["why", "no-such-step"],
        &["exec"],
    ] {
        env.hd(args).finish().expect_code(USAGE);
    }
    let later = env.hd(["lock"]).finish();
    assert_ne!(later.code(), 0, "{}", later.said());
    assert!(later.stderr.contains("not yet"), "{}", later.said());
    assert!(
        !env.hd(["--help"]).finish().ok().stdout.contains(" lock"),
        "a verb that does not work is not in the help"
    );
}

#[test]
fn a_failing_step_is_named_with_its_output() {
    skip_unless!(needs::fuse());
    let env = samples::observing("echo the reason it fails >&2; exit 9", &[]);
    let report = env.once_fails(STEP_FAILED);
    assert_eq!(report.steps("failed"), ["step-1"]);
    let text = report.error_text();
    assert!(text.contains("step-1") && text.contains('9'), "{text}");
    let spoken = env.hd(["up", "--once"]).finish().expect_code(STEP_FAILED);
    assert!(
        spoken.stderr.contains("the reason it fails"),
        "{}",
        spoken.said()
    );
    // A failure is not stored: it runs, and fails, again.
    assert_eq!(env.once_fails(STEP_FAILED).steps("failed"), ["step-1"]);
}

#[test]
fn a_port_in_use_is_named() {
    skip_unless!(needs::fuse());
    let env = samples::server();
    let _taken = TcpListener::bind(("127.0.0.1", env.port(0))).expect("take the port first");
    let port = env.port(0).to_string();
    let done = env.hd(["up", "-d", "--wait"]).finish();
    let done = done.expect_code(SERVICE_FAILED);
    for word in ["web", &port, "in use"] {
        assert!(done.stderr.contains(word), "{word}: {}", done.said());
    }
    let status = env.status();
    let web = status.service("web");
    assert_eq!(web["state"], "failed", "{web:#}");
    let reason = web["reason"].as_str().expect("a reason");
    let holder = std::process::id().to_string();
    assert!(
        reason.contains(&port) && reason.contains(&holder),
        "{web:#}"
    );
    env.hd(["down"]).finish().ok();
    hd_integration::leftovers::expect_none(env.mark(), hd_integration::SHORT);
}

#[test]
fn a_machine_without_fuse_is_not_fit() {
    skip_unless!(needs::fuse(), needs::root(), needs::program("unshare"));
    let env = samples::chain();
    let script = "mount --bind /dev/null /dev/fuse && exec \"$0\" up --once --json";
    let done = Run::new(Path::new("unshare"))
        .args(["--mount", "sh", "-c", script])
        .args([env::binary()])
        .dir(&env.path(""))
        .env("HD_HOME", env.home())
        .finish()
        .expect_code(MACHINE_NOT_FIT);
    let text = done.report().error_text();
    assert!(text.contains("/dev/fuse"), "{text}");
}
