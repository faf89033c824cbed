//! Nouns that several actors share.

pub mod asked;
pub mod back_end;
pub mod compiled;
pub mod contents;
pub mod declared;
pub mod durable;
pub mod error;
pub mod files;
pub mod frozen;
pub mod heap;
pub mod instance;
pub mod instances;
pub mod limits;
pub mod log_line;
pub mod meters;
pub mod pause;
pub mod process_book;
pub mod project_tree;
pub mod removals;
pub mod report;
pub mod settings;
pub mod snapshot;
pub mod state;
pub mod surroundings;
pub mod volumes;
