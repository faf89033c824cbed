//! How a path stands to places that are named in the configuration.

use crate::path::is_at_or_below;

/// How a path stands to some places; the closest relation counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    /// Below none.
    Outside,
    /// Strictly below one.
    Below,
    /// A directory above one.
    LeadsTo,
    /// One itself.
    Named,
}

impl Relation {
    /// Compares a path with places; an empty one is the whole project.
    pub(super) fn of<'p>(
        path: &[u8],
        is_dir: bool,
        places: impl Iterator<Item = &'p [u8]>,
    ) -> Self {
        let mut relation = Self::Outside;
        for place in places {
            if !place.is_empty() && path == place {
                return Self::Named;
            }
            if is_dir && place.len() > path.len() && is_at_or_below(place, path) {
                relation = Self::LeadsTo;
            } else if relation == Self::Outside && is_at_or_below(path, place) {
                relation = Self::Below;
            }
        }
        relation
    }
}
