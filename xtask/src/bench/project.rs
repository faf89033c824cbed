//! A made-up project for benches: many small files and some larger ones, the same in every run.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::repository::commit_all;
use crate::shell::{Doing, Failure};

const FILES_PER_DIRECTORY: usize = 50;
/// No step and no service: what is left is reading and storing the project.
const HD_TOML: &str = "[environment]\nname = \"bench\"\n";

/// The project and what it weighs.
pub(crate) struct Project {
    pub(crate) path: PathBuf,
    pub(crate) files: usize,
    pub(crate) bytes: u64,
}

/// Writes the project below `parent` and commits it to git, so that `git status` has its index.
pub(crate) fn make(parent: &Path, files: usize) -> Result<Project, Failure> {
    let path = parent.join("project");
    std::fs::create_dir_all(&path).doing(|| format!("making {}", path.display()))?;
    write(&path.join("hd.toml"), HD_TOML.as_bytes())?;
    let mut noise = Noise::new();
    let mut bytes = 0;
    for number in 0..files {
        let directory = path.join(format!("d{}", number / FILES_PER_DIRECTORY));
        if number % FILES_PER_DIRECTORY == 0 {
            std::fs::create_dir_all(&directory)
                .doing(|| format!("making {}", directory.display()))?;
        }
        let text = noise.text(number);
        bytes += text.len() as u64;
        write(
            &directory.join(format!("f{}.txt", number % FILES_PER_DIRECTORY)),
            text.as_bytes(),
        )?;
    }
    commit_all(&path)?;
    Ok(Project { path, files, bytes })
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    std::fs::write(path, bytes).doing(|| format!("writing {}", path.display()))
}

/// xorshift: the same files in every run, which compress about as source code does.
pub(super) struct Noise(u64);

impl Noise {
    pub(super) fn new() -> Noise {
        Noise(0x9e37_79b9_7f4a_7c15)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Mostly 1 to 8 KiB; each hundredth file is 256 KiB.
    fn text(&mut self, number: usize) -> String {
        let size = if number % 100 == 99 {
            256 << 10
        } else {
            1024 + (self.next() % 7168) as usize
        };
        let mut text = String::with_capacity(size + 64);
        while text.len() < size {
            let (left, right) = (self.next() % 4096, self.next() % 4096);
            // Writing to a String cannot fail.
            let _ = writeln!(text, "let value_{left} = combine(value_{right}, {number});");
        }
        text
    }
}
