//! Reads the hd.toml, at the start and whenever it was edited.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

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

/// Reads as the command that started the runtime did: same file, profiles, services, variables.
#[derive(Debug)]
pub(in crate::commands) struct HdToml {
    located: Located,
    services: Vec<String>,
    /// Replicas asked for while it runs, and at its start.
    scale: Mutex<BTreeMap<String, u32>>,
    host_env: BTreeMap<String, String>,
    /// Ports given to services that take any: they keep them.
    ports: Mutex<BTreeMap<String, u16>>,
}

/// Reads it for the first time; all that was asked for must be there.
pub(super) fn begin(plan: &Plan, output: Output) -> Result<(Declaration, HdToml), CliError> {
    let mut loaded = plan.located.load()?;
    loaded.tell(output);
    targets::keep(&mut loaded.project, &plan.services, &plan.located.profiles)?;
    let reader = HdToml {
        located: plan.located.clone(),
        services: plan.services.clone(),
        scale: Mutex::new(plan.located.scale.clone()),
        host_env: environment(),
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

    fn again(&self, scale: BTreeMap<String, u32>) -> Result<Declaration, CliError> {
        if !self.located.config.exists() {
            pause(AGAIN_AFTER);
        }
        let mut known = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        let mut located = self.located.clone();
        located.scale = scale;
        let mut loaded = located.load_with(self.host_env.clone(), &known)?;
        known.extend(ports::assigned(&loaded.project));
        let mut wanted = self.services.clone();
        // One that was asked for may be gone now, which is as good an edit as any.
        wanted.retain(|name| loaded.project.named(name).next().is_some());
        if wanted.is_empty() && !self.services.is_empty() {
            loaded.project.services.clear();
        } else {
            targets::keep(&mut loaded.project, &wanted, &self.located.profiles)?;
        }
        Ok(declaration(loaded))
    }
}

impl Reader for HdToml {
    fn read(&self) -> Result<Declaration, Invalid> {
        let scale = self.scale.lock().unwrap_or_else(PoisonError::into_inner);
        self.again(scale.clone()).map_err(invalid)
    }

    fn scale(&self, replicas: BTreeMap<String, u32>) -> Result<(), Invalid> {
        let mut held = self.scale.lock().unwrap_or_else(PoisonError::into_inner);
        let mut wanted = held.clone();
        wanted.extend(replicas);
        self.again(wanted.clone()).map_err(invalid)?;
        *held = wanted;
        Ok(())
    }
}

fn invalid(error: CliError) -> Invalid {
    Invalid {
        text: error.text(false, WIDTH),
        error: error.report().clone(),
    }
}
