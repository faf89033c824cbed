//! What hd prints about itself: `hd schema`, `hd man`.

use std::path::Path;

use clap::CommandFactory;
use serde_json::json;

use crate::args::Cli;
use crate::error::{CliError, Outcome, exit};
use crate::output::Output;

/// Prints the JSON Schema of hd.toml.
pub(crate) fn schema(output: Output) -> Outcome {
    output.data(hd_config::schema::SCHEMA)?;
    Ok(0)
}

/// Prints the manual page of hd, or writes those of all verbs into a directory.
pub(crate) fn man(directory: Option<&Path>, output: Output) -> Outcome {
    let mut command = Cli::command();
    command.build();
    let Some(directory) = directory else {
        let mut page = Vec::new();
        let rendered = clap_mangen::Man::new(command).render(&mut page);
        rendered.map_err(|e| CliError::new("internal", exit::INTERNAL, e))?;
        output.data(&String::from_utf8_lossy(&page))?;
        return Ok(0);
    };
    let failed = |e: std::io::Error| CliError::io("write manual pages to", directory, &e);
    std::fs::create_dir_all(directory).map_err(failed)?;
    clap_mangen::generate_to(command, directory).map_err(failed)?;
    if output.json {
        output.value(&json!({"schema": 1, "directory": directory}))?;
    } else {
        let place = directory.display();
        output.talk(&format!(
            "manual pages written to {place}; `man -l {place}/hd.1` shows one"
        ));
    }
    Ok(0)
}
