//! The decoded frames that were read last.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::frame::Frame;

/// Bytes of decoded frames kept.
const CAPACITY: usize = 28 << 20;
const SHARDS: usize = 8;

/// The number of a segment in this process, and the offset / 8 of the record.
pub(crate) type FrameKey = (u64, u32);

/// A least-recently-used cache, split so that parallel readers seldom meet.
#[derive(Debug)]
pub(crate) struct FrameCache {
    shards: [Mutex<Shard>; SHARDS],
    capacity: usize,
}

#[derive(Debug, Default)]
struct Shard {
    frames: HashMap<FrameKey, (Arc<Frame>, u64)>,
    by_use: BTreeMap<u64, FrameKey>,
    clock: u64,
    cost: usize,
}

impl FrameCache {
    pub(crate) fn new() -> FrameCache {
        FrameCache::with_capacity(CAPACITY)
    }

    fn with_capacity(capacity: usize) -> FrameCache {
        FrameCache {
            shards: Default::default(),
            capacity: capacity / SHARDS,
        }
    }

    fn shard(&self, key: FrameKey) -> MutexGuard<'_, Shard> {
        let number = (key.0 ^ u64::from(key.1)) as usize % SHARDS;
        // A shard is consistent between calls, so a panic elsewhere does not spoil it.
        self.shards[number]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, key: FrameKey) -> Option<Arc<Frame>> {
        let mut guard = self.shard(key);
        let shard = &mut *guard;
        let (frame, used) = shard.frames.get_mut(&key)?;
        shard.by_use.remove(used);
        shard.clock += 1;
        *used = shard.clock;
        shard.by_use.insert(shard.clock, key);
        Some(Arc::clone(frame))
    }

    pub(crate) fn insert(&self, key: FrameKey, frame: &Arc<Frame>) {
        let mut guard = self.shard(key);
        let shard = &mut *guard;
        shard.remove(key);
        shard.clock += 1;
        shard.cost += frame.cost();
        shard.by_use.insert(shard.clock, key);
        shard.frames.insert(key, (Arc::clone(frame), shard.clock));
        while shard.cost > self.capacity {
            let Some((_, oldest)) = shard.by_use.first_key_value() else {
                break;
            };
            let oldest = *oldest;
            shard.remove(oldest);
        }
    }

    /// Drops all frames.
    pub(crate) fn clear(&self) {
        for shard in &self.shards {
            *shard.lock().unwrap_or_else(PoisonError::into_inner) = Shard::default();
        }
    }

    /// Drops a frame whose bytes turned out not to be what they should be.
    pub(crate) fn remove(&self, key: FrameKey) {
        self.shard(key).remove(key);
    }
}

impl Shard {
    fn remove(&mut self, key: FrameKey) {
        if let Some((frame, used)) = self.frames.remove(&key) {
            self.by_use.remove(&used);
            self.cost -= frame.cost();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::RecordKind;

    #[test]
    fn the_least_recently_used_frame_goes_first() {
        let cache = FrameCache::with_capacity(8 * 2000);
        let frame = Arc::new(Frame::new(RecordKind::Chunks, Vec::new(), Vec::new()).unwrap());
        let fill = 2000 / frame.cost() as u32;
        // All keys of this test lie in one shard.
        for number in 0..fill {
            cache.insert((0, number * 8), &frame);
        }
        assert!(cache.get((0, 0)).is_some());
        cache.insert((0, fill * 8), &frame);
        assert!(cache.get((0, 0)).is_some(), "it was used again");
        assert!(cache.get((0, 8)).is_none(), "it was the oldest");
        cache.remove((0, 0));
        assert!(cache.get((0, 0)).is_none());
        cache.clear();
        assert!((0..fill).all(|number| cache.get((0, number * 8)).is_none()));
        cache.insert((0, 0), &frame);
        assert!(cache.get((0, 0)).is_some());
    }
}
