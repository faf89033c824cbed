//! Views for services: built once per composed tree and per image of a service, replaced when that changes.

pub mod actor;
mod edits;
mod follow;
pub mod held;
pub mod images;
pub mod journal;
pub mod launch;
mod layers;
mod limits;
mod lower;
pub mod mount_points;
mod network;
pub mod outputs;
pub mod prepare;
pub mod retire;
pub mod snapshots;
mod through;
pub mod view;
pub mod views;
pub mod volumes;
pub mod written;
