//! A small store as an older hd left it, hurt at named places, and what `cas verify` finds then, to
//! the byte.
//!
//! `fixtures/damaged/store` is a store of format 1, made by `hd up --once` in a project of four files
//! and one step; `cases.json` says what is done to it and what has to be found. A finding that reads
//! otherwise is a change that users see; a case that can no longer be read is a broken format.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use hd_integration::{Env, damage, env, files};
use serde_json::{Value, json};

fn fixtures() -> PathBuf {
    env::workspace().join("integration/fixtures/damaged")
}

/// The file of the store that a case hurts.
fn file_of(home: &Path, name: &str) -> PathBuf {
    let segment = || damage::segments(home).remove(0);
    match name {
        "segment" => segment(),
        "index" => segment().with_extension("idx"),
        "reference" => {
            let mut refs = fs::read_dir(home.join("cas/refs")).expect("list the references");
            refs.next().expect("a reference").expect("an entry").path()
        }
        other => home.join("cas").join(other),
    }
}

/// Does what a case says: `flip` a byte, `cut` a file, `zero`, `copy` over or `write` bytes, `remove`.
fn hurt(file: &Path, what: &Value) {
    let number = |value: &Value| value.as_u64().expect("a number");
    let open = || {
        let mut options = File::options();
        options.read(true).write(true).open(file).expect("open")
    };
    let (word, value) = what
        .as_object()
        .and_then(|what| what.iter().next())
        .expect("one thing to do");
    match word.as_str() {
        "nothing" => {}
        "flip" => {
            let mut byte = [0];
            open()
                .read_exact_at(&mut byte, number(value))
                .expect("read");
            let flipped = [byte[0] ^ 0x10];
            open().write_all_at(&flipped, number(value)).expect("write");
        }
        "cut" => open().set_len(number(value)).expect("cut"),
        "zero" => {
            let zeros = vec![0; number(&value[1]) as usize];
            open()
                .write_all_at(&zeros, number(&value[0]))
                .expect("write");
        }
        "copy" => {
            let mut bytes = vec![0; number(&value[2]) as usize];
            open()
                .read_exact_at(&mut bytes, number(&value[0]))
                .expect("read");
            open()
                .write_all_at(&bytes, number(&value[1]))
                .expect("write");
        }
        "write" => fs::write(file, value.as_str().expect("a text")).expect("write"),
        "remove" => fs::remove_file(file).expect("remove"),
        other => panic!("a case says {other}"),
    }
}

/// What is found, in the form of a case.
fn found(env: &Env, case: &Value) -> Value {
    let _ = fs::remove_dir_all(env.home());
    files::copy_tree(&fixtures().join("store"), &env.home().join("cas"), &[]);
    let name = case["file"].as_str().expect("the name of a file");
    hurt(&file_of(env.home(), name), &case["do"]);
    let done = env.hd(["cas", "verify", "--read-data", "--json"]).finish();
    let mut found = case.clone();
    found["exit"] = json!(done.code());
    let home = env.home().to_str().expect("a path of the test");
    let report = done.stdout.replace(home, "HOME");
    let report: Value = serde_json::from_str(&report).expect("JSON");
    if let Some(message) = report["error"]["message"].as_str() {
        found["error"] = json!(message);
        return found;
    }
    found["damages"] = report["damages"].clone();
    if report["bad_refs"] != json!([]) {
        found["bad_refs"] = report["bad_refs"].clone();
    }
    found
}

#[test]
fn each_damage_is_found_as_it_is_written_down() {
    let env = Env::project(&[("hd.toml", "[environment]\nname = \"x\"\n")]);
    let text = files::read(&fixtures().join("cases.json"));
    let cases: Vec<Value> = serde_json::from_str(&text).expect("cases.json");
    assert!(cases.len() >= 16, "only {} cases", cases.len());
    let found: Vec<Value> = cases.iter().map(|case| found(&env, case)).collect();
    for (case, found) in cases.iter().zip(&found) {
        assert_eq!(
            case,
            found,
            "it is found otherwise:\n{}",
            serde_json::to_string_pretty(&found).expect("JSON")
        );
    }
}

#[test]
fn each_damage_is_repaired_and_what_is_left_is_sound() {
    let env = Env::project(&[("hd.toml", "[environment]\nname = \"x\"\n")]);
    let text = files::read(&fixtures().join("cases.json"));
    let cases: Vec<Value> = serde_json::from_str(&text).expect("cases.json");
    let hurt_content = |case: &&Value| case["exit"] == 1;
    for case in cases.iter().filter(hurt_content) {
        found(&env, case);
        env.hd(["cas", "verify", "--repair"])
            .finish()
            .expect_code(1);
        let again = env.hd(["cas", "verify", "--read-data", "--json"]).finish();
        // What is gone is told as missing by those who need it; nothing is damaged any more.
        let report = again.json();
        for damage in report["damages"].as_array().expect("damages") {
            assert_eq!(damage["segment"], "", "{}: {damage:#}", case["name"]);
        }
    }
}
