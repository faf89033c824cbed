//! Copies between the terminal of the person and that of the command.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::stdio::{stdin, stdout};

/// Largest piece copied at once, bytes.
const PIECE: usize = 16 << 10;
/// How long the last words of an ended command may take: what it left running may keep its
/// terminal open for ever.
const LAST_WORDS: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

/// Copies stdin to `master` and `master` to stdout until the other side is closed, or the command
/// has ended (`ended` is readable) and all it wrote is copied.
pub(crate) fn run(master: BorrowedFd<'_>, ended: BorrowedFd<'_>) -> io::Result<()> {
    // A command that reads nothing must not keep its own output from being read.
    fcntl_setfl(master, fcntl_getfl(master)? | OFlags::NONBLOCK)?;
    let mut relay = Relay {
        master,
        typed: Vec::new(),
        listening: true,
    };
    loop {
        let readiness = relay.wait(ended)?;
        if readiness.output && !relay.show()? {
            return Ok(());
        }
        if readiness.input {
            relay.listen();
        }
        relay.pass_on()?;
        if readiness.ended && !readiness.output {
            return relay.last_words();
        }
    }
}

struct Relay<'a> {
    master: BorrowedFd<'a>,
    /// Read from stdin, not taken by the other side yet.
    typed: Vec<u8>,
    listening: bool,
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

    /// Copies what the command wrote; `false` when there will be no more.
    fn show(&self) -> io::Result<bool> {
        let mut piece = [0; PIECE];
        match retry(|| rustix::io::read(self.master, &mut piece)) {
            Ok(0) | Err(Errno::IO) => Ok(false),
            Ok(length) => write_all(&piece[..length]).map(|()| true),
            Err(Errno::AGAIN) => Ok(true),
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

    fn last_words(&self) -> io::Result<()> {
        loop {
            let mut fds = [PollFd::from_borrowed_fd(self.master, PollFlags::IN)];
            if retry(|| poll(&mut fds, Some(&LAST_WORDS)))? == 0 || !self.show()? {
                return Ok(());
            }
        }
    }
}

fn write_all(mut bytes: &[u8]) -> io::Result<()> {
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
