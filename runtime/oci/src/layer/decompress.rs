//! Layers decompressed by media type, as a stream.

use std::io::{self, BufRead, Read};

use crate::media::Compression;

/// Largest zstd window taken, as a power of two: 128 MiB, what the zstd program takes without being asked.
const ZSTD_WINDOW_LOG: u32 = 27;

/// Wraps the bytes of a layer so that its tar archive is read.
///
/// # Errors
/// Fails when the decoder cannot be set up; bad data fails the reads.
pub(crate) fn decompressor<'a>(
    source: impl BufRead + Send + 'a,
    compression: Compression,
) -> io::Result<Box<dyn Read + Send + 'a>> {
    Ok(match compression {
        Compression::None => Box::new(source),
        // Builders join members (pigz, eStargz), so all of them are read.
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(source)),
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(source)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tarball::gzip;

    fn read(bytes: &[u8], compression: Compression) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        decompressor(bytes, compression)?.read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn joined_members_and_frames_are_one_stream() {
        let gz = [gzip(b"one "), gzip(b"two")].concat();
        assert_eq!(read(&gz, Compression::Gzip).expect("gzip"), b"one two");
        let frame = |bytes: &[u8]| zstd::bulk::compress(bytes, 1).expect("zstd");
        let frames = [frame(b"one "), frame(b"two")].concat();
        assert_eq!(read(&frames, Compression::Zstd).expect("zstd"), b"one two");
        assert_eq!(read(b"one", Compression::None).expect("plain"), b"one");
    }

    #[test]
    fn cut_and_foreign_data_fail() {
        let gz = gzip(&[7; 10_000]);
        assert!(read(&gz[..gz.len() - 4], Compression::Gzip).is_err());
        assert!(read(b"<html>", Compression::Gzip).is_err());
        let frame = zstd::bulk::compress(&[7; 10_000], 1).expect("zstd");
        assert!(read(&frame[..frame.len() - 4], Compression::Zstd).is_err());
    }
}
