//! `hd completion`.

use clap_complete::env::{Bash, EnvCompleter, Fish, Zsh};

use crate::args::Shell;
use crate::error::{CliError, Outcome, exit};
use crate::output::Output;

/// The variable by which the script asks this program for words.
pub(crate) const VARIABLE: &str = "HD_COMPLETE";

/// Prints the script of a shell.
pub(crate) fn run(shell: Shell, output: Output) -> Outcome {
    let completer: &dyn EnvCompleter = match shell {
        Shell::Bash => &Bash,
        Shell::Zsh => &Zsh,
        Shell::Fish => &Fish,
    };
    let mut script = Vec::new();
    completer
        .write_registration(VARIABLE, "hd", "hd", "hd", &mut script)
        .map_err(|e| CliError::new("internal", exit::INTERNAL, e))?;
    output.data(&String::from_utf8_lossy(&script))?;
    Ok(0)
}
