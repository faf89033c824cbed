//! What is to be watched anew, gathered while a job runs: pure.

use std::collections::BTreeSet;

use hd_dag::TreePath;
use hd_supervision::Merge;
use hd_supervision::actix::Message;

/// More paths than this are not worth naming: everything is watched anew.
const NAMED_MAX: usize = 4096;

/// Work for the Watcher, told by notify's thread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LookAt {
    /// Watch everything anew.
    pub(super) all: bool,
    /// Set the watches at and below these anew.
    pub(super) renew: BTreeSet<TreePath>,
    /// Ignore files of these directories changed.
    pub(super) refilter: BTreeSet<TreePath>,
    /// Events were lost.
    pub(super) overflow: bool,
    /// Something waits in the outbox.
    pub(super) owed: bool,
    /// Why no further event will come.
    pub(super) ended: Option<String>,
}

impl Message for LookAt {
    type Result = ();
}

impl Merge for LookAt {
    fn merge(&mut self, newer: Self) {
        self.all |= newer.all;
        self.overflow |= newer.overflow;
        self.owed |= newer.owed;
        self.renew.extend(newer.renew);
        self.refilter.extend(newer.refilter);
        if self.ended.is_none() {
            self.ended = newer.ended;
        }
        if self.renew.len() + self.refilter.len() > NAMED_MAX {
            self.all = true;
        }
        if self.all {
            self.renew.clear();
            self.refilter.clear();
        }
    }
}

impl LookAt {
    /// Everything.
    pub(super) fn all() -> Self {
        Self {
            all: true,
            ..Self::default()
        }
    }

    /// Tells whether nothing is to be watched anew.
    pub(super) fn is_empty(&self) -> bool {
        !self.all && self.renew.is_empty() && self.refilter.is_empty()
    }
}

/// Leaves out what lies below another one.
pub(super) fn topmost(paths: BTreeSet<TreePath>) -> Vec<TreePath> {
    let mut tops: Vec<TreePath> = Vec::new();
    // In the order of a walk a directory comes right before what lies below it.
    for path in paths {
        if !tops.last().is_some_and(|top| path.starts_with(top)) {
            tops.push(path);
        }
    }
    tops
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(names: &[&str]) -> BTreeSet<TreePath> {
        names
            .iter()
            .map(|name| TreePath::new(name.as_bytes()).unwrap())
            .collect()
    }

    #[test]
    fn what_gathers_is_bounded_and_everything_swallows_the_rest() {
        let mut look = LookAt {
            renew: paths(&["a", "b"]),
            ..LookAt::default()
        };
        look.merge(LookAt {
            refilter: paths(&["c"]),
            owed: true,
            ..LookAt::default()
        });
        assert_eq!(
            (look.renew.len(), look.refilter.len(), look.all),
            (2, 1, false)
        );
        let many: Vec<String> = (0..NAMED_MAX).map(|number| format!("d{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        look.merge(LookAt {
            renew: paths(&many),
            ..LookAt::default()
        });
        assert_eq!(
            look,
            LookAt {
                owed: true,
                ..LookAt::all()
            }
        );
        look.merge(LookAt {
            ended: Some("first".to_owned()),
            ..LookAt::default()
        });
        look.merge(LookAt {
            ended: Some("second".to_owned()),
            renew: paths(&["x"]),
            ..LookAt::default()
        });
        assert_eq!(
            (look.ended.as_deref(), look.renew.len()),
            (Some("first"), 0)
        );
    }

    #[test]
    fn a_directory_covers_what_lies_below_it() {
        let tops = topmost(paths(&["a/b/c", "a/b", "a-b", "a/x", "ab/c", "ab"]));
        assert_eq!(
            tops,
            paths(&["a/b", "a/x", "a-b", "ab"])
                .into_iter()
                .collect::<Vec<_>>()
        );
        assert_eq!(topmost(paths(&["", "a"])).len(), 1);
    }
}
