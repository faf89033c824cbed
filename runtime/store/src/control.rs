//! The bodies of the records that carry no objects: COMMIT and FORGET.

use crate::codec::Codec;
use crate::record::{Record, RecordKind, u32_at, u64_at};

/// Identifies a segment: random, so that processes never have to agree on one.
pub(crate) type SegmentId = [u8; 16];

const COMMIT_LEN: usize = 48;

/// Makes the records of one extent of a segment count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Commit {
    /// The segment it stands in, so that bytes copied from elsewhere never count as a commit.
    pub(crate) segment: SegmentId,
    /// First byte of the extent.
    pub(crate) start: u64,
    /// End of the extent: the place of the COMMIT record itself.
    pub(crate) end: u64,
    /// Records in the extent.
    pub(crate) records: u32,
    /// CRC32C over the header CRCs of those records, in order.
    pub(crate) chain: u32,
    /// When, in milliseconds since the epoch; for people.
    pub(crate) at_unix_ms: u64,
}

impl Commit {
    pub(crate) fn to_record(self) -> Record {
        let mut body = Vec::with_capacity(COMMIT_LEN);
        body.extend_from_slice(&self.segment);
        body.extend_from_slice(&self.start.to_le_bytes());
        body.extend_from_slice(&self.end.to_le_bytes());
        body.extend_from_slice(&self.records.to_le_bytes());
        body.extend_from_slice(&self.chain.to_le_bytes());
        body.extend_from_slice(&self.at_unix_ms.to_le_bytes());
        bare(RecordKind::Commit, body)
    }

    pub(crate) fn decode(body: &[u8]) -> Option<Commit> {
        let body: &[u8; COMMIT_LEN] = body.try_into().ok()?;
        let mut segment = [0; 16];
        segment.copy_from_slice(&body[..16]);
        Some(Commit {
            segment,
            start: u64_at(body, 16),
            end: u64_at(body, 24),
            records: u32_at(body, 32),
            chain: u32_at(body, 36),
            at_unix_ms: u64_at(body, 40),
        })
    }
}

/// Names one object of a segment: its record's offset / 8 and its line in the table.
pub(crate) type Spot = (u32, u16);

/// Encodes the objects that a collection takes back.
pub(crate) fn forget_record(spots: &[Spot]) -> Record {
    let mut body = Vec::with_capacity(spots.len() * 8);
    for (place, slot) in spots {
        body.extend_from_slice(&place.to_le_bytes());
        body.extend_from_slice(&u32::from(*slot).to_le_bytes());
    }
    bare(RecordKind::Forget, body)
}

pub(crate) fn decode_forget(body: &[u8]) -> Vec<Spot> {
    body.chunks_exact(8)
        .map(|spot| (u32_at(spot, 0), u32_at(spot, 4) as u16))
        .collect()
}

fn bare(kind: RecordKind, body: Vec<u8>) -> Record {
    Record {
        kind,
        codec: Codec::Raw,
        table: Vec::new(),
        raw: body.len() as u32,
        body,
    }
}

/// Extends the chain of header CRCs by one record.
pub(crate) fn extend_chain(chain: u32, header_crc: u32) -> u32 {
    crc32c::crc32c_append(chain, &header_crc.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Header;

    #[test]
    fn golden_commit_record() {
        let commit = Commit {
            segment: *b"0123456789abcdef",
            start: 32,
            end: 4096,
            records: 3,
            chain: 0x0102_0304,
            at_unix_ms: 5,
        };
        let mut bytes = Vec::new();
        let crc = commit.to_record().encode_into(4096, &mut bytes);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, GOLDEN_COMMIT);
        let header = Header::decode(&bytes, 4096).unwrap();
        assert_eq!(header.header_crc, crc);
        assert_eq!(header.table(&bytes), Some(Vec::new()));
        assert_eq!(Commit::decode(&bytes[32..80]), Some(commit));
        assert_eq!(
            Header::decode(&bytes, 4104),
            None,
            "a record counts only at its own place"
        );
    }
    const GOLDEN_COMMIT: &str = concat!(
        "6864523105000000300000003000000000020000e5ea13c5000000009cd5b5bd",
        "30313233343536373839616263646566200000000000000000100000000000000300000004030201",
        "0500000000000000",
    );

    #[test]
    fn forgotten_spots_are_read_back() {
        let spots = [(4, 0), (u32::MAX, u16::MAX)];
        assert_eq!(decode_forget(&forget_record(&spots).body), spots);
    }
}
