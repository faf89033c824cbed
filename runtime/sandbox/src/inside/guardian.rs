//! The guardian: kills every pid 1 it knows when hd is gone.

use crate::process::kill;
use crate::wire::{Channel, RawPath, Watch, retry};
use rustix::event::{PollFd, PollFlags, poll};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};

#[derive(Default)]
struct Guardian {
    owner: Option<OwnedFd>,
    watched: BTreeMap<u64, OwnedFd>,
    paths: Vec<RawPath>,
}

/// What a message means for the loop.
enum Next {
    GoOn,
    Silent,
    Released,
}

/// Watches until hd ends or lets it go.
pub(super) fn run(channel: &Channel) -> i32 {
    // A terminal that is closed must not take the guardian along. It cannot fail: this is no group leader.
    let _ = rustix::process::setsid();
    let _ = rustix::process::chdir("/");
    let mut guardian = Guardian::default();
    let mut open = true;
    loop {
        let Some((message, gone)) = guardian.wait(open.then_some(channel)) else {
            return super::FAILED;
        };
        // Messages first: hd may have died right after registering a sandbox.
        while message && open {
            match guardian.receive(channel) {
                Some(Next::GoOn) => {}
                Some(Next::Released) => return 0,
                Some(Next::Silent) => open = false,
                None => break,
            }
        }
        if gone || (!open && guardian.owner.is_none()) {
            guardian.end_all();
            return 0;
        }
    }
}

impl Guardian {
    /// Waits for a message or the end of hd; answers which of them came.
    fn wait(&self, channel: Option<&Channel>) -> Option<(bool, bool)> {
        let mut fds = Vec::with_capacity(2);
        fds.extend(channel.map(|channel| PollFd::new(channel, PollFlags::IN)));
        fds.extend(
            self.owner
                .as_ref()
                .map(|owner| PollFd::new(owner, PollFlags::IN)),
        );
        retry(|| poll(&mut fds, None)).ok()?;
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        let messages = channel.is_some();
        let gone = self.owner.is_some() && ready.last() == Some(&true);
        // When hd is gone the channel is read to its end, whether poll saw it or not.
        Some((messages && (ready.first() == Some(&true) || gone), gone))
    }

    /// Takes one message; `None` when there is none now.
    fn receive(&mut self, channel: &Channel) -> Option<Next> {
        let (message, fds) = match channel.receive_now::<Watch>() {
            Ok(Some(got)) => got,
            Ok(None) => return Some(Next::Silent),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return None,
            // A message that makes no sense is not worth the lives of the sandboxes.
            Err(error) if error.raw_os_error().is_none() => return Some(Next::GoOn),
            Err(_) => return Some(Next::Silent),
        };
        let fd = fds.into_iter().next();
        match (message, fd) {
            (Watch::Owner, Some(fd)) => self.owner = Some(fd),
            (Watch::Add(key), Some(fd)) => {
                self.watched.insert(key, fd);
            }
            (Watch::Remove(key), _) => {
                self.watched.remove(&key);
            }
            (Watch::Paths(paths), _) => self.paths = paths,
            (Watch::Release, _) => return Some(Next::Released),
            (Watch::Owner | Watch::Add(_), None) => {}
        }
        Some(Next::GoOn)
    }

    fn end_all(&self) {
        for pidfd in self.watched.values() {
            // There is nobody to tell, and the rest has to be done.
            let _ = kill(pidfd.as_fd());
        }
        for RawPath(path) in &self.paths {
            // A control group is empty once the processes killed above are gone.
            let _ = std::fs::remove_file(path).or_else(|_| crate::cgroup::remove(path));
        }
    }
}
