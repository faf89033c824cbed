//! A made-up monorepo: five groups of packages, each read by one build step, and a service that shows
//! what they made. The same files for the same seed; written, not committed.

use std::fmt::Write as _;
use std::path::Path;

use crate::shell::{Doing, Failure};

/// Each group is a directory; the step of the same place in `hd.toml` reads it and no other.
const GROUPS: [&str; 5] = ["libs", "services", "apps", "docs", "tools"];
/// The source file whose version the service answers.
const VERSION: &str = "apps/apps-000/src/version.ts";
const FILES_PER_PACKAGE: usize = 40;
const FILES: usize = 20_000;

/// `cargo xtask monorepo DIR [--files N] [--seed N]`.
pub(crate) fn run(args: &[&str]) -> Result<(), Failure> {
    let usage = || Failure::new("usage: cargo xtask monorepo DIR [--files N] [--seed N]");
    let (directory, options) = args.split_first().ok_or_else(usage)?;
    let (mut files, mut seed) = (FILES, 1);
    for pair in options.chunks(2) {
        match pair {
            ["--files", number] => files = number.parse().map_err(|_| usage())?,
            ["--seed", number] => seed = number.parse().map_err(|_| usage())?,
            _ => return Err(usage()),
        }
    }
    let root = Path::new(directory);
    if root.join("hd.toml").exists() {
        return Err(Failure::new(format!("{directory} holds a project already")));
    }
    let written = write_all(root, files, seed)?;
    println!("{written} files in {}", root.display());
    Ok(())
}

fn write_all(root: &Path, files: usize, seed: u64) -> Result<usize, Failure> {
    let mut noise = Noise(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let packages = files.div_ceil(FILES_PER_PACKAGE * GROUPS.len());
    let mut written = 0;
    for group in GROUPS {
        for package in 0..packages {
            let sources = root.join(group).join(format!("{group}-{package:03}/src"));
            std::fs::create_dir_all(&sources).doing(|| sources.display().to_string())?;
            for number in 0..FILES_PER_PACKAGE {
                let file = sources.join(format!("part-{number:02}.ts"));
                write(&file, &noise.source(package, number))?;
                written += 1;
            }
        }
    }
    let others = [
        (VERSION, "export const version = \"1.0.0\";\n".to_owned()),
        ("serve.py", SERVE.to_owned()),
        ("hd.toml", hd_toml()),
        ("Dockerfile", dockerfile()),
        ("Dockerfile.ordered", dockerfile_ordered()),
        (".gitignore", "/out-*/\n".to_owned()),
        (".dockerignore", "/out-*/\n".to_owned()),
    ];
    for (name, text) in &others {
        write(&root.join(name), text)?;
    }
    Ok(written + others.len())
}

/// Answers the version at `/version`, the sums of all groups at `/`.
const SERVE: &str = r#""""Shows what the build steps made."""

import os
import pathlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SHOWN = pathlib.Path("out-apps/version.ts").read_text().split('"')[1]
SUMS = "".join(f"{path.parent}: {path.read_text()}" for path in sorted(pathlib.Path().glob("out-*/sum")))


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = (SHOWN + "\n" if self.path == "/version" else SUMS).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"#;

/// What the step of a group runs.
fn step(group: &str) -> String {
    let mut step = format!(
        "mkdir out-{group} && find {group} -name '*.ts' | sort | xargs cat | cksum > out-{group}/sum"
    );
    if VERSION.starts_with(group) {
        step += &format!(" && cp {VERSION} out-{group}/");
    }
    step
}

const HEAD: &str = "ARG BASE=python:3.11-slim\nFROM ${BASE}\nWORKDIR /app\n";
const COMMAND: &str = "CMD [\"python3\", \"serve.py\"]\n";

/// The usual first version: any edit runs all steps again.
fn dockerfile() -> String {
    let steps = GROUPS.map(|group| format!("RUN {}\n", step(group)));
    format!("{HEAD}COPY . .\n{}{COMMAND}", steps.concat())
}

/// Each group is copied right before its step: an edit runs its step and all below.
fn dockerfile_ordered() -> String {
    let steps = GROUPS.map(|group| format!("COPY {group} {group}\nRUN {}\n", step(group)));
    format!("{HEAD}{}COPY serve.py .\n{COMMAND}", steps.concat())
}

/// A chain: each step stands on those before it, and reads its own group only.
fn hd_toml() -> String {
    let mut text = String::from("[environment]\nname = \"monorepo\"\n\n[build]\nsteps = [\n");
    for group in GROUPS {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "    \"{}\",", step(group));
    }
    text + "]\n\n[services.web]\ncommand = \"python3 serve.py\"\nport = 8300\nenv = { PORT = \"8300\" }\nwatch = [\"serve.py\"]\n"
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).doing(|| format!("writing {}", path.display()))
}

/// xorshift (Marsaglia 2003).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A file of 0.5 to 4 KiB that looks about like source code.
    fn source(&mut self, package: usize, number: usize) -> String {
        let size = 512 + (self.next() % 3584) as usize;
        let mut text = format!("// package {package}, part {number}\n");
        while text.len() < size {
            let (left, right) = (self.next() % 4096, self.next() % 4096);
            let _ = writeln!(
                text,
                "export const value{left} = combine(value{right}, {number});"
            );
        }
        text
    }
}
