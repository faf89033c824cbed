//! Who does what, and when: the actors of `hd`, their messages and their wiring.

pub mod base;
pub mod model;
pub mod shared;
pub mod events;
pub mod step_runner;
pub mod trees;
pub mod tmp_messages;
pub use tmp_messages as messages;
pub use model::settings::Settings;
