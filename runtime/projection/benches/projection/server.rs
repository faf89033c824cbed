//! The process that serves our lowers, as `hd` does; commands come on stdin, answers go to stdout.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use hd_dag::{NodeCache, Rooted, StoreTrees};
use hd_projection::{Composite, Many, Recorder, ServeOptions, Served, Watch, serve, serve_many};
use hd_store::{Id, Store};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags};

use crate::Failure;
use crate::environment::Environment;
use crate::image::Images;

/// Threads per mount, as `hd` has them.
pub(crate) const THREADS: usize = 2;
const NODE_BYTES: usize = 64 << 20;

/// Serves until stdin ends. Arguments: store, tree, times.
pub(crate) fn main(args: &[&str]) -> Result<(), Failure> {
    let [cas, tree, times] = args else {
        return Err("--serve takes a store and two ids".into());
    };
    let store = Store::open(Path::new(cas))?;
    let rooted = Rooted {
        tree: tree.parse::<Id>()?,
        times: times.parse::<Id>()?,
    };
    let trees = StoreTrees::read_only(store.clone(), NODE_BYTES);
    let nodes = Arc::new(NodeCache::new(Arc::new(trees), NODE_BYTES));
    let images = Images::new(&store, &nodes, rooted)?;
    println!("ready");
    let mut recorders: Vec<Arc<Recorder>> = Vec::new();
    let mut again = Again::default();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let mut words = line.split(' ');
        match (words.next(), words.next()) {
            (Some("pool"), _) => println!("{}", images.pool.copies().display()),
            (Some("image"), Some(to)) => {
                images.write(Path::new(to))?;
                println!("written");
            }
            (Some("fill"), _) => {
                images.fill()?;
                println!("filled");
            }
            (Some("objects"), Some(at)) => {
                images.serve(mount_fuse(Path::new(at))?)?;
                println!("mounted");
            }
            (Some("requests"), _) => println!("{}", images.counts.requests()),
            (Some("observed"), _) => {
                let last = recorders
                    .last()
                    .map_or(0, |recorder| recorder.trace().len());
                println!("{last}");
            }
            (Some(how @ ("plain" | "traced")), Some(at)) => {
                let recorder = (how == "traced").then(Arc::<Recorder>::default);
                recorders.extend(recorder.clone());
                let lower = Composite::new(store.clone(), nodes.clone(), rooted, Vec::new());
                let device = mount_fuse(Path::new(at))?;
                let options = ServeOptions {
                    name: how.to_owned(),
                    threads: THREADS,
                    watch: recorder.map_or(Watch::Nothing, Watch::All),
                    copies: None,
                };
                // The session ends by itself with its mount.
                let _ = serve(device, lower, options)?;
                println!("mounted");
            }
            (Some("again"), Some(at)) => {
                let lower = Composite::new(store.clone(), nodes.clone(), rooted, Vec::new());
                println!("{}", again.show(Path::new(at), lower)?);
            }
            _ => return Err(format!("the server does not know `{line}`").into()),
        }
    }
    Ok(())
}

/// Traced views that follow each other in one mount.
#[derive(Default)]
struct Again {
    mounted: Option<(Many<Composite>, Served)>,
    shown: usize,
}

impl Again {
    /// Shows the tree once more; gives the name of its directory in the mount.
    fn show(&mut self, at: &Path, lower: Composite) -> Result<String, Failure> {
        if self.mounted.is_none() {
            let (served, many) = serve_many(mount_fuse(at)?, ("again", THREADS))?;
            self.mounted = Some((many, served));
        }
        let Some((many, _)) = &self.mounted else {
            return Err("no mount".into());
        };
        if self.shown > 0 {
            many.end(&format!("run-{}", self.shown));
        }
        self.shown += 1;
        let name = format!("run-{}", self.shown);
        many.show(&name, lower, Watch::All(Arc::default()))?;
        Ok(name)
    }
}

/// Mounts FUSE as the sandbox does; the device answers only when it is served.
fn mount_fuse(at: &Path) -> Result<OwnedFd, Failure> {
    let device: OwnedFd = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/fuse")?
        .into();
    let fs = rustix::mount::fsopen("fuse", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let fd = device.as_raw_fd().to_string();
    for (name, value) in [
        ("source", "hd"),
        ("subtype", "hd"),
        ("fd", fd.as_str()),
        ("rootmode", "40000"),
        ("user_id", "0"),
        ("group_id", "0"),
    ] {
        rustix::mount::fsconfig_set_string(&fs, name, value)?;
    }
    for flag in ["allow_other", "default_permissions", "ro"] {
        rustix::mount::fsconfig_set_flag(&fs, flag)?;
    }
    rustix::mount::fsconfig_create(&fs)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY;
    let mount = rustix::mount::fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    rustix::mount::move_mount(&mount, "", rustix::fs::CWD, at, flags)?;
    Ok(device)
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Server {
    pub(crate) fn start(environment: &Environment) -> Result<Self, Failure> {
        Self::start_on(&environment.cas, environment.rooted)
    }

    pub(crate) fn start_on(cas: &Path, rooted: Rooted) -> Result<Self, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("--serve")
            .arg(cas)
            .args([rooted.tree.to_string(), rooted.times.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("the server has no pipes".into());
        };
        let mut server = Self {
            child,
            stdin: Some(stdin),
            stdout: BufReader::new(stdout),
        };
        server.expect("ready")?;
        Ok(server)
    }

    /// Gives what is answered to a command.
    pub(crate) fn ask(&mut self, words: &str) -> Result<String, Failure> {
        self.say(words)?;
        self.answer()
    }

    fn answer(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    fn expect(&mut self, word: &str) -> Result<(), Failure> {
        let line = self.answer()?;
        if line == word {
            return Ok(());
        }
        Err(format!("the server said `{line}` for `{word}`").into())
    }

    fn say(&mut self, words: &str) -> Result<(), Failure> {
        match &mut self.stdin {
            Some(stdin) => Ok(writeln!(stdin, "{words}")?),
            None => Err("the server was ended".into()),
        }
    }

    /// Mounts the tree at a directory.
    pub(crate) fn mount(&mut self, how: &str, at: &Path) -> Result<(), Failure> {
        self.say(&format!("{how} {}", at.display()))?;
        self.expect("mounted")
    }

    /// Paths in the trace of the newest traced mount.
    pub(crate) fn observed(&mut self) -> Result<usize, Failure> {
        self.say("observed")?;
        Ok(self.answer()?.parse()?)
    }

    /// The most memory it held, and the CPU time it took, so far.
    pub(crate) fn peak_bytes(&self) -> Result<u64, Failure> {
        let path = PathBuf::from(format!("/proc/{}/status", self.child.id()));
        let status = fs::read_to_string(path)?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next());
        Ok(kib.ok_or("no VmHWM")?.parse::<u64>()? * 1024)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // End of input ends it.
        self.stdin = None;
        let _ = self.child.wait();
    }
}
