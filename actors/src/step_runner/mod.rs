//! Observed build steps: key, hit rule, execution, capture.

pub mod cancel;
pub mod chain;
pub mod environment;
pub mod hit;
pub mod kept;
pub mod key;
mod output;
pub mod plan;
pub mod reason;
pub mod run;
pub mod view;
