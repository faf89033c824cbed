//! Rules about the source itself: what is pure, how long files are, who may name what.

use hd_integration::source::{Source, all, has_word};

/// Crates that are pure as a whole: no actor, no runtime, no clock, no network.
const PURE_CRATES: &[&str] = &["config/src/", "runtime/dag/src/"];

/// Parts of otherwise impure crates that decide without acting.
const PURE_FILES: &[&str] = &["runtime/supervision/src/policy.rs"];

/// In an actor's folder all files are pure but `actor.rs`, `mod.rs` and these, each with a reason.
const SHELLS_BESIDE_ACTORS: &[(&str, &str)] = &[
    (
        "actors/src/chunk_store/collect.rs",
        "a job of the pool: collects as of now",
    ),
    (
        "actors/src/chunk_store/pins.rs",
        "a job of the pool: stamps refs with the time",
    ),
    (
        "actors/src/control/one_by_one.rs",
        "lets requests wait for each other",
    ),
    (
        "actors/src/control/want.rs",
        "reads the hd.toml on a thread",
    ),
    ("actors/src/control/serve.rs", "talks to one connection"),
    ("actors/src/control/socket.rs", "makes the socket"),
    (
        "actors/src/control/stop.rs",
        "asks services and waits for them",
    ),
    (
        "actors/src/invalidator/ask.rs",
        "asks other actors and waits for them",
    ),
    (
        "actors/src/invalidator/outcome.rs",
        "handlers of the conductor; sets the timer of another try",
    ),
    (
        "actors/src/service_supervisor/announced.rs",
        "makes and reads the socket on which a service says that it is ready",
    ),
    (
        "actors/src/service_supervisor/connect.rs",
        "connects to services that are probed",
    ),
    (
        "actors/src/service_supervisor/common.rs",
        "holds sockets and turns",
    ),
    (
        "actors/src/service_supervisor/held.rs",
        "asks a held socket",
    ),
    ("actors/src/service_supervisor/hold.rs", "wakes who is held"),
    (
        "actors/src/service_supervisor/forward.rs",
        "relays published ports",
    ),
    (
        "actors/src/service_supervisor/tls.rs",
        "speaks TLS to services that are probed",
    ),
    (
        "actors/src/service_supervisor/board.rs",
        "wakes who waits for a state",
    ),
    (
        "actors/src/service_supervisor/log.rs",
        "reads pipes and stamps lines with the time",
    ),
    (
        "actors/src/service_supervisor/roster.rs",
        "adds supervisors to a tree and removes them",
    ),
    (
        "actors/src/service_supervisor/probe.rs",
        "connects to services, on threads of its own",
    ),
    (
        "actors/src/invalidator/declare.rs",
        "a part of the shell of the Invalidator: reads hd.toml",
    ),
    (
        "actors/src/invalidator/publish.rs",
        "a part of the shell of the Invalidator",
    ),
    (
        "actors/src/invalidator/suspend.rs",
        "a part of the shell of the Invalidator",
    ),
    (
        "actors/src/step_runner/chain.rs",
        "a job of the pool: runs steps, each on a thread",
    ),
    (
        "actors/src/step_runner/run.rs",
        "runs a command and waits for its end or its time",
    ),
    (
        "actors/src/step_runner/step.rs",
        "makes one step true and takes its time",
    ),
    (
        "actors/src/watcher/outbox.rs",
        "stamps events with the time they were seen",
    ),
    (
        "actors/src/watcher/session.rs",
        "holds one inotify instance",
    ),
    ("actors/src/watcher/sight.rs", "runs on notify's own thread"),
    (
        "actors/src/watcher/watches.rs",
        "asks the kernel for watches",
    ),
];

/// Names that pure files may take from crates that act: types without a deed; and a key of `hd.toml` that is
/// called like one of them.
const PLAIN_TYPES: &[&str] = &[
    "\"notify\"",
    "`notify",
    "notify = true",
    "hd_supervision::actix::Message",
    "notify::EventKind",
    "notify::event",
];

const ACTORS: &[&str] = &[
    "chunk_store",
    "dag_engine",
    "invalidator",
    "mount_server",
    "watcher",
    "debouncer",
    "step_runner",
    "service_supervisor",
    "oci_fetcher",
    "control",
];

const FORBIDDEN_IN_PURE: &[&str] = &[
    "actix",
    "actix_rt",
    "tokio",
    "notify",
    "nix",
    "fuser",
    "reqwest",
    "Instant::now",
    "SystemTime::now",
    "TcpStream",
    "UnixStream",
];

const LINES_CAP: usize = 400;
const LINES_MEDIAN: usize = 150;

/// Collects what breaks a rule, so that one run shows all of it.
#[track_caller]
fn expect_none(rule: &str, found: Vec<String>) {
    assert!(found.is_empty(), "{rule}:\n{}", found.join("\n"));
}

fn lines_with<'a>(source: &'a Source, words: &'a [&str]) -> impl Iterator<Item = String> + 'a {
    source.code().filter_map(move |(number, line)| {
        if PLAIN_TYPES.iter().any(|plain| line.contains(plain)) {
            return None;
        }
        let word = words.iter().find(|word| has_word(line, word))?;
        Some(format!("{}:{number}: {word}", source.path))
    })
}

fn is_pure(path: &str) -> bool {
    PURE_CRATES.iter().any(|start| path.starts_with(start))
        || PURE_FILES.contains(&path)
        || is_beside_actor(path)
}

fn is_beside_actor(path: &str) -> bool {
    let Some((folder, file)) = path
        .strip_prefix("actors/src/")
        .and_then(|rest| rest.split_once('/'))
    else {
        return false;
    };
    ACTORS.contains(&folder)
        && !matches!(file, "actor.rs" | "mod.rs")
        // Parts of the shell itself.
        && !file.starts_with("actor/")
        && !file.ends_with("tests.rs")
        && SHELLS_BESIDE_ACTORS.iter().all(|(shell, _)| *shell != path)
}

#[test]
fn pure_files_import_nothing_that_acts() {
    let found = all()
        .iter()
        .filter(|source| is_pure(&source.path))
        .flat_map(|source| lines_with(source, FORBIDDEN_IN_PURE).collect::<Vec<_>>())
        .collect();
    expect_none("pure code names something that acts", found);
}

#[test]
fn pure_files_exist_where_they_are_listed() {
    let sources = all();
    let listed = PURE_FILES
        .iter()
        .copied()
        .chain(SHELLS_BESIDE_ACTORS.iter().map(|(path, _)| *path));
    let gone = listed.filter(|path| !sources.iter().any(|source| source.path == *path));
    expect_none("listed here but gone", gone.map(str::to_owned).collect());
    for start in PURE_CRATES {
        assert!(
            sources.iter().any(|source| source.path.starts_with(start)),
            "{start} is empty"
        );
    }
}

#[test]
fn each_actor_has_a_folder_with_a_thin_shell() {
    let sources = all();
    let missing = ACTORS
        .iter()
        .map(|actor| format!("actors/src/{actor}/actor.rs"));
    let missing = missing.filter(|path| !sources.iter().any(|source| source.path == *path));
    expect_none("an actor without its actor.rs", missing.collect());
}

#[test]
fn files_are_short() {
    let sources = all();
    let mut lengths: Vec<usize> = sources
        .iter()
        .map(|source| source.text.lines().count())
        .collect();
    let long = sources
        .iter()
        .zip(&lengths)
        .filter(|(_, length)| **length > LINES_CAP);
    let long = long
        .map(|(source, length)| format!("{}: {length}", source.path))
        .collect();
    expect_none("files over the cap", long);
    lengths.sort_unstable();
    let median = lengths[lengths.len() / 2];
    assert!(median <= LINES_MEDIAN, "the median file has {median} lines");
}

#[test]
fn each_message_is_in_the_table_of_its_catalogue() {
    let sources = all();
    let catalogue = sources
        .iter()
        .find(|source| source.path == "actors/src/messages.rs");
    let catalogue = catalogue.expect("actors/src/messages.rs is the catalogue");
    let table: Vec<String> = catalogue
        .module_doc()
        .lines()
        .filter(|line| line.trim_start().starts_with('|'))
        .map(str::to_owned)
        .collect();
    let messages = message_names(&catalogue.text);
    assert!(!messages.is_empty(), "the catalogue has no message");
    let missing = messages
        .iter()
        .filter(|name| !table.iter().any(|row| has_word(row, name)));
    expect_none(
        "messages without a row in the module's table",
        missing.map(|name| (*name).to_owned()).collect(),
    );
}

/// The names that get `impl Message`: one by one, or by `messages! { Name => Reply, … }`.
fn message_names(catalogue: &str) -> Vec<&str> {
    let by_impl = catalogue
        .lines()
        .filter_map(|line| line.strip_prefix("impl Message for "));
    let by_impl = by_impl.filter_map(|rest| rest.split([' ', '<']).next());
    let list = catalogue
        .split("\nmessages! {")
        .nth(1)
        .and_then(|rest| rest.split("\n}").next());
    let by_macro = list
        .into_iter()
        .flat_map(str::lines)
        .filter_map(|line| line.split_once("=>"));
    by_impl
        .chain(by_macro.map(|(name, _)| name.trim()))
        .collect()
}

#[test]
fn only_supervision_names_addr() {
    let outside = |source: &&Source| !source.path.starts_with("runtime/supervision/");
    let words = &["Addr", "Recipient", "do_send", "SyncArbiter"];
    let sources = all();
    let code = sources.iter().filter(outside).filter(|source| {
        source.path != "integration/tests/tidy.rs" && source.path != "integration/src/source.rs"
    });
    expect_none(
        "named outside supervision",
        code.flat_map(|source| lines_with(source, words).collect::<Vec<_>>())
            .collect(),
    );
}

#[test]
fn only_the_command_line_prints() {
    let may_print = ["cli/", "xtask/", "integration/"];
    let words = &["println", "eprintln", "print", "eprint", "dbg"];
    let sources = all();
    let silent = sources
        .iter()
        .filter(|source| !may_print.iter().any(|start| source.path.starts_with(start)));
    // Tests may print: skipping one is said aloud. So may examples and benches: they are programs.
    let silent = silent.filter(|source| {
        let program = ["/tests/", "/examples/", "/benches/"];
        !program.iter().any(|place| source.path.contains(place))
            && !source.path.ends_with("/tests.rs")
    });
    let found = silent
        .flat_map(|source| macro_calls(source, words))
        .collect();
    expect_none("printing outside the command line", found);
}

fn macro_calls(source: &Source, names: &[&str]) -> Vec<String> {
    let calls = source.code().filter(|(_, line)| {
        names
            .iter()
            .any(|name| line.contains(&format!("{name}!")) && has_word(line, name))
    });
    calls
        .map(|(number, line)| format!("{}:{number}: {}", source.path, line.trim()))
        .collect()
}

#[test]
fn nothing_is_left_for_later() {
    let sources = all();
    let macros = sources
        .iter()
        .flat_map(|source| macro_calls(source, &["todo", "unimplemented"]));
    let mut found: Vec<String> = macros.collect();
    for source in &sources {
        for (number, line) in source.text.lines().enumerate() {
            let trimmed = line.trim_start();
            let ignored = trimmed.starts_with(concat!("#[", "ignore"));
            let note = [
                concat!("TO", "DO"),
                concat!("FIX", "ME"),
                concat!("XX", "X"),
            ]
            .iter()
            .any(|word| has_word(line, word));
            if ignored || note {
                found.push(format!("{}:{}: {trimmed}", source.path, number + 1));
            }
        }
    }
    expect_none("stubs, ignored tests, notes", found);
}

#[test]
fn no_file_names_a_machine() {
    let marks = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/."),
        concat!("/ho", "me/user"),
    ];
    let mut found = Vec::new();
    for source in all() {
        for (number, line) in source.text.lines().enumerate() {
            if marks.iter().any(|mark| line.contains(mark)) {
                found.push(format!("{}:{}: {}", source.path, number + 1, line.trim()));
            }
        }
    }
    expect_none("paths of one machine", found);
}
