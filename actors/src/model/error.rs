//! The error that actors answer each other with.

/// How [`std::io::Error`] ends for ENOSPC, through whatever errors it was passed on.
const DISK_FULL: &str = "No space left on device (os error 28)";
const MAKE_ROOM: &str =
    "`hd prune` gives room back, `hd cas df` says who takes it; HD_HOME names another disk";

/// How [`hd_store::Error::DamagedRef`] begins.
const DAMAGED_REF: &str = "the reference file ";
const REPAIR: &str = "nothing is collected while it is there: `hd cas verify --repair` removes it";

/// Why a batch did not get through; the sender keeps it and tries again where that helps.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct BatchError {
    /// Stable word: `io`, `store`, `image`, `step`, `busy`, `gone`.
    pub code: &'static str,
    /// One sentence.
    pub message: String,
    /// Path, digest or name it is about; may be empty.
    pub place: String,
    /// What to do next; may be empty.
    pub hint: String,
}

impl BatchError {
    /// Makes an error of a kind from its cause. A full disk and a damaged reference have a next step of their own.
    pub fn new(code: &'static str, cause: impl std::fmt::Display) -> Self {
        let message = cause.to_string();
        let hint = match code {
            "io" | "store" if message.contains(DISK_FULL) => MAKE_ROOM,
            "store" if message.starts_with(DAMAGED_REF) => REPAIR,
            _ => "",
        };
        Self {
            code,
            message,
            place: String::new(),
            hint: hint.to_owned(),
        }
    }

    /// Names the place.
    #[must_use]
    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.place = place.into();
        self
    }

    /// Names the next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_has_a_next_step() {
        let cause = || std::io::Error::from_raw_os_error(28);
        for (code, has_hint) in [("io", true), ("store", true), ("step", false)] {
            let error = BatchError::new(code, format!("cannot write x: {}", cause()));
            assert_eq!(error.hint.contains("`hd prune`"), has_hint, "{code}");
        }
        let damaged = hd_store::Error::DamagedRef {
            path: "/cas/refs/a".into(),
            reason: "torn".to_owned(),
        };
        assert!(BatchError::new("store", damaged).hint.contains("--repair"));
        let other = std::io::Error::from_raw_os_error(5);
        assert_eq!(BatchError::new("io", other).hint, "");
    }
}
