//! Content-addressed store of chunks, blobs and tree nodes.
//!
//! Everything lies in append-only segments that describe themselves; indexes are derived. A record
//! counts once a COMMIT record behind it is durable, so no crash needs a repair. Reads hash what
//! they serve. Many processes share a store by `flock` alone: each [`Writer`] appends to a segment
//! of its own; a collection ([`Store::gc`]) works beside them and waits only for those that began
//! before it said what it is about to remove.
//!
//! ```text
//! cas/FORMAT                      version and cut parameters, frozen      (module `format`)
//! cas/objects/<2hex>/<id>.seg     records: objects, COMMIT, FORGET        (`record`, `control`)
//! cas/objects/<2hex>/<id>.idx     derived, checksummed                    (`index`)
//! cas/refs/<hash of the name>     what must stay                          (`refs`)
//! cas/leases/<process>            what a running command needs            (`lease`)
//! cas/blobs/<boot>/copies/<id>    raw copies for the kernel: a cache      (`pool`)
//! cas/scan/<project>              stat cache of a project scan            (`scan`)
//! cas/whole                       roots that are known to be whole        (`whole`)
//! cas/used                        when history was used last              (`used`)
//! cas/collected                   what the last collection left           (`gc::collected`)
//! cas/lock/…                      locks, and what is about to go          (`locks`)
//! ```

mod apparent;
mod appender;
mod assemble;
mod cache;
mod codec;
mod control;
mod cut;
mod durable;
mod error;
mod format;
mod frame;
mod gc;
mod histories;
mod hold;
mod holes;
mod id;
mod idhash;
mod index;
mod ingest;
mod lease;
mod list;
mod locks;
mod node;
mod object;
mod pool;
mod quarantine;
mod read;
mod record;
mod refs;
mod repair;
mod replay;
pub mod scan;
mod segment;
mod shelf;
mod stat;
mod stats;
mod store;
mod stored;
mod tables;
mod usage;
mod used;
mod verify;
mod walk;
mod whole;
mod writer;

pub use error::{Error, Result};
pub use gc::{Budget, Collected, GcOptions, GcReport, Unwanted};
pub use hold::Hold;
pub use id::{Id, ParseIdError};
pub use ingest::{Ingested, Source, ingest_files};
pub use lease::Lease;
pub use node::{Link, Links, NodeKind};
pub use pool::{BadCopy, Pool};
pub use read::HistoryEntry;
pub use refs::{BadRef, RefRecord};
pub use repair::Repaired;
pub use stat::FileStat;
pub use stats::Stats;
pub use store::Store;
pub use usage::{Owner, Usage, UsageReport};
pub use verify::{Damage, VerifyOptions, VerifyReport};
pub use writer::Writer;
