//! Steps that go on when something cannot be read, as most tools do, and what hd reads of the host for them.

use std::fs;
use std::path::{Path, PathBuf};

use hd_integration::damage::{Kind, hurt};
use hd_integration::{Env, needs, skip_unless};

/// Tells whether a file could be read, and succeeds in any case.
const TELL: &str = "mkdir -p out; cat switch; if cat FILE > /dev/null 2>&1; then echo read; else echo unread; fi > out/how";

/// Runs a step that reads a damaged file of the store; the next run finds nothing of what it made of that.
fn is_made_again(env: &Env) {
    env.once().ran(&["step-1"]);
    hurt(env.home(), Kind::BitFlip, 0.5);
    hd_integration::files::write(&env.path("switch"), "two\n");
    let hurt = env.once();
    hurt.ran(&["step-1"]);
    let reason = hurt.value()["steps"][0]["reason"].as_str().unwrap_or("");
    assert!(
        reason.contains("not stored: it had an error for an answer: reading"),
        "{reason}"
    );
    env.once().ran(&["step-1"]);
    let run = env.hd(["run", "cat", "out/how"]).finish().ok();
    assert_eq!(run.stdout, "read\n");
    env.once().ran(&[]);
}

#[test]
fn what_a_step_made_of_a_file_that_could_not_be_read_is_not_kept() {
    skip_unless!(needs::fuse());
    let tell = TELL.replace("FILE", "data");
    let toml = format!(
        "[environment]\nname = \"unread\"\n\n[[build.step]]\nname = \"look\"\nrun = \"{tell}\"\n"
    );
    let data: String = (0..100_000u32).map(|line| format!("{line}\n")).collect();
    is_made_again(&Env::project(&[
        ("hd.toml", &toml),
        ("data", &data),
        ("switch", "one\n"),
    ]));
}

#[test]
fn nor_is_what_it_left_in_a_kept_directory_in_which_something_could_not_be_read() {
    skip_unless!(needs::fuse());
    let tell = TELL.replace("FILE", "kept/data");
    let toml = format!(
        "[environment]\nname = \"unread\"\n\n[build]\ncache = [\"kept\"]\n\n[[build.step]]\nname = \"look\"\n\
         run = \"[ -e kept/data ] || seq 1 200000 > kept/data; {tell}; cp out/how kept/how\"\n"
    );
    is_made_again(&Env::project(&[("hd.toml", &toml), ("switch", "one\n")]));
}

/// Most descriptors of host files that hd may hold.
const HELD_MAX: usize = 128;
/// Steps, and files of the host that each reads.
const STEPS: usize = 4;
const READ: usize = 150;

/// Small files of the host, of which no two are one.
fn host_files(dir: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(dir).into_iter().flatten().flatten().collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (path, Ok(meta)) = (entry.path(), entry.metadata()) else {
            continue;
        };
        if found.len() >= STEPS * READ {
            return;
        }
        let is_plain = path
            .to_str()
            .is_some_and(|path| !path.contains([' ', '\'', '"', '\\']));
        if meta.is_dir() && entry.file_name() != "__pycache__" {
            host_files(&path, found);
        } else if is_plain && meta.is_file() && (1..65_536).contains(&meta.len()) {
            found.push(path);
        }
    }
}

#[test]
fn host_files_that_steps_have_read_are_held_open_in_small_number() {
    skip_unless!(needs::fuse());
    let mut found = Vec::new();
    host_files(Path::new("/usr/lib"), &mut found);
    host_files(Path::new("/usr/share"), &mut found);
    if found.len() < STEPS * READ {
        return needs::report_skip("there are few files in /usr");
    }
    let mut toml = "[environment]\nname = \"held\"\n".to_owned();
    let mut files = Vec::new();
    for (step, read) in found.chunks(READ).enumerate() {
        toml += &format!(
            "\n[[build.step]]\nname = \"step{step}\"\nrun = \"xargs cat < list{step} > /dev/null\"\n"
        );
        let paths = read.iter().map(|path| format!("{}\n", path.display()));
        files.push((format!("list{step}"), paths.collect::<String>()));
    }
    toml += "\n[services.idle]\ncommand = \"sleep 1000\"\n";
    files.push(("hd.toml".to_owned(), toml));
    let files: Vec<_> = files
        .iter()
        .map(|(name, text)| (&**name, &**text))
        .collect();
    let env = Env::project(&files);
    let mut up = env.up();
    up.wait_line(0, &["idle", "ready"]);
    let held = fs::read_dir(format!("/proc/{}/fd", up.pid())).expect("its descriptors");
    let held = held
        .flatten()
        .filter_map(|fd| fs::read_link(fd.path()).ok());
    let of_host = held.filter(|file| found.contains(file)).count();
    assert!(of_host > 0, "none of what was read is held");
    assert!(of_host <= HELD_MAX, "{of_host} files of the host are held");
}
