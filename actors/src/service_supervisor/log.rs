//! What a service prints, from its pipes to disk and to whoever listens.
//!
//! A thread per pipe reads as fast as it can: what bounds the service is the disk, never a reader.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::log_file::{FILE_MAX, LogFile};
use super::seen::Seen;
use super::split::Splitter;
use crate::events::{Event, Events};
use crate::model::log_line::{LogLine, Stream};

/// Bytes read at once.
const READ_MAX: usize = 64 * 1024;
/// Bytes a pipe may hold, where the system allows it.
const PIPE_BYTES: usize = 1 << 20;

/// The log of one service over all its runs; clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct ServiceLog(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    service: String,
    events: Events,
    file: Mutex<LogFile>,
}

/// The write ends for a new process.
#[derive(Debug)]
pub(crate) struct Output {
    /// Its descriptor 1.
    pub(crate) stdout: OwnedFd,
    /// Its descriptor 2.
    pub(crate) stderr: OwnedFd,
}

/// Tells when all that a process wrote is in the log.
#[derive(Debug)]
pub(crate) struct Drained(Receiver<()>);

impl Drained {
    /// Waits until every write end is closed and read to its end; false when that takes too long,
    /// because somebody outside of the sandbox holds one.
    pub(crate) fn wait(&self, within: Duration) -> bool {
        // Nothing is ever sent: the channel closes when both readers are done.
        !matches!(
            self.0.recv_timeout(within),
            Err(crossbeam_channel::RecvTimeoutError::Timeout)
        )
    }
}

impl ServiceLog {
    /// The log of a service in a directory.
    pub(crate) fn new(dir: PathBuf, service: &str, events: Events) -> Self {
        let file = LogFile::new(dir.join(format!("{service}.log")), FILE_MAX);
        Self(Arc::new(Inner {
            service: service.to_owned(),
            events,
            file: Mutex::new(file),
        }))
    }

    /// Writes a remark of hd. Blocks.
    pub(crate) fn remark(&self, text: &str) {
        self.write(Stream::Hd, vec![text.to_owned()]);
    }

    /// Makes the pipes of a process and reads them, each on a thread, until all writers are gone;
    /// `seen` looks at the lines.
    pub(crate) fn pipes(&self, seen: &Seen) -> io::Result<(Output, Drained)> {
        let (done, drained) = bounded(0);
        let stdout = self.pump(Stream::Out, done.clone(), seen.clone())?;
        let stderr = self.pump(Stream::Err, done, seen.clone())?;
        Ok((Output { stdout, stderr }, Drained(drained)))
    }

    fn pump(&self, stream: Stream, done: Sender<()>, seen: Seen) -> io::Result<OwnedFd> {
        let (ours, theirs) = io::pipe()?;
        // A larger pipe rides out a slow disk; a refusal changes nothing else.
        let _ = rustix::pipe::fcntl_setpipe_size(&theirs, PIPE_BYTES);
        let log = self.clone();
        let reader = File::from(OwnedFd::from(ours));
        thread::Builder::new()
            .name(format!("log {}", self.0.service))
            .spawn(move || {
                log.read(reader, stream, &seen);
                drop(done);
            })?;
        Ok(theirs.into())
    }

    fn read(&self, mut pipe: File, stream: Stream, seen: &Seen) {
        let mut splitter = Splitter::default();
        let mut bytes = vec![0; READ_MAX];
        loop {
            match pipe.read(&mut bytes) {
                Ok(0) => break,
                Ok(count) => {
                    let lines = splitter.take(bytes.get(..count).unwrap_or_default());
                    seen.look(&lines);
                    self.write(stream, lines);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        self.write(stream, splitter.rest().into_iter().collect());
    }

    fn write(&self, stream: Stream, texts: Vec<String>) {
        if texts.is_empty() {
            return;
        }
        let at = SystemTime::now();
        let mut lines: VecDeque<LogLine> = texts
            .into_iter()
            .map(|text| LogLine { at, stream, text })
            .collect();
        {
            let mut file = self.0.file.lock().unwrap_or_else(PoisonError::into_inner);
            if file.lost() > 0 {
                let text = format!(
                    "{} lines are missing here: they could not be written",
                    file.lost()
                );
                lines.push_front(LogLine {
                    at,
                    stream: Stream::Hd,
                    text,
                });
            }
            file.append(lines.make_contiguous());
        }
        if stream == Stream::Hd {
            return;
        }
        for line in lines.into_iter().filter(|line| line.stream == stream) {
            let stderr = stream == Stream::Err;
            self.0.events.tell(Event::Log {
                service: self.0.service.clone(),
                stderr,
                line: line.text,
            });
        }
    }
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
