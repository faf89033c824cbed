//! What the control socket asks of actors.

/// Look at the whole project again and make the steps true.
#[derive(Clone, Debug)]
pub struct Rebuild {
    /// Steps (`step-1` or slug) to run even if a result is valid.
    pub rerun: Vec<String>,
}

/// Let rules hold again that were suspended because a service wrote what it watches.
#[derive(Clone, Copy, Debug)]
pub struct ResumeRules;

/// You are held: end what runs, to be started again when the hold is over; answered when it is gone.
#[derive(Clone, Copy, Debug)]
pub struct HoldService;

/// Edits are held back from now on, or no longer.
#[derive(Clone, Copy, Debug)]
pub struct PauseChanged;
