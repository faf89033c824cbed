//! Chores of the project: set-up, tests, base images, benches, the release binary.
#![expect(clippy::print_stdout, reason = "a command line program")]
#![expect(clippy::print_stderr, reason = "a command line program")]

mod bench;
mod dist;
mod faults;
mod fuzz;
mod images;
mod monorepo;
mod setup;
mod shell;
mod test;

use std::process::ExitCode;

use shell::Failure;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test [FILTER] [--strict]  set up, build hd, prepare base images, run every test (or those whose
                            name contains FILTER); --strict makes a skipped test a failure
  setup                     install the Debian packages that tests need (as root), else name them
  suites                    build the POSIX suites pjdfstest and fsx, which a test then runs
  images [up|stop|env]      build and serve the base images; `env` prints what tests read, for eval
  bench [NAME] [--files N] [--runs N]
                            hd beside a peer in the same run; one JSON object on stdout; here and
                            below --keep writes the ratios to xtask/kept/, and --check fails when
                            one is worse than the kept one beyond the spread of both runs;
                            `bench GROUP --from FILE` with either takes a report printed before
  bench store [--set a,b,c,d,e,m] [--runs N] [--peers NAMES]
                            the store beside git, restic, borg, casync, tar and zstd on real sets
                            of files; a table on stderr, one JSON object on stdout
  bench projection [--rounds N] [--cold-rounds N] [--only MEASURE]... [--target NAME]...
                            views beside ext4, overlayfs and fuse-overlayfs on a real root, warm
                            and cold, mounts and capture; a table and one JSON object (root)
  bench services [--edits N] [--sample node|flask]
                            from a save to the new answer over HTTP, beside tools that watch files
                            and restart, and containers over a bind mount
  bench sandbox [--rounds N]
                            a sandbox, and a command on an image, beside unshare, runc and Docker
  bench status [--rounds N] exec and status as whole processes, beside docker exec and docker ps
  bench memory [--seconds N]
                            memory and processor time of an idle instance, beside Docker's engine
  bench dag                 one edit of a Merkle tree beside building it anew, and the question whether
                            it touches 100,000 observations, to 1,000,000 files
  bench scale [--files N,N...] [--runs N]
                            what one edit costs in projects of 1,000 to 100,000 files, or more:
                            1,000,000 took half an hour on two busy cores, 6 GB of disk and 1.3
                            GB of memory, and are removed at the end
  bench steps [--rounds N]  what observing costs: installing packages as a step, beside the same in a plain
                            overlayfs on the unpacked image (root)
  bench oci [--image REFERENCE] [--rounds N] [--hd PROGRAM]
                            an image of the local registry into an empty store, and the first command
                            in it, beside Docker and Podman; one JSON object on stdout
  bench all [GROUP]...      these groups, or every one above, with their own defaults, one JSON object
                            each; a group that fails does not stop the others
  monorepo DIR [--files N] [--seed N]
                            write a made-up monorepo of 20,000 files with five build steps
  faults [--full]           the fault suites of the store; --full with hundreds of kills, power cuts,
                            damages and rounds; the result is kept in the target directory
  fuzz [--minutes N]        layers, manifests, references, Dockerfiles and Compose files mutated, N minutes
                            each kind [default: 1]; an input that panics is kept and named
  dist                      the release recipe: one static binary, checked
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// The suites belong to no crate here: programs of the registry, in versions of their own.
fn suites() -> Result<(), Failure> {
    let place = shell::target_dir()?.join("suites");
    let mut install = shell::cargo();
    install.args(["install", "--quiet", "--locked", "--root"]);
    shell::run(install.arg(place).args(["pjdfstest@0.2.2", "fsx@0.3.2"]))
}

fn run(args: &[&str]) -> Result<(), Failure> {
    match args.split_first() {
        Some((&"test", rest)) => test::run(rest),
        Some((&"suites", [])) => suites(),
        Some((&"setup", [])) => setup::run().map(|_| ()),
        Some((&"images", rest)) => images::run(rest),
        Some((&"bench", rest)) => bench::run(rest),
        Some((&"monorepo", rest)) => monorepo::run(rest),
        Some((&"faults", rest)) => faults::run(rest),
        Some((&"fuzz", rest)) => fuzz::run(rest),
        Some((&"dist", [])) => dist::run(),
        Some((&("help" | "-h" | "--help"), _)) => {
            print!("{USAGE}");
            Ok(())
        }
        _ => Err(Failure::new(format!("what is asked for?\n{USAGE}"))),
    }
}
