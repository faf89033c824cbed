//! Operations on whole trees. None recurses: trees may be thousands of levels deep.

mod apply;
mod build;
mod compose;
mod diff;
mod dir;
mod edits;
mod follow;
mod graft;
mod merge;
mod overlay;
mod read;
mod seen;
mod walk;

pub use apply::{Delta, apply};
pub use build::build;
pub use compose::compose;
pub use diff::{Change, Diff, diff};
pub use edits::Edit;
pub use follow::{Led, follow};
pub use graft::graft;
pub use merge::{Layer, merge_layers};
pub use read::{Entries, get, get_stamped, list, subtree};
pub use seen::{raise_times, retime, times_since};
pub use walk::{Walk, WalkItem, walk};
