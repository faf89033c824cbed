//! The binary as a person meets it where nothing runs: words, streams, exit codes.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::path::Path;
use std::process::{Command, Output, Stdio};

struct Here {
    place: tempfile::TempDir,
}

struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Here {
    fn new(files: &[(&str, &str)]) -> Self {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir(place.path().join("project")).unwrap();
        let here = Self { place };
        for (name, text) in files {
            std::fs::write(here.project().join(name), text).unwrap();
        }
        here
    }

    fn project(&self) -> std::path::PathBuf {
        self.place.path().join("project")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hd"));
        command
            .args(args)
            .current_dir(self.project())
            .stdin(Stdio::null());
        command.env("HD_HOME", self.place.path().join("home"));
        for name in ["RUST_LOG", "NO_COLOR", "CLICOLOR_FORCE"] {
            command.env_remove(name);
        }
        command
    }

    fn hd(&self, args: &[&str]) -> Said {
        Said::from(self.command(args).output().unwrap())
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self {
            code: output.status.code(),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }
}

impl Said {
    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {:?}", self.out))
    }
}

const GOOD: &str = "[environment]\nname = \"demo\"\n\n[build]\nsteps = [\"npm ci\"]\n\n[services.web]\ncommand = \"true\"\n";
const BAD: &str = "[environment]\nname = \"demo\"\n\n[services.web]\ncomand = \"true\"\n";

#[test]
fn version_is_one_line() {
    let said = Here::new(&[]).hd(&["version"]);
    assert_eq!(
        (said.code, said.out.as_str()),
        (Some(0), concat!("hd ", env!("CARGO_PKG_VERSION"), "\n"))
    );
    let json = Here::new(&[]).hd(&["version", "--json"]).json();
    assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(Here::new(&[]).hd(&["--version"]).code, Some(0));
}

#[test]
fn help_lists_what_works_and_nothing_else() {
    let said = Here::new(&[]).hd(&["--help"]);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    let listed: Vec<&str> = said
        .out
        .lines()
        .skip_while(|line| !line.starts_with("Commands:"))
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter(|line| !line.starts_with("     "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    for verb in [
        "init", "up", "down", "status", "ps", "build", "logs", "why", "dag", "cas", "version",
    ] {
        assert!(listed.contains(&verb), "{verb} in {listed:?}");
    }
    for verb in ["lock", "push", "pause"] {
        assert!(!listed.contains(&verb), "{verb} in {listed:?}");
    }
    for verb in &listed {
        assert_eq!(Here::new(&[]).hd(&[verb, "--help"]).code, Some(0), "{verb}");
    }
}

#[test]
fn later_and_unknown_verbs_are_usage_errors() {
    let here = Here::new(&[]);
    let cases = [
        (["lock"].as_slice(), "hd lock: not yet", "hint: "),
        (&["push", "--all"], "hd push: not yet", "hint: "),
        (
            &["stauts"],
            "there is no `hd stauts`",
            "did you mean `hd status`?",
        ),
        (&["xyzzy"], "there is no `hd xyzzy`", "hd --help"),
        (&["up", "--no-such-flag"], "--no-such-flag", "--help"),
        (&["up", "./a", "./b"], "two projects", "hint: "),
    ];
    for (args, message, hint) in cases {
        let said = here.hd(args);
        assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{args:?}");
        assert!(
            said.err.contains(message) && said.err.contains(hint),
            "{args:?}: {}",
            said.err
        );
    }
    let json = here.hd(&["lock", "--json"]);
    assert_eq!(
        (json.code, json.json()["error"]["code"].as_str()),
        (Some(2), Some("not_yet"))
    );
    let json = here.hd(&["up", "--json", "--no-such-flag"]);
    assert_eq!(
        (json.code, json.json()["error"]["code"].as_str()),
        (Some(2), Some("usage"))
    );
}

#[test]
fn without_an_hd_toml_the_way_out_is_named() {
    let here = Here::new(&[]);
    for args in [
        ["up", "--once"].as_slice(),
        &["status"],
        &["down"],
        &["logs"],
        &["why"],
        &["dag", "show"],
    ] {
        let said = here.hd(args);
        assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{args:?}");
        assert!(
            said.err.contains("no hd.toml in") && said.err.contains("hd init"),
            "{args:?}: {}",
            said.err
        );
        assert_eq!(
            said.err.lines().count(),
            2,
            "one line and a hint: {}",
            said.err
        );
    }
}

#[test]
fn a_bad_file_is_shown_with_its_line() {
    let here = Here::new(&[("hd.toml", BAD)]);
    let said = here.hd(&["up", "--once"]);
    assert_eq!((said.code, said.out.as_str()), (Some(2), ""));
    for part in ["hd.toml:5:1", "comand = \"true\"", "command"] {
        assert!(said.err.contains(part), "{part}: {}", said.err);
    }
    assert!(
        !said.err.contains('\u{1b}'),
        "no colours without a terminal"
    );
    let coloured = here.hd(&["up", "--once", "--color", "always"]);
    assert!(coloured.err.contains('\u{1b}'), "colours when asked for");

    let report = here.hd(&["up", "--once", "--json"]);
    let json = report.json();
    assert_eq!((report.code, json["schema"].as_u64()), (Some(2), Some(1)));
    assert_eq!(
        (
            json["error"]["code"].as_str(),
            json["error"]["place"].as_str()
        ),
        (Some("config.unknown_key"), Some("hd.toml:5:1"))
    );
    for key in ["message", "place", "hint"] {
        assert!(json["error"][key].is_string(), "{json}");
    }

    let from_above = Said::from(
        here.command(&["up", "--once", "project/"])
            .current_dir(here.place.path())
            .output()
            .unwrap(),
    );
    assert!(
        from_above.err.contains("project/hd.toml:5:1"),
        "{}",
        from_above.err
    );
    let background = here.hd(&["up", "-d"]);
    assert_eq!(background.code, Some(2), "{}", background.err);
    assert!(
        background.err.contains("hd.toml:5:1"),
        "said here, not in a log: {}",
        background.err
    );
}

#[test]
fn init_writes_once() {
    let here = Here::new(&[("app.py", ""), ("requirements.txt", "")]);
    let first = here.hd(&["init"]);
    assert_eq!((first.code, first.out.as_str()), (Some(0), ""));
    let text = std::fs::read_to_string(here.project().join("hd.toml")).unwrap();
    assert!(text.contains("pip install -r requirements.txt"), "{text}");
    let second = here.hd(&["init"]);
    assert_eq!(second.code, Some(2));
    assert!(
        second.err.contains("hd.toml is there already"),
        "{}",
        second.err
    );
    assert_eq!(
        std::fs::read_to_string(here.project().join("hd.toml")).unwrap(),
        text
    );
    assert_eq!(here.hd(&["init", "/no/such/directory"]).code, Some(2));
}

#[test]
fn a_project_that_never_ran_has_a_status_and_can_be_brought_down() {
    let here = Here::new(&[("hd.toml", GOOD)]);
    let status = here.hd(&["status"]);
    assert_eq!(status.code, Some(0), "{}", status.err);
    assert!(
        status.out.starts_with("demo  not running"),
        "{}",
        status.out
    );
    let json = here.hd(&["status", "--json"]).json();
    assert_eq!(
        (json["running"].as_bool(), json["name"].as_str()),
        (Some(false), Some("demo"))
    );
    let down = here.hd(&["down"]);
    assert_eq!(
        (down.code, down.out.as_str()),
        (Some(0), ""),
        "{}",
        down.err
    );
    assert_eq!(
        here.hd(&["ps", "--json"]).json()["services"]
            .as_array()
            .map(Vec::len),
        Some(0)
    );
    for args in [
        ["restart"].as_slice(),
        &["why"],
        &["why", "npm-ci"],
        &["dag", "show"],
    ] {
        let said = here.hd(args);
        assert_eq!(said.code, Some(2), "{args:?}: {}", said.err);
        assert!(said.err.contains("hint: "), "{args:?}: {}", said.err);
    }
    assert!(
        !here.place.path().join("home").exists(),
        "looking leaves nothing behind"
    );
}

#[test]
fn names_that_are_not_in_the_file_are_slips_of_the_pen() {
    let here = Here::new(&[("hd.toml", GOOD)]);
    let cases = [
        (["why", "npmci"].as_slice(), "did you mean `npm-ci`?"),
        (&["logs", "wbe"], "did you mean `web`?"),
        (&["up", "--once", "wbe"], "did you mean `web`?"),
    ];
    for (args, hint) in cases {
        let said = here.hd(args);
        assert_eq!(said.code, Some(2), "{args:?}: {}", said.err);
        assert!(said.err.contains(hint), "{args:?}: {}", said.err);
    }
}

#[test]
fn logs_are_data_and_survive_the_runtime() {
    let here = Here::new(&[("hd.toml", GOOD)]);
    let paths = hd_actors::model::instance::InstancePaths::new(
        &here.place.path().join("home"),
        &here.project().canonicalize().unwrap(),
    );
    let directory = paths.service_logs();
    std::fs::create_dir_all(&directory).unwrap();
    let line = |second: u32, text: &str| format!("2026-01-31T12:00:{second:02}.000000Z o {text}\n");
    std::fs::write(directory.join("web.log.1"), line(1, "one")).unwrap();
    std::fs::write(directory.join("web.log"), line(3, "three") + "cut").unwrap();
    std::fs::write(directory.join("worker.log"), line(2, "two")).unwrap();
    let said = here.hd(&["logs"]);
    assert_eq!(
        (said.code, said.out.as_str()),
        (Some(0), "web    | one\nworker | two\nweb    | three\n")
    );
    assert_eq!(
        here.hd(&["logs", "--no-prefix", "-n", "1", "web"]).out,
        "three\n"
    );
    assert_eq!(
        here.hd(&["logs", "-f", "worker"]).out,
        "worker | two\n",
        "it ends, for nothing runs"
    );
    let json: Vec<String> = here
        .hd(&["logs", "--json"])
        .out
        .lines()
        .map(str::to_owned)
        .collect();
    let first: serde_json::Value = serde_json::from_str(&json[0]).unwrap();
    assert_eq!(
        (
            json.len(),
            first["service"].as_str(),
            first["text"].as_str()
        ),
        (3, Some("web"), Some("one"))
    );
}

#[test]
fn a_store_of_nothing_is_sound() {
    let here = Here::new(&[]);
    let stats = here.hd(&["cas", "stats", "--json"]);
    assert_eq!(stats.code, Some(0), "{}", stats.err);
    assert_eq!(stats.json()["blobs"], 0);
    assert_eq!(here.hd(&["cas", "verify"]).code, Some(0));
    let gc = here.hd(&["cas", "gc", "--dry-run", "--json"]);
    assert_eq!(
        (gc.code, gc.json()["freed_bytes"].as_u64()),
        (Some(0), Some(0)),
        "{}",
        gc.err
    );
}

#[test]
fn a_store_that_cannot_be_checked_is_told_from_a_damaged_one() {
    let here = Here::new(&[]);
    std::fs::create_dir(here.place.path().join("home")).unwrap();
    std::fs::write(here.place.path().join("home/cas"), "not a directory").unwrap();
    let said = here.hd(&["cas", "verify"]);
    assert_eq!(said.code, Some(2), "{}", said.err);
    assert!(said.err.contains("cas"), "{}", said.err);
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let here = Here::new(&[("hd.toml", GOOD)]);
    let full = Path::new("/dev/full");
    let out = std::fs::OpenOptions::new().write(true).open(full).unwrap();
    let said = Said::from(here.command(&["version"]).stdout(out).output().unwrap());
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("cannot write to stdout"), "{}", said.err);

    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let said = Said::from(here.command(&["version"]).stdout(writer).output().unwrap());
    assert_eq!((said.code, said.err.as_str()), (Some(141), ""));
}
