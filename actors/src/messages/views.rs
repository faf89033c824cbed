//! What is said about the views of services once they are built.

use hd_dag::TreePath;

/// List what services wrote into their views; all of them when none is named.
#[derive(Clone, Debug)]
pub struct ListWritten {
    /// Which services.
    pub services: Vec<String>,
}

/// Drop what services wrote: their next start finds nothing of it; all when none is named.
#[derive(Clone, Debug)]
pub struct DropWritten {
    /// Which services.
    pub services: Vec<String>,
}

/// The host removed a directory on which an output is mounted.
#[derive(Clone, Debug)]
pub struct MountPointLost {
    /// Path below the project.
    pub path: TreePath,
}
