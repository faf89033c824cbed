//! A made-up monorepo: five groups of packages, each read by one build step. The same files for the
//! same seed; written, not committed.

use std::fmt::Write as _;
use std::path::Path;

use crate::shell::{Doing, Failure};

/// Each group is a directory; the step of the same place in `hd.toml` reads it and no other.
const GROUPS: [&str; 5] = ["libs", "services", "apps", "docs", "tools"];
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
    write(&root.join("hd.toml"), &hd_toml())?;
    write(&root.join(".gitignore"), "/out-*/\n")?;
    Ok(written + 2)
}

/// A chain: each step stands on those before it, and reads its own group only.
fn hd_toml() -> String {
    let mut text = String::from("[environment]\nname = \"monorepo\"\n\n[build]\nsteps = [\n");
    for group in GROUPS {
        let step = format!(
            "mkdir out-{group} && find {group} -name '*.ts' | sort | xargs cat | cksum > out-{group}/sum"
        );
        // Writing to a String cannot fail.
        let _ = writeln!(text, "    \"{step}\",");
    }
    text + "]\n"
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
