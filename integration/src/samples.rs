//! Small projects that need no network: most tests want steps and services, not packages.

use std::ffi::OsStr;

use crate::env::Env;
use crate::files;

const SERVE_PY: &str = r#"
import os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

ANSWER = open("answer.txt", "rb").read()

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

print("serving", ANSWER.decode().strip(), flush=True)
HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"#;

/// One service `web` that answers what `answer.txt` held when it started.
pub fn server() -> Env {
    Env::project(&[
        ("hd.toml", SERVER_TOML),
        ("serve.py", SERVE_PY),
        ("answer.txt", "one\n"),
        (".gitignore", "__pycache__/\n"),
    ])
}

/// The same service, which sees a snapshot of the project with two files more.
pub fn projected() -> Env {
    let env = server();
    let toml = env.path("hd.toml");
    files::replace(&toml, "[options]", "[options]\nproject = \"projected\"");
    files::write(&env.path("data/old"), "old\n");
    files::write(&env.path("data/gone"), "gone\n");
    env
}

const SERVER_TOML: &str = r#"
[environment]
name = "server"

[services.web]
command = "python3 -I serve.py"
watch = ["*.txt"]
port = 5000
env = { PORT = "5000" }

[options]
restart_grace = "2s"
"#;

/// The same service behind one step, whose output is a directory that is mounted over the project.
pub fn server_with_output() -> Env {
    let toml = SERVER_TOML.replace("python3 -I serve.py", "python3 -I serve.py out")
        + "\n[build]\nsteps = [\"mkdir out && cp source.txt out/answer.txt\"]\n";
    let serve = SERVE_PY.replace("\"answer.txt\"", "sys.argv[1] + \"/answer.txt\"");
    Env::project(&[
        ("hd.toml", &toml),
        ("serve.py", &serve),
        ("source.txt", "one\n"),
        (".gitignore", "__pycache__/\n/out/\n"),
    ])
}

/// Three steps in a chain: the first looks at one file only and passes on its first line.
pub fn chain() -> Env {
    Env::project(&[
        ("hd.toml", CHAIN_TOML),
        ("first.txt", "alpha\nignored\n"),
        ("second.txt", "beta\n"),
        ("list/a", "a\n"),
        ("list/b", "b\n"),
        ("aside.txt", "nobody reads this\n"),
    ])
}

const CHAIN_TOML: &str = r#"
[environment]
name = "chain"

[build]
steps = [
    "mkdir -p out1 && head -n 1 first.txt > out1/line",
    "mkdir -p out2 && cat out1/line second.txt > out2/text",
    "mkdir -p out3 && ls list > out3/names",
]
"#;

/// One step over a thing to observe: it must run again when what it saw there changes.
pub fn observing(step: &str, files: &[(&str, &str)]) -> Env {
    let step = step.replace('\\', "\\\\").replace('"', "\\\"");
    let toml = format!("[environment]\nname = \"observing\"\n\n[build]\nsteps = [\"{step}\"]\n");
    let mut all = vec![
        ("hd.toml", toml.as_str()),
        ("aside.txt", "nobody reads this\n"),
    ];
    all.extend(files);
    Env::project(&all)
}

/// The monorepo of `cargo xtask monorepo`, of at least so many files.
pub fn monorepo(xtask: &std::path::Path, files: usize) -> Env {
    let env = Env::project(&[]);
    let place = env.path("");
    let written = crate::run::Run::new(xtask)
        .args([OsStr::new("monorepo"), place.as_os_str()])
        .args(["--files", &files.to_string()]);
    written.finish().ok();
    env
}

/// Many small files and one step, so that a cold start takes long enough to be killed within.
pub fn many_files(count: usize) -> Env {
    let toml = "[environment]\nname = \"many\"\n\n[build]\nsteps = [\"mkdir out && cat d*/* | cksum > out/sum\"]\n";
    let files: Vec<(String, String)> = (0..count)
        .map(|number| {
            (
                format!("d{}/f{number}", number / 50),
                format!("file {number}\n").repeat(number % 97 + 1),
            )
        })
        .collect();
    let mut all = vec![("hd.toml", toml)];
    all.extend(
        files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str())),
    );
    Env::project(&all)
}
