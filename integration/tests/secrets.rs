//! Secrets of steps: readable by the one step that asks for them, and nowhere else afterwards.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Stdio;

use hd_integration::{Env, Finished, files, needs, skip_unless};

const TOKEN: &str = "t0ken-7f3a9c51e2";
const NOTE: &str = "correct horse battery";
/// What base64 of `user:` and the token holds of the token.
const ENCODED: &str = "0MGtlbi03ZjNhOWM1MWUy";

const TOML: &str = r#"
[environment]
name = "secrets"

[secrets.token]
env = "HD_TEST_TOKEN"

[secrets.note]
file = "note.txt"

[[build.step]]
name = "fetch"
run = "mkdir out && wc -c < /run/secrets/token > out/length && cat /run/secrets/token /run/secrets/note && echo && (printf user:; cat /run/secrets/token) | base64 && ls -l note.txt; id -u; touch /run/secrets/more; true"
secrets = ["token", "note"]

[[build.step]]
name = "other"
run = "ls -a /run > out/run"
"#;

fn project() -> Env {
    let mut env = Env::project(&[("hd.toml", TOML), ("note.txt", NOTE)]);
    env.set("HD_TEST_TOKEN", TOKEN);
    env
}

/// Files below a directory that hold one of the values, as they are or in a zstd frame.
fn holding(place: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(place).expect("list") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.is_symlink() {
            holding(&path, found);
        } else if fs::read(&path)
            .is_ok_and(|bytes| holds(&bytes) || unpacked(&bytes).any(|frame| holds(&frame)))
        {
            found.push(path.display().to_string());
        }
    }
}

fn holds(bytes: &[u8]) -> bool {
    [TOKEN, NOTE, ENCODED].iter().any(|value| {
        bytes
            .windows(value.len())
            .any(|window| window == value.as_bytes())
    })
}

fn kept_nowhere(env: &Env) {
    let mut found = Vec::new();
    holding(env.home(), &mut found);
    assert!(found.is_empty(), "{found:?}");
}

/// What each zstd frame in a file unpacks to.
fn unpacked(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let starts = bytes
        .windows(4)
        .enumerate()
        .filter(|(_, window)| *window == [0x28, 0xb5, 0x2f, 0xfd]);
    starts.filter_map(|(start, _)| {
        let mut frame = Vec::new();
        let decoder = zstd::stream::read::Decoder::with_buffer(&bytes[start..]).ok()?;
        // The four bytes may stand in other data too: then this is no frame.
        decoder.single_frame().read_to_end(&mut frame).ok()?;
        Some(frame)
    })
}

fn said_nothing(done: &Finished) {
    let said = format!("{}{}", done.stdout, done.stderr);
    assert!(!holds(said.as_bytes()), "{said}");
}

#[test]
fn the_search_finds_what_is_stored() {
    skip_unless!(needs::fuse());
    let env = project();
    // Compressible, so that it stands in a frame.
    files::write(&env.path("plain.txt"), &format!("{NOTE}\n").repeat(999));
    env.once();
    let mut found = Vec::new();
    holding(env.home(), &mut found);
    assert!(!found.is_empty());
}

#[test]
fn a_secret_is_read_by_its_step_and_found_nowhere_else() {
    skip_unless!(needs::fuse());
    let env = project();
    let run = env
        .hd(["up", "--once", "--progress", "plain"])
        .finish()
        .ok();
    said_nothing(&run);
    let text = env
        .hd(["run", "cat", "out/length", "out/run"])
        .finish()
        .ok();
    assert!(
        text.stdout.starts_with(&format!("{}\n", TOKEN.len())),
        "{}",
        text.said()
    );
    assert!(!text.stdout.contains("secrets"), "{}", text.said());
    for verb in [
        &["why", "fetch", "--json"][..],
        &["status", "--json"],
        &["plan", "--json"],
        &["dag", "show", "--json"],
    ] {
        said_nothing(&env.hd(verb).finish());
    }
    kept_nowhere(&env);
    let struck = files::read(&log_of(&env, "step-1"));
    assert!(struck.contains("******"), "{struck}");
    assert!(struck.contains("\ndXNlcjp***"), "{struck}");
    assert!(struck.contains("cannot access 'note.txt'"), "{struck}");
}

fn log_of(env: &Env, step: &str) -> std::path::PathBuf {
    let mut pending = vec![env.home().to_path_buf()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory).expect("list") {
            let path = entry.expect("an entry").path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if path.is_dir() {
                pending.push(path);
            } else if name.starts_with(step) {
                return path;
            }
        }
    }
    panic!("no log of {step}");
}

#[test]
fn another_value_runs_nothing_and_a_valid_result_needs_none() {
    skip_unless!(needs::fuse());
    let mut env = project();
    env.once().ran(&["step-1", "step-2"]);
    env.set("HD_TEST_TOKEN", "another-value");
    files::write(&env.path("note.txt"), "another note");
    env.once().ran(&[]);
    fs::remove_file(env.path("note.txt")).expect("remove");
    env.once().ran(&[]);
    let failed = env
        .hd(["build", "--rerun", "fetch"])
        .finish()
        .expect_code(2);
    assert!(
        failed.stderr.contains("the secret `note` cannot be had"),
        "{}",
        failed.said()
    );
}

#[test]
fn a_step_that_writes_a_secret_down_fails_and_nothing_of_it_is_kept() {
    skip_unless!(needs::fuse());
    let env = project();
    let toml = TOML.replace(
        "wc -c < /run/secrets/token > out/length",
        "cp /run/secrets/token out/leak",
    );
    files::write(&env.path("hd.toml"), &toml);
    let failed = env.once_fails(3);
    assert!(
        failed
            .error_text()
            .contains("it wrote the secret `token` into /workspace/out/leak"),
        "{}",
        failed.error_text()
    );
    kept_nowhere(&env);
}

#[test]
fn a_secret_does_not_stay_where_downloads_are_kept() {
    skip_unless!(needs::fuse());
    let env = project();
    let good =
        "mkdir -p ~/.cache/deep && echo kept > ~/.cache/deep/plain && touch ~/.cache/deep/old";
    let toml =
        files::read(&env.path("hd.toml")).replace("mkdir out &&", &format!("mkdir out; {good};"));
    files::write(&env.path("hd.toml"), &toml);
    env.once();
    let leaks =
        "cp /run/secrets/token ~/.cache/deep/leak; ln -s $(cat /run/secrets/token) ~/.npm/link;";
    files::write(
        &env.path("hd.toml"),
        &toml.replace("run = \"mkdir out;", &format!("run = \"mkdir out; {leaks}")),
    );
    let failed = env.once_fails(3);
    assert!(
        failed
            .error_text()
            .contains("it wrote the secret `token` into /"),
        "{}",
        failed.error_text()
    );
    kept_nowhere(&env);
    let mut links = String::new();
    list(env.home(), &mut links);
    assert!(!links.contains(TOKEN), "{links}");
    assert!(
        links.contains("deep/plain") && !links.contains("deep/leak"),
        "{links}"
    );

    // Neither does it of a run that was killed.
    let sleeps = format!("run = \"mkdir out; {leaks} sleep 600;");
    let toml = toml.replace("run = \"mkdir out;", &sleeps);
    let toml = toml.replace("name = \"fetch\"\n", "name = \"fetch\"\ntimeout = \"2s\"\n");
    files::write(&env.path("hd.toml"), &toml);
    let failed = env.once_fails(3);
    assert!(
        failed.error_text().contains("timeout"),
        "{}",
        failed.error_text()
    );
    kept_nowhere(&env);
}

#[test]
fn a_secret_that_a_person_leaves_where_downloads_are_kept_is_removed_when_the_shell_ends() {
    skip_unless!(needs::fuse());
    let env = project();
    env.once();
    let debugged = |script: &str| {
        let mut command = env.hd(["debug", "fetch"]).into_command();
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command
            .stderr(Stdio::piped())
            .spawn()
            .expect("start hd debug");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin
            .write_all(script.as_bytes())
            .expect("speak to the shell");
        drop(stdin);
        let out = child.wait_with_output().expect("its end");
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        (out.status.code(), said)
    };
    let (code, said) = debugged("echo kept > ~/.cache/plain; exit 5\n");
    assert_eq!(code, Some(5), "{said}");
    let (code, said) = debugged("cat /run/secrets/token > ~/.cache/left; exit 0\n");
    assert_eq!(code, Some(3), "{said}");
    assert!(
        said.contains("it wrote the secret `token` into /") && said.contains("/left, where"),
        "{said}"
    );
    kept_nowhere(&env);
    let mut links = String::new();
    list(env.home(), &mut links);
    assert!(
        links.contains("/plain") && !links.contains("/left"),
        "{links}"
    );
}

/// Paths below a directory, and what links say.
fn list(place: &Path, text: &mut String) {
    for entry in fs::read_dir(place).expect("list") {
        let path = entry.expect("an entry").path();
        *text += &format!("{} {:?}\n", path.display(), fs::read_link(&path).ok());
        if path.is_dir() && !path.is_symlink() {
            list(&path, text);
        }
    }
}
