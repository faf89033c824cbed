//! How the body of a record is stored: raw, or one zstd frame.

use std::cell::RefCell;

use zstd::bulk::{Compressor, Decompressor};
use zstd::compress_bound;
use zstd::zstd_safe::{CParameter, Strategy};

/// How a body is compressed; whatever the way, it is read alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// For small files and nodes, whose own costs are most of the work.
    Small,
    /// For pieces of large files: little but compressing is to be done for them.
    Piece,
    /// For a piece that has a frame of its own lest a read of it waits: restoring it has to be fast.
    Alone,
}

impl Effort {
    /// What a compressor is told.
    ///
    /// Measured on 96 MiB of programs, processor time and bytes against level 3 in frames of 128 KiB:
    /// level 2 0.72 and 1.016, level 1 0.67 and 1.045. The fast strategy of level 2 in frames of 192 KiB
    /// 0.72 and 0.994, and level 2 itself there, which is another strategy for so many bytes, 0.96 and
    /// 0.983. On small files in frames of 64 KiB nothing beats level 2 in both. On 4 MB of programs in
    /// frames of 16 KiB, bytes and speed of restoring against the fast strategy: level -1 1.10 and 1.3, level
    /// -3 1.25 and 1.7; most of a read of such a frame is restoring it.
    fn parameters(self) -> &'static [CParameter] {
        const SMALL: &[CParameter] = &[CParameter::CompressionLevel(2)];
        const PIECE: &[CParameter] = &[
            CParameter::CompressionLevel(2),
            CParameter::Strategy(Strategy::ZSTD_fast),
            CParameter::HashLog(15),
            CParameter::MinMatch(5),
        ];
        const ALONE: &[CParameter] = &[CParameter::CompressionLevel(-2)];
        match self {
            Effort::Small => SMALL,
            Effort::Piece => PIECE,
            Effort::Alone => ALONE,
        }
    }

    fn compressor(self) -> Option<Compressor<'static>> {
        let mut compressor = Compressor::default();
        for parameter in self.parameters() {
            compressor.set_parameter(*parameter).ok()?;
        }
        Some(compressor)
    }
}

/// Names the encoding of a body; recorded in each header and never guessed from content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    Raw,
    Zstd,
}

impl Codec {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Codec::Raw => 0,
            Codec::Zstd => 1,
        }
    }

    pub(crate) const fn from_code(code: u8) -> Option<Codec> {
        match code {
            0 => Some(Codec::Raw),
            1 => Some(Codec::Zstd),
            _ => None,
        }
    }
}

thread_local! {
    // Contexts cost far more to make than a frame of 64 KiB to code.
    static PRESS: RefCell<Press> = RefCell::default();
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// What a thread compresses with.
#[derive(Default)]
struct Press {
    /// One for each effort: other parameters lay the tables of one out anew.
    small: Option<Compressor<'static>>,
    piece: Option<Compressor<'static>>,
    alone: Option<Compressor<'static>>,
    /// Where bodies are compressed to. What is kept of them is copied, lest every record that waits
    /// to be written takes room for a body that did not shrink.
    packed: Vec<u8>,
}

impl Press {
    fn pack(&mut self, body: &[u8], effort: Effort) -> Option<&[u8]> {
        let slot = match effort {
            Effort::Small => &mut self.small,
            Effort::Piece => &mut self.piece,
            Effort::Alone => &mut self.alone,
        };
        if slot.is_none() {
            *slot = effort.compressor();
        }
        self.packed.clear();
        self.packed.reserve(compress_bound(body.len()));
        let compressor = slot.as_mut()?;
        compressor.compress_to_buffer(body, &mut self.packed).ok()?;
        Some(&self.packed)
    }
}

/// Compresses a body if that gains at least 6 %; `None` means: store it raw.
pub(crate) fn compress(body: &[u8], effort: Effort) -> Option<Vec<u8>> {
    if body.len() < 64 {
        return None;
    }
    PRESS.with_borrow_mut(|press| {
        let packed = press.pack(body, effort)?;
        (packed.len() * 100 <= body.len() * 94).then(|| packed.to_vec())
    })
}

/// Restores a body of exactly `raw` bytes; `None` when the stored bytes are no such body.
pub(crate) fn decompress(codec: Codec, stored: &[u8], raw: usize) -> Option<Vec<u8>> {
    let body = match codec {
        Codec::Raw => stored.to_vec(),
        Codec::Zstd => DECOMPRESSOR.with_borrow_mut(|slot| {
            if slot.is_none() {
                *slot = Decompressor::new().ok();
            }
            slot.as_mut()?.decompress(stored, raw).ok()
        })?,
    };
    (body.len() == raw).then_some(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn gains_below_six_percent_stay_raw() {
        let mut noise = vec![0; 65536];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        assert_eq!(compress(&noise, Effort::Piece), None);
        assert_eq!(compress(&[7; 20], Effort::Small), None);
        let packed = compress(&[7; 65536], Effort::Small).unwrap();
        assert_eq!(
            decompress(Codec::Zstd, &packed, 65536),
            Some(vec![7; 65536])
        );
    }

    proptest! {
        /// Bytes of every kind from noise to runs; whatever is packed is restored to the byte.
        #[test]
        fn any_bytes_are_restored(
            pieces in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..300), 1_usize..400), 0..12)
        ) {
            let body: Vec<u8> = pieces.iter().flat_map(|(piece, times)| piece.repeat(*times)).collect();
            for effort in [Effort::Small, Effort::Piece, Effort::Alone] {
                match compress(&body, effort) {
                    Some(packed) => {
                        prop_assert!(packed.len() * 100 <= body.len() * 94);
                        prop_assert_eq!(decompress(Codec::Zstd, &packed, body.len()), Some(body.clone()));
                    }
                    None => prop_assert_eq!(decompress(Codec::Raw, &body, body.len()), Some(body.clone())),
                }
            }
        }

        /// Stored bytes that are none of ours are refused or give just the length asked for.
        #[test]
        fn arbitrary_stored_bytes_never_panic(stored in prop::collection::vec(any::<u8>(), 0..400), raw in 0_usize..100_000) {
            for codec in [Codec::Raw, Codec::Zstd] {
                if let Some(body) = decompress(codec, &stored, raw) {
                    prop_assert_eq!(body.len(), raw);
                }
            }
        }
    }

    #[test]
    fn other_lengths_and_garbage_are_refused() {
        let packed = compress(&[7; 1000], Effort::Small).unwrap();
        assert_eq!(decompress(Codec::Zstd, &packed, 999), None);
        assert_eq!(decompress(Codec::Zstd, &packed, 1001), None);
        assert_eq!(decompress(Codec::Zstd, &[1; 50], 100), None);
        assert_eq!(decompress(Codec::Raw, &[1; 50], 51), None);
    }
}
