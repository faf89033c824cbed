//! Large files: one worker reads and cuts, all of them hash and compress.

use std::cell::LazyCell;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::Message;
use super::holes::Holes;
use super::subtrees::{Hashed, SUBTREE, Subtrees, hash_window};
use super::worker::{Stop, Worker};
use crate::Id;
use crate::assemble::{Assembler, NamedList};
use crate::shelf::Want;
use crate::store::empty_blob;

/// Bytes read at once.
const WINDOW: usize = 2 * SUBTREE;
/// Windows of one file that may be under way.
const WINDOWS: usize = 4;

/// A part of a large file that somebody has to hash, compress and hand on.
pub(crate) struct WindowTask {
    window: Window,
    chunks: Vec<Range<usize>>,
    reply: Sender<Done>,
}

/// What became of a window, and the window to be filled again.
pub(crate) struct Done {
    chunks: Vec<(Id, usize)>,
    hashed: Hashed,
    window: Window,
}

/// Bytes of a file: some that are left of the window before, then those that were read for this one.
pub(crate) struct Window {
    /// Of one length for good. Files take turns with it, since making its memory anew costs more than
    /// reading most of them into it.
    bytes: Vec<u8>,
    left: usize,
    len: usize,
    /// Where in the file the bytes start that were read.
    offset: u64,
    /// All of it lies in a hole, what is left of the window before too.
    zeros: bool,
}

impl<T> Worker<'_, T> {
    /// Stores a file in windows; answers its id and its length.
    pub(super) fn large(&mut self, file: &File) -> Result<(Id, u64), Stop> {
        let cut = self.known.store.inner.format.cut;
        let (mut blob, mut hash) = (Assembler::default(), Subtrees::default());
        let mut holes = Holes::of(file);
        let chunk_of_zeros = LazyCell::new(|| cut.len_of_zeros());
        let mut under_way = VecDeque::new();
        let mut window = self.window_after(b"");
        let mut offset = 0;
        loop {
            let last = match holes.cover(&(offset..offset + WINDOW as u64)) {
                true => window.fill_with_zeros(offset),
                false => window.fill_at(file, offset).map_err(Stop::File)?,
            };
            offset = window.offset + window.read().len() as u64;
            let chunks = match window.zeros {
                true => cut.cut_zeros(window.len, *chunk_of_zeros),
                false => cut.cut(window.all(), last),
            };
            let used = chunks.last().map_or(0, |chunk| chunk.end);
            let next = (!last).then(|| self.window_after(&window.all()[used..]));
            let (reply, answer) = bounded(1);
            self.offer(WindowTask {
                window,
                chunks,
                reply,
            });
            under_way.push_back(answer);
            while under_way.len() >= if last { 1 } else { WINDOWS } {
                let Some(answer) = under_way.pop_front() else {
                    break;
                };
                let done = self.wait_for(&answer)?;
                hash.add(done.hashed);
                self.spare.push(done.window);
                for (id, len) in done.chunks {
                    for part in blob.chunk(id, len) {
                        self.part(part)?;
                    }
                }
            }
            match next {
                Some(next) => window = next,
                None => break,
            }
        }
        // There was at least one window.
        let id = hash.finish().unwrap_or(empty_blob());
        let done = blob.finish(id);
        for part in done.parts {
            self.part(part)?;
        }
        if let Some(whole) = done.whole
            && self
                .known
                .claim(&whole.id, Want::Blob)
                .map_err(Stop::Store)?
        {
            self.send(Message::Whole(whole))?;
        }
        Ok((id, done.size))
    }

    /// A window that begins with what is left of the one before.
    fn window_after(&mut self, left: &[u8]) -> Window {
        // No more than the longest chunk is ever left.
        let room = WINDOW + self.known.store.inner.format.cut.max as usize;
        let mut window = self.spare.pop().unwrap_or_else(|| Window::new(room));
        window.start_with(left);
        window
    }

    fn part(&mut self, part: NamedList) -> Result<(), Stop> {
        match self
            .known
            .claim(&part.id, Want::ListPart)
            .map_err(Stop::Store)?
        {
            true => self.send(Message::Part(part)),
            false => Ok(()),
        }
    }

    /// Waits for an answer, doing windows meanwhile.
    fn wait_for(&mut self, answer: &Receiver<Done>) -> Result<Done, Stop> {
        loop {
            if let Ok(done) = answer.try_recv() {
                return Ok(done);
            }
            match self.help.try_recv() {
                Ok(task) => self.window(task)?,
                // Somebody has taken the task; whoever drops it unanswered had to stop.
                Err(_) => return answer.recv().map_err(|_| Stop::Deaf),
            }
        }
    }

    pub(super) fn window(&mut self, task: WindowTask) -> Result<(), Stop> {
        let WindowTask {
            window,
            chunks: ranges,
            reply,
        } = task;
        let hashed = hash_window(window.offset, window.read());
        let mut chunks = Vec::with_capacity(ranges.len());
        if let (true, Some(first)) = (window.zeros, ranges.first()) {
            // All are one.
            let chunk = self.piece(&window.all()[first.clone()])?;
            chunks.resize(ranges.len(), chunk);
        } else {
            for range in ranges {
                chunks.push(self.piece(&window.all()[range])?);
            }
        }
        // What is left in the frame is sent before this worker ends, and so before the list of any blob.
        let done = Done {
            chunks,
            hashed,
            window,
        };
        // The one who asked may have stopped.
        reply.send(done).ok();
        Ok(())
    }

    /// Stores one chunk unless it is; answers its id and its length.
    fn piece(&mut self, bytes: &[u8]) -> Result<(Id, usize), Stop> {
        let id = Id::of(bytes);
        if self.known.claim(&id, Want::Chunk).map_err(Stop::Store)? {
            let full = self.pieces.push_piece(id, bytes);
            self.send_record(full)?;
        }
        Ok((id, bytes.len()))
    }
}

impl Window {
    /// Everything that is to be cut.
    fn all(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// What was read from the file for this window.
    fn read(&self) -> &[u8] {
        &self.bytes[self.left..self.len]
    }

    fn new(room: usize) -> Window {
        Window {
            bytes: vec![0; room],
            left: 0,
            len: 0,
            offset: 0,
            zeros: false,
        }
    }

    fn start_with(&mut self, left: &[u8]) {
        self.bytes[..left.len()].copy_from_slice(left);
        (self.left, self.len) = (left.len(), left.len());
    }

    /// Takes zeros for what would be read from a hole; the file does not end there.
    fn fill_with_zeros(&mut self, offset: u64) -> bool {
        self.offset = offset;
        self.zeros = self.all().iter().all(|byte| *byte == 0);
        self.len = self.left + WINDOW;
        self.bytes[self.left..self.len].fill(0);
        false
    }

    /// Reads from the file; answers whether it ended.
    fn fill_at(&mut self, file: &File, offset: u64) -> io::Result<bool> {
        (self.offset, self.zeros) = (offset, false);
        let room = self.left + WINDOW;
        while self.len < room {
            let at = offset + (self.len - self.left) as u64;
            match file.read_at(&mut self.bytes[self.len..room], at) {
                Ok(0) => return Ok(true),
                Ok(got) => self.len += got,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }
}
