//! The sender's side of a coalescing edge: one batch in flight, the rest merged. Pure.

use crate::slot::Merge;

/// Gathers work while one batch is in flight, and keeps that batch until it is acknowledged.
///
/// A mailbox does not survive a crash, so the sender is the one who remembers.
#[derive(Clone, Debug)]
pub struct InFlight<T> {
    waiting: Option<T>,
    sent: Option<T>,
}

impl<T> Default for InFlight<T> {
    fn default() -> Self {
        Self {
            waiting: None,
            sent: None,
        }
    }
}

impl<T: Merge + Clone> InFlight<T> {
    /// Adds `work` to the batch that gathers.
    pub fn add(&mut self, work: T) {
        match &mut self.waiting {
            Some(waiting) => waiting.merge(work),
            empty => *empty = Some(work),
        }
    }

    /// Returns the gathered batch to send it, unless one is in flight or nothing has gathered.
    #[must_use]
    pub fn start(&mut self) -> Option<T> {
        if self.sent.is_none() {
            self.sent = self.waiting.take();
            self.sent.clone()
        } else {
            None
        }
    }

    /// Forgets the batch in flight: it was acknowledged.
    pub fn done(&mut self) {
        self.sent = None;
    }

    /// Merges the batch in flight back, as the older part: it failed or its receiver died.
    pub fn failed(&mut self) {
        if let Some(mut older) = self.sent.take() {
            if let Some(newer) = self.waiting.take() {
                older.merge(newer);
            }
            self.waiting = Some(older);
        }
    }

    /// Tells whether a batch awaits its acknowledgement.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.sent.is_some()
    }

    /// Tells whether everything added so far was acknowledged.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        self.sent.is_none() && self.waiting.is_none()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Merge for Vec<u32> {
        fn merge(&mut self, newer: Self) {
            self.extend(newer);
        }
    }

    proptest! {
        #[test]
        fn nothing_is_lost_doubled_or_reordered(script in prop::collection::vec(0u8..4, 0..80)) {
            let mut flight = InFlight::default();
            let mut acknowledged: Vec<u32> = Vec::new();
            let mut added = 0;
            let mut sent = None;
            for action in script {
                match action {
                    0 => {
                        flight.add(vec![added]);
                        added += 1;
                    }
                    1 => {
                        let batch = flight.start();
                        prop_assert!(batch.is_none() || sent.is_none(), "two batches in flight");
                        sent = sent.or(batch);
                    }
                    2 => {
                        acknowledged.extend(sent.take().unwrap_or_default());
                        flight.done();
                    }
                    _ => {
                        sent = None;
                        flight.failed();
                    }
                }
            }
            acknowledged.extend(sent.unwrap_or_default());
            flight.done();
            acknowledged.extend(flight.start().unwrap_or_default());
            prop_assert_eq!(acknowledged, (0..added).collect::<Vec<_>>());
        }
    }
}
