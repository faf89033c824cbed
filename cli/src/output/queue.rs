//! The way from the runtime to the screen: never blocks, bounded, counts what it drops.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use hd_actors::events::{Event, Listener};
use hd_actors::model::log_line::timestamp;
use tokio::sync::broadcast;

use super::event_json;

/// Lines of logs and steps are dropped while so many events wait.
const LINES_MAX: usize = 4096;
/// Other events are dropped only while so many wait.
const EVENTS_MAX: usize = 2 * LINES_MAX;
/// Printed lines that wait for an attached terminal; a slower one is told how many it missed.
const ATTACHED_MAX: usize = 1024;

/// Events on their way to the screen.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    printed: broadcast::Sender<String>,
    objects: broadcast::Sender<String>,
}

impl Default for Queue {
    fn default() -> Self {
        let (state, changed) = (Mutex::default(), Condvar::default());
        Self {
            state,
            changed,
            printed: broadcast::Sender::new(ATTACHED_MAX),
            objects: broadcast::Sender::new(ATTACHED_MAX),
        }
    }
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<Event>,
    dropped: u64,
    closed: bool,
}

/// What was waiting.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// The events, oldest first.
    pub(crate) events: VecDeque<Event>,
    /// How many were dropped since the last batch.
    pub(crate) dropped: u64,
    /// Nothing comes any more.
    pub(crate) closed: bool,
}

impl Queue {
    /// Waits until something happens or `until` has come, and takes all that waits.
    pub(crate) fn take(&self, until: Option<Instant>) -> Batch {
        let mut state = self.lock();
        while state.events.is_empty() && state.dropped == 0 && !state.closed {
            let Some(until) = until else {
                state = self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Batch {
            events: std::mem::take(&mut state.events),
            dropped: std::mem::take(&mut state.dropped),
            closed: state.closed,
        }
    }

    /// Passes a line to the terminals that are attached.
    pub(crate) fn printed(&self, line: &str) {
        if self.printed.receiver_count() > 0 {
            // The last of them may just have gone.
            let _ = self.printed.send(line.to_owned());
        }
    }

    /// Lets [`Queue::take`] return for good.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener for Queue {
    fn event(&self, event: Event) {
        if self.objects.receiver_count() > 0 {
            let mut object = event_json::value(&event);
            object["at"] = timestamp(SystemTime::now()).into();
            // The last of them may just have gone.
            let _ = self.objects.send(object.to_string());
        }
        let mut state = self.lock();
        let line = matches!(event, Event::Log { .. } | Event::StepOutput { .. });
        let limit = if line { LINES_MAX } else { EVENTS_MAX };
        if matches!(event, Event::Pulling { .. })
            && let Some(last @ Event::Pulling { .. }) = state.events.back_mut()
        {
            // Only the latest figure matters.
            *last = event;
        } else if state.events.len() < limit {
            state.events.push_back(event);
        } else {
            state.dropped += 1;
        }
        drop(state);
        self.changed.notify_one();
    }

    fn lines(&self) -> Option<broadcast::Receiver<String>> {
        Some(self.printed.subscribe())
    }

    fn objects(&self) -> Option<broadcast::Receiver<String>> {
        Some(self.objects.subscribe())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    fn log(number: usize) -> Event {
        Event::Log {
            service: "web".to_owned(),
            stderr: false,
            line: number.to_string(),
        }
    }

    #[test]
    fn a_slow_reader_loses_lines_and_is_told_how_many() {
        let queue = Queue::default();
        (0..LINES_MAX + 5).for_each(|number| queue.event(log(number)));
        queue.event(Event::Note("kept".to_owned()));
        let batch = queue.take(None);
        assert_eq!((batch.events.len(), batch.dropped), (LINES_MAX + 1, 5));
        assert!(matches!(batch.events.back(), Some(Event::Note(_))));
        let empty = queue.take(Some(Instant::now()));
        assert_eq!(
            (empty.events.len(), empty.dropped, empty.closed),
            (0, 0, false)
        );
    }

    #[test]
    fn nothing_grows_without_bound() {
        let queue = Queue::default();
        (0..EVENTS_MAX + 7).for_each(|_| queue.event(Event::Note(String::new())));
        let batch = queue.take(None);
        assert_eq!((batch.events.len(), batch.dropped), (EVENTS_MAX, 7));
    }

    #[test]
    fn of_a_transfer_only_the_latest_figure_waits() {
        let queue = Queue::default();
        for received in 0..10 {
            queue.event(Event::Pulling {
                image: "x".to_owned(),
                received,
                total: 10,
            });
        }
        let batch = queue.take(None);
        assert_eq!(batch.events.len(), 1);
        assert!(matches!(
            batch.events[0],
            Event::Pulling { received: 9, .. }
        ));
    }

    #[test]
    fn attached_terminals_get_what_is_printed_from_then_on() {
        let queue = Queue::default();
        queue.printed("before");
        let mut lines = queue.lines().unwrap();
        queue.printed("after");
        assert_eq!(lines.try_recv().as_deref(), Ok("after"));
        assert!(lines.try_recv().is_err());
    }

    #[test]
    fn a_waiting_reader_wakes_on_an_event_and_on_the_end() {
        let queue = Arc::new(Queue::default());
        let writer = Arc::clone(&queue);
        let thread = std::thread::spawn(move || {
            writer.event(log(1));
            writer.close();
        });
        let far = Instant::now() + Duration::from_secs(60);
        let mut events = 0;
        loop {
            let batch = queue.take(Some(far));
            events += batch.events.len();
            if batch.closed {
                break;
            }
        }
        thread.join().unwrap();
        assert_eq!(events, 1);
    }
}
