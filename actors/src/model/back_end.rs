//! How the lower of the services is shown, and why so.

use std::sync::Arc;

use hd_projection::objects::Counts;

use super::report::LowerReport;

/// What shows a lower.
#[derive(Clone, Debug)]
pub enum BackEnd {
    /// An EROFS image over raw copies; counted is what was asked of hd because there was no copy.
    Image(Arc<Counts>),
    /// A FUSE mount, and why it is none of the other.
    Fuse(String),
}

impl BackEnd {
    /// Says it.
    pub fn report(&self) -> LowerReport {
        match self {
            Self::Image(counts) => LowerReport {
                back_end: "erofs".to_owned(),
                why: "the kernel reads raw copies by itself".to_owned(),
                requests: Some(counts.requests()),
                copied: Some(counts.filled()),
            },
            Self::Fuse(why) => LowerReport {
                back_end: "fuse".to_owned(),
                why: why.clone(),
                requests: None,
                copied: None,
            },
        }
    }
}
