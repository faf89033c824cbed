//! The error that actors answer each other with.

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
    /// Makes an error of a kind from its cause.
    pub fn new(code: &'static str, cause: impl std::fmt::Display) -> Self {
        Self {
            code,
            message: cause.to_string(),
            place: String::new(),
            hint: String::new(),
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
