//! The thread that prints what the runtime tells.

use std::io::Write;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hd_actors::events::{Event, Events};

use super::live::Live;
use super::queue::Queue;
use super::teller::{Say, Teller};
use super::{Output, event_json, say, size};
use crate::args::Progress;

/// Time between two looks of the live lines while something runs.
const FRAME: Duration = Duration::from_millis(100);

/// What of all that happens is printed; attached terminals get everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Everything, on stdout what services write.
    All,
    /// What hd itself says: services and steps have logs of their own.
    Talk,
}

/// Prints events until it is dropped; what was told before is printed first.
#[derive(Debug)]
pub(crate) struct Printer {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

impl Printer {
    /// Starts the thread; `names` are those of the services.
    pub(crate) fn start(output: Output, names: Vec<String>, scope: Scope) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let screen = Screen {
            teller: Teller::new(output.err, names),
            live: (output.progress == Progress::Tty).then(Live::new),
            queue: Arc::clone(&queue),
            output,
            scope,
        };
        let thread = std::thread::Builder::new()
            .name("printer".to_owned())
            .spawn(move || screen.run())?;
        Ok(Self {
            queue,
            thread: Some(thread),
        })
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
    queue: Arc<Queue>,
    output: Output,
    scope: Scope,
}

impl Screen {
    fn run(mut self) {
        let mut until = None;
        loop {
            let batch = self.queue.take(until);
            let now = Instant::now();
            for event in batch.events {
                self.event(event, now);
            }
            if batch.dropped > 0 {
                self.print(self.teller.dropped(batch.dropped));
            }
            let said = if batch.closed {
                self.teller.flush()
            } else {
                self.teller.tick(now)
            };
            self.print(said);
            if batch.closed {
                self.draw(&[]);
                return;
            }
            until = self.teller.due();
            let live = self.teller.live(now, size().0.saturating_sub(2));
            if self.live.is_some() && !live.is_empty() {
                until = Some(until.unwrap_or(now + FRAME).min(now + FRAME));
            }
            self.draw(&live);
        }
    }

    fn event(&mut self, event: Event, now: Instant) {
        if self.output.progress == Progress::Json {
            say(&format!("{}\n", event_json::value(&event)));
        }
        let said = self.teller.event(event, now);
        self.print(said);
    }

    fn print(&self, said: Vec<Say>) {
        let write = || said.iter().for_each(|line| self.write(line));
        match &self.live {
            Some(live) if !said.is_empty() => live.above(write),
            _ => write(),
        }
    }

    fn write(&self, said: &Say) {
        let progress = self.output.progress;
        // Whoever attaches has seen the lines of a step as they came.
        let (Say::Talk(line) | Say::Bad(line) | Say::Step(line) | Say::Tail(line) | Say::Log(line)) =
            said;
        if !matches!(said, Say::Tail(_)) {
            self.queue.printed(line);
        }
        let flowing = progress == Progress::Plain && self.scope == Scope::All;
        let wanted = match said {
            _ if progress == Progress::Json => false,
            Say::Bad(_) => true,
            Say::Talk(_) => progress != Progress::Quiet,
            Say::Step(_) => flowing,
            Say::Tail(_) => !flowing,
            Say::Log(_) => self.scope == Scope::All && progress != Progress::Quiet,
        };
        match said {
            _ if !wanted => {}
            // A reader of stdout that went away must not end the services.
            Say::Log(line) if !self.output.json => {
                drop(writeln!(std::io::stdout().lock(), "{line}"))
            }
            _ => say(&format!("{line}\n")),
        }
    }

    fn draw(&mut self, lines: &[String]) {
        if let Some(live) = &mut self.live {
            live.show(lines);
        }
    }
}
