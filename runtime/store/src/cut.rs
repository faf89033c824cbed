//! Content-defined cut points of large blobs.
//!
//! FastCDC as published by Xia et al. in 2020 (IEEE TPDS 31-9), normalised chunking level 2,
//! seed 0. A changed cut point costs deduplication, never correctness; golden vectors hold it.

use std::ops::Range;

use fastcdc::v2020::{FastCDC, Normalization};

/// Smallest, average and largest chunk in bytes; even, as the algorithm rolls two bytes each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CutSizes {
    pub(crate) min: u32,
    pub(crate) avg: u32,
    pub(crate) max: u32,
}

impl CutSizes {
    /// 8/32/128 KiB: measured best in research/storage, section 4.
    pub(crate) const DEFAULT: CutSizes = CutSizes {
        min: 8192,
        avg: 32768,
        max: 131_072,
    };

    pub(crate) fn is_legal(&self) -> bool {
        let CutSizes { min, avg, max } = *self;
        let even = [min, avg, max].iter().all(|size| size.is_multiple_of(2));
        even && (64..=1_048_576).contains(&min)
            && (1024..=4_194_304).contains(&avg)
            && max <= 1_048_576
            && min < avg
            && avg < max
    }

    /// Cuts a window of a blob. Unless the blob ends with the window (`last`), bytes that later
    /// ones could still join are left over, so that no window size changes a cut point.
    pub(crate) fn cut(&self, window: &[u8], last: bool) -> Vec<Range<usize>> {
        let [min, avg, max] = [self.min, self.avg, self.max].map(|size| size as usize);
        let chunker = FastCDC::with_level(window, min, avg, max, Normalization::Level2);
        let mut chunks = Vec::with_capacity(window.len() / avg + 1);
        let mut start = 0;
        while start < window.len() && (last || window.len() - start >= max) {
            let (_, end) = chunker.cut(start, window.len() - start);
            chunks.push(start..end);
            start = end;
        }
        chunks
    }

    /// Cuts a window of so many zeros that is not the last, into chunks of [`Self::len_of_zeros`].
    pub(crate) fn cut_zeros(&self, window: usize, chunk: usize) -> Vec<Range<usize>> {
        let starts = (0..window).step_by(chunk);
        let is_full = |start: &usize| window - start >= self.max as usize;
        starts
            .take_while(is_full)
            .map(|start| start..start + chunk)
            .collect()
    }

    /// How long chunks of zeros are: all of them the same, since the hash that finds cut points begins
    /// anew with each.
    pub(crate) fn len_of_zeros(&self) -> usize {
        let max = self.max as usize;
        let first = self.cut(&vec![0; max], true).into_iter().next();
        first.map_or(max, |chunk| chunk.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bytes that look random and are the same everywhere: BLAKE3 in its stream mode.
    fn noise(len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        bytes
    }

    /// "Akashita" by Toriyama Sekien (1712-1788), the picture on which implementations of FastCDC
    /// publish their cut points.
    const PICTURE: &[u8] = include_bytes!("../tests/fixtures/SekienAkashita.jpg");

    /// Vectors of the crate fastcdc (module `v2020`): hashes and lengths.
    #[test]
    fn the_published_vectors_of_fastcdc_2020_hold() {
        let check = |data: &[u8], [min, avg, max]: [usize; 3], seed, expected: &[(u64, usize)]| {
            let level = Normalization::Level1;
            let chunker = FastCDC::with_level_and_seed(data, min, avg, max, level, seed);
            let mut start = 0;
            for (hash, len) in expected {
                assert_eq!(chunker.cut(start, data.len() - start), (*hash, start + len));
                start += len;
            }
            assert_eq!(start, data.len());
        };
        let published = [
            (17_968_276_318_003_433_923, 21_325),
            (8_197_189_939_299_398_838, 17_140),
            (13_019_990_849_178_155_730, 28_084),
            (4_509_236_223_063_678_303, 18_217),
            (2_504_464_741_100_432_583, 24_700),
        ];
        check(PICTURE, [4096, 16_384, 65_534], 0, &published);
        let seeded = [
            (9_312_357_714_466_240_148, 10_605),
            (226_910_853_333_574_584, 55_745),
            (12_271_755_243_986_371_352, 11_346),
            (14_153_975_939_352_546_047, 5883),
            (5_890_158_701_071_314_778, 11_586),
            (7_825_381_280_837_793_533, 14_301),
        ];
        check(PICTURE, [4096, 16_384, 65_534], 666, &seeded);
        let larger = [
            (15_733_367_461_443_853_673, 66_549),
            (2_504_464_741_100_432_583, 42_917),
        ];
        check(PICTURE, [8192, 32_768, 131_072], 0, &larger);
        let zeros = [(14_169_102_344_523_991_076, 1024); 10];
        check(&[0; 10_240], [64, 256, 1024], 0, &zeros);
    }

    #[test]
    fn golden_cut_points() {
        let ends = |data: &[u8], sizes: CutSizes| -> Vec<usize> {
            sizes
                .cut(data, true)
                .iter()
                .map(|chunk| chunk.end)
                .collect()
        };
        let data = noise(300_000);
        assert_eq!(ends(&data, CutSizes::DEFAULT), GOLDEN_8_32_128);
        let published = CutSizes {
            min: 4096,
            avg: 16384,
            max: 65536,
        };
        assert_eq!(ends(&data, published)[..6], GOLDEN_4_16_64);
        assert_eq!(
            ends(&[0; 300_000], CutSizes::DEFAULT),
            [131_072, 262_144, 300_000]
        );
    }

    #[test]
    fn zeros_are_cut_as_if_they_were_looked_at() {
        let small = |[min, avg, max]: [u32; 3]| CutSizes { min, avg, max };
        for sizes in [
            CutSizes::DEFAULT,
            small([64, 1024, 2048]),
            small([4096, 16_384, 65_536]),
        ] {
            let max = sizes.max as usize;
            for len in [0, 1, max - 1, max, max + 1, 3 * max, 5 * max + 7] {
                let window = vec![0; len];
                let looked_at = sizes.cut(&window, false);
                let not_looked_at = sizes.cut_zeros(len, sizes.len_of_zeros());
                assert_eq!(not_looked_at, looked_at, "{sizes:?} {len}");
            }
        }
    }

    const GOLDEN_8_32_128: [usize; 9] = [
        32_798, 69_277, 119_348, 149_670, 173_959, 185_714, 220_847, 256_693, 300_000,
    ];
    const GOLDEN_4_16_64: [usize; 6] = [25_574, 32_798, 50_762, 69_277, 88_353, 119_348];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn windows_do_not_change_the_cuts(len in 0_usize..600_000, window in 140_000_usize..400_000) {
            let data = noise(len);
            let whole = CutSizes::DEFAULT.cut(&data, true);
            let mut pieces = Vec::new();
            let mut start = 0;
            loop {
                let end = (start + window).min(len);
                let cuts = CutSizes::DEFAULT.cut(&data[start..end], end == len);
                let next = cuts.last().map_or(start, |chunk| start + chunk.end);
                pieces.extend(cuts.iter().map(|chunk| start + chunk.start..start + chunk.end));
                if end == len { break; }
                prop_assert!(next > start);
                start = next;
            }
            prop_assert_eq!(pieces, whole);
        }
    }
}
