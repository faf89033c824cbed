//! Another hd: a process that starts a sandbox, tells about it and waits until it is killed.

use crate::support::shell;
use hd_sandbox::{Guardian, Helper, Launcher, Record, Stdio};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio as ProcessStdio};

pub(crate) const FLAG: &str = "--as-parent";

/// What the parent tells on its standard output.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Told {
    pub(crate) record: Record,
    pub(crate) guardian: Option<u32>,
}

/// Answers the mode when this process was started as such a parent.
pub(crate) fn mode() -> Option<String> {
    let mut arguments = std::env::args().skip(1);
    (arguments.next()? == FLAG).then(|| arguments.next())?
}

/// Runs the parent: with a guardian or without, until its input ends; obeys what comes there.
pub(crate) fn run(mode: &str) -> ! {
    if mode == "rootless" {
        crate::rootless::as_ordinary_user();
        std::process::exit(0);
    }
    let helper = Helper::prepare().unwrap();
    let guardian = (mode == "guardian").then(|| Guardian::start(&helper).unwrap());
    if let Some(guardian) = &guardian {
        guardian
            .set_paths(vec![std::env::var_os("TEST_SOCKET").unwrap().into()])
            .unwrap();
    }
    let launcher = Launcher::new(helper, guardian.clone());
    let fixture = shell("(setsid sleep 1000 &) ; sleep 1000 & echo up; wait");
    let (mut stdout, out) = crate::support::pipe();
    let stdio = Stdio {
        stdout: Some(out),
        ..Stdio::default()
    };
    let sandbox =
        crate::support::started(launcher.spawn(&fixture.spec, stdio, None).unwrap()).unwrap();
    assert_eq!(crate::support::read_line(&mut stdout), "up");
    let tell = || {
        let told = Told {
            record: sandbox.record().unwrap(),
            guardian: guardian.as_ref().map(Guardian::pid),
        };
        println!("{}", serde_json::to_string(&told).unwrap());
    };
    tell();
    for line in std::io::stdin().lines() {
        let guardian = guardian.as_ref().unwrap();
        match line.unwrap().as_str() {
            "await-respawn" => {
                while guardian.respawns() == 0 {
                    std::thread::yield_now();
                }
                tell();
            }
            "release" => {
                guardian.release().unwrap();
                tell();
            }
            other => panic!("{other}"),
        }
    }
    std::process::exit(0)
}

/// Such a parent, seen from the test.
pub(crate) struct Parent {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
    pub(crate) told: Told,
    pub(crate) socket: PathBuf,
    _directory: tempfile::TempDir,
}

impl Parent {
    pub(crate) fn start(mode: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("socket");
        File::create(&socket).unwrap();
        let mut child = Command::new("/proc/self/exe")
            .args([FLAG, mode])
            .env("TEST_SOCKET", &socket)
            .env("TMPDIR", directory.path())
            .stdin(ProcessStdio::piped())
            .stdout(ProcessStdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let told = read(&mut output);
        Self {
            child,
            output,
            told,
            socket,
            _directory: directory,
        }
    }

    pub(crate) fn say(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
        self.told = read(&mut self.output);
    }

    /// Kills the parent with no chance to clean up.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

fn read(output: &mut impl BufRead) -> Told {
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
}
