//! The thread that prints what the runtime tells.

use std::io::Write;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hd_actors::events::{Event, Events};
use hd_actors::model::instance::InstancePaths;

use super::live::Live;
use super::queue::Queue;
use super::teller::{Say, Shows, Teller};
use super::{Output, event_json, say, size};
use crate::args::Progress;

/// Time between two looks of the live lines while something runs.
const FRAME: Duration = Duration::from_millis(100);

/// Prints events until it is dropped; what was told before is printed first.
#[derive(Debug)]
pub(crate) struct Printer {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

impl Printer {
    /// Starts the thread. With `logs` the lines of services are printed: on stdout, unless that
    /// is for JSON.
    pub(crate) fn start(output: Output, names: Vec<String>, paths: InstancePaths, logs: bool) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let tty = output.progress == Progress::Tty;
        let talk = output.progress != Progress::Quiet;
        let shows = Shows { logs, step_output: !tty && talk, talk };
        let screen = Screen {
            teller: Teller::new(output.err, shows, names, paths),
            live: tty.then(Live::new),
            json: output.progress == Progress::Json,
            logs_to_stderr: output.json,
        };
        let source = Arc::clone(&queue);
        let thread = std::thread::Builder::new().name("printer".to_owned()).spawn(move || screen.run(&source))?;
        Ok(Self { queue, thread: Some(thread) })
    }

    /// Gives the handle that the runtime tells its events to.
    pub(crate) fn events(&self) -> Events {
        Events::new(self.queue.clone())
    }
}

impl Drop for Printer {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(thread) = self.thread.take() {
            // A printer that panicked has been reported by the panic hook.
            let _ = thread.join();
        }
    }
}

struct Screen {
    teller: Teller,
    live: Option<Live>,
    json: bool,
    logs_to_stderr: bool,
}

impl Screen {
    fn run(mut self, queue: &Queue) {
        let mut until = None;
        loop {
            let batch = queue.take(until);
            let now = Instant::now();
            for event in batch.events {
                self.event(event, now);
            }
            if batch.dropped > 0 {
                let said = self.teller.dropped(batch.dropped);
                self.print(said);
            }
            let said = if batch.closed { self.teller.flush() } else { self.teller.tick(now) };
            self.print(said);
            if batch.closed {
                self.draw(&[]);
                return;
            }
            until = self.teller.due();
            let rows = size().0.saturating_sub(2);
            let live = self.teller.live(now, rows);
            if self.live.is_some() && !live.is_empty() {
                until = Some(until.unwrap_or(now + FRAME).min(now + FRAME));
            }
            self.draw(&live);
        }
    }

    fn event(&mut self, event: Event, now: Instant) {
        if self.json {
            say(&format!("{}\n", event_json::value(&event)));
        } else {
            let said = self.teller.event(event, now);
            self.print(said);
        }
    }

    fn print(&mut self, said: Vec<Say>) {
        if said.is_empty() || self.json {
            return;
        }
        let to_stderr = self.logs_to_stderr;
        let write = || {
            for line in said {
                match line {
                    Say::Log(line) if !to_stderr => {
                        // A reader of stdout that went away must not end the services.
                        let _ = writeln!(std::io::stdout().lock(), "{line}");
                    }
                    Say::Log(line) | Say::Talk(line) => say(&format!("{line}\n")),
                }
            }
        };
        match &self.live {
            Some(live) => live.above(write),
            None => write(),
        }
    }

    fn draw(&mut self, lines: &[String]) {
        if let Some(live) = &mut self.live {
            live.show(lines);
        }
    }
}
