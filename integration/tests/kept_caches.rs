//! Tools that decide by time what to make again, over a kept directory: right after edits, reverts
//! and switches of branch. `make` is in observed.rs, with an edit while it runs.

use std::net::TcpListener;
use std::process::Stdio;

use hd_integration::{Env, SHORT, files, needs, skip_unless, until};

/// A project whose file `path` says a word, with another word on the branch `other`.
struct Words<'a> {
    env: &'a Env,
    path: &'a str,
    /// Prints what was built last.
    run: &'a [&'a str],
}

impl Words<'_> {
    /// Builds, then compares what was built with what the file says now.
    #[track_caller]
    fn are_built(&self, word: &str) {
        self.env.once();
        let run = ["run"].iter().chain(self.run);
        let said = self.env.hd(run).finish().ok().stdout;
        assert_eq!(said.trim(), word);
    }

    fn edit(&self, from: &str, to: &str) {
        files::replace(&self.env.path(self.path), from, to);
    }

    /// Edits, reverts with an old time, switches branches there and back.
    fn survive(&self) {
        let time = files::mtime(&self.env.path(self.path));
        self.are_built("one");
        self.edit("one", "two");
        self.are_built("two");
        self.edit("two", "one");
        self.are_built("one");

        // As a backup is put back: other bytes with a time from before the last build.
        self.edit("one", "six");
        files::set_mtime(&self.env.path(self.path), time);
        self.are_built("six");

        self.env.git(&["checkout", "--quiet", "-b", "other"]);
        self.env.git(&["commit", "--quiet", "--all", "-m", "six"]);
        for (branch, word) in [("-", "one"), ("-", "six"), ("-", "one")] {
            self.env.git(&["checkout", "--quiet", branch]);
            self.are_built(word);
        }
    }
}

#[test]
fn cargo_builds_what_the_sources_say() {
    skip_unless!(needs::fuse(), needs::program("cargo"));
    let toml = "[environment]\nname = \"rust\"\n\n[build]\nsteps = [\"cargo build --offline --quiet && mkdir -p bin && cp target/debug/words bin\"]\ncache = [\"target\"]\n";
    let manifest = "[package]\nname = \"words\"\nversion = \"0.1.0\"\nedition = \"2021\"\n";
    let env = Env::project(&[
        ("hd.toml", toml),
        ("Cargo.toml", manifest),
        (
            "src/main.rs",
            "mod word;\nfn main() {\n    println!(\"{}\", word::WORD);\n}\n",
        ),
        ("src/word.rs", "pub const WORD: &str = \"one\";\n"),
        (".gitignore", "/target/\n/bin/\nCargo.lock\n"),
    ]);
    let words = Words {
        env: &env,
        path: "src/word.rs",
        run: &["bin/words"],
    };
    words.survive();
}

#[test]
fn go_builds_what_the_sources_say() {
    skip_unless!(needs::fuse(), needs::program("go"));
    let toml = "[environment]\nname = \"go\"\n\n[build]\nsteps = [\"GOCACHE=$PWD/kept go build -o bin/words .\"]\ncache = [\"kept\"]\n";
    let env = Env::project(&[
        ("hd.toml", toml),
        ("go.mod", "module words\n\ngo 1.19\n"),
        (
            "main.go",
            "package main\n\nimport (\n\t\"fmt\"\n\t\"words/word\"\n)\n\nfunc main() {\n\tfmt.Println(word.Word)\n}\n",
        ),
        ("word/word.go", "package word\n\nconst Word = \"one\"\n"),
        (".gitignore", "/kept/\n/bin/\n"),
    ]);
    let words = Words {
        env: &env,
        path: "word/word.go",
        run: &["bin/words"],
    };
    words.survive();
}

#[test]
fn tsc_builds_what_the_sources_say() {
    skip_unless!(needs::fuse(), needs::program("npm"), needs::package_index());
    let toml = "[environment]\nname = \"types\"\n\n[build]\nsteps = [\"npm ci --silent\", \"npx tsc -b && mkdir -p bin && cp built/*.js bin\"]\ncache = [\"built\"]\n";
    let example = hd_integration::env::workspace().join("examples/node-web");
    let (package, lock) = (
        files::read(&example.join("package.json")),
        files::read(&example.join("package-lock.json")),
    );
    let config = r#"{"compilerOptions":{"outDir":"built","rootDir":"src","module":"commonjs","incremental":true,"composite":true,"skipLibCheck":true,"types":["node"]},"include":["src"]}"#;
    let env = Env::project(&[
        ("hd.toml", toml),
        (
            "package.json",
            &package.replace("\"type\": \"module\"", "\"type\": \"commonjs\""),
        ),
        ("package-lock.json", &lock),
        ("tsconfig.json", config),
        (
            "src/main.ts",
            "import { word } from './word';\nconsole.log(word);\n",
        ),
        ("src/word.ts", "export const word: string = 'one';\n"),
        (".gitignore", "/node_modules/\n/built/\n/bin/\n"),
    ]);
    let words = Words {
        env: &env,
        path: "src/word.ts",
        run: &["node", "bin/main.js"],
    };
    words.survive();
}

const MAKE_TOML: &str = "[environment]\nname = \"made\"\n\n[build]\nsteps = [\"sh gate.sh && make -s && mkdir -p bin && cp kept/* other.txt bin\"]\ncache = [\"kept\"]\n";

/// A project whose one step is `make` in a kept directory, behind a script that may fail; `kept/log` has a
/// line for each time that `make` made something.
fn made(gate: &str) -> Env {
    Env::project(&[
        ("hd.toml", MAKE_TOML),
        ("gate.sh", gate),
        ("other.txt", "0\n"),
        ("src.txt", "one\n"),
        (
            "Makefile",
            "kept/out: src.txt\n\techo made >> kept/log\n\tcp src.txt kept/out\n",
        ),
        (".gitignore", "/kept/\n/bin/\n"),
    ])
}

#[test]
fn what_a_failed_run_saw_stays_newer_than_what_is_kept() {
    skip_unless!(needs::fuse(), needs::program("make"));
    let env = made("true\n");
    let source = env.path("src.txt");
    let words = Words {
        env: &env,
        path: "src.txt",
        run: &["cat", "bin/out"],
    };
    let time = files::mtime(&source);
    words.are_built("one");
    // Put back from elsewhere with its time, and seen by a run that ends before `make` does.
    words.edit("one", "two");
    files::set_mtime(&source, time);
    files::write(&env.path("gate.sh"), "exit 1\n");
    env.once_fails(3);
    files::write(&env.path("gate.sh"), "true\n");
    words.are_built("two");
}

#[test]
fn what_was_only_touched_is_not_made_again() {
    skip_unless!(needs::fuse(), needs::program("make"));
    let env = made("true\n");
    let log = || {
        let log = env.hd(["run", "cat", "bin/log"]).finish().ok().stdout;
        log.lines().count()
    };
    let built = |other: &str| {
        files::write(&env.path("other.txt"), other);
        env.once().ran(&["step-1"]);
    };
    env.once();
    assert_eq!(log(), 1);
    files::touch(&env.path("src.txt"));
    built("1\n");
    assert_eq!(log(), 1, "a touch was taken for a change");
    files::save_by_rename(&env.path("src.txt"), "one\n");
    built("2\n");
    assert_eq!(log(), 1, "an equal save was taken for a change");
    files::save_by_rename(&env.path("src.txt"), "two\n");
    env.once().ran(&["step-1"]);
    assert_eq!(log(), 2);
    files::touch(&env.path("src.txt"));
    built("3\n");
    assert_eq!(log(), 2, "a touch after a change was taken for another");
}

/// Stamps and generated sources: written anew with what they held, they are done all the same.
#[test]
fn what_was_made_again_with_equal_bytes_is_not_made_at_every_run() {
    skip_unless!(needs::fuse(), needs::program("make"));
    let env = made("true\n");
    files::write(
        &env.path("Makefile"),
        "kept/out: kept/stamp kept/dir\n\thead -n 1 src.txt > kept/out\n\techo out >> kept/log\n\
         kept/stamp: src.txt\n\ttouch kept/stamp\n\techo stamp >> kept/log\n\
         kept/dir: src.txt\n\tmkdir -p kept/dir\n\ttouch kept/dir\n\techo dir >> kept/log\n",
    );
    files::replace(&env.path("hd.toml"), "cp kept/*", "cp -r kept/*");
    let built = |path: &str, text: &str| {
        files::write(&env.path(path), text);
        env.once().ran(&["step-1"]);
        let log = env.hd(["run", "cat", "bin/log"]).finish().ok().stdout;
        log.lines().count()
    };
    assert_eq!(built("src.txt", "one\nand more\n"), 3);
    assert_eq!(built("other.txt", "1\n"), 3);
    assert_eq!(built("src.txt", "one\nand other\n"), 6);
    assert_eq!(built("other.txt", "2\n"), 6, "what is done is done again");
    assert_eq!(built("src.txt", "two\n"), 9);
}

const MIXED_TOML: &str = "[environment]\nname = \"mixed\"\n\n[build]\nsteps = [\"cp src.txt public/bundle.txt\"]\ncache = [\"public\"]\n\n[options]\nproject = \"projected\"\n";

/// As the `public` of many web projects: some of it is checked in, the rest is made.
#[test]
fn the_projects_own_files_in_a_kept_directory_are_what_the_project_says() {
    skip_unless!(needs::fuse());
    let env = Env::project(&[
        ("hd.toml", MIXED_TOML),
        ("src.txt", "one\n"),
        ("public/index.html", "first\n"),
        (".gitignore", "/public/bundle.txt\n"),
    ]);
    let public = || {
        let look = ["run", "cat", "public/index.html", "public/bundle.txt"];
        env.hd(look).finish().ok().stdout
    };
    env.once();
    assert_eq!(public(), "first\none\n");
    files::write(&env.path("public/index.html"), "second\n");
    env.once().ran(&["step-1"]);
    assert_eq!(public(), "second\none\n");
    env.once().ran(&[]);
}

/// What a run saw that left no result is named by nothing else.
#[test]
fn a_collection_after_a_failed_run_costs_no_later_command() {
    skip_unless!(needs::fuse(), needs::program("make"));
    let env = made("true\n");
    env.once();
    files::write(&env.path("src.txt"), "two\n");
    files::write(&env.path("gate.sh"), "exit 1\n");
    env.once_fails(3);
    env.hd(["cas", "gc"]).finish().ok();
    files::write(&env.path("src.txt"), "one\n");
    files::write(&env.path("gate.sh"), "true\n");
    env.once();
    files::write(&env.path("src.txt"), "three\n");
    env.once();
    let said = env.hd(["run", "cat", "bin/out"]).finish().ok().stdout;
    assert_eq!(said, "three\n");
}

/// It goes on with the cache until the test lets it end, where there is a file `wait`.
const TOOL_TOML: &str =
    "[environment]\nname = \"tool\"\n\n[build.caches.tool]\npath = \"~/.tool\"\n
[[build.step]]\nname = \"use\"\ncaches = [\"tool\"]\n
run = \"echo used >> ~/.tool/log && cat other.txt && { test ! -e wait || python3 -I wait.py; }\"\n";

#[test]
fn what_is_wiped_while_a_step_has_it_does_not_come_back() {
    skip_unless!(needs::fuse(), needs::program("python3"));
    let gate = TcpListener::bind("127.0.0.1:0").expect("a port");
    gate.set_nonblocking(true).expect("not to block");
    let port = gate.local_addr().expect("its address").port();
    let wait = format!("import socket\nsocket.create_connection(('127.0.0.1', {port})).recv(1)\n");
    let env = Env::project(&[
        ("hd.toml", TOOL_TOML),
        ("wait.py", &wait),
        ("other.txt", "1\n"),
    ]);
    let kept = || {
        let listed = env.hd(["cache", "ls", "--json"]).finish().ok().json();
        listed["caches"].as_array().map(Vec::len)
    };
    env.once().ran(&["step-1"]);
    assert_eq!(kept(), Some(1));
    files::write(&env.path("wait"), "");
    let mut once = env.hd(["up", "--once"]).into_command();
    let mut once = once.stdin(Stdio::null()).spawn().expect("start hd");
    let (step, _) = until("the step runs", SHORT, || gate.accept().ok());
    env.hd(["cache", "rm", "tool"]).finish().ok();
    drop(step);
    assert!(once.wait().expect("the end of hd").success());
    assert_eq!(kept(), Some(0));

    // The next run keeps it again, and nothing but its name is needed to wipe it.
    std::fs::remove_file(env.path("wait")).expect("remove");
    files::write(&env.path("other.txt"), "2\n");
    env.once().ran(&["step-1"]);
    assert_eq!(kept(), Some(1));
    files::replace(
        &env.path("hd.toml"),
        "name = \"tool\"\n",
        "name = \"tool\"\nenv_file = [\"gone.env\"]\n",
    );
    env.hd(["cache", "rm", "tol"]).finish().expect_code(2);
    env.hd(["cache", "rm", "--all"]).finish().ok();
    assert_eq!(kept(), Some(0));
}

#[test]
fn a_directory_that_is_no_cache_any_more_is_part_of_what_the_step_leaves() {
    skip_unless!(needs::fuse());
    let toml = |caches: &str| {
        format!(
            "[environment]\nname = \"once-a-cache\"\n[build.caches.deps]\npath = \"deps\"\n\
             [[build.step]]\nname = \"get\"\nrun = \"mkdir -p deps && echo x > deps/a\"\n{caches}\n\
             [[build.step]]\nname = \"keep\"\nrun = \"true\"\ncaches = [\"deps\"]\nneeds = []\n"
        )
    };
    let env = Env::project(&[("hd.toml", &toml("caches = [\"deps\"]"))]);
    env.once();
    files::write(&env.path("hd.toml"), &toml(""));
    env.once().ran(&["step-1"]);
    let said = env.hd(["run", "cat", "deps/a"]).finish().ok().stdout;
    assert_eq!(said, "x\n");
}
