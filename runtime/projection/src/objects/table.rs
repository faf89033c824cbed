//! Numbers of objects: the root, then files as they are asked for.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use hd_store::Id;

/// Number of the root, fixed by the FUSE protocol.
pub(super) const ROOT: u64 = 1;
/// Number of the first file.
const FIRST_FILE: u64 = ROOT + 1;
/// A file up to this size is copied whole as soon as anything of it was read, bytes.
const WHOLE_MAX: u64 = 32 << 20;

/// Gives the id that a name in a directory is; nothing when it is none.
pub(super) fn named(parent: u64, name: &[u8]) -> Option<Id> {
    // Ids are read in either case, but a file has one name.
    let is_plain = |c: &u8| c.is_ascii_digit() || (b'a'..=b'f').contains(c);
    let is_one = parent == ROOT && name.iter().all(is_plain);
    let text = std::str::from_utf8(name).ok()?;
    is_one.then(|| Id::from_str(text).ok()).flatten()
}

/// An object with a number.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) id: Id,
    pub(super) size: u64,
    /// How many bytes of it are data, once that was asked.
    pub(super) data: OnceLock<u64>,
    read: AtomicU64,
    wanted: AtomicBool,
}

impl Object {
    /// Notes a read; answers, once, that so much was read that a raw copy is worth its room.
    pub(super) fn is_wanted_whole(&self, bytes: u64) -> bool {
        let read = self.read.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let is_wanted = self.size <= WHOLE_MAX || read >= self.size / 2;
        is_wanted && !self.wanted.swap(true, Ordering::Relaxed)
    }
}

/// All objects that were asked for.
#[derive(Debug, Default)]
pub(super) struct Table(Mutex<Numbered>);

#[derive(Debug, Default)]
struct Numbered {
    objects: Vec<Arc<Object>>,
    numbers: HashMap<Id, u64>,
}

impl Table {
    /// Numbers an object.
    pub(super) fn number(&self, id: Id, size: u64) -> (u64, Arc<Object>) {
        let mut table = self.lock();
        if let Some(&number) = table.numbers.get(&id)
            && let Some(object) = table.get(number)
        {
            return (number, object);
        }
        let number = FIRST_FILE + table.objects.len() as u64;
        let object = Arc::new(Object {
            id,
            size,
            data: OnceLock::new(),
            read: AtomicU64::new(0),
            wanted: AtomicBool::new(false),
        });
        table.objects.push(object.clone());
        table.numbers.insert(id, number);
        (number, object)
    }

    /// Gives the object of a number.
    pub(super) fn object(&self, number: u64) -> Option<Arc<Object>> {
        self.lock().get(number)
    }

    fn lock(&self) -> MutexGuard<'_, Numbered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Numbered {
    fn get(&self, number: u64) -> Option<Arc<Object>> {
        let at = usize::try_from(number.checked_sub(FIRST_FILE)?).ok()?;
        self.objects.get(at).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_ids_at_the_root_alone() {
        let id = Id::of(b"x");
        let hex = id.to_string();
        let upper = hex.to_uppercase();
        let cases: [(u64, &str, Option<Id>); 6] = [
            (ROOT, &hex, Some(id)),
            (ROOT, &upper, None),
            (ROOT, &hex[1..], None),
            (ROOT, &hex[..2], None),
            (ROOT, "views", None),
            (FIRST_FILE, &hex, None),
        ];
        for (parent, name, what) in cases {
            assert_eq!(named(parent, name.as_bytes()), what, "{name}");
        }
    }

    #[test]
    fn a_small_file_is_wanted_at_its_first_read_and_a_large_one_when_half_was_read() {
        let table = Table::default();
        let (small, object) = table.number(Id::of(b"small"), 10);
        assert_eq!(
            [object.is_wanted_whole(1), object.is_wanted_whole(9)],
            [true, false]
        );
        assert_eq!(table.number(Id::of(b"small"), 10).0, small);
        let (_, object) = table.number(Id::of(b"large"), 100 << 20);
        let wanted = [1, 48 << 20, 2 << 20, 1].map(|bytes| object.is_wanted_whole(bytes));
        assert_eq!(wanted, [false, false, true, false]);
    }
}
