//! The user and group ids that exist where a tree is shown.

use std::ops::Range;

use hd_dag::Meta;

/// Ids that exist for the readers of a view; every other is shown as the first of them.
///
/// An owner that does not exist in the user namespace of a mount cannot be copied up by an overlay
/// (`EOVERFLOW`) nor changed by anybody there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownIds {
    users: Vec<Range<u32>>,
    groups: Vec<Range<u32>>,
}

impl ShownIds {
    /// Takes the ids; neither list may be empty, else nothing is changed.
    pub fn new(users: Vec<Range<u32>>, groups: Vec<Range<u32>>) -> Self {
        Self { users, groups }
    }

    /// Gives a user id as it is shown.
    pub fn user(&self, id: u32) -> u32 {
        shown(&self.users, id)
    }

    /// Gives a group id as it is shown.
    pub fn group(&self, id: u32) -> u32 {
        shown(&self.groups, id)
    }

    /// Gives a captured owner back what could not be shown of it: one who only touched a file of
    /// another did not mean to take it.
    pub(crate) fn restore(&self, captured: &mut Meta, original: &Meta) {
        if captured.uid != original.uid && captured.uid == self.user(original.uid) {
            captured.uid = original.uid;
        }
        if captured.gid != original.gid && captured.gid == self.group(original.gid) {
            captured.gid = original.gid;
        }
    }
}

fn shown(known: &[Range<u32>], id: u32) -> u32 {
    match known.first() {
        Some(first) if !known.iter().any(|range| range.contains(&id)) => first.start,
        _ => id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_exist_is_shown_as_the_first_and_comes_back() {
        let ids = ShownIds::new(vec![0..1, 1..100], vec![0..1, 1..2]);
        assert_eq!([0, 99, 100, 65534].map(|id| ids.user(id)), [0, 99, 0, 0]);
        let cases = [
            // captured, below, kept
            ((0, 0), (33, 7), (0, 7)),
            ((0, 0), (1000, 7), (1000, 7)),
            ((5, 0), (1000, 0), (5, 0)),
            ((33, 0), (33, 7), (33, 7)),
        ];
        for (captured, below, kept) in cases {
            let mut meta = Meta::owned(0o644, captured.0, captured.1);
            ids.restore(&mut meta, &Meta::owned(0o644, below.0, below.1));
            assert_eq!((meta.uid, meta.gid), kept, "{captured:?} over {below:?}");
        }
    }
}
