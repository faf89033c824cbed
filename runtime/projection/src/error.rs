//! Errors of a projection.

use std::io;

/// What can go wrong while a tree is projected, traced or captured.
#[derive(Debug, thiserror::Error)]
pub enum ProjectionError {
    /// A node or blob of the tree cannot be read from the store.
    #[error("reading {path} from the store: {reason}")]
    Content {
        /// Path inside the view, escaped for display.
        path: String,
        /// What the store said.
        reason: String,
    },
    /// A host file or directory cannot be read.
    #[error("reading {path} of the host: {source}")]
    Host {
        /// Path on the host.
        path: String,
        /// The cause.
        source: io::Error,
    },
    /// The path is not of the kind the request needs.
    #[error("{path} is not a {wanted}")]
    Kind {
        /// Path inside the view, escaped for display.
        path: String,
        /// The kind that was needed.
        wanted: &'static str,
    },
    /// The write layer cannot be captured.
    #[error("capturing {path}: {source}")]
    Capture {
        /// Path inside the write layer, escaped for display.
        path: String,
        /// The cause.
        source: io::Error,
    },
    /// What was captured cannot be stored.
    #[error("storing what was written: {0}")]
    Store(#[from] hd_store::Error),
    /// A stored tree cannot be written out.
    #[error("writing {path}: {source}")]
    Checkout {
        /// Path inside the tree, escaped for display.
        path: String,
        /// The cause.
        source: io::Error,
    },
    /// The FUSE session cannot be started.
    #[error("starting the FUSE session of {name}: {source}")]
    Session {
        /// Name of the view.
        name: String,
        /// The cause.
        source: io::Error,
    },
}

impl ProjectionError {
    /// Tells whether what was observed before says that a request is answered like this: who may read a file of the
    /// host is a matter of its mode and owner.
    pub(crate) fn is_observed(&self) -> bool {
        let Self::Host { source, .. } = self else {
            return false;
        };
        source.kind() == io::ErrorKind::PermissionDenied
    }

    /// Gives the errno a file-system client sees.
    pub fn errno(&self) -> i32 {
        match self {
            Self::Content { .. } | Self::Store(_) => libc::EIO,
            Self::Host { source, .. }
            | Self::Capture { source, .. }
            | Self::Checkout { source, .. }
            | Self::Session { source, .. } => source.raw_os_error().unwrap_or(libc::EIO),
            Self::Kind {
                wanted: "directory",
                ..
            } => libc::ENOTDIR,
            Self::Kind { .. } => libc::EINVAL,
        }
    }
}
