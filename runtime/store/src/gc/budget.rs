//! What may stay when not all that is needed has room: the most recently used.

use std::collections::HashMap;
use std::time::Duration;

use super::GcOptions;
use super::mark::Entry;
use crate::shelf::Located;
use crate::{RefRecord, Result};

/// How much a collection may leave; what was used least recently goes first.
///
/// Leases and what is in use or young stays even if that is more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// Bytes of segment files.
    pub max_bytes: u64,
    /// References and history used within this time stay.
    pub keep: Duration,
    /// Names of references that stay, however old.
    pub in_use: Vec<String>,
}

/// One root that a budget may drop.
pub(crate) enum Item {
    Ref(String, RefRecord),
    Entry(Entry),
}

impl Item {
    fn at_unix_ms(&self) -> u64 {
        match self {
            Item::Ref(_, record) => record.at_unix_ms,
            Item::Entry(entry) => entry.at_unix_ms,
        }
    }

    fn must_stay(&self, options: &GcOptions) -> bool {
        let Some(budget) = &options.budget else {
            return true;
        };
        let age = options.now_unix_ms.saturating_sub(self.at_unix_ms());
        let is_young = u128::from(age) <= budget.keep.as_millis();
        is_young || matches!(self, Item::Ref(name, _) if budget.in_use.contains(name))
    }
}

/// Sorts roots: what must stay, then the rest, the most recently used first.
pub(crate) fn in_order(options: &GcOptions, items: Vec<Item>) -> (Vec<Item>, Vec<Item>) {
    let (must, mut may): (Vec<Item>, Vec<Item>) =
        items.into_iter().partition(|item| item.must_stay(options));
    may.sort_by_key(|item| std::cmp::Reverse(item.at_unix_ms()));
    (must, may)
}

/// Adds up what marked copies take in their segments.
#[derive(Debug, Default)]
pub(crate) struct Sizes {
    /// Of a record: bytes in the file, and bytes decoded.
    records: HashMap<(u64, u32), (u64, u64)>,
    pub(crate) bytes: u64,
}

impl Sizes {
    /// The share of its record that a copy takes, in bytes.
    pub(crate) fn of(&mut self, copy: &Located) -> Result<u64> {
        let key = (copy.segment.number, copy.entry.place);
        let (stored, raw) = match self.records.get(&key) {
            Some(known) => *known,
            None => {
                let outline = copy.segment.outline(copy.entry.place)?;
                let size = outline.map_or((0, 1), |found| {
                    let header = found.header;
                    (header.record_len(), u64::from(header.raw).max(1))
                });
                *self.records.entry(key).or_insert(size)
            }
        };
        Ok(stored * u64::from(copy.len) / raw)
    }

    pub(crate) fn add(&mut self, copy: &Located) {
        // A record that cannot be read takes no part in the sum; the collection meets it again.
        self.bytes += self.of(copy).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_recently_used_comes_first_and_the_young_must_stay() {
        let options = GcOptions {
            budget: Some(Budget {
                max_bytes: 0,
                keep: Duration::from_millis(10),
                in_use: vec!["used".into()],
            }),
            ..GcOptions::new(100)
        };
        let item = |name: &str, at_unix_ms| {
            let record = RefRecord {
                links: Vec::new(),
                project: String::new(),
                at_unix_ms,
            };
            Item::Ref(name.to_owned(), record)
        };
        let names = |items: &[Item]| -> Vec<String> {
            let name = |item: &Item| match item {
                Item::Ref(name, _) => name.clone(),
                Item::Entry(_) => String::new(),
            };
            items.iter().map(name).collect()
        };
        let all = || {
            vec![
                item("old", 1),
                item("used", 2),
                item("young", 90),
                item("newer", 80),
            ]
        };
        let (must, may) = in_order(&options, all());
        assert_eq!(names(&must), ["used", "young"]);
        assert_eq!(names(&may), ["newer", "old"]);
        let (must, may) = in_order(&GcOptions::new(100), all());
        assert_eq!((must.len(), may.len()), (4, 0));
    }
}
