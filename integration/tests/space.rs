//! The disk the store takes: who takes it, what gives it back, and limits that are kept by
//! themselves.

use std::path::Path;

use hd_integration::{Env, Run, files, needs, samples, skip_unless};
use serde_json::Value;

/// Bytes that do not compress, the same for the same seed.
fn noise(seed: u64, len: usize) -> String {
    // Knuth's MMIX generator; hexadecimal digits halve what is stored.
    let mut state = seed.wrapping_mul(2) + 1;
    let mut text = String::with_capacity(len);
    while text.len() < len {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        text.push_str(&format!("{state:016x}"));
    }
    text
}

/// A project beside that of `env`, with the same home.
struct Other<'a> {
    env: &'a Env,
    name: &'a str,
}

impl Other<'_> {
    fn new<'a>(env: &'a Env, name: &'a str, toml: &str, seed: u64) -> Other<'a> {
        let other = Other { env, name };
        let head = format!("[environment]\nname = \"{name}\"\n");
        files::write(&other.path("hd.toml"), &(head + toml));
        files::write(&other.path("data.txt"), &noise(seed, 600_000));
        other
    }

    fn dir(&self) -> std::path::PathBuf {
        self.env.mark().join(self.name)
    }

    fn path(&self, relative: &str) -> std::path::PathBuf {
        self.dir().join(relative)
    }

    fn hd(&self, args: &[&str]) -> Run {
        self.env.hd(args).dir(&self.dir())
    }

    #[track_caller]
    fn once(&self) -> String {
        let done = self.hd(&["up", "--once", "--json"]).finish().ok();
        done.report().root().to_owned()
    }
}

/// Bytes of all segments.
fn segments(env: &Env) -> u64 {
    let all = hd_integration::damage::segments(env.home());
    all.iter()
        .map(|path| std::fs::metadata(path).map_or(0, |meta| meta.len()))
        .sum()
}

fn df(env: &Env) -> Value {
    env.hd(["cas", "df", "--json"]).finish().ok().json()
}

fn row<'a>(df: &'a Value, sort: &str, project: &Path, name: &str) -> &'a Value {
    let project = project.to_str().expect("a path of the test");
    let rows = df["rows"].as_array().expect("rows");
    let found = rows
        .iter()
        .find(|row| row["sort"] == sort && row["project"] == project && row["name"] == name);
    found.unwrap_or_else(|| panic!("no {sort} {project} {name} in {df:#}"))
}

fn number(value: &Value) -> u64 {
    value
        .as_u64()
        .unwrap_or_else(|| panic!("no number: {value}"))
}

#[test]
fn df_says_who_takes_what_and_its_sum_is_that_of_du() {
    skip_unless!(needs::fuse());
    let steps = "[build]\nsteps = [\"mkdir out && tr 0-9 g-p < data.txt > out/data\"]\ncache = [\"kept\"]\n";
    let env = Env::project(&[("hd.toml", "[environment]\nname = \"empty\"\n")]);
    let one = Other::new(&env, "one", steps, 1);
    let two = Other::new(&env, "two", "", 2);
    files::write(&two.path("same.txt"), &noise(1, 600_000));
    for project in [&one, &two] {
        project.once();
    }
    let df = df(&env);
    let du = Run::new(Path::new("du"))
        .args(["-s", "-B1"])
        .args([&env.home().join("cas")]);
    let du: u64 = du
        .finish()
        .ok()
        .stdout
        .split('\t')
        .next()
        .and_then(|n| n.parse().ok())
        .expect("du");
    let parts = ["unique", "shared", "unneeded", "raw", "bookkeeping"].map(|key| number(&df[key]));
    let sum: u64 = parts.iter().sum();
    assert_eq!(sum, number(&df["total"]), "{df:#}");
    assert!(sum.abs_diff(du) * 100 <= du, "{sum} is not {du}: {df:#}");
    // Half a megabyte of digits takes about 300 kB; the same file in both is shared.
    let near = |value: &Value| (250_000..400_000).contains(&number(value));
    let project = row(&df, "project", &one.dir(), "");
    assert!(
        near(&project["shared"]) && number(&project["unique"]) < 50_000,
        "{df:#}"
    );
    let project = row(&df, "project", &two.dir(), "");
    assert!(
        near(&project["shared"]) && near(&project["unique"]),
        "{df:#}"
    );
    let step = row(&df, "step", &one.dir(), "step-1");
    assert!(number(&step["unique"]) > 200_000, "{df:#}");
    let kept = |row: &Value| {
        let name = row["name"].as_str().unwrap_or_default();
        row["sort"] == "cache" && name.starts_with("step mkdir-out ") && name.ends_with(":kept")
    };
    assert!(
        df["rows"]
            .as_array()
            .is_some_and(|rows| rows.iter().any(kept)),
        "{df:#}"
    );
    assert!(number(&df["unneeded"]) < 50_000, "{df:#}");
    let stats = env.hd(["cas", "stats", "--json"]).finish().ok().json();
    let ratio = stats["dedup_ratio"].as_f64().expect("a ratio");
    assert!((1.1..2.0).contains(&ratio), "{stats:#}");
    assert!(
        stats["compression_ratio"].as_f64().expect("a ratio") > 1.3,
        "{stats:#}"
    );
    // What nobody needs any more shows as such.
    std::fs::remove_file(two.path("data.txt")).expect("remove");
    two.once();
    let after = self::df(&env);
    assert!(near(&after["unneeded"]), "{after:#}");
    // And what a collection frees of it is what it frees.
    let said = env.hd(["cas", "df"]).finish().ok().stdout;
    let freed = |args: &[&str]| {
        let done = env.hd(args).finish().ok().json();
        number(&done["freed_bytes"])
    };
    let foretold = freed(&["cas", "gc", "--dry-run", "--json"]);
    assert_eq!(number(&after["gc_frees"]), foretold);
    freed(&["cas", "gc", "--json"]);
    assert_eq!(
        number(&self::df(&env)["gc_frees"]),
        0,
        "all is freed that is worth it"
    );
    let promises = said.contains("`hd cas gc` frees");
    assert_eq!(promises, foretold > 0, "{said}");
}

#[test]
fn df_of_a_damaged_reference_is_one_error() {
    let env = Env::project(&[("hd.toml", "[environment]\nname = \"x\"\n")]);
    env.once();
    let refs = std::fs::read_dir(env.home().join("cas/refs")).expect("list");
    for reference in refs.map(|entry| entry.expect("an entry").path()) {
        std::fs::write(reference, "nonsense").expect("write");
    }
    let done = env.hd(["cas", "df"]).finish().expect_code(1);
    assert!(done.stderr.contains("reference file"), "{}", done.said());
}

#[test]
fn prune_takes_one_project_and_leaves_the_other() {
    skip_unless!(needs::fuse());
    let steps = "[build]\nsteps = [\"mkdir out && tr 0-9 g-p < data.txt > out/data\"]\n";
    let env = Env::project(&[("hd.toml", "[environment]\nname = \"empty\"\n")]);
    let (one, two) = (
        Other::new(&env, "one", steps, 1),
        Other::new(&env, "two", steps, 2),
    );
    let roots = [one.once(), two.once()];
    let before = segments(&env);
    let dry = ["prune", "--project", "one", "--dry-run", "--json"];
    let foretold = env.hd(dry).finish().ok().json();
    assert_eq!(
        (
            foretold["projects"].as_array().map(Vec::len),
            segments(&env)
        ),
        (Some(1), before)
    );
    let done = env
        .hd(["prune", "--project", "one", "--json"])
        .finish()
        .ok()
        .json();
    let freed = number(&done["freed_bytes"]);
    assert!(freed > 500_000, "source and result: {done:#}");
    assert!(
        freed.abs_diff(number(&foretold["freed_bytes"])) < 100_000,
        "{foretold:#} {done:#}"
    );
    assert!(before - segments(&env) > 500_000);
    let listed = env
        .hd(["ls", "--all", "--json"])
        .finish()
        .ok()
        .json()
        .to_string();
    assert!(
        listed.contains("\"two\"") && !listed.contains("\"one\""),
        "{listed}"
    );
    // The other one lost nothing: its step is kept. The pruned one starts anew, the same.
    let kept = two.hd(&["up", "--once", "--json"]).finish().ok().report();
    assert_eq!(
        (kept.root(), kept.steps("ran").len()),
        (roots[1].as_str(), 0)
    );
    let anew = one.hd(&["up", "--once", "--json"]).finish().ok().report();
    assert_eq!(
        (anew.root(), anew.steps("ran").len()),
        (roots[0].as_str(), 1)
    );
    env.hd(["cas", "verify", "--read-data"]).finish().ok();
}

#[test]
fn prune_refuses_what_it_does_not_understand_or_may_not_take() {
    skip_unless!(needs::fuse());
    let env = samples::server();
    let mut up = env.up();
    up.wait_http(env.port(0), "/", "one");
    let cases = [
        (
            &["prune", "--project", "nobody"][..],
            2,
            "knows no project nobody",
        ),
        (&["prune", "--older-than", "7"], 2, "no unit"),
        (&["prune", "--max-size", "7G"], 2, "needs one of the units"),
        (&["prune", "--project", "server"], 1, "hd runs this project"),
    ];
    for (args, code, words) in cases {
        let done = env.hd(args).finish().expect_code(code);
        assert!(done.stderr.contains(words), "{}", done.said());
    }
    // By age or size, what runs is left alone.
    env.hd(["prune", "--older-than", "0s", "--max-size", "0B"])
        .finish()
        .ok();
    up.wait_http(env.port(0), "/", "one");
    files::write(&env.path("answer.txt"), "two\n");
    up.wait_http(env.port(0), "/", "two");
    env.hd(["cas", "verify", "--read-data"]).finish().ok();
}

#[test]
fn prune_takes_what_is_gone_and_what_is_old() {
    let env = Env::project(&[("hd.toml", "[environment]\nname = \"stays\"\n")]);
    let root = env.once();
    let gone = Other::new(&env, "gone", "", 1);
    let old = Other::new(&env, "old", "", 2);
    gone.once();
    old.once();
    std::fs::remove_dir_all(gone.dir()).expect("remove");
    let before = segments(&env);
    let done = env.hd(["prune", "--json"]).finish().ok().json();
    assert_eq!(done["projects"][0], gone.dir().to_str().expect("a path"));
    assert!(before - segments(&env) > 250_000, "{done:#}");
    let nothing = env
        .hd(["prune", "--older-than", "1d", "--json"])
        .finish()
        .ok()
        .json();
    assert_eq!(nothing["projects"], serde_json::json!([]));
    let all = env
        .hd(["prune", "--older-than", "0s", "--json"])
        .finish()
        .ok()
        .json();
    assert_eq!(all["projects"].as_array().map(Vec::len), Some(2), "{all:#}");
    assert!(segments(&env) < 50_000, "{all:#}");
    assert_eq!(env.once().root(), root.root());
}

const SMALL: &str = "[options]\ngc = { max_size = \"800KB\", keep = \"0s\" }\n";

#[test]
fn a_store_over_its_limit_is_collected_after_an_up_once_the_oldest_first() {
    let env = Env::project(&[("hd.toml", "[environment]\nname = \"empty\"\n")]);
    let (one, two) = (
        Other::new(&env, "one", "", 1),
        Other::new(&env, "two", "", 2),
    );
    let roots = [one.once(), two.once()];
    // As much as is allowed, and one more.
    let three = Other::new(&env, "three", SMALL, 3);
    let done = three.hd(&["up", "--once"]).finish().ok();
    assert!(done.stderr.contains("over its limits"), "{}", done.said());
    assert!(segments(&env) <= 800_000, "{}", segments(&env));
    let df = df(&env);
    let rows = df["rows"].to_string();
    assert!(
        rows.contains("/three") && rows.contains("/two") && !rows.contains("/one"),
        "{rows}"
    );
    assert_eq!(two.once(), roots[1]);
    // Dropped is not lost: the files are where they were.
    assert_eq!(one.once(), roots[0]);
    env.hd(["cas", "verify", "--read-data"]).finish().ok();
    // What was used within `keep` stays, whatever the limit.
    let four = Other::new(&env, "four", &SMALL.replace("0s", "1h"), 4);
    four.hd(&["up", "--once"]).finish().ok();
    assert!(segments(&env) > 800_000);
}

#[test]
fn a_running_up_keeps_the_limit_and_answers_edits_meanwhile() {
    skip_unless!(needs::fuse());
    let env = samples::server_with_output();
    let toml = files::read(&env.path("hd.toml"));
    let limit = "gc = { max_size = \"800KB\", keep = \"0s\" }\nrestart_grace";
    files::write(&env.path("hd.toml"), &toml.replace("restart_grace", limit));
    for (seed, name) in [(1, "one"), (2, "two"), (3, "three")] {
        Other::new(&env, name, "", seed).once();
    }
    assert!(segments(&env) > 800_000);
    let mut up = env.up();
    up.wait_http(env.port(0), "/", "one");
    files::write(&env.path("source.txt"), "two\n");
    up.wait_http(env.port(0), "/", "two");
    up.wait_line(0, &["over its limits"]);
    assert!(segments(&env) <= 800_000, "{}", segments(&env));
    files::write(&env.path("source.txt"), "three\n");
    up.wait_http(env.port(0), "/", "three");
    env.hd(["cas", "verify", "--read-data"]).finish().ok();
}

#[test]
fn what_others_remove_is_given_back_beside_an_up_that_nothing_happens_to() {
    skip_unless!(needs::fuse());
    let env = samples::server_with_output();
    Other::new(&env, "one", "", 1).once();
    let mut up = env.up();
    up.wait_http(env.port(0), "/", "one");
    let removed = env.hd(["prune", "--project", "one"]).finish().ok();
    let fds = format!("/proc/{}/fd", up.pid());
    up.until(&removed.said(), || {
        let all = std::fs::read_dir(&fds).expect("its files").flatten();
        let links = all.filter_map(|fd| std::fs::read_link(fd.path()).ok());
        let gone = |link: std::path::PathBuf| link.to_string_lossy().ends_with("seg (deleted)");
        (!links.into_iter().any(gone)).then_some(())
    });
    files::write(&env.path("source.txt"), "two\n");
    up.wait_http(env.port(0), "/", "two");
}

/// A limit gives away what was not used for long, kept directories too; then a step must find an empty one, not
/// one whose files cannot be read.
#[test]
fn a_kept_directory_that_a_limit_gave_away_begins_empty() {
    skip_unless!(needs::fuse());
    let step =
        "cat kept/* 2>/dev/null > out.txt; cat data.txt > kept/made; cat asked.txt; ls -l kept";
    let env = Env::project(&[
        (
            "hd.toml",
            &format!(
                "[environment]\nname = \"kept\"\n\n[build]\nsteps = [\"{step}\"]\ncache = [\"kept\"]\n"
            ),
        ),
        ("data.txt", &noise(7, 300_000)),
        ("asked.txt", "1\n"),
    ]);
    env.once().ran(&["step-1"]);
    // From another project, as the limit of the whole store is.
    let other = Other::new(&env, "other", "", 8);
    other.once();
    other.hd(&["prune", "--max-size", "1KiB"]).finish().ok();
    files::write(&env.path("asked.txt"), "2\n");
    let build = env.hd(["build"]).finish().ok();
    assert!(build.said().contains("begins empty"), "{}", build.said());
    assert!(!build.said().contains("rror"), "{}", build.said());
    files::write(&env.path("asked.txt"), "3\n");
    let build = env.hd(["build"]).finish().ok();
    assert!(!build.said().contains("begins empty"), "{}", build.said());
    env.hd(["cas", "verify", "--read-data"]).finish().ok();
}
