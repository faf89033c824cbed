//! Content-addressed store of chunks, blobs and tree nodes.

mod error;
mod id;
mod node;
mod early;
pub mod scan;
pub use early::*;

pub use error::{Error, Result};
pub use id::{Id, ParseIdError};
pub use node::{Link, Links, NodeKind};
