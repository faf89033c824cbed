//! Projects a composed tree as a read-only file system and records what was read from it.
//!
//! A *lower* ([`Lower`]) answers look-ups, listings and reads; [`composite`] is the one in use: a
//! content-addressed tree with host directories grafted in. `fuse` puts it behind the kernel,
//! [`recorder`] keeps the observations of a traced view, [`capture`] turns the write layer of an
//! overlay back into a tree, and [`checkout`] writes a tree out as files; [`erofs`] writes one as an
//! image that the kernel mounts by itself.

pub mod attr;
pub mod capture;
pub mod checkout;
pub mod composite;
pub mod erofs;
pub mod error;
mod fuse;
pub mod holes;
mod host;
pub mod ids;
pub mod lower;
pub mod objects;
pub mod recorder;
pub mod session;
pub mod world;

pub use attr::Attr;
pub use composite::{Composite, Graft, Owner};
pub use error::ProjectionError;
pub use fuse::Many;
pub use host::{HostMemo, OpenFiles};
pub use ids::ShownIds;
pub use lower::{Content, Listed, Lower, Node, Source};
pub use recorder::{Recorder, Watch};
pub use session::{Copies, ServeOptions, Served, serve, serve_many, serve_objects};
