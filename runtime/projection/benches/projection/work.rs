//! What the child processes do on a mounted file system; each prints the nanoseconds it took.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Failure;

/// Pages read by `random`.
const RANDOM_READS: u64 = 20_000;
/// Files written by `create`, and then renamed and removed.
const WRITTEN: usize = 4_000;
const SYNCED: usize = 100;
const SEQUENTIAL: usize = 256 << 20;

/// Runs one piece of work. Arguments: its name, the root, and the list of files or a file.
pub(crate) fn main(args: &[&str]) -> Result<(), Failure> {
    let (name, root, rest) = match args {
        [name, root, rest @ ..] => (*name, Path::new(*root), rest.first().copied().unwrap_or("")),
        _ => return Err("--work takes a name and a root".into()),
    };
    let took = match name {
        "stat-tree" => timed(|| walk(root, false))?,
        "scan" => timed(|| walk(root, true))?,
        "stat-paths" => {
            let paths = listed(root, rest)?;
            timed(|| stat_all(&paths))?
        }
        "read-all" => {
            let paths = listed(root, rest)?;
            timed(|| read_all(&paths))?
        }
        "first-byte" => timed(|| first_byte(&root.join(rest)))?,
        "random" => timed(|| random(&root.join(rest)))?,
        "mmap" => timed(|| mapped(&root.join(rest)))?,
        "flask" => timed(|| {
            inside(
                root,
                &["python3", "-B", "-c", "import flask, sqlalchemy, requests"],
            )
        })?,
        "node" => timed(|| inside(root, &["node", "-e", NODE]))?,
        "create" => timed(|| create(root))?,
        "rename" => timed(|| rename(root))?,
        "unlink" => timed(|| unlink(root))?,
        "fsync" => timed(|| fsync(root))?,
        "sequential" => timed(|| sequential(root))?,
        other => return Err(format!("unknown work {other}").into()),
    };
    println!("{}", took.as_nanos());
    Ok(())
}

const NODE: &str = "for (const name of ['npm', 'tar', 'glob', 'semver', 'got', 'undici', 'gyp', \
    'cacache', 'pacote', 'make-fetch-happen']) { try { require(name) } catch (e) { } }";

/// Does a piece of work in a process of its own; gives milliseconds.
pub(crate) fn run(name: &str, root: &Path, rest: &str) -> Result<f64, Failure> {
    let output = Command::new(std::env::current_exe()?)
        .args(["--work", name])
        .arg(root)
        .arg(rest)
        .stderr(Stdio::inherit())
        .output()?;
    let nanoseconds = String::from_utf8(output.stdout)?.trim().parse::<u64>();
    match nanoseconds {
        Ok(nanoseconds) if output.status.success() => Ok(nanoseconds as f64 / 1e6),
        _ => Err(format!("{name} on {} failed", root.display()).into()),
    }
}

fn timed(work: impl FnOnce() -> Result<(), Failure>) -> Result<Duration, Failure> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed())
}

fn listed(root: &Path, list: &str) -> Result<Vec<PathBuf>, Failure> {
    let text = fs::read_to_string(list)?;
    Ok(text.lines().map(|line| root.join(line)).collect())
}

/// Stats everything as `find -ls` does, and reads every file as `tar` does if asked to.
fn walk(root: &Path, read: bool) -> Result<(), Failure> {
    let mut buffer = vec![0; 128 << 10];
    let mut pending = vec![root.to_path_buf()];
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            let meta = entry.metadata()?;
            if meta.is_dir() {
                pending.push(entry.path());
            } else if read && meta.is_file() {
                read_one(&entry.path(), &mut buffer)?;
            }
        }
    }
    Ok(())
}

fn stat_all(paths: &[PathBuf]) -> Result<(), Failure> {
    for path in paths {
        fs::symlink_metadata(path)?;
    }
    Ok(())
}

fn read_all(paths: &[PathBuf]) -> Result<(), Failure> {
    let mut buffer = vec![0; 128 << 10];
    for path in paths {
        read_one(path, &mut buffer)?;
    }
    Ok(())
}

fn read_one(path: &Path, buffer: &mut [u8]) -> Result<(), Failure> {
    let mut file = File::open(path)?;
    while file.read(buffer)? > 0 {}
    Ok(())
}

fn first_byte(path: &Path) -> Result<(), Failure> {
    let mut byte = [0];
    File::open(path)?.read_exact(&mut byte)?;
    Ok(())
}

fn random(path: &Path) -> Result<(), Failure> {
    let file = File::open(path)?;
    let pages = file.metadata()?.len() / 4096;
    let mut page = [0; 4096];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..RANDOM_READS {
        // xorshift64 (Marsaglia 2003): the same pages on every target.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        file.read_exact_at(&mut page, state % pages * 4096)?;
    }
    Ok(())
}

fn mapped(path: &Path) -> Result<(), Failure> {
    let file = File::open(path)?;
    #[expect(unsafe_code, reason = "a map of a file of this bench")]
    // SAFETY: nobody writes to the file meanwhile.
    let map = unsafe { memmap2::Mmap::map(&file)? };
    let sum: u64 = map.iter().step_by(4096).map(|byte| u64::from(*byte)).sum();
    std::hint::black_box(sum);
    Ok(())
}

fn inside(root: &Path, command: &[&str]) -> Result<(), Failure> {
    let status = Command::new("chroot")
        .arg(root)
        .args(command)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdout(Stdio::null())
        .status()?;
    if status.success() {
        return Ok(());
    }
    Err(format!("{command:?} in {}: {status}", root.display()).into())
}

fn written(root: &Path) -> PathBuf {
    root.join("written-by-the-bench")
}

fn create(root: &Path) -> Result<(), Failure> {
    let dir = written(root);
    fs::create_dir(&dir)?;
    let bytes = vec![b'x'; 3 << 10];
    for number in 0..WRITTEN {
        fs::write(dir.join(format!("f{number}")), &bytes)?;
    }
    Ok(())
}

fn rename(root: &Path) -> Result<(), Failure> {
    let dir = written(root);
    for number in 0..WRITTEN {
        fs::rename(
            dir.join(format!("f{number}")),
            dir.join(format!("g{number}")),
        )?;
    }
    Ok(())
}

fn unlink(root: &Path) -> Result<(), Failure> {
    let dir = written(root);
    for number in 0..WRITTEN {
        fs::remove_file(dir.join(format!("g{number}")))?;
    }
    fs::remove_dir(dir)?;
    Ok(())
}

fn fsync(root: &Path) -> Result<(), Failure> {
    let path = root.join("synced-by-the-bench");
    let mut file = File::create(&path)?;
    for _ in 0..SYNCED {
        file.write_all(&[b'x'; 4096])?;
        file.sync_all()?;
    }
    fs::remove_file(path)?;
    Ok(())
}

fn sequential(root: &Path) -> Result<(), Failure> {
    let path = root.join("sequential-by-the-bench");
    let bytes = vec![b'x'; 1 << 20];
    let mut file = File::create(&path)?;
    for _ in 0..SEQUENTIAL >> 20 {
        file.write_all(&bytes)?;
    }
    fs::remove_file(path)?;
    Ok(())
}
