//! What each verb says: its help, an answer, and a failure, as they were agreed to. A change shows as a
//! difference to be looked at: `INSTA_UPDATE=always` takes it over.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;
use std::fmt::Write;
use std::process::{Command, Stdio};

const GOOD: &str = "[environment]\nname = \"demo\"\n\n[build]\nsteps = [\"npm ci\"]\n\n[services.web]\ncommand = \"serve\"\nport = 5000\nwatch = [\"*.py\", { files = \"out\", action = \"signal=HUP\" }]\n";
const BAD: &str = "[environment]\nname = \"demo\"\n\n[services.web]\ncomand = \"serve\"\n";

/// Answers where nothing runs.
const ANSWERS: &[&[&str]] = &[
    &["version"],
    &["version", "--json"],
    &["status"],
    &["status", "--json"],
    &["ps"],
    &["ps", "--json"],
    &["ls"],
    &["ls", "--json"],
    &["config", "services.web"],
    &["config", "environment", "--json"],
    &["watch", "--explain", "app.py"],
    &["watch", "--explain", "x.log", "--json"],
    &["watch", "--explain", "out/x.js"],
    &["down"],
    &["down", "--json"],
    &["down", "-v", "--json"],
    &["volume", "ls"],
    &["volume", "ls", "--json"],
    &["logs"],
];

/// Failures where nothing runs, each verb at least once.
const FAILURES: &[&[&str]] = &[
    &["init"],
    &["ingest", "nothing.here"],
    &["up", "wbe"],
    &["up", "--json", "wbe"],
    &["down", "-C", "nowhere"],
    &["status", "-f", "nowhere.toml"],
    &["ps", "-p", "No Name"],
    &["build", "--jobs", "0"],
    &["exec"],
    &["run"],
    &["shell", "--env", "=x"],
    &["cp", "a", "b"],
    &["logs", "wbe"],
    &["start"],
    &["stop"],
    &["restart"],
    &["kill"],
    &["scale"],
    &["scale", "web"],
    &["scale", "web=2"],
    &["wait"],
    &["port", "web"],
    &["attach"],
    &["events"],
    &["diff"],
    &["reset"],
    &["snapshot"],
    &["snapshot", "before"],
    &["restore", "before"],
    &["top"],
    &["ls", "--no-such-flag"],
    &["plan", "-C", "nowhere"],
    &["why", "step-1"],
    &["debug"],
    &["verify"],
    &["watch"],
    &["watch", "--explain", "/elsewhere"],
    &["config", "services.web.prot"],
    &["dag", "show", "-C", "nowhere"],
    &["cas", "gc", "--no-such-flag"],
    &["prune", "--no-such-flag"],
    &["cache", "nothing-such"],
    &["volume", "rm", "data"],
    &["image", "nothing-such"],
    &["export", "--no-such-flag"],
    &["demo", "--runs", "0"],
    &["doctor", "--no-such-flag"],
    &["completion", "tcsh"],
    &["schema", "--no-such-flag"],
    &["man", "a", "b"],
    &["version", "x"],
    &["push"],
    &["pause"],
    &["commit"],
    &["stauts"],
];

struct Here(tempfile::TempDir);

impl Here {
    fn new(toml: &str) -> Self {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir(place.path().join("demo")).unwrap();
        std::fs::write(place.path().join("demo/hd.toml"), toml).unwrap();
        std::fs::write(place.path().join("demo/.gitignore"), "out\n*.log\n").unwrap();
        Self(place)
    }

    /// The words, the exit code and both streams, without what differs from run to run.
    fn tells(&self, args: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hd"));
        command.args(args).current_dir(self.0.path().join("demo"));
        command
            .stdin(Stdio::null())
            .env("HD_HOME", self.0.path().join("home"));
        command.env("COLUMNS", "100");
        for name in [
            "RUST_LOG",
            "NO_COLOR",
            "CLICOLOR_FORCE",
            "HD_PROFILE",
            "HD_INSTANCE",
        ] {
            command.env_remove(name);
        }
        let output = command.output().unwrap();
        let code = output.status.code().unwrap_or(-1);
        let mut text = format!("$ hd {}\n", args.join(" "));
        for (mark, bytes) in [("", output.stdout), ("! ", output.stderr)] {
            for line in String::from_utf8(bytes).unwrap().lines() {
                let _ = writeln!(text, "{mark}{}", line.trim_end());
            }
        }
        let _ = writeln!(text, "= {code}\n");
        let real = self.0.path().canonicalize().unwrap();
        let system = format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH);
        text.replace(&*real.to_string_lossy(), "[HERE]")
            .replace(&*self.0.path().to_string_lossy(), "[HERE]")
            .replace(&system, "[SYSTEM]")
            .replace(env!("CARGO_PKG_VERSION"), "[VERSION]")
    }
}

fn verbs(here: &Here, args: &[&str]) -> Vec<String> {
    let help = here.tells(&[args, &["--help"]].concat());
    let listed = help
        .lines()
        .skip_while(|line| !line.starts_with("Commands:"))
        .skip(1);
    let listed = listed.take_while(|line| !line.is_empty());
    let listed = listed.filter(|line| !line.starts_with("     "));
    let words = listed.filter_map(|line| line.split_whitespace().next());
    words.map(str::to_owned).collect()
}

#[test]
fn help_of_every_verb() {
    let here = Here::new(GOOD);
    let mut text = here.tells(&["--help"]);
    let all = verbs(&here, &[]);
    assert!(all.len() > 25, "{all:?}");
    for verb in &all {
        text.push_str(&here.tells(&[verb, "--help"]));
        for below in verbs(&here, &[verb]) {
            text.push_str(&here.tells(&[verb, &below, "--help"]));
        }
    }
    insta::assert_snapshot!("help", text);
}

#[test]
fn an_answer_and_a_failure_of_every_verb() {
    let here = Here::new(GOOD);
    let tell = |all: &[&[&str]]| -> String { all.iter().map(|args| here.tells(args)).collect() };
    insta::assert_snapshot!("answers", tell(ANSWERS));
    let failures = tell(FAILURES);
    assert!(!failures.contains("\n= 0\n"), "{failures}");
    insta::assert_snapshot!("failures", failures);
    let failing: BTreeSet<&str> = FAILURES.iter().map(|args| args[0]).collect();
    let all = verbs(&here, &[]);
    let missing: Vec<&String> = all
        .iter()
        .filter(|verb| !failing.contains(verb.as_str()))
        .collect();
    assert!(
        missing.is_empty(),
        "verbs without a failure here: {missing:?}"
    );
}

#[test]
fn a_file_that_is_wrong_is_shown_by_whoever_reads_it() {
    let here = Here::new(BAD);
    let mut text = String::new();
    for args in [&["up"][..], &["status"], &["config"], &["up", "--json"]] {
        text.push_str(&here.tells(args));
    }
    insta::assert_snapshot!("wrong_file", text);
}
