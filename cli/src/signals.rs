//! Ctrl-C, `kill` and a closed terminal, on a thread of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::error::CliError;

/// Which signal was the first, if one came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Received(Arc<AtomicI32>);

impl Received {
    /// Notes a signal, if it is the first.
    pub(crate) fn note(&self, signal: i32) {
        let _ = self
            .0
            .compare_exchange(0, signal, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Gives the exit code of a process that a signal ended: 128 + its number.
    pub(crate) fn exit(&self) -> Option<i32> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            signal => Some(128 + signal),
        }
    }
}

/// Starts a thread that tells `act` of every signal of `wanted` that the caller does not want
/// ignored.
pub(crate) fn each(
    wanted: &[i32],
    mut act: impl FnMut(i32) + Send + 'static,
) -> Result<(), CliError> {
    let failed = |e: std::io::Error| {
        CliError::new(
            "io",
            crate::error::exit::INTERNAL,
            format!("cannot handle signals: {e}"),
        )
    };
    // `nohup hd up` survives its terminal.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let wanted = wanted
        .iter()
        .filter(|signal| !ignored_in(&status, **signal));
    let mut signals = Signals::new(wanted).map_err(failed)?;
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || signals.forever().for_each(&mut act))
        .map_err(failed)?;
    Ok(())
}

/// The signals that ask a process to end.
pub(crate) const ENDING: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];

/// Starts the thread: `act` is told how many signals have come, from 1, and the exit code of a process that this one
/// ended. The third ends the process at once: only for one whose guardian ends what it started.
pub(crate) fn handle(mut act: impl FnMut(u32, i32) + Send + 'static) -> Result<Received, CliError> {
    let received = Received::default();
    let (first, mut count) = (received.clone(), 0);
    each(&ENDING, move |signal| {
        count += 1;
        first.note(signal);
        if count > 2 {
            std::process::exit(128 + signal);
        }
        act(count, 128 + signal);
    })?;
    Ok(received)
}

/// Tells whether the caller wants a signal ignored.
fn ignored_in(status: &str, signal: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_mask() {
        let status = "Name:\thd\nSigIgn:\t0000000000001001\nSigCgt:\t0\n";
        assert!(
            ignored_in(status, SIGHUP) && !ignored_in(status, SIGINT) && !ignored_in("", SIGHUP)
        );
    }
}
