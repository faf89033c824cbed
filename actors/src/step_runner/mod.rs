//! Observed build steps: key, hit rule, execution, capture.

pub mod actor;
pub mod ahead;
pub mod cancel;
pub mod chain;
pub mod environment;
mod harvest;
mod hidden;
pub mod hit;
mod inputs;
pub mod kept;
pub mod key;
mod output;
pub mod plan;
pub mod prepare;
pub mod provider;
pub mod reason;
pub mod run;
mod schedule;
mod standing;
mod step;
pub mod traces;
pub mod twice;
pub mod view;
pub mod wanted;
pub mod within;
mod work_dir;
