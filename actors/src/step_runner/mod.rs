//! Observed build steps: key, hit rule, execution, capture.

pub mod actor;
pub mod cancel;
pub mod chain;
pub mod environment;
mod hidden;
pub mod hit;
pub mod kept;
pub mod key;
mod output;
pub mod plan;
pub mod prepare;
pub mod provider;
pub mod reason;
pub mod run;
pub mod traces;
pub mod view;
