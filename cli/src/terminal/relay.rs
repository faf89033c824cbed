//! Copies between the terminal of the person and that of the command.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::stdio::{stdin, stdout};

use super::Screen;

/// Largest piece copied at once, bytes.
const PIECE: usize = 16 << 10;
/// After the end of a command: silence of this length is the end of its last words. What it left
/// running may keep its terminal open for ever.
const SILENCE: Duration = Duration::from_millis(100);
/// What it left running may never be silent: from then on only what is there already is shown.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// More than a terminal holds, bytes: what follows was written after the end.
const HELD: usize = 64 << 10;

/// Copies stdin to `master` and `master` to stdout until the other side is closed, or the command
/// has ended (`ended` is readable) and all it wrote is copied. Answers what it made of the screen.
pub(crate) fn run(master: BorrowedFd<'_>, ended: BorrowedFd<'_>) -> io::Result<Screen> {
    // A command that reads nothing must not keep its own output from being read.
    fcntl_setfl(master, fcntl_getfl(master)? | OFlags::NONBLOCK)?;
    let mut relay = Relay {
        master,
        typed: Vec::new(),
        listening: true,
        screen: Screen::default(),
    };
    loop {
        let readiness = relay.wait(ended)?;
        if readiness.output && relay.show()?.is_none() {
            return Ok(relay.screen);
        }
        if readiness.input {
            relay.listen();
        }
        relay.pass_on()?;
        if readiness.ended {
            relay.last_words()?;
            return Ok(relay.screen);
        }
    }
}

struct Relay<'a> {
    master: BorrowedFd<'a>,
    /// Read from stdin, not taken by the other side yet.
    typed: Vec<u8>,
    listening: bool,
    screen: Screen,
}

#[derive(Debug)]
struct Readiness {
    output: bool,
    input: bool,
    ended: bool,
}

impl Relay<'_> {
    fn wait(&self, ended: BorrowedFd<'_>) -> io::Result<Readiness> {
        let (stdin, listens) = (stdin(), self.listening && self.typed.is_empty());
        let mut master = PollFlags::IN;
        if !self.typed.is_empty() {
            master |= PollFlags::OUT;
        }
        let mut fds = vec![
            PollFd::from_borrowed_fd(self.master, master),
            PollFd::from_borrowed_fd(ended, PollFlags::IN),
        ];
        if listens {
            fds.push(PollFd::from_borrowed_fd(stdin, PollFlags::IN));
        }
        retry(|| poll(&mut fds, None))?;
        let ready = |at: usize| fds.get(at).is_some_and(|fd| !fd.revents().is_empty());
        Ok(Readiness {
            output: !(fds[0].revents() - PollFlags::OUT).is_empty(),
            input: ready(2),
            ended: ready(1),
        })
    }

    /// Copies what the command wrote; answers how much, `None` when there will be no more.
    fn show(&mut self) -> io::Result<Option<usize>> {
        let mut piece = [0; PIECE];
        match retry(|| rustix::io::read(self.master, &mut piece)) {
            Ok(0) | Err(Errno::IO) => Ok(None),
            Ok(length) => {
                self.screen.note(&piece[..length]);
                write_all(&piece[..length]).map(|()| Some(length))
            }
            Err(Errno::AGAIN) => Ok(Some(0)),
            Err(e) => Err(e.into()),
        }
    }

    /// Reads what was typed; a terminal that is gone types nothing more.
    fn listen(&mut self) {
        let mut piece = [0; PIECE];
        match retry(|| rustix::io::read(stdin(), &mut piece)) {
            Ok(0) => self.listening = false,
            Ok(length) => self.typed.extend_from_slice(&piece[..length]),
            Err(Errno::AGAIN) => {}
            Err(_) => self.listening = false,
        }
    }

    fn pass_on(&mut self) -> io::Result<()> {
        while !self.typed.is_empty() {
            match retry(|| rustix::io::write(self.master, &self.typed)) {
                Ok(length) => drop(self.typed.drain(..length)),
                Err(Errno::AGAIN) => return Ok(()),
                // Nobody is there to read it.
                Err(Errno::IO) => self.typed.clear(),
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    /// Shows what the command had written when it ended, and what comes within a moment.
    fn last_words(&mut self) -> io::Result<()> {
        let until = Instant::now() + LAST_WORDS;
        let mut shown = 0;
        while shown < HELD {
            let left = until.saturating_duration_since(Instant::now());
            let patience = Timespec {
                tv_sec: 0,
                tv_nsec: left.min(SILENCE).subsec_nanos().into(),
            };
            let mut fds = [PollFd::from_borrowed_fd(self.master, PollFlags::IN)];
            if retry(|| poll(&mut fds, Some(&patience)))? == 0 {
                return Ok(());
            }
            match self.show()? {
                Some(length) => shown += length,
                None => return Ok(()),
            }
        }
        Ok(())
    }
}

/// Writes to the terminal of the person.
pub(super) fn write_all(mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match retry(|| rustix::io::write(stdout(), bytes)) {
            Ok(length) => bytes = &bytes[length..],
            Err(Errno::AGAIN) => {
                let mut fds = [PollFd::from_borrowed_fd(stdout(), PollFlags::OUT)];
                retry(|| poll(&mut fds, None))?;
            }
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}
