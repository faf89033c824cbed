//! What is told to others, and what could not be told yet.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use hd_dag::TreePath;
use hd_supervision::Port;

use crate::messages::{MountPointLost, Paths, PathsTouched};

/// Offers messages and remembers, in the shortest form, those refused; used by several threads.
#[derive(Debug)]
pub(super) struct Outbox {
    touched: Port<PathsTouched>,
    lost: Port<MountPointLost>,
    owed: Mutex<Owed>,
}

#[derive(Debug, Default)]
struct Owed {
    rescan: bool,
    lost: BTreeSet<TreePath>,
}

impl Owed {
    fn is_empty(&self) -> bool {
        !self.rescan && self.lost.is_empty()
    }
}

impl Outbox {
    pub(super) fn new(touched: Port<PathsTouched>, lost: Port<MountPointLost>) -> Self {
        Self {
            touched,
            lost,
            owed: Mutex::default(),
        }
    }

    /// Tells the Debouncer; one refused becomes a `Rescan` that is owed, and covers all that follow
    /// until it was accepted. Returns whether something has come to be owed by this.
    pub(super) fn touch(&self, paths: Paths, seen_at: Instant) -> bool {
        let mut owed = self.owed.lock().unwrap_or_else(PoisonError::into_inner);
        let was_clear = owed.is_empty();
        let paths = if owed.rescan {
            Paths::Rescan
        } else {
            whole(paths)
        };
        owed.rescan = self.touched.offer(PathsTouched { paths, seen_at }).is_err();
        was_clear && !owed.is_empty()
    }

    /// Tells the MountServer. Returns whether something has come to be owed by this.
    pub(super) fn lose(&self, path: TreePath) -> bool {
        let mut owed = self.owed.lock().unwrap_or_else(PoisonError::into_inner);
        let was_clear = owed.is_empty();
        if let Err(refused) = self.lost.offer(MountPointLost { path }) {
            owed.lost.insert(refused.into_inner().path);
        }
        was_clear && !owed.is_empty()
    }

    /// Tries again to tell what is owed; returns whether something still is.
    pub(super) fn settle(&self) -> bool {
        let mut owed = self.owed.lock().unwrap_or_else(PoisonError::into_inner);
        if owed.rescan {
            let rescan = PathsTouched {
                paths: Paths::Rescan,
                seen_at: Instant::now(),
            };
            owed.rescan = self.touched.offer(rescan).is_err();
        }
        owed.lost.retain(|path| {
            self.lost
                .offer(MountPointLost { path: path.clone() })
                .is_err()
        });
        !owed.is_empty()
    }
}

/// The project directory stands for everything.
fn whole(paths: Paths) -> Paths {
    match paths {
        Paths::These(paths) if paths.first().is_some_and(TreePath::is_root) => Paths::Rescan,
        paths => paths,
    }
}

#[cfg(test)]
mod tests {
    use hd_supervision::WhenFull;
    use hd_supervision::testkit::recorder;

    use super::*;
    use crate::debouncer::window::these;

    fn path(text: &str) -> TreePath {
        TreePath::new(text.as_bytes()).unwrap()
    }

    #[test]
    fn what_is_refused_becomes_one_rescan() {
        let (touched, tape) = recorder("touched", 2, |_: &PathsTouched| ());
        let outbox = Outbox::new(touched, Port::new("lost", 1, WhenFull::Rescan));
        let now = Instant::now();
        assert!(!outbox.touch(these([path("a")]), now));
        assert!(
            !outbox.touch(these([path("")]), now),
            "the root itself is everything"
        );
        assert!(outbox.touch(these([path("c")]), now), "no room");
        assert!(!outbox.touch(these([path("d")]), now), "known already");
        assert!(outbox.settle());
        let told: Vec<Paths> = tape
            .take()
            .into_iter()
            .map(|message| message.paths)
            .collect();
        assert_eq!(told, [these([path("a")]), Paths::Rescan]);
        assert!(!outbox.touch(these([path("e")]), now));
        assert!(!outbox.settle());
        assert!(!outbox.touch(these([path("f")]), now));
        let told: Vec<Paths> = tape
            .take()
            .into_iter()
            .map(|message| message.paths)
            .collect();
        assert_eq!(told, [Paths::Rescan, these([path("f")])]);
    }

    #[test]
    fn a_lost_mount_point_is_told_once_there_is_room() {
        let (lost, tape) = recorder("lost", 1, |_: &MountPointLost| ());
        let outbox = Outbox::new(Port::new("touched", 1, WhenFull::Rescan), lost);
        assert!(!outbox.lose(path("a")));
        assert!(outbox.lose(path("b")));
        assert!(outbox.settle());
        assert_eq!(tape.take()[0].path, path("a"));
        assert!(!outbox.settle());
        assert_eq!(tape.take()[0].path, path("b"));
    }
}
