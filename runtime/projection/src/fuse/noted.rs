//! What happened while a node was read, noted in each view that shows it: a request does not say which of them it
//! came through.

use fuser::Errno;

use super::inodes::{Inode, ROOT};
use super::view::View;
use super::{ProjectedFs, to_errno};
use crate::error::ProjectionError;
use crate::lower::{Content, Lower};

impl<L: Lower> ProjectedFs<L> {
    /// Gives the answer to a request for a node that failed, and notes it.
    pub(super) fn failed(&self, inode: &Inode<L>, error: &ProjectionError) -> Errno {
        self.in_views(inode, |view| view.note_failed(error));
        to_errno(error)
    }

    /// Gives the bytes that were read for a node. If they are another one's, that is noted, and no later view has
    /// what the kernel keeps of them.
    pub(super) fn bytes(&self, inode: &Inode<L>, content: Content) -> Vec<u8> {
        if content.is_of_another {
            inode.stray();
            if inode.node.observed {
                self.in_views(inode, View::note_overtaken);
            }
        }
        content.bytes
    }

    fn in_views(&self, inode: &Inode<L>, note: impl Fn(&View<L>)) {
        let one = || self.inodes.get(ROOT).into_iter().collect();
        let roots: Vec<_> = self.many.as_ref().map_or_else(one, |many| many.roots());
        for root in roots {
            if let Some(view) = root.view()
                && self.inodes.is_known_below(&root, inode)
            {
                note(view);
            }
        }
    }
}
