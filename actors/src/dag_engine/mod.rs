//! The Merkle DAG of the environment: project tree and Env root.

pub mod actor;
pub mod project;
pub mod root;
