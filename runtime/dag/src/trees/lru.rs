//! A bounded cache of shared values.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use hd_store::Id;

struct Generation<T>(HashMap<Id, (Arc<T>, usize)>, usize);

struct Generations<T> {
    young: Generation<T>,
    old: Generation<T>,
}

/// Keeps what was used last, within a weight in bytes.
///
/// Two generations stand for the order of use: a use moves a value to the young one; when that
/// holds half of the weight, it becomes the old one and the old one goes. Readers of young values
/// do not wait for each other.
pub(crate) struct Lru<T> {
    half: usize,
    generations: RwLock<Generations<T>>,
}

impl<T> Generation<T> {
    fn new() -> Self {
        Self(HashMap::new(), 0)
    }
}

impl<T> Lru<T> {
    pub(crate) fn new(weight: usize) -> Self {
        let (young, old) = (Generation::new(), Generation::new());
        Self {
            half: weight / 2,
            generations: RwLock::new(Generations { young, old }),
        }
    }

    pub(crate) fn get(&self, id: &Id) -> Option<Arc<T>> {
        let read = self
            .generations
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some((value, _)) = read.young.0.get(id) {
            return Some(Arc::clone(value));
        }
        let (value, weight) = read.old.0.get(id)?;
        let (value, weight) = (Arc::clone(value), *weight);
        drop(read);
        self.insert(*id, Arc::clone(&value), weight);
        Some(value)
    }

    /// Keeps a value; one heavier than half of the cache is not kept.
    pub(crate) fn insert(&self, id: Id, value: Arc<T>, weight: usize) {
        if weight > self.half {
            return;
        }
        let mut write = self
            .generations
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if write.young.1 + weight > self.half {
            write.old = std::mem::replace(&mut write.young, Generation::new());
        }
        if write.young.0.insert(id, (value, weight)).is_none() {
            write.young.1 += weight;
        }
    }
}

impl<T> std::fmt::Debug for Lru<T> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Lru")
            .field("half", &self.half)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> Id {
        Id::from_bytes([number; 32])
    }

    #[test]
    fn weight_stays_bounded_and_used_values_stay() {
        let cache = Lru::new(100);
        cache.insert(id(0), Arc::new(0), 10);
        for number in 1..=200 {
            cache.insert(id(number), Arc::new(number), 10);
            assert_eq!(cache.get(&id(0)).as_deref(), Some(&0), "after {number}");
        }
        let held = (0..=200).filter(|number| {
            let read = cache.generations.read().unwrap();
            read.young.0.contains_key(&id(*number)) || read.old.0.contains_key(&id(*number))
        });
        assert!(held.count() <= 10);
    }

    #[test]
    fn what_is_too_heavy_is_not_kept() {
        let cache = Lru::new(100);
        cache.insert(id(1), Arc::new(1), 51);
        assert!(cache.get(&id(1)).is_none());
    }
}
