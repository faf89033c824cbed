//! Watches the project's directories and says where to look.
//!
//! Events only say "look here": what changed is decided by stat and content later on. Whatever may
//! have been missed (an overflow, a lost watch, a restart) becomes `Paths::Rescan` on the same path.
//!
//! | File | What it holds |
//! | --- | --- |
//! | `classify` | what an event means: pure |
//! | `rules` | which paths count: pure |
//! | `registry` | which directories are watched: pure |
//! | `look` | what is to be watched anew: pure |
//! | `overflow` | how soon to begin anew after an overflow: pure |
//! | `cover` | sets and removes watches of whole subtrees; runs in a pool |
//! | `sight` | takes events on notify's thread and passes them on |
//! | `lack` | why not everything is watched, and what people are told of it: pure |
//! | `session` | one inotify instance from start to end |
//! | `outbox` | what could not be delivered yet |
//! | `watched` | what is watched |
//! | `watches` | the kernel's side: notify |

pub mod actor;
pub mod classify;
mod cover;
mod lack;
mod look;
mod outbox;
mod overflow;
mod registry;
pub mod rules;
mod session;
mod sight;
pub mod watched;
pub mod watches;
