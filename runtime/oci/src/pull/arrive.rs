//! The bytes of a layer on their way to whoever unpacks them.

use std::io::{self, Read};
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::progress::Meter;
use crate::registry::Sink;

/// Least length of the pieces handed on, in bytes.
const PIECE: usize = 64 << 10;

/// Gathers what arrives into pieces and hands them to the unpacker.
pub(super) struct Arriving<'a> {
    pub(super) sender: mpsc::Sender<Vec<u8>>,
    pub(super) waiting: Vec<u8>,
    pub(super) meter: &'a Meter,
}

impl Sink for Arriving<'_> {
    async fn take(&mut self, bytes: &[u8]) -> bool {
        self.meter.came(bytes.len() as u64);
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() < PIECE {
            return true;
        }
        let piece = std::mem::replace(&mut self.waiting, Vec::with_capacity(2 * PIECE));
        self.sender.send(piece).await.is_ok()
    }
}

impl Arriving<'_> {
    /// Hands the rest over and ends the stream. When nobody takes it, the unpacker says why.
    pub(super) async fn finish(self) {
        let _ = self.sender.send(self.waiting).await;
    }
}

/// Reads what arrives; the end of the channel is the end of the stream.
pub(super) struct Arrivals {
    receiver: mpsc::Receiver<Vec<u8>>,
    piece: io::Cursor<Vec<u8>>,
}

impl Arrivals {
    pub(super) fn new(receiver: mpsc::Receiver<Vec<u8>>) -> Arrivals {
        let piece = io::Cursor::default();
        Arrivals { receiver, piece }
    }
}

impl Read for Arrivals {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.piece.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            match self.receiver.blocking_recv() {
                Some(piece) => self.piece = io::Cursor::new(piece),
                None => return Ok(0),
            }
        }
    }
}

/// Tells what is read of a file.
pub(super) struct Metered<R> {
    pub(super) inner: R,
    pub(super) meter: Arc<Meter>,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.meter.came(count as u64);
        Ok(count)
    }
}
