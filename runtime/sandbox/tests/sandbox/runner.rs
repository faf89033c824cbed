//! A test runner small enough to live beside helper processes; speaks the list protocol of cargo-nextest.

use std::panic::catch_unwind;
use std::process::ExitCode;
use std::time::Instant;

/// A name and what it runs.
pub(crate) type Test = (&'static str, fn());

/// Runs the tests whose names contain one of the arguments, one after the other.
pub(crate) fn run(groups: &[&[Test]]) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let tests = groups.iter().copied().flatten();
    if has("--list") {
        if !has("--ignored") {
            tests.for_each(|(name, _)| println!("{name}: test"));
        }
        return ExitCode::SUCCESS;
    }
    let filters: Vec<_> = arguments
        .iter()
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let wanted = |name: &str| {
        filters.is_empty()
            || filters.iter().any(|filter| {
                if has("--exact") {
                    name == **filter
                } else {
                    name.contains(*filter)
                }
            })
    };
    let root = rustix::process::geteuid().is_root();
    let (mut passed, mut failed, mut skipped) = (0, Vec::new(), 0);
    for (name, test) in tests.filter(|(name, _)| wanted(name)) {
        if !root {
            println!("test {name} ... SKIPPED: needs root (namespaces and mounts)");
            skipped += 1;
            continue;
        }
        let start = Instant::now();
        if catch_unwind(test).is_ok() {
            println!("test {name} ... ok ({:?})", start.elapsed());
            passed += 1;
        } else {
            println!("test {name} ... FAILED");
            failed.push(name);
        }
    }
    println!(
        "\ntest result: {passed} passed; {} failed; {skipped} skipped {failed:?}",
        failed.len()
    );
    if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
