//! A kept result never differs from a fresh run: random small programs on random trees, with
//! edits in between, each time compared with a run from nothing.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::Stdio;

use hd_integration::programs::{self, Case, Generator, toml};
use hd_integration::{Env, needs, skip_unless};

/// Cases of one project.
const AT_ONCE: usize = 25;
/// Times one project is edited.
const EDITS: usize = 4;
/// Cases in the gate; `cargo xtask faults --full` runs 10,000.
const USUAL: usize = 200;

fn told(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn a_kept_result_never_differs_from_a_fresh_run() {
    skip_unless!(needs::fuse(), needs::root(), needs::program("cc"));
    let wanted = told("HD_TEST_PROGRAMS").map_or(USUAL, |count| count as usize);
    let first = told("HD_TEST_SEED").unwrap_or(1);
    let (mut kept, mut ran) = (0, 0);
    for seed in first.. {
        let (more_kept, more_ran) = project(seed);
        kept += more_kept;
        ran += more_ran;
        if kept + ran >= wanted {
            break;
        }
    }
    let _ = writeln!(std::io::stderr(), "{kept} kept, {ran} ran");
    // Else the edits or the programs are such that nothing is shown.
    assert!(
        kept * 5 >= wanted && ran * 5 >= wanted,
        "{kept} kept, {ran} ran"
    );
}

/// One project with its edits; answers how many steps were kept and ran after them.
fn project(seed: u64) -> (usize, usize) {
    let mut generator = Generator::new(seed);
    let cases = generator.cases(AT_ONCE);
    let mut env = Env::project(&[("hd.toml", &toml(&cases))]);
    programs::compile(&env.path("observer"));
    let mut directories: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    directories.push("shared");
    for directory in &directories {
        let directory = env.path(directory);
        std::fs::create_dir_all(&directory).expect("a directory of a case");
        (0..14).for_each(|_| generator.edit(&directory));
    }
    let all = env.once();
    assert_eq!(all.steps("ran").len(), AT_ONCE + 1, "seed {seed}");
    let (mut kept, mut ran) = (0, 0);
    for edit in 0..EDITS {
        for (index, directory) in directories.iter().enumerate() {
            if (index + edit) % 3 != 0 {
                (0..6).for_each(|_| generator.edit(&env.path(directory)));
            }
        }
        let again = env.use_home("home").once();
        let fresh = env.use_home(&format!("fresh-{edit}")).once();
        assert_eq!(fresh.steps("ran").len(), AT_ONCE + 1, "seed {seed}");
        if again.view() != fresh.view() {
            let fresh_said = said(&env);
            let said = said(env.use_home("home"));
            panic!(
                "seed {seed}, edit {edit}:\n{}",
                differing(&cases, &said, &fresh_said)
            );
        }
        kept += again.steps("kept").len();
        ran += again.steps("ran").len();
    }
    (kept, ran)
}

/// What each case said and left, by its name.
fn said(env: &Env) -> BTreeMap<String, String> {
    let script = "for c in c??; do echo \"== $c\"; cat $c/seen.txt; find $c -printf '%P %M %U:%G %s %l\\n' | sort; find $c -type f | sort | xargs -d '\\n' cksum; done";
    let mut command = env.hd(["debug", "all"]).into_command();
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("start hd debug");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin
        .write_all(script.as_bytes())
        .expect("speak to the shell");
    drop(stdin);
    let all = child.wait_with_output().expect("its end");
    let all = String::from_utf8_lossy(&all.stdout).into_owned();
    let parts = all.split("== ").skip(1);
    let named = parts.filter_map(|part| part.split_once('\n'));
    named
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .collect()
}

fn differing(
    cases: &[Case],
    kept: &BTreeMap<String, String>,
    fresh: &BTreeMap<String, String>,
) -> String {
    let mut text = String::new();
    for case in cases
        .iter()
        .filter(|case| kept.get(&case.name) != fresh.get(&case.name))
    {
        let (kept, fresh) = (kept.get(&case.name), fresh.get(&case.name));
        text += &format!("{case:#?}\n--- kept\n{}\n", kept.map_or("", |text| text));
        text += &format!("--- fresh\n{}\n", fresh.map_or("", |text| text));
    }
    text
}
