//! Reads the hd.toml, at the start and whenever it was edited.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hd_actors::model::asked::{Asked, Change};
use hd_actors::model::declared::{Declaration, Invalid, Reader};

use super::{Plan, targets};
use crate::client::pause;
use crate::error::CliError;
use crate::output::Output;
use crate::project::{Loaded, Located, environment, ports};

/// Pause before a file that is gone is looked for once more: some editors take it away for a moment.
const AGAIN_AFTER: Duration = Duration::from_millis(50);
/// Columns of what is shown of an invalid file.
const WIDTH: usize = 100;

/// Reads as the command that started the runtime did: same file and variables, and what it asked for.
#[derive(Debug)]
pub(in crate::commands) struct HdToml {
    located: Located,
    /// What was asked for at its start, and while it runs.
    asked: Mutex<Asked>,
    host_env: BTreeMap<String, String>,
    /// Ports given to services that take any: they keep them.
    ports: Mutex<BTreeMap<String, u16>>,
}

/// Reads it for the first time; all that was asked for must be there.
pub(super) fn begin(
    plan: &Plan,
    serves: bool,
    output: Output,
) -> Result<(Declaration, HdToml), CliError> {
    let (host_env, located) = (environment(), &plan.located);
    // Who has none of them yet is not to come to grief over what another program does with one; who runs no
    // service leaves them as they are.
    let ports = match serves {
        true => ports::still_free(&located.paths),
        false => ports::last(&located.paths),
    };
    let mut loaded = located.load_with(host_env.clone(), &ports)?;
    loaded.tell(output);
    targets::keep(&mut loaded.project, &plan.services, &plan.located.profiles)?;
    let reader = HdToml {
        located: plan.located.clone(),
        asked: Mutex::new(plan.asked()),
        host_env,
        ports: Mutex::new(ports::assigned(&loaded.project)),
    };
    Ok((declaration(loaded), reader))
}

fn declaration(loaded: Loaded) -> Declaration {
    Declaration {
        project: loaded.project,
        env: loaded.declared_env,
    }
}

impl HdToml {
    /// The environment of the command that started the runtime.
    pub(super) fn host_env(&self) -> &BTreeMap<String, String> {
        &self.host_env
    }

    /// Reads it with what is asked for; services that are newly asked for must be there.
    fn again(&self, asked: &Asked, new: &[String]) -> Result<Declaration, CliError> {
        if !self.located.config.exists() {
            pause(AGAIN_AFTER);
        }
        let mut known = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        let mut located = self.located.clone();
        located.scale = asked.scale.clone();
        located.profiles = asked.profiles.clone();
        let mut loaded = located.load_with(self.host_env.clone(), &known)?;
        known.extend(ports::assigned(&loaded.project));
        let project = &mut loaded.project;
        let mut wanted = asked.services.clone();
        // One that was asked for earlier may be gone now, which is as good an edit as any.
        wanted.retain(|name| new.contains(name) || project.named(name).next().is_some());
        if asked.all {
            wanted.extend(targets::enabled(project, &asked.profiles));
        }
        targets::keep_these(project, wanted)?;
        Ok(declaration(loaded))
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reader for HdToml {
    fn read(&self) -> Result<Declaration, Invalid> {
        let asked = self.asked();
        self.again(&asked, &[]).map_err(invalid)
    }

    fn want(&self, wish: Asked) -> Result<Option<Change>, Invalid> {
        let mut held = self.asked();
        let new = wish.services.clone();
        let now = held.united(wish);
        if now == *held {
            return Ok(None);
        }
        self.again(&now, &new).map_err(invalid)?;
        let before = std::mem::replace(&mut *held, now.clone());
        Ok(Some(Change { before, now }))
    }

    fn back(&self, change: Change) {
        let mut held = self.asked();
        if *held == change.now {
            *held = change.before;
        }
    }
}

fn invalid(error: CliError) -> Invalid {
    Invalid {
        text: error.text(false, WIDTH),
        error: error.report().clone(),
    }
}
