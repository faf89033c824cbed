//! The base images of `integration/images`: built once into the target directory, served on a
//! free port of 127.0.0.1 while tests run.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

use crate::shell::{
    Doing, Failure, find_program, is_root, output, root, run as run_command, target_dir,
};

/// What tests are told about the images.
pub(crate) struct Served {
    /// `127.0.0.1:PORT`.
    pub(crate) registry: String,
    /// The merged tree that `fixtures/layers` must unpack to.
    pub(crate) fixtures_tsv: PathBuf,
    /// Whether this call started the registry.
    pub(crate) started: bool,
}

pub(crate) fn run(args: &[&str]) -> Result<(), Failure> {
    match args {
        [] | ["up"] => up().map(|served| println!("{}", served.registry)),
        ["env"] => up().map(|served| {
            println!("export HD_TEST_REGISTRY={}", served.registry);
            println!(
                "export HD_TEST_FIXTURES_TSV={}",
                served.fixtures_tsv.display()
            );
        }),
        ["stop"] => stop(),
        _ => Err(Failure::new("images takes one of: up, stop, env")),
    }
}

/// Why the images cannot be had here, if so.
pub(crate) fn cannot() -> Option<&'static str> {
    if !is_root() {
        Some("base images need root (device nodes, owners, chroot)")
    } else if find_program("apt-get").is_none() || find_program("mmdebstrap").is_none() {
        Some("base images are made with apt-get and mmdebstrap")
    } else {
        None
    }
}

/// Builds what is missing, starts the registry unless it runs, pushes.
pub(crate) fn up() -> Result<Served, Failure> {
    if let Some(reason) = cannot() {
        return Err(Failure::new(reason));
    }
    let running = running_port()?;
    let port = running.map_or_else(free_port, Ok)?;
    run_command(
        script()?
            .args(["up", "--port", &port.to_string()])
            .stdout(std::io::stderr()),
    )?;
    Ok(Served {
        registry: format!("127.0.0.1:{port}"),
        fixtures_tsv: directory()?.join("fixtures-layers.expected.tsv"),
        started: running.is_none(),
    })
}

/// Stops the registry that `up` started.
pub(crate) fn stop() -> Result<(), Failure> {
    run_command(script()?.arg("stop"))
}

fn directory() -> Result<PathBuf, Failure> {
    Ok(target_dir()?.join("images"))
}

fn script() -> Result<Command, Failure> {
    let mut script = Command::new(root().join("integration/images/base-images"));
    script.arg("--dir").arg(directory()?);
    Ok(script)
}

/// The port of a registry that runs already: `status` says `running pid P port N dir D`.
fn running_port() -> Result<Option<u16>, Failure> {
    let Ok(said) = output(script()?.arg("status")) else {
        return Ok(None);
    };
    let mut words = said.split_whitespace().skip_while(|word| *word != "port");
    Ok(words.nth(1).and_then(|port| port.parse().ok()))
}

fn free_port() -> Result<u16, Failure> {
    let listener =
        TcpListener::bind(("127.0.0.1", 0)).doing(|| "finding a free port".to_owned())?;
    let address = listener
        .local_addr()
        .doing(|| "finding a free port".to_owned())?;
    Ok(address.port())
}
