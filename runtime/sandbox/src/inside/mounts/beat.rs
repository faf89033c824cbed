//! Copying of any length, with word that it goes on.

use crate::wire::{Channel, Report};
use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read};
use std::time::{Duration, Instant};

/// How often hd is told, which waits for much longer.
const EVERY: Duration = Duration::from_secs(1);
/// Bytes after which it is looked whether it is time.
const PIECE: u64 = 16 << 20;

/// Tells hd that an operation is at work.
#[derive(Debug)]
pub(super) struct Beat<'a> {
    channel: &'a Channel,
    last: Cell<Instant>,
}

impl<'a> Beat<'a> {
    pub(super) fn new(channel: &'a Channel) -> Self {
        Self {
            channel,
            last: Cell::new(Instant::now()),
        }
    }

    /// Tells it if it is time.
    pub(super) fn goes_on(&self) -> io::Result<()> {
        if self.last.get().elapsed() < EVERY {
            return Ok(());
        }
        self.last.set(Instant::now());
        self.channel.send(&Report::Going, &[])
    }

    /// Copies a file to its end.
    pub(super) fn copy(&self, from: &mut File, to: &mut File) -> io::Result<()> {
        while io::copy(&mut from.take(PIECE), to)? > 0 {
            self.goes_on()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Seek;

    #[test]
    fn a_copy_that_takes_long_is_told_of_and_whole() {
        let (ours, theirs) = Channel::pair().unwrap();
        let theirs = Channel::from_fd(theirs);
        let mut beat = Beat::new(&theirs);
        let (mut from, mut to) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        from.set_len(2 * PIECE + 1).unwrap();
        beat.copy(&mut from, &mut to).unwrap();
        assert_eq!(to.metadata().unwrap().len(), 2 * PIECE + 1);
        from.rewind().unwrap();
        beat.last = Cell::new(Instant::now().checked_sub(EVERY).unwrap());
        beat.copy(&mut from, &mut to).unwrap();
        let (report, _) = ours.receive::<Report>().unwrap().unwrap();
        assert!(matches!(report, Report::Going), "{report:?}");
    }
}
