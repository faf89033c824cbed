//! The base of an environment: an image from a registry, or the host.

pub mod actor;
pub mod image;
