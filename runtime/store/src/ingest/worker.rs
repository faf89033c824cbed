//! One thread of an ingest: from an open file to records.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use crossbeam_channel::{Receiver, Sender, TryRecvError};

use super::large::{Window, WindowTask};
use super::{Ingested, Known, Message, Source};
use crate::frame::FrameBuilder;
use crate::record::{Record, RecordKind, TAG_WHOLE};
use crate::shelf::Want;
use crate::stat::FileStat;
use crate::store::empty_blob;
use crate::writer::SMALL;
use crate::{Error, Id};

/// Reads of a file that keeps changing before the last content is taken as it is.
const ATTEMPTS: usize = 3;

/// Why a file was not stored.
pub(crate) enum Stop {
    /// Only this file: it cannot be opened or read.
    File(io::Error),
    /// Everything: the store failed.
    Store(Error),
    /// The appending thread is gone; it knows why.
    Deaf,
}

pub(crate) struct Worker<'a, T> {
    pub(super) known: &'a Known<'a>,
    pub(super) out: Sender<Message<T>>,
    /// Where windows of large files are offered; given up when there are no more files.
    help_wanted: Option<Sender<WindowTask>>,
    pub(super) help: Receiver<WindowTask>,
    frame: FrameBuilder,
    /// Shared by files, as `frame` is: many large ones are smaller than it.
    pub(super) pieces: FrameBuilder,
    buffer: Vec<u8>,
    /// Windows that no file needs now.
    pub(super) spare: Vec<Window>,
}

impl<'a, T> Worker<'a, T> {
    pub(super) fn new(
        known: &'a Known<'a>,
        out: Sender<Message<T>>,
        help_wanted: Sender<WindowTask>,
        help: Receiver<WindowTask>,
    ) -> Worker<'a, T> {
        Worker {
            known,
            out,
            help_wanted: Some(help_wanted),
            help,
            frame: FrameBuilder::new(RecordKind::Chunks),
            pieces: FrameBuilder::for_pieces(),
            buffer: vec![0; SMALL + 1],
            spare: Vec::new(),
        }
    }

    /// Works until there are no files left and nobody needs help.
    pub(super) fn run<O>(mut self, next: impl Fn(&mut Vec<Source<T, O>>))
    where
        O: FnOnce() -> io::Result<OwnedFd>,
    {
        match self.work(next) {
            Err(Stop::Store(error)) => {
                // Nobody left to tell is as good as told.
                self.out.send(Message::Failed(error)).ok();
            }
            Ok(()) | Err(Stop::Deaf | Stop::File(_)) => {}
        }
    }

    fn work<O>(&mut self, next: impl Fn(&mut Vec<Source<T, O>>)) -> Result<(), Stop>
    where
        O: FnOnce() -> io::Result<OwnedFd>,
    {
        let mut batch = Vec::new();
        loop {
            next(&mut batch);
            if batch.is_empty() {
                break;
            }
            let mut answers = Vec::with_capacity(batch.len());
            for Source { token, open, .. } in batch.drain(..) {
                self.help_others()?;
                let done = match open()
                    .map_err(Stop::File)
                    .and_then(|file| self.file(file.into()))
                {
                    Ok(done) => Ok(done),
                    Err(Stop::File(error)) => Err(error),
                    Err(stop) => return Err(stop),
                };
                answers.push((token, done));
            }
            self.send(Message::Done(answers))?;
            // Here a directory ends. What follows is seldom read or removed together with it.
            if self.frame.is_half_full() {
                self.flush()?;
            }
        }
        self.flush()?;
        self.help_wanted = None;
        while let Ok(task) = self.help.recv() {
            self.window(task)?;
        }
        let rest = self.pieces.take();
        self.send_record(rest)
    }

    pub(super) fn send(&self, message: Message<T>) -> Result<(), Stop> {
        self.out.send(message).map_err(|_| Stop::Deaf)
    }

    pub(super) fn offer(&self, task: WindowTask) {
        if let Some(help_wanted) = &self.help_wanted {
            // The queue lives as long as this worker, which holds its other end.
            help_wanted.send(task).ok();
        }
    }

    fn help_others(&mut self) -> Result<(), Stop> {
        loop {
            match self.help.try_recv() {
                Ok(task) => self.window(task)?,
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return Ok(()),
            }
        }
    }

    /// Stores one file, reading it again when it changed meanwhile.
    fn file(&mut self, file: File) -> Result<Ingested, Stop> {
        let mut stat = self.stat(&file)?;
        if !stat.is_regular() {
            return Err(Stop::File(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not a regular file",
            )));
        }
        let mut attempt = 1;
        loop {
            let (id, size) = self.content(&file, stat.size)?;
            let after = self.stat(&file)?;
            let stable = stat.is_same(&after) && size == stat.size;
            if stable || attempt == ATTEMPTS {
                return Ok(Ingested {
                    id,
                    size,
                    stat,
                    stable,
                });
            }
            stat = after;
            attempt += 1;
        }
    }

    fn stat(&self, file: &File) -> Result<FileStat, Stop> {
        FileStat::of(file).map_err(|error| Stop::File(error.into()))
    }

    fn content(&mut self, file: &File, expected: u64) -> Result<(Id, u64), Stop> {
        if expected > SMALL as u64 {
            return self.large(file);
        }
        let len = read_whole(file, &mut self.buffer, expected as usize).map_err(Stop::File)?;
        if len > SMALL {
            return self.large(file);
        }
        let id = Id::of(&self.buffer[..len]);
        if id != empty_blob() && self.known.claim(&id, Want::Chunk).map_err(Stop::Store)? {
            if !self.frame.fits(len) {
                self.flush()?;
            }
            self.frame.push(id, TAG_WHOLE, &self.buffer[..len]);
        }
        Ok((id, len as u64))
    }

    fn flush(&mut self) -> Result<(), Stop> {
        let record = self.frame.take();
        self.send_record(record)
    }

    pub(super) fn send_record(&self, record: Option<Record>) -> Result<(), Stop> {
        match record {
            Some(record) => self.send(Message::Record(record)),
            None => Ok(()),
        }
    }
}

/// Reads a file from its start into the buffer. A read that ends before what was asked for shows
/// the end of a regular file, so the usual small file takes one call.
fn read_whole(file: &File, buffer: &mut [u8], expected: usize) -> io::Result<usize> {
    let mut len = 0;
    let mut ask = (expected + 1).min(buffer.len());
    loop {
        match file.read_at(&mut buffer[len..ask], len as u64) {
            Ok(0) => return Ok(len),
            Ok(got) if len + got < ask => return Ok(len + got),
            Ok(got) => {
                len += got;
                if len == buffer.len() {
                    return Ok(len);
                }
                ask = buffer.len();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
