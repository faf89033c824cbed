//! What black-box tests of the real binary `hd` share: a project copied into a fresh directory with
//! an `HD_HOME` of its own, running `hd` with a deadline, looking at its answers, and at what it
//! left behind.
//!
//! Nothing here knows the inside of `hd`: only arguments, output, exit codes, HTTP and `/proc`.
//! A helper that cannot go on panics with the reason, for that is how a test reports.

pub mod damage;
pub mod demo;
pub mod disk;
pub mod env;
pub mod faulty;
pub mod files;
pub mod http;
pub mod images;
pub mod kernel;
pub mod leftovers;
pub mod needs;
pub mod poll;
pub mod ports;
pub mod programs;
pub mod pty;
pub mod registry;
pub mod report;
pub mod run;
pub mod samples;
pub mod source;
pub mod strace;
pub mod tree;
pub mod up;
pub mod user;

pub use env::Env;
pub use poll::{LONG, SHORT, until};
pub use report::Report;
pub use run::{Finished, Run};
pub use up::Up;

/// Ends the test, loudly, when its machine lacks what it needs: `skip_unless!(needs::fuse())`.
///
/// Takes one or more `Result<_, String>`; the first `Err` is the reason that is printed and recorded.
#[macro_export]
macro_rules! skip_unless {
    ($($need:expr),+ $(,)?) => {
        $(
            if let Err(reason) = $need {
                $crate::needs::report_skip(&reason);
                return;
            }
        )+
    };
}
