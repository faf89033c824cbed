//! Who follows edits: hd, a hand that kills and starts, and tools that watch files.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::write;
use crate::shell::{Doing, Failure, find_program};

/// How long an answer may take before the bench gives up.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// Pause between two tries.
const TRY_EVERY: Duration = Duration::from_millis(1);

/// What one edit took, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// Until the new word was answered.
    pub(super) answer_ms: f64,
    /// Until the old process was told to stop, where it was asked in peace.
    pub(super) signal_ms: Option<f64>,
}

/// How it is started, in a directory with the server.
enum How {
    Hd(PathBuf),
    /// This bench kills and starts it.
    Hand,
    Shell(&'static str),
}

/// Somebody who runs the server and follows its edits.
pub(super) struct Contender {
    pub(super) name: &'static str,
    pub(super) directory: PathBuf,
    how: How,
    port: u16,
    child: Option<Child>,
}

/// Programs and how they watch.
const TOOLS: [(&str, &[&str], &str); 5] = [
    ("node --watch", &["node"], "exec node --watch server.js"),
    (
        "watchexec",
        &["node", "watchexec"],
        "exec watchexec -r -e js -- node server.js",
    ),
    (
        "entr",
        &["node", "entr"],
        "echo server.js | exec entr -nr node server.js",
    ),
    ("nodemon", &["node", "nodemon"], "exec nodemon -q server.js"),
    (
        "honcho with entr",
        &["node", "entr", "honcho"],
        "exec honcho start",
    ),
];

/// Starts all that are on this machine; names those that are not.
pub(super) fn start_all(
    hd: &Path,
    scratch: &Path,
) -> Result<(Vec<Contender>, Vec<&'static str>), Failure> {
    if find_program("node").is_none() {
        return Err(Failure::new("the sample server needs node"));
    }
    let mut all = vec![("hd", How::Hd(hd.to_owned())), ("by hand", How::Hand)];
    let mut absent = Vec::new();
    for (name, programs, script) in TOOLS {
        if programs
            .iter()
            .all(|program| find_program(program).is_some())
        {
            all.push((name, How::Shell(script)));
        } else {
            absent.push(name);
        }
    }
    let mut started = Vec::new();
    for (number, (name, how)) in all.into_iter().enumerate() {
        let directory = scratch.join(format!("c{number}"));
        started.push(Contender::start(name, how, directory)?);
    }
    Ok((started, absent))
}

fn server(word: &str) -> String {
    format!(
        "const http = require('http'), fs = require('fs');\n\
         const word = '{word}';\n\
         process.on('SIGTERM', () => {{ fs.writeFileSync('signalled', String(Date.now())); process.exit(0); }});\n\
         http.createServer((request, response) => response.end(word)).listen(Number(process.env.PORT), '127.0.0.1');\n"
    )
}

impl Contender {
    fn start(name: &'static str, how: How, directory: PathBuf) -> Result<Self, Failure> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let port = listener
            .and_then(|one| one.local_addr())
            .doing(|| "a port".to_owned())?
            .port();
        write(&directory.join("server.js"), &server("first"))?;
        write(&directory.join(".gitignore"), "signalled\n")?;
        write(
            &directory.join("Procfile"),
            "web: echo server.js | entr -nr node server.js\n",
        )?;
        let toml = format!(
            "[environment]\nname = \"bench\"\n[services.web]\ncommand = [\"node\", \"server.js\"]\n\
             port = {port}\nenv = {{ PORT = \"{port}\" }}\nwatch = [\"*.js\"]\n"
        );
        write(&directory.join("hd.toml"), &toml)?;
        let mut contender = Self {
            name,
            directory,
            how,
            port,
            child: None,
        };
        contender.launch()?;
        contender.answers("first")?;
        Ok(contender)
    }

    fn launch(&mut self) -> Result<(), Failure> {
        let mut command = match &self.how {
            How::Hd(hd) => {
                let mut command = Command::new(hd);
                command.arg("up").env("HD_HOME", self.home());
                command
            }
            How::Hand => {
                let mut command = Command::new("node");
                command.arg("server.js");
                command
            }
            How::Shell(script) => {
                let mut command = Command::new("sh");
                command.args(["-c", script]);
                command
            }
        };
        command
            .current_dir(&self.directory)
            .env("PORT", self.port.to_string());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // A group of its own, to end all of it.
        command.process_group(0);
        self.child = Some(command.spawn().doing(|| self.name.to_owned())?);
        Ok(())
    }

    /// The `HD_HOME` beside its project.
    pub(super) fn home(&self) -> PathBuf {
        self.directory.with_extension("home")
    }

    /// Saves a new word and waits until it is answered.
    pub(super) fn edit(&mut self, round: usize, began: Instant) -> Result<Sample, Failure> {
        let word = format!("word-{round}");
        let signalled = self.directory.join("signalled");
        let _ = std::fs::remove_file(&signalled);
        let at = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        write(&self.directory.join("server.js"), &server(&word))?;
        if matches!(self.how, How::Hand) {
            self.end();
            self.launch()?;
        }
        self.answers(&word)?;
        let answer_ms = began.elapsed().as_secs_f64() * 1000.0;
        let told = std::fs::read_to_string(&signalled).ok();
        let told = told.and_then(|text| text.trim().parse::<f64>().ok());
        let signal_ms = told.map(|told| (told - at.as_secs_f64() * 1000.0).max(0.0));
        Ok(Sample {
            answer_ms,
            signal_ms,
        })
    }

    fn answers(&self, word: &str) -> Result<(), Failure> {
        let began = Instant::now();
        while began.elapsed() < ANSWER_WITHIN {
            if self.asks().is_some_and(|answer| answer.ends_with(word)) {
                return Ok(());
            }
            std::thread::park_timeout(TRY_EVERY);
        }
        Err(Failure::new(format!(
            "{} does not answer {word}",
            self.name
        )))
    }

    fn asks(&self) -> Option<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    fn end(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        // The group is gone already, or ends now.
        if let Ok(group) = i32::try_from(child.id()) {
            #[expect(unsafe_code, reason = "the standard library signals no group")]
            // SAFETY: kill takes two numbers and touches no memory; the group is our own child's.
            unsafe {
                libc::kill(-group, libc::SIGTERM);
            }
        }
        let _ = child.wait();
    }
}

impl Drop for Contender {
    fn drop(&mut self) {
        self.end();
    }
}
