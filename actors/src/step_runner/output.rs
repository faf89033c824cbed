//! What a running step prints: to its log file, to whoever watches, and the end of it kept.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::thread::JoinHandle;

use super::secrets::Secrets;
use crate::events::{Event, Events};

/// Lines kept for the report of a failure.
const TAIL: usize = 20;
/// Longest line passed on, in bytes.
const LINE_MAX: usize = 16 * 1024;

/// Reads the output of a step on a thread of its own until all writers are gone.
///
/// Secrets are struck out before anything is kept. The thread gives the last lines back. Errors: the log file cannot be made.
pub(super) fn pump(
    pipe: OwnedFd,
    log: &Path,
    step: &str,
    events: &Events,
    secrets: Secrets,
) -> std::io::Result<JoinHandle<Vec<String>>> {
    if let Some(parent) = log.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let file = File::create(log)?;
    let (step, events) = (step.to_owned(), events.clone());
    std::thread::Builder::new()
        .name(format!("output {step}"))
        .spawn(move || {
            let mut log = BufWriter::new(file);
            let mut tail = VecDeque::with_capacity(TAIL);
            let mut reader = BufReader::new(File::from(pipe));
            let (mut bytes, mut held) = (Vec::new(), Vec::new());
            loop {
                bytes.append(&mut held);
                match reader
                    .by_ref()
                    .take(LINE_MAX as u64)
                    .read_until(b'\n', &mut bytes)
                {
                    Ok(0) | Err(_) if bytes.is_empty() => break,
                    Ok(0) | Err(_) => drop(secrets.strike(&mut bytes)),
                    Ok(_) => {
                        let begun = secrets.strike(&mut bytes);
                        held = bytes.split_off(bytes.len() - begun);
                        if bytes.is_empty() {
                            continue;
                        }
                    }
                }
                // A full disk must not stop the step; the person still sees the line.
                let _ = log.write_all(&bytes);
                let line = String::from_utf8_lossy(&bytes)
                    .trim_end_matches(['\n', '\r'])
                    .to_owned();
                if tail.len() == TAIL {
                    tail.pop_front();
                }
                tail.push_back(line.clone());
                events.tell(Event::StepOutput {
                    name: step.clone(),
                    line,
                });
                bytes.clear();
            }
            let _ = log.flush();
            tail.into()
        })
}
