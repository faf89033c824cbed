//! Lets file events come to rest and sends them on, one batch at a time.

pub mod actor;
pub mod window;
