//! The base image of the other sides.

use super::engine::Engine;
use super::process::{Ended, attempt, shown};
use super::report::{Phase, Series, What};
use super::{LONG, Run};
use crate::args::EngineName;
use crate::error::CliError;

/// How the base image came to an engine.
#[derive(Debug)]
pub(super) struct Pulled {
    /// The pull, if there was one.
    pub(super) phase: Option<Phase>,
    /// Whether it was there before.
    pub(super) was_here: bool,
}

/// Makes the base available to an engine; the inner error says why it cannot be.
pub(super) fn pull(
    run: &Run<'_>,
    engine: &Engine,
    image: &str,
) -> Result<Result<Pulled, String>, CliError> {
    let mut inspect = engine.command(&["image", "inspect", "-f", "{{.Id}}", image]);
    match attempt(&run.watch, &mut inspect, LONG)? {
        Err(why) => return Ok(Err(format!("it cannot tell whether it has {image}: {why}"))),
        // A pull would give its name to what the registry has now.
        Ok(asked) if asked.good => {
            return Ok(Ok(Pulled {
                phase: None,
                was_here: true,
            }));
        }
        Ok(_) => {}
    }
    let mut pull = engine.command(&["pull"]);
    // Docker speaks plain HTTP to this machine's own registries unasked.
    if engine.builder.engine() == EngineName::Podman && is_loopback(image) {
        pull.arg("--tls-verify=false");
    }
    pull.arg(image);
    let pulled = match attempt(&run.watch, &mut pull, LONG)?.and_then(Ended::success) {
        Ok(pulled) => pulled,
        Err(why) => return Ok(Err(format!("it cannot get the image {image}: {why}"))),
    };
    let mut series = Series::new(What::Base);
    series.add(pulled.took, vec![shown(&pull)]);
    run.tell(engine.builder.engine().program(), What::Base, pulled.took);
    Ok(Ok(Pulled {
        phase: series.phase(),
        was_here: false,
    }))
}

fn is_loopback(image: &str) -> bool {
    let host = image.split('/').next().unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    host == "localhost" || host.starts_with("127.") || host == "[::1]"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_asked_without_tls() {
        let local = ["127.0.0.1:5000/a", "localhost/a:1", "[::1]:5000/a"];
        assert!(local.into_iter().all(is_loopback));
        let other = ["python:3.11", "example.org:5000/a", "1270.example/a"];
        assert!(!other.into_iter().any(is_loopback));
    }
}
