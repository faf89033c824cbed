//! Asking what a diff does to a trace, at a cost that follows the diff.

use super::{Miss, Observation, Observed, Seen, Trace};
use crate::entry::{Entry, Kind};
use crate::path::TreePath;
use crate::tree::Change;

/// Returns the first observation that a diff makes untrue.
///
/// For a trace that holds on the old tree of the diff this is the first miss that
/// [`check`](super::check) finds on the new one. What a listing would be now is left open.
/// Observations of the host's own files are not judged: see [`Trace::on_host`].
pub fn touched_by<'c>(
    trace: &Trace,
    changes: impl IntoIterator<Item = &'c Change>,
) -> Option<Miss> {
    let mut first: Option<Miss> = None;
    for change in changes {
        let misses = listing_above(trace, change).into_iter();
        for miss in misses.chain(at_the_path(trace, change)) {
            let earlier = first
                .as_ref()
                .is_none_or(|first| order(&miss) < order(first));
            if earlier {
                first = Some(miss);
            }
        }
    }
    first
}

fn order(miss: &Miss) -> (&TreePath, bool) {
    (&miss.path, matches!(miss.old, Observation::List(_)))
}

fn in_the_tree<'t>(trace: &'t Trace, path: &TreePath) -> Option<&'t Observed> {
    trace.get(path).filter(|observed| !observed.is_host())
}

/// The name appeared in a listing, vanished from it or became another kind.
fn listing_above(trace: &Trace, change: &Change) -> Option<Miss> {
    if visible(change.old.as_ref()) == visible(change.new.as_ref()) {
        return None;
    }
    let path = change.path.parent()?;
    let digest = in_the_tree(trace, &path)?.list?;
    let old = Observation::List(digest);
    Some(Miss {
        path,
        old,
        new: None,
    })
}

fn visible(entry: Option<&Entry>) -> Option<Kind> {
    entry
        .map(Entry::kind)
        .filter(|kind| *kind != Kind::Whiteout)
}

fn at_the_path(trace: &Trace, change: &Change) -> Option<Miss> {
    let observed = in_the_tree(trace, &change.path)?;
    let now = Seen::of(change.new.as_ref());
    let miss = |old, new| Miss {
        path: change.path.clone(),
        old,
        new,
    };
    if let Some(seen) = observed.lookup
        && seen != now
    {
        let new = Some(Observation::Lookup(now));
        return Some(miss(Observation::Lookup(seen), new));
    }
    let is_dir = visible(change.new.as_ref()) == Some(Kind::Dir);
    let list = observed.list.filter(|_| !is_dir)?;
    Some(miss(Observation::List(list), None))
}
