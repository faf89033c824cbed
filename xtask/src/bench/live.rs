//! A running `hd up`: its events as they come, what it uses.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;

use crate::shell::{Doing, Failure, shown};

/// How long an event may take.
const DEADLINE: Duration = Duration::from_secs(600);

/// Tells whether a service has become ready.
pub(super) fn is_ready(event: &Value) -> bool {
    event["event"] == "service" && event["state"] == "ready"
}

/// A running `hd up`; it ends when it is dropped.
pub(super) struct Up {
    child: Child,
    events: Receiver<Value>,
}

impl Up {
    /// Starts `hd --progress json up` and waits until its first service is ready.
    pub(super) fn start(mut command: Command) -> Result<Self, Failure> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().doing(|| shown(&command))?;
        let stderr = child.stderr.take();
        let stderr = stderr.ok_or_else(|| Failure::new("hd has no stderr"))?;
        let (sender, events) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let event = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if sender.send(event).is_err() {
                    break;
                }
            }
        });
        let up = Self { child, events };
        up.wait(is_ready)?;
        Ok(up)
    }

    /// Waits for its end, of which it has been told.
    pub(super) fn ended(&mut self) -> Result<(), Failure> {
        let ended = self.child.wait();
        ended.map(|_| ()).doing(|| "waiting for hd up".into())
    }

    /// Waits for an event.
    pub(super) fn wait(&self, wanted: impl Fn(&Value) -> bool) -> Result<(), Failure> {
        let mut last = Value::Null;
        loop {
            match self.events.recv_timeout(DEADLINE) {
                Ok(event) if wanted(&event) => return Ok(()),
                Ok(event) => last = event,
                Err(error) => {
                    let said = format!("hd up does not tell what it should: {error}; last: {last}");
                    return Err(Failure::new(said));
                }
            }
        }
    }

    /// User and system time of the process; its children do not count.
    pub(super) fn cpu_ms(&self) -> Result<f64, Failure> {
        let stat = self.proc("stat")?;
        // proc(5): the name may hold blanks; utime and stime are the 12th and 13th field after it.
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .map_or("", |(_, rest)| rest)
            .split_whitespace()
            .collect();
        let ticks = |index: usize| {
            fields
                .get(index)
                .and_then(|field| field.parse::<f64>().ok())
        };
        let per_second = ticks_a_second();
        match (ticks(11), ticks(12)) {
            (Some(user), Some(system)) => Ok((user + system) * 1000.0 / per_second),
            _ => Err(Failure::new("/proc/PID/stat is not as proc(5) says")),
        }
    }

    /// Resident memory of the process, now and the most it ever was.
    pub(super) fn memory_bytes(&self) -> Result<(u64, u64), Failure> {
        let status = self.proc("status")?;
        let of = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
            kib.map(|kib| kib * 1024)
                .ok_or_else(|| Failure::new(format!("/proc/PID/status has no {name}")))
        };
        Ok((of("VmRSS:")?, of("VmHWM:")?))
    }

    fn proc(&self, name: &str) -> Result<String, Failure> {
        let path = format!("/proc/{}/{name}", self.child.id());
        std::fs::read_to_string(&path).doing(|| format!("reading {path}"))
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // For when it could not be told to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Clock ticks a second, as `getconf CLK_TCK` prints; 100 on every Linux of today.
fn ticks_a_second() -> f64 {
    let asked = Command::new("getconf").arg("CLK_TCK").output().ok();
    let text = asked.map(|out| String::from_utf8_lossy(&out.stdout).into_owned());
    text.and_then(|text| text.trim().parse().ok())
        .unwrap_or(100.0)
}
