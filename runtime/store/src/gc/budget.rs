//! What may stay when not all that is needed has room: the most recently used.

use std::time::Duration;

use super::GcOptions;
use super::mark::Entry;
use crate::RefRecord;

/// How much a collection may leave; what was used least recently goes first.
///
/// Leases and what is in use or young stays even if that is more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// Bytes of segment files; about a tenth less is aimed at, so that the next collection is not
    /// due at once.
    pub max_bytes: u64,
    /// References and history used within this time stay.
    pub keep: Duration,
}

impl Budget {
    /// Bytes of live objects that have room.
    pub(crate) fn room(&self) -> u64 {
        self.max_bytes - self.max_bytes / 10
    }
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

    fn age(&self, options: &GcOptions) -> Duration {
        Duration::from_millis(options.now_unix_ms.saturating_sub(self.at_unix_ms()))
    }

    fn is_in_use(&self, options: &GcOptions) -> bool {
        matches!(self, Item::Ref(name, _) if options.in_use.contains(name))
    }

    fn must_go(&self, options: &GcOptions) -> bool {
        let unwanted = &options.unwanted;
        let named = match self {
            Item::Ref(name, _) => unwanted.refs.contains(name),
            Item::Entry(entry) => {
                let name = (entry.key, entry.made_unix_ms);
                unwanted.entries.contains(&name)
            }
        };
        let is_old = |limit| self.age(options) > limit && !self.is_in_use(options);
        named || unwanted.unused_for.is_some_and(is_old)
    }

    fn must_stay(&self, options: &GcOptions) -> bool {
        let budget = options.budget.as_ref();
        budget.is_none_or(|budget| self.age(options) <= budget.keep) || self.is_in_use(options)
    }
}

/// Roots by what becomes of them.
#[derive(Default)]
pub(crate) struct Sorted {
    pub(crate) go: Vec<Item>,
    pub(crate) stay: Vec<Item>,
    /// Those that stay as far as there is room, the most recently used first.
    pub(crate) may: Vec<Item>,
}

/// Sorts roots by what the options say of them.
pub(crate) fn sorted(options: &GcOptions, items: Vec<Item>) -> Sorted {
    let mut sorted = Sorted::default();
    for item in items {
        if item.must_go(options) {
            sorted.go.push(item);
        } else if item.must_stay(options) {
            sorted.stay.push(item);
        } else {
            sorted.may.push(item);
        }
    }
    let last_use = |item: &Item| std::cmp::Reverse(item.at_unix_ms());
    sorted.may.sort_by_key(last_use);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Unwanted;

    fn item(name: &str, at_unix_ms: u64) -> Item {
        let record = RefRecord {
            links: Vec::new(),
            project: String::new(),
            at_unix_ms,
        };
        Item::Ref(name.to_owned(), record)
    }

    fn names(options: &GcOptions) -> [Vec<String>; 3] {
        let all = [("old", 1), ("used", 2), ("young", 90), ("newer", 80)];
        let all = all.map(|(name, at)| item(name, at));
        let Sorted { go, stay, may } = sorted(options, all.into());
        [go, stay, may].map(|items| {
            let name = |item: &Item| match item {
                Item::Ref(name, _) => name.clone(),
                Item::Entry(_) => String::new(),
            };
            items.iter().map(name).collect()
        })
    }

    #[test]
    fn the_most_recently_used_comes_first_and_the_young_must_stay() {
        let options = GcOptions {
            budget: Some(Budget {
                max_bytes: 0,
                keep: Duration::from_millis(10),
            }),
            in_use: vec!["used".into()],
            ..GcOptions::new(100)
        };
        let [go, stay, may] = names(&options);
        assert!(go.is_empty());
        assert_eq!(
            (stay.join(" "), may.join(" ")),
            ("used young".into(), "newer old".into())
        );
        let [_, stay, may] = names(&GcOptions::new(100));
        assert_eq!((stay.len(), may.len()), (4, 0));
    }

    #[test]
    fn the_unwanted_goes_by_name_or_age_but_not_what_is_in_use_for_its_age() {
        let options = GcOptions {
            unwanted: Unwanted {
                refs: vec!["young".into()],
                unused_for: Some(Duration::from_millis(20)),
                ..Unwanted::default()
            },
            in_use: vec!["used".into()],
            ..GcOptions::new(100)
        };
        let [go, stay, _] = names(&options);
        assert_eq!(
            (go.join(" "), stay.join(" ")),
            ("old young".into(), "used newer".into())
        );
    }
}
