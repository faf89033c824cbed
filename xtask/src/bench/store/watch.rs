//! A running `hd up` whose watcher reports a save that changes nothing.
//!
//! What hd takes is what its own debug trace says between "paths settled" and "ingested and
//! applied": the time before is the kernel's and the debouncer's wait for a quiet moment.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::place::{Place, make_dir, write};
use super::report::{Row, Target};
use super::sets::Set;
use super::tiny;
use crate::shell::{Doing, Failure, shown};

const SAVES: usize = 25;
const DEADLINE: Duration = Duration::from_secs(60);
/// Files of the small project, to see whether the time depends on their number.
const FEW: usize = 1000;

/// A save of equal bytes in a project of 100,000 files and in one of 1,000.
pub(super) fn measure(set: Set, place: &Place) -> Result<Vec<Row>, Failure> {
    let few = place.at("few");
    make_dir(&few)?;
    tiny::make(&few, FEW)?;
    write(&few.join("hd.toml"), b"[environment]\nname = \"few\"\n")?;
    let many_ms = equal_saves(place, &place.project.current, &place.at("hd"))?;
    let few_ms = equal_saves(place, &few, &place.at("few-home"))?;
    Ok(vec![
        Row {
            set,
            measure: "equal save, watcher alive".into(),
            unit: "ms",
            ours: many_ms.clone(),
            peer: None,
            target: Target::Ours(5.0),
        },
        Row {
            set,
            measure: "equal save, 100,000 ÷ 1,000 files".into(),
            unit: "ms",
            ours: many_ms,
            peer: Some((format!("{FEW} files"), Ok(few_ms))),
            target: Target::None,
        },
    ])
}

fn equal_saves(place: &Place, project: &Path, home: &Path) -> Result<Vec<f64>, Failure> {
    let mut command = Command::new(&place.hd);
    command
        .args(["up", "--progress", "plain"])
        .current_dir(project);
    command
        .env("HD_HOME", home)
        .env("RUST_LOG", "hd_actors=debug")
        .env("NO_COLOR", "1");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut running = Running(command.spawn().doing(|| shown(&command))?);
    let lines = lines_of(&mut running)?;
    let times = after_boot(project, &lines);
    stop(place, project, home)?;
    // It goes by itself; what it still writes then is not in anybody's way later.
    let ended = running.0.wait().doing(|| "waiting for hd up".into());
    ended.and(times)
}

fn after_boot(project: &Path, lines: &Receiver<String>) -> Result<Vec<f64>, Failure> {
    wait_for(lines, "ingested and applied")?;
    // The watcher is told apart from the boot by the first save that it reports.
    let file = some_file(project)?;
    let bytes = std::fs::read(&file).doing(|| format!("reading {}", file.display()))?;
    let mut times = Vec::new();
    for _ in 0..SAVES {
        write(&file, &bytes)?;
        let settled = since_event(&wait_for(lines, "paths settled")?)?;
        let applied = since_event(&wait_for(lines, "ingested and applied")?)?;
        times.push(applied - settled);
    }
    Ok(times)
}

fn some_file(project: &Path) -> Result<PathBuf, Failure> {
    let dir = project.join("d00000");
    let mut listing = std::fs::read_dir(&dir).doing(|| format!("listing {}", dir.display()))?;
    match listing.next() {
        Some(entry) => Ok(entry.doing(|| format!("listing {}", dir.display()))?.path()),
        None => Err(Failure::new("the project is empty")),
    }
}

fn lines_of(running: &mut Running) -> Result<Receiver<String>, Failure> {
    let stderr = running.0.stderr.take();
    let stderr = stderr.ok_or_else(|| Failure::new("hd has no stderr"))?;
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    Ok(lines)
}

fn wait_for(lines: &Receiver<String>, wanted: &str) -> Result<String, Failure> {
    let mut last = String::new();
    loop {
        match lines.recv_timeout(DEADLINE) {
            Ok(line) if line.contains(wanted) => return Ok(line),
            Ok(line) => last = line,
            Err(error) => {
                return Err(Failure::new(format!(
                    "hd up never said \"{wanted}\": {error}; its last line: {last}"
                )));
            }
        }
    }
}

/// Milliseconds in `since_event=1.234ms` of a line of the trace.
fn since_event(line: &str) -> Result<f64, Failure> {
    let failed = || Failure::new(format!("no since_event in: {line}"));
    let (_, rest) = line.split_once("since_event=").ok_or_else(failed)?;
    let text = rest.split_whitespace().next().ok_or_else(failed)?;
    let digits = text.trim_end_matches(|char: char| char.is_alphabetic() || char == 'µ');
    let number: f64 = digits.parse().map_err(|_| failed())?;
    match &text[digits.len()..] {
        "s" => Ok(number * 1000.0),
        "ms" => Ok(number),
        "µs" => Ok(number / 1000.0),
        _ => Err(failed()),
    }
}

fn stop(place: &Place, project: &Path, home: &Path) -> Result<(), Failure> {
    let mut down = Command::new(&place.hd);
    down.arg("down").current_dir(project).env("HD_HOME", home);
    crate::shell::output(&mut down).map(|_| ())
}

/// Ends when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It has been told to end; this is for when that failed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::since_event;

    #[test]
    fn durations_of_the_trace_are_understood() {
        let of = |text: &str| since_event(&format!("x since_event={text} y")).ok();
        assert_eq!(of("1.5s"), Some(1500.0));
        assert_eq!(of("12.25ms"), Some(12.25));
        assert_eq!(of("250µs"), Some(0.25));
        assert_eq!(of("soon"), None);
    }
}
