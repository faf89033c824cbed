//! What `hd top` is told: states and lines of logs, read on threads of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use hd_actors::control::protocol::{Request, ServiceAction};
use hd_actors::model::report::Report;

use super::model::Line;
use crate::client::{self, PROMPT};
use crate::error::{CliError, exit};
use crate::logs::{Merge, Watch, names};
use crate::project::Located;

/// Time between two looks at the state.
const LOOK: Duration = Duration::from_secs(1);
/// Lines of each service at the start.
const TAIL: usize = 100;
/// News that wait to be looked at: nobody looks while a shell has the terminal, and then logs are
/// read no further.
pub(super) const WAITING_MAX: usize = 1000;

/// News.
#[derive(Debug)]
pub(super) enum News {
    /// The state; none when nobody answers.
    State(Option<Box<Report>>),
    /// A line of a log.
    Line(Line),
    /// How something went that was asked for.
    Said(String),
}

/// The threads; dropping it ends them.
#[derive(Debug)]
pub(super) struct Feed {
    pub(super) news: Receiver<News>,
    told: SyncSender<News>,
    over: Arc<AtomicBool>,
    located: Located,
}

impl Feed {
    /// Begins to read.
    pub(super) fn start(located: &Located) -> Result<Self, CliError> {
        let (told, news) = sync_channel(WAITING_MAX);
        let feed = Self {
            news,
            told,
            over: Arc::default(),
            located: located.clone(),
        };
        feed.spawn(states)?;
        feed.spawn(lines)?;
        Ok(feed)
    }

    fn spawn(&self, run: fn(&Located, &SyncSender<News>, &AtomicBool)) -> Result<(), CliError> {
        let (located, told, over) = (self.located.clone(), self.told.clone(), self.over.clone());
        let started = thread::Builder::new().spawn(move || run(&located, &told, &over));
        started
            .map(drop)
            .map_err(|e| CliError::new("io", exit::INTERNAL, format!("cannot start a thread: {e}")))
    }

    /// Asks for something to be done with a service; the answer is news.
    pub(super) fn ask(&self, action: ServiceAction, name: String) {
        let (located, told) = (self.located.clone(), self.told.clone());
        thread::spawn(move || {
            let request = Request::Service {
                action,
                names: vec![name.clone()],
            };
            let done = client::open(&located.paths.socket()).and_then(|client| match client {
                Some(client) => client.done(&request, false),
                None => Err(client::not_running(&name)),
            });
            let said = match done {
                Ok(()) => String::new(),
                Err(error) => error.report().message.clone(),
            };
            // Who asked may have gone.
            let _ = told.send(News::Said(said));
        });
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// Asks for the state; none when nobody answers.
pub(super) fn state(located: &Located) -> Option<Report> {
    let client = client::open(&located.paths.socket()).ok().flatten();
    client.and_then(|client| client.report(&Request::Status, Some(PROMPT)).ok())
}

fn states(located: &Located, told: &SyncSender<News>, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        client::pause(LOOK);
        let report = state(located).map(Box::new);
        if told.send(News::State(report)).is_err() {
            return;
        }
    }
}

fn lines(located: &Located, told: &SyncSender<News>, over: &AtomicBool) {
    let directory = located.paths.service_logs();
    let known = names(&directory).unwrap_or_default();
    let Ok(mut merge) = Merge::open(&directory, &known) else {
        return;
    };
    if merge.skip_to(TAIL, |_| true).is_err() {
        return;
    }
    let mut watch = Watch::new(&directory);
    while !over.load(Ordering::Relaxed) {
        // A log that cannot be read now may be readable at the next look.
        for name in names(&directory).unwrap_or_default() {
            let _ = merge.add(&name);
        }
        while let Ok(Some((at, line))) = merge.next() {
            let service = merge.names().nth(at).unwrap_or_default().to_owned();
            let line = Line {
                service,
                text: line.text,
            };
            if told.send(News::Line(line)).is_err() {
                return;
            }
        }
        if !watch.wakes() {
            watch = Watch::new(&directory);
        }
        watch.wait(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Place;

    #[test]
    fn only_so_much_waits_when_nobody_looks() {
        let place = tempfile::tempdir().unwrap();
        let toml = "[environment]\nname = \"x\"\n";
        std::fs::write(place.path().join(crate::project::FILE), toml).unwrap();
        let at = Place {
            directory: Some(place.path().to_owned()),
            file: None,
            instance: None,
            profile: Vec::new(),
        };
        let located = crate::project::locate(&at, None).unwrap();
        let feed = Feed::start(&located).unwrap();
        let said = || feed.told.try_send(News::Said(String::new()));
        let fit = std::iter::from_fn(|| said().ok()).take(2 * WAITING_MAX);
        // A state may have come in between.
        assert!((WAITING_MAX - 1..=WAITING_MAX).contains(&fit.count()));
    }
}
