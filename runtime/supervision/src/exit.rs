//! How a child ended.

use std::fmt;
use std::sync::Arc;

/// How one incarnation of a child ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It stopped by itself or because it was told to.
    Normal,
    /// It panicked; the text is the panic's message and place.
    Panicked(String),
    /// Its lane died, it was cancelled, or it did not stop within its grace and was dropped.
    Vanished,
    /// It is a tree that spent its restarts; the text names the child and the last cause.
    Escalated(String),
}

impl Exit {
    /// Tells whether the child ended on purpose.
    #[must_use]
    pub fn is_normal(&self) -> bool {
        matches!(self, Self::Normal)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => f.write_str("ended"),
            Self::Panicked(message) => write!(f, "panicked: {message}"),
            Self::Vanished => f.write_str("vanished"),
            Self::Escalated(cause) => write!(f, "gave up: {cause}"),
        }
    }
}

/// The report that each incarnation of a child leaves behind, however it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChildDown {
    /// The name of the child.
    pub(crate) child: Arc<str>,
    /// Which incarnation: never used twice within a tree, so that late reports are recognised.
    pub(crate) epoch: u64,
    /// How it ended.
    pub(crate) exit: Exit,
}
