//! Nouns that several actors share.

pub mod files;
pub mod instance;
pub mod log_line;
pub mod report;
pub mod settings;
