//! The limits of a service: control groups, else those of single processes.

use hd_config::{Resources, Service};
use hd_sandbox::Spec;

use crate::events::Event;
use crate::messages::BatchError;
use crate::model::limits::Limits;
use crate::shared::Shared;

/// Makes the control groups of a service; what has none is limited for each process, which is told.
pub(super) fn limited(
    shared: &Shared,
    layer: &str,
    service: &Service,
    spec: &mut Spec,
) -> Result<Option<Limits>, BatchError> {
    let wanted = service.resources;
    if wanted == Resources::default() {
        return Ok(None);
    }
    // The guardian is there once something can be launched.
    shared.launcher()?;
    let (paths, guardian) = (&shared.settings.paths, shared.guardian());
    let (limits, missing) = Limits::make(paths, guardian, layer, wanted);
    for one in missing {
        let instead = match one.controller {
            "memory" => {
                spec.limits.address_space = wanted.memory;
                "each process has that limit (RLIMIT_AS)"
            }
            "pids" => {
                spec.limits.nproc = wanted.pids;
                "its user has that limit (RLIMIT_NPROC), which root has not"
            }
            _ => "it is not limited",
        };
        let name = &service.name;
        let note = format!(
            "{name}: no control group for {}: {}; {instead}",
            one.controller, one.why
        );
        shared.events.tell(Event::Note(note));
    }
    Ok(Some(limits))
}
