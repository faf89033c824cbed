//! Makes a damaged store clean again: what is damaged goes out of sight, the rest stays.

use std::fs::OpenOptions;
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};

use crate::gc::{rewrite, without};
use crate::segment::Segment;
use crate::verify::Checked;
use crate::{Error, Links, Result, Store, VerifyOptions, VerifyReport};

/// Answers a repair.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repaired {
    /// What was found before.
    pub report: VerifyReport,
    /// Damaged copies taken out of sight.
    pub quarantined: u64,
    /// Segments with damaged headers whose sound objects were copied elsewhere.
    pub segments_rewritten: u64,
    /// Segments that a writer holds, or that could not be copied: left as they are.
    pub segments_left: u64,
    /// Damaged references that were removed: a later collection takes what only they kept.
    pub refs_removed: u64,
}

impl Store {
    /// Reads everything and takes out of sight what is damaged. What was lost by that is made
    /// again by whoever needs it: from the project, the registry, or by a step.
    ///
    /// # Errors
    /// I/O errors.
    pub fn repair(&self, links: &dyn Links) -> Result<Repaired> {
        let _hold = self.hold()?;
        let options = VerifyOptions {
            read_data: true,
            links: Some(links),
        };
        let Checked {
            report,
            damaged,
            torn,
        } = self.check(&options)?;
        let mut repaired = Repaired {
            refs_removed: self.remove_bad_refs(&report.bad_refs)?,
            report,
            quarantined: self.quarantine(&damaged)?,
            ..Repaired::default()
        };
        for segment in torn {
            match self.rewrite_torn(&segment)? {
                true => repaired.segments_rewritten += 1,
                false => repaired.segments_left += 1,
            }
        }
        self.inner.locks.advance_epoch()?;
        self.refresh()?;
        Ok(repaired)
    }

    /// Copies all that can be seen of a segment, then removes it: nobody misses anything, so
    /// nobody has to be waited for.
    fn rewrite_torn(&self, segment: &Arc<Segment>) -> Result<bool> {
        let path = &segment.path;
        let opened = OpenOptions::new().read(true).write(true).open(path);
        let lock = opened.map_err(Error::io("open", path))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Ok(false);
        }
        segment.refresh()?;
        if !rewrite(self, segment)? {
            return Ok(false);
        }
        without(segment)?;
        Ok(true)
    }
}
