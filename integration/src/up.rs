//! `hd up` running in the background of a test.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::Signal;

use crate::http;
use crate::leftovers::signal;
use crate::poll::{LONG, SHORT, until, within};

/// A running `hd up`, with all it has said so far. Dropping it ends it.
#[derive(Debug)]
pub struct Up {
    child: Child,
    said: Arc<Mutex<String>>,
}

impl Up {
    pub(crate) fn start(mut command: Command) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("start {command:?}: {error}"));
        let said = Arc::new(Mutex::new(String::new()));
        collect(child.stdout.take(), &said);
        collect(child.stderr.take(), &said);
        Self { child, said }
    }

    /// The process id of `hd`.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a process id")
    }

    /// All output so far, both streams in the order of arrival.
    pub fn said(&self) -> String {
        self.said
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// How much has been said: a place to wait from.
    pub fn so_far(&self) -> usize {
        self.said().len()
    }

    /// Waits for a line said after `from` that contains all words; answers it.
    #[track_caller]
    pub fn wait_line(&mut self, from: usize, words: &[&str]) -> String {
        let found = within(LONG, || {
            let line = find_line(&self.said()[from..], words);
            if line.is_none() {
                self.must_run();
            }
            line
        });
        found.unwrap_or_else(|| panic!("no line with {words:?} in:\n{}", &self.said()[from..]))
    }

    /// Waits until the port answers 200 with a body that contains `text`; answers the body.
    #[track_caller]
    pub fn wait_http(&mut self, port: u16, path: &str, text: &str) -> String {
        let mut last = None;
        let found = within(LONG, || {
            self.must_run();
            last = http::get(port, path);
            last.clone()
                .filter(|answer| answer.status == 200 && answer.body.contains(text))
        });
        let said = self.said();
        found
            .unwrap_or_else(|| panic!("{path} does not answer {text:?}; last: {last:?}\n{said}"))
            .body
    }

    /// Asks `look` again and again until it answers; fails at once when `hd up` has ended.
    #[track_caller]
    pub fn until<T>(&mut self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let found = within(LONG, || {
            let found = look();
            if found.is_none() {
                self.must_run();
            }
            found
        });
        found.unwrap_or_else(|| panic!("not within {LONG:?}: {what}\n{}", self.said()))
    }

    /// Sends Ctrl-C and waits for the end.
    #[track_caller]
    pub fn interrupt(&mut self) -> ExitStatus {
        signal(self.pid(), Signal::INT);
        self.wait_exit(Duration::from_secs(30))
    }

    /// Kills with SIGKILL and reaps.
    pub fn kill(&mut self) -> ExitStatus {
        signal(self.pid(), Signal::KILL);
        self.wait_exit(SHORT)
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("look at hd")
    }

    /// Waits for the end.
    #[track_caller]
    pub fn wait_exit(&mut self, deadline: Duration) -> ExitStatus {
        let said = self.said();
        until(&format!("hd up ends; it said:\n{said}"), deadline, || {
            self.ended()
        })
    }

    /// Fails the test when `hd up` has ended by itself.
    #[track_caller]
    fn must_run(&mut self) {
        if let Some(status) = self.ended() {
            panic!("hd up ended ({status}):\n{}", self.said());
        }
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            signal(self.pid(), Signal::INT);
            if within(SHORT, || self.child.try_wait().ok().flatten()).is_none() {
                // Not fatal here: the test has its result, and Env sweeps up after it.
                let _ = self.child.kill();
                let _ = self.child.wait();
            }
        }
        if std::thread::panicking() {
            let _ = std::io::Write::write_all(&mut std::io::stderr(), self.said().as_bytes());
        }
    }
}

fn find_line(text: &str, words: &[&str]) -> Option<String> {
    // Only whole lines: the last one may still be on its way.
    let whole = &text[..text.rfind('\n')?];
    whole
        .lines()
        .find(|line| words.iter().all(|word| line.contains(word)))
        .map(str::to_owned)
}

fn collect(pipe: Option<impl Read + Send + 'static>, said: &Arc<Mutex<String>>) {
    let mut pipe = pipe.expect("a piped stream");
    let said = Arc::clone(said);
    std::thread::spawn(move || {
        let (mut buffer, mut line) = ([0; 4096], Vec::new());
        let say = |bytes: &[u8]| {
            let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
            said.push_str(&String::from_utf8_lossy(bytes));
        };
        while let Ok(count @ 1..) = pipe.read(&mut buffer) {
            line.extend_from_slice(&buffer[..count]);
            // Whole lines only: those of two streams come between each other, not into.
            if let Some(end) = line.iter().rposition(|byte| *byte == b'\n') {
                say(&line[..=end]);
                line.drain(..=end);
            }
        }
        say(&line);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Up {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Up::start(command)
    }

    #[test]
    fn lines_are_awaited_from_a_place_on_and_ctrl_c_ends_it() {
        let mut up = sh(
            "echo one ready; echo two ready >&2; trap 'exit 5' INT; while :; do sleep 0.01; done",
        );
        assert_eq!(up.wait_line(0, &["one", "ready"]), "one ready");
        up.wait_line(0, &["two"]);
        let from = up.so_far();
        assert_eq!(find_line(&up.said()[from..], &["ready"]), None);
        assert_eq!(up.interrupt().code(), Some(5));
    }

    #[test]
    #[should_panic(expected = "ended")]
    fn waiting_for_a_dead_hd_fails_at_once() {
        sh("exit 1").wait_line(0, &["never"]);
    }
}
