//! Who takes part: hd, a hand that kills and starts, tools that watch files, and containers over a
//! bind mount, as people write them.

use std::path::Path;

use super::compose::{self, Engine};
use super::sample::Sample;
use crate::bench::tools::Tools;
use crate::shell::find_program;

/// Somebody who could follow the edits of a sample.
pub(super) struct Candidate {
    pub(super) name: String,
    /// Runs in the sample's image, so that its peer is hd in that image.
    pub(super) in_image: bool,
    /// How it is started, or why it cannot be.
    pub(super) how: Result<How, String>,
}

/// How it is started, in a directory with the sample. Scripts are of `sh`.
#[derive(Clone)]
pub(super) enum How {
    Hd,
    /// This bench kills and starts the program.
    Hand(&'static str),
    /// A program that stays and watches; what removes all that it made.
    Stays {
        script: String,
        undo: Option<String>,
    },
    /// Commands to an engine that runs on: what starts, what follows a save, what removes all.
    Engine {
        start: String,
        follow: Option<String>,
        undo: String,
    },
}

/// Everybody, hd first.
pub(super) fn all(sample: Sample, tools: &Tools, engine: &Engine) -> Vec<Candidate> {
    let mut all = vec![
        outside("hd".to_owned(), Ok(How::Hd)),
        outside("by hand".to_owned(), Ok(How::Hand(sample.run()))),
    ];
    all.extend(
        watchers(sample)
            .into_iter()
            .map(|(name, programs, script)| {
                let lacking = programs.iter().find_map(|program| tools.lacks(program));
                let stays = How::Stays { script, undo: None };
                outside(name, lacking.map_or(Ok(stays), Err))
            }),
    );
    all.push(Candidate {
        name: "hd in the image".to_owned(),
        in_image: true,
        how: engine.has_image().map(|()| How::Hd),
    });
    all.extend(compose::candidates(sample, engine));
    all
}

fn outside(name: String, how: Result<How, String>) -> Candidate {
    Candidate {
        name,
        in_image: false,
        how,
    }
}

/// Name, programs it needs, script.
fn watchers(sample: Sample) -> Vec<(String, Vec<&'static str>, String)> {
    let (file, extension, run) = (sample.file(), sample.extension(), sample.run());
    let mut all = vec![
        (
            sample.reloader_name().to_owned(),
            vec![],
            format!("exec {}", sample.reloader()),
        ),
        (
            "watchexec".to_owned(),
            vec!["watchexec"],
            format!("exec watchexec -q --no-vcs-ignore -r -e {extension} -- {run}"),
        ),
        (
            "entr".to_owned(),
            vec!["entr"],
            format!("echo {file} | exec entr -nr {run}"),
        ),
        (
            "honcho, entr in its Procfile".to_owned(),
            vec!["honcho", "entr"],
            "exec honcho start".to_owned(),
        ),
        (
            "watchexec around honcho".to_owned(),
            vec!["watchexec", "honcho"],
            format!(
                "exec watchexec -q --no-vcs-ignore -r -e {extension} -- honcho start -f Procfile.plain"
            ),
        ),
    ];
    match sample {
        Sample::Node => all.push((
            "nodemon".to_owned(),
            vec!["nodemon"],
            "exec nodemon -q server.js".to_owned(),
        )),
        // What `python` and `flask` are comes from the same place.
        Sample::Flask => all
            .iter_mut()
            .for_each(|(_, programs, _)| programs.push("flask")),
    }
    all
}

/// What the Procfiles of a sample say.
pub(super) fn procfiles(sample: Sample) -> [(&'static str, String); 2] {
    let (file, run) = (sample.file(), sample.run());
    [
        ("Procfile", format!("web: echo {file} | entr -nr {run}\n")),
        ("Procfile.plain", format!("web: {run}\n")),
    ]
}

/// Whether hd can pull the image: something listens where its registry is.
pub(in crate::bench) fn registry_answers(image: &str) -> Result<(), String> {
    let address = image.split('/').next().unwrap_or_default();
    match std::net::TcpStream::connect(address) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!(
            "no registry at {address} (cargo xtask images): {error}"
        )),
    }
}

/// Whether the program of the sample itself is there.
pub(super) fn can_run(sample: Sample, tools: &Tools) -> Result<(), String> {
    let programs: &[&str] = match sample {
        Sample::Node => &["node"],
        Sample::Flask => &["python3", "flask"],
    };
    let lacking = programs.iter().find_map(|program| {
        let there = Path::new(program).is_absolute() || find_program(program).is_some();
        if there { None } else { tools.lacks(program) }
    });
    lacking.map_or(Ok(()), Err)
}
