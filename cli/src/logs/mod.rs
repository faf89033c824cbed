//! Reading the logs of services: merged by time, followed over rotation and restarts.

mod merge;
mod source;
mod watch;

pub(crate) use self::merge::Merge;
pub(crate) use self::source::names;
pub(crate) use self::watch::Watch;
