//! Sandboxes in real namespaces. Needs root; without it every test that does says so and is skipped.
//!
//! This executable is the helper, the parent that gets killed and the test runner, hence a main of its own.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test without libtest's harness"
)]

mod basics;
mod cost;
mod death;
mod enter;
mod isolation;
mod mounts;
mod parent;
mod rootless;
mod runner;
mod support;

fn main() -> std::process::ExitCode {
    hd_sandbox::entry::run_if_helper();
    if let Some(mode) = parent::mode() {
        parent::run(&mode);
    }
    runner::run(&[
        basics::TESTS,
        cost::TESTS,
        death::TESTS,
        enter::TESTS,
        isolation::TESTS,
        mounts::TESTS,
        rootless::TESTS,
    ])
}
