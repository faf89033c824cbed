//! Raw mode: every key goes to the command, every byte of it to the screen.

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

/// Raw mode of the terminal on stdin; dropping it brings the mode before back.
#[derive(Debug)]
pub(crate) struct Raw {
    before: Option<Termios>,
}

impl Raw {
    /// Begins raw mode. A terminal that refuses stays as it is: the command runs all the same.
    pub(crate) fn begin() -> Self {
        let stdin = rustix::stdio::stdin();
        let before = tcgetattr(stdin).ok().filter(|before| {
            let mut raw = before.clone();
            raw.make_raw();
            tcsetattr(stdin, OptionalActions::Now, &raw).is_ok()
        });
        Self { before }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // A terminal that is gone has no mode.
            let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Drain, before);
        }
    }
}
