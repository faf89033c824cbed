//! Waiting for a line: a service is ready once it has printed what a pattern matches.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hd_config::{Probe, Service};
use regex::Regex;

/// Whether a run has printed the line; clones are the same. Without a pattern it never has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen(Option<Arc<Pattern>>);

#[derive(Debug)]
struct Pattern {
    line: Regex,
    seen: AtomicBool,
}

impl PartialEq for Seen {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        }
    }
}

impl Eq for Seen {}

impl Seen {
    /// Begins to look for what the healthcheck of a service waits for, if it waits for a line.
    pub(crate) fn of(service: &Service) -> Self {
        let Some(Probe::Log(pattern)) = service.healthcheck.as_ref().map(|check| &check.test)
        else {
            return Self::default();
        };
        // It compiled when the file was read.
        let line = Regex::new(pattern).ok();
        Self(line.map(|line| {
            Arc::new(Pattern {
                line,
                seen: AtomicBool::new(false),
            })
        }))
    }

    /// Looks at lines that were printed.
    pub(crate) fn look(&self, lines: &[String]) {
        let Some(pattern) = self.0.as_deref() else {
            return;
        };
        if !pattern.seen.load(Ordering::Relaxed)
            && lines.iter().any(|line| pattern.line.is_match(line))
        {
            pattern.seen.store(true, Ordering::Release);
        }
    }

    /// Tells whether it was printed; else what is waited for.
    pub(crate) fn check(&self) -> Result<(), String> {
        match self.0.as_deref() {
            Some(pattern) if pattern.seen.load(Ordering::Acquire) => Ok(()),
            Some(pattern) => Err(format!("no line matches {:?} yet", pattern.line.as_str())),
            None => Err("there is no line to wait for".to_owned()),
        }
    }
}
