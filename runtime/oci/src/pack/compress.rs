//! Compressing a layer, the same bytes for the same archive.

use std::io::{self, Write};

use crate::digest::{Algorithm, Digest, Hasher};
use crate::media::Compression;

/// Fixed, for the digest depends on it: what Docker and most builders use.
const GZIP_LEVEL: u32 = 6;
/// Fixed likewise: the default of zstd.
const ZSTD_LEVEL: i32 = 3;

/// Compresses what is written to it, by one of the ways layers have.
pub(crate) enum Compressor<W: Write> {
    Plain(W),
    Gzip(flate2::write::GzEncoder<W>),
    Zstd(zstd::stream::write::Encoder<'static, W>),
}

impl<W: Write> Compressor<W> {
    pub(crate) fn new(out: W, compression: Compression) -> io::Result<Compressor<W>> {
        Ok(match compression {
            Compression::None => Compressor::Plain(out),
            // Without a name, a time or a system: nothing but the content.
            Compression::Gzip => {
                let builder = flate2::GzBuilder::new().mtime(0).operating_system(255);
                Compressor::Gzip(builder.write(out, flate2::Compression::new(GZIP_LEVEL)))
            }
            Compression::Zstd => {
                Compressor::Zstd(zstd::stream::write::Encoder::new(out, ZSTD_LEVEL)?)
            }
        })
    }

    pub(crate) fn finish(self) -> io::Result<W> {
        match self {
            Compressor::Plain(out) => Ok(out),
            Compressor::Gzip(encoder) => encoder.finish(),
            Compressor::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Compressor<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Compressor::Plain(out) => out.write(buffer),
            Compressor::Gzip(encoder) => encoder.write(buffer),
            Compressor::Zstd(encoder) => encoder.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Compressor::Plain(out) => out.flush(),
            Compressor::Gzip(encoder) => encoder.flush(),
            Compressor::Zstd(encoder) => encoder.flush(),
        }
    }
}

/// Hashes and counts what is written through it.
pub(crate) struct HashingWriter<W> {
    inner: W,
    hasher: Hasher,
    bytes: u64,
}

impl<W: Write> HashingWriter<W> {
    pub(crate) fn new(inner: W) -> HashingWriter<W> {
        let hasher = Hasher::new(Algorithm::Sha256);
        HashingWriter {
            inner,
            hasher,
            bytes: 0,
        }
    }

    /// Returns what it wraps, the digest and the number of bytes written.
    pub(crate) fn finish(self) -> (W, Digest, u64) {
        (self.inner, self.hasher.finish(), self.bytes)
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
