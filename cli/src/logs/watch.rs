//! Waiting for logs to grow.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;

use crate::error::CliError;
use crate::output::reader;

/// Pause between two looks where the directory cannot be watched.
const POLL: Duration = Duration::from_millis(100);

/// Wakes when a file of a directory was written, made or renamed.
#[derive(Debug)]
pub(crate) struct Watch(Option<OwnedFd>);

impl Watch {
    /// Watches a directory; where that cannot be, waits will be short pauses.
    pub(crate) fn new(directory: &Path) -> Self {
        Self(watched(directory).ok())
    }

    /// Tells whether changes wake; else there is only time.
    pub(crate) fn wakes(&self) -> bool {
        self.0.is_some()
    }

    /// Waits for a change, at most for `timeout`. May wake for nothing.
    pub(crate) fn wait(&self, timeout: Duration) {
        self.wait_beside(timeout, Vec::new());
    }

    /// The same for what is printed; an error once nobody is left to read it.
    pub(crate) fn wait_with_reader(&self, timeout: Duration) -> Result<(), CliError> {
        let waited = self.wait_beside(timeout, vec![reader::wanted()]);
        match waited.iter().any(reader::is_gone) {
            true => Err(CliError::pipe()),
            false => Ok(()),
        }
    }

    /// Waits for what is wanted too, and gives it back.
    fn wait_beside<'a>(
        &'a self,
        timeout: Duration,
        mut wanted: Vec<PollFd<'a>>,
    ) -> Vec<PollFd<'a>> {
        let timeout = match &self.0 {
            Some(events) => {
                wanted.push(PollFd::new(events, PollFlags::IN));
                timeout
            }
            None => timeout.min(POLL),
        };
        let timeout = Timespec::try_from(timeout).ok();
        // An interrupted wait is a short one.
        let _ = poll(&mut wanted, timeout.as_ref());
        if let Some(events) = &self.0 {
            let mut buffer = [MaybeUninit::uninit(); 4096];
            while rustix::io::read(events, &mut buffer).is_ok_and(|(read, _)| !read.is_empty()) {}
        }
        wanted
    }
}

fn watched(directory: &Path) -> rustix::io::Result<OwnedFd> {
    let events = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    let flags =
        inotify::WatchFlags::MODIFY | inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVE;
    inotify::add_watch(&events, directory, flags)?;
    Ok(events)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_write_wakes() {
        let place = tempfile::tempdir().unwrap();
        let watch = Watch::new(place.path());
        assert!(watch.wakes() && !Watch::new(&place.path().join("none")).wakes());
        let begin = Instant::now();
        let file = place.path().join("web.log");
        let writer = std::thread::spawn(move || std::fs::write(file, "x").unwrap());
        watch.wait(Duration::from_secs(60));
        writer.join().unwrap();
        assert!(begin.elapsed() < Duration::from_secs(30));
    }
}
