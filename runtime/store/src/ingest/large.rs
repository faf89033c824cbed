//! Large files: one worker reads, cuts and hashes the whole; all of them do the chunks.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::Message;
use super::worker::{Stop, Worker};
use crate::Id;
use crate::assemble::{Assembler, NamedList};
use crate::frame::FrameBuilder;
use crate::shelf::Want;

/// Bytes read at once.
const WINDOW: usize = 2 << 20;
/// Windows of one file that may be under way.
const WINDOWS: usize = 4;

/// Chunks that somebody has to hash, compress and hand on.
pub(crate) struct ChunkTask {
    window: Vec<u8>,
    chunks: Vec<Range<usize>>,
    reply: Sender<Vec<(Id, usize)>>,
}

impl<T> Worker<'_, T> {
    /// Stores a file in windows; answers its id and its length.
    pub(super) fn large(&mut self, file: &File) -> Result<(Id, u64), Stop> {
        let cut = self.known.store.inner.format.cut;
        let mut blob = Assembler::default();
        let mut under_way = VecDeque::new();
        let mut rest = Vec::new();
        let mut offset = 0;
        loop {
            let mut window = std::mem::take(&mut rest);
            let last = fill_at(file, &mut window, &mut offset).map_err(Stop::File)?;
            let chunks = cut.cut(&window, last);
            let used = chunks.last().map_or(0, |chunk| chunk.end);
            rest.extend_from_slice(&window[used..]);
            blob.hash(&window[..used]);
            let (reply, answer) = bounded(1);
            self.offer(ChunkTask {
                window,
                chunks,
                reply,
            });
            under_way.push_back(answer);
            while under_way.len() >= if last { 1 } else { WINDOWS } {
                let Some(answer) = under_way.pop_front() else {
                    break;
                };
                for (id, len) in self.wait_for(&answer)? {
                    for part in blob.chunk(id, len) {
                        self.part(part)?;
                    }
                }
            }
            if last {
                break;
            }
        }
        let done = blob.finish();
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
        Ok((done.id, done.size))
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

    /// Waits for an answer, doing chunks meanwhile.
    fn wait_for(&mut self, answer: &Receiver<Vec<(Id, usize)>>) -> Result<Vec<(Id, usize)>, Stop> {
        loop {
            if let Ok(chunks) = answer.try_recv() {
                return Ok(chunks);
            }
            match self.help.try_recv() {
                Ok(task) => self.chunks(task)?,
                // Somebody has taken the task; whoever drops it unanswered had to stop.
                Err(_) => return answer.recv().map_err(|_| Stop::Deaf),
            }
        }
    }

    pub(super) fn chunks(&mut self, task: ChunkTask) -> Result<(), Stop> {
        let mut done = Vec::with_capacity(task.chunks.len());
        let mut frame = FrameBuilder::for_pieces();
        for range in task.chunks {
            let bytes = &task.window[range];
            let id = Id::of(bytes);
            if self.known.claim(&id, Want::Chunk).map_err(Stop::Store)? {
                self.send_record(frame.push_piece(id, bytes))?;
            }
            done.push((id, bytes.len()));
        }
        // Before the answer, which leads to a list that names these chunks.
        self.send_record(frame.take())?;
        // The one who asked may have stopped.
        task.reply.send(done).ok();
        Ok(())
    }
}

/// Fills the window from the file; answers whether the file ended.
fn fill_at(file: &File, window: &mut Vec<u8>, offset: &mut u64) -> io::Result<bool> {
    let mut len = window.len();
    window.resize(WINDOW, 0);
    while len < WINDOW {
        match file.read_at(&mut window[len..], *offset) {
            Ok(0) => {
                window.truncate(len);
                return Ok(true);
            }
            Ok(got) => {
                len += got;
                *offset += got as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}
