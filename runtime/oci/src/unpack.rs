//! One layer on its way from the network into the store, in one pass and in bounded memory.
//!
//! Two threads share the work: one hashes and decompresses, the other reads the archive and stores its files.
//! Nothing becomes visible in the store unless length, digest and diff id all turn out right.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;

use hd_dag::{Rooted, StoreTrees, build};
use hd_store::Store;

use crate::digest::{Digest, Hasher, HashingReader};
use crate::known::{self, LayerNotes, RecordError};
use crate::layer::decompress::decompressor;
use crate::layer::draft::{Draft, Layer, Open};
use crate::layer::tar::TarReader;
use crate::layer::{LayerError, Limits};
use crate::media::Compression;

/// Bytes handed from thread to thread at once, and how many such pieces may wait.
const PIECE: usize = 128 << 10;
const PIECES: usize = 8;
/// Decoded tree nodes kept while a layer's tree is written, in bytes.
const NODE_CACHE: usize = 4 << 20;

/// Says what a layer must be.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    /// Digest of the bytes that come; where none was promised, the diff id alone decides.
    pub(crate) digest: Option<Digest>,
    pub(crate) size: u64,
    pub(crate) diff_id: Digest,
    pub(crate) compression: Compression,
    pub(crate) limits: Limits,
}

/// Is a layer that lies in the store.
#[derive(Debug, Clone)]
pub(crate) struct Unpacked {
    pub(crate) tree: Rooted,
    pub(crate) open: Open,
}

/// Says why a layer was not unpacked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnpackError {
    #[error("the layer has digest {found}")]
    WrongDigest { found: Digest },
    #[error("the layer unpacks to {found}")]
    WrongDiffId { found: Digest },
    #[error(transparent)]
    Layer(#[from] LayerError),
    #[error(transparent)]
    Store(#[from] hd_store::Error),
    #[error(transparent)]
    Tree(Box<hd_dag::TreeError>),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("a thread could not be started: {0}")]
    Thread(io::Error),
}

impl From<hd_dag::TreeError> for UnpackError {
    fn from(error: hd_dag::TreeError) -> UnpackError {
        UnpackError::Tree(Box::new(error))
    }
}

/// Unpacks a layer into the store and records it there.
pub(crate) fn unpack(
    store: &Store,
    source: impl Read + Send,
    expected: &Expected,
) -> Result<Unpacked, UnpackError> {
    let started = Instant::now();
    let mut writer = store.writer()?;
    let (sender, receiver) = sync_channel(PIECES);
    let (read, arrived) = std::thread::scope(|scope| {
        let worker = std::thread::Builder::new().name("hd-decompress".to_owned());
        // It takes the sender along, which thus ends with it.
        let worker = worker.spawn_scoped(scope, move || decompress(source, expected, &sender))?;
        let read = read_archive(Pieces::new(receiver), expected.limits, &mut writer);
        let arrived = worker
            .join()
            .map_err(|_| io::Error::other("the decompressor panicked"))?;
        Ok((read, arrived))
    })
    .map_err(UnpackError::Thread)?;
    // Damaged bytes fail in many ways; the digest is the one that says why.
    if expected
        .digest
        .as_ref()
        .is_some_and(|wanted| *wanted != arrived.digest)
    {
        return Err(UnpackError::WrongDigest {
            found: arrived.digest,
        });
    }
    let draft = match (arrived.failed, read) {
        (Some(error), _) => return Err(error.into()),
        (None, read) => read?,
    };
    if arrived.diff_id != expected.diff_id {
        return Err(UnpackError::WrongDiffId {
            found: arrived.diff_id,
        });
    }
    let Layer { entries, open } = draft.finish(expected.diff_id.to_string().as_bytes())?;
    let trees = StoreTrees::new(store.clone(), writer, NODE_CACHE);
    let tree = build(&trees, entries)?;
    if let Some(mut writer) = trees.writer() {
        let key = known::layer_key(&expected.diff_id);
        known::put(
            &mut writer,
            &key,
            tree,
            &LayerNotes::of(&open),
            started.elapsed(),
        )?;
    }
    trees.commit()?;
    Ok(Unpacked { tree, open })
}

/// Is what the decompressing thread saw.
struct Arrived {
    digest: Digest,
    diff_id: Digest,
    failed: Option<LayerError>,
}

/// Hashes, decompresses, hashes and hands on. Reads the source to its end whatever happens, for its digest.
fn decompress(
    source: impl Read + Send,
    expected: &Expected,
    sink: &SyncSender<Vec<u8>>,
) -> Arrived {
    let mut source = HashingReader::new(
        source,
        expected
            .digest
            .as_ref()
            .unwrap_or(&expected.diff_id)
            .algorithm(),
    );
    let mut hasher = Hasher::new(expected.diff_id.algorithm());
    let buffered = BufReader::with_capacity(PIECE, &mut source);
    let failed = hand_on(buffered, expected, &mut hasher, sink).err();
    let failed = match (failed, io::copy(&mut source, &mut io::sink())) {
        (None, Err(error)) => Some(error.into()),
        (failed, _) => failed,
    };
    Arrived {
        digest: source.finish().0,
        diff_id: hasher.finish(),
        failed,
    }
}

fn hand_on(
    source: impl BufRead + Send,
    expected: &Expected,
    hasher: &mut Hasher,
    sink: &SyncSender<Vec<u8>>,
) -> Result<(), LayerError> {
    let mut plain = decompressor(source, expected.compression)?;
    let most = expected.limits.unpacked(expected.size);
    let mut total = 0;
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        let count = plain.by_ref().take(PIECE as u64).read_to_end(&mut piece)? as u64;
        if count == 0 {
            return Ok(());
        }
        total += count;
        if total > most {
            let limit = expected.limits.ratio;
            return Err(LayerError::Limit {
                limit,
                what: "unpacked bytes per transferred byte",
            });
        }
        hasher.update(&piece);
        // The reader has given up; why, it says itself.
        if sink.send(piece).is_err() {
            return Ok(());
        }
    }
}

fn read_archive(
    source: Pieces,
    limits: Limits,
    writer: &mut hd_store::Writer,
) -> Result<Draft, UnpackError> {
    let mut archive = TarReader::new(source, limits);
    let mut draft = Draft::default();
    while let Some(entry) = archive.next_entry()? {
        let content = if Draft::wants_content(&entry) {
            Some(writer.put_blob_from(&mut archive.content())?)
        } else {
            None
        };
        draft.add(entry, content)?;
    }
    archive.drain()?;
    Ok(draft)
}

/// Reads what the other thread hands on.
struct Pieces {
    receiver: Receiver<Vec<u8>>,
    piece: Vec<u8>,
    at: usize,
}

impl Pieces {
    fn new(receiver: Receiver<Vec<u8>>) -> Pieces {
        Pieces {
            receiver,
            piece: Vec::new(),
            at: 0,
        }
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.piece.len() {
            match self.receiver.recv() {
                Ok(piece) => (self.piece, self.at) = (piece, 0),
                Err(_) => return Ok(0),
            }
        }
        let count = buffer.len().min(self.piece.len() - self.at);
        buffer[..count].copy_from_slice(&self.piece[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}
