//! What the last collection left, so that nobody collects again in vain.
//!
//! ```text
//! cas/collected   0 when, in milliseconds since the epoch (u64)   8 bytes of segments left (u64)
//!                 16 CRC32C of the bytes before (u32)
//! ```

use std::fs;

use super::GcOptions;
use crate::Store;
use crate::durable::{Durability, replace};
use crate::record::{u32_at, u64_at};

const NAME: &str = "collected";
const LEN: usize = 20;

/// The last collection of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Collected {
    /// When, in milliseconds since the epoch.
    pub at_unix_ms: u64,
    /// Bytes of segment files it left.
    pub file_bytes: u64,
}

impl Store {
    /// Tells about the last collection; `None` when there was none, or nothing sound says so.
    pub fn collected(&self) -> Option<Collected> {
        let bytes = fs::read(self.inner.cas.join(NAME)).ok()?;
        let sound = bytes.len() == LEN && u32_at(&bytes, 16) == crc32c::crc32c(&bytes[..16]);
        sound.then(|| Collected {
            at_unix_ms: u64_at(&bytes, 0),
            file_bytes: u64_at(&bytes, 8),
        })
    }

    /// Writes down that a collection is done, and forgets uses that no longer matter.
    pub(super) fn note_collected(&self, options: &GcOptions) {
        let mut bytes = options.now_unix_ms.to_le_bytes().to_vec();
        bytes.extend_from_slice(&self.file_bytes().to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        let noted = replace(&self.inner.cas.join(NAME), &bytes, Durability::Derived);
        let oldest = options.history_max_age.unwrap_or_default().as_millis();
        let oldest = u64::try_from(oldest).unwrap_or(u64::MAX);
        let forgot = match oldest {
            0 => Ok(()),
            oldest => self.forget_uses(options.now_unix_ms.saturating_sub(oldest)),
        };
        // On a full disk the next one learns less: the collection itself is done.
        if let Err(error) = noted.and(forgot) {
            tracing::debug!(%error, "what was collected was not noted");
        }
    }
}
