//! `hd logs`.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant, SystemTime};

use hd_actors::model::log_line::{LogLine, Stream, parse_moment, timestamp};
use serde_json::json;

use crate::args::{LogsArgs, Place};
use crate::error::{CliError, Outcome, exit};
use crate::leftovers;
use crate::logs::{Merge, Watch, names};
use crate::output::Output;
use crate::output::lines::{PREFIX_MIN, prefixed};
use crate::output::style::{Tint, tame};
use crate::project::{self, Located};
use crate::verbs::nearest;

/// Time between two looks whether hd still runs.
const LOOK: Duration = Duration::from_secs(1);

/// Prints what services wrote, merged by time.
pub(crate) fn run(args: &LogsArgs, place: &Place, output: Output) -> Outcome {
    let located = project::locate(place, None)?;
    let mut running = runs(&located)?;
    let directory = located.paths.service_logs();
    let failed = |e: std::io::Error| CliError::io("read the logs in", &directory, &e);
    let chosen = Chosen::new(args, &located)?;
    let how = How {
        output,
        is_terminal: std::io::stdout().is_terminal(),
        prefix: !args.no_prefix,
        times: args.timestamps,
        since: moment(args.since.as_deref(), "--since")?,
        until: moment(args.until.as_deref(), "--until")?,
    };
    let mut merge = Merge::open(&directory, &chosen.logs).map_err(failed)?;
    if let Some(tail) = args.tail {
        let skipped = merge.skip_to(tail, |line| how.is_meant(line));
        skipped.map_err(failed)?;
    }
    how.print(&mut merge, &directory)?;
    if !args.follow {
        return Ok(0);
    }
    let mut watch = Watch::new(&directory);
    let mut looked = Instant::now();
    // What was written just before hd ended is read after its end was seen.
    while running {
        watch.wait_with_reader(LOOK)?;
        if looked.elapsed() >= LOOK {
            looked = Instant::now();
            // Its socket may be full, or made anew: that it runs is known by what it holds.
            running = leftovers::is_held(&located.paths)?;
        }
        let mut found = names(&directory).map_err(failed)?;
        found.retain(|log| chosen.means(log));
        let added = found.iter().try_for_each(|name| merge.add(name));
        added.map_err(failed)?;
        if !watch.wakes() {
            watch = Watch::new(&directory);
        }
        how.print(&mut merge, &directory)?;
    }
    output.talk("hd is not running: the logs end here");
    Ok(0)
}

/// Tells whether hd runs, though it may be busy; where it does not, removes what a killed one left.
fn runs(located: &Located) -> Result<bool, CliError> {
    match leftovers::find(located) {
        Err(error) if error.exit() == exit::TIMEOUT => Ok(true),
        found => Ok(found?.is_some()),
    }
}

/// Which logs a command asks for.
struct Chosen {
    /// Those there are, in the order of replicas.
    logs: Vec<String>,
    /// The names given, each of a service or of all its replicas; all are meant when there is none.
    names: Vec<String>,
    /// What the hd.toml says each service is declared as, by its own name.
    declared: BTreeMap<String, String>,
}

impl Chosen {
    fn new(args: &LogsArgs, located: &Located) -> Result<Self, CliError> {
        let directory = located.paths.service_logs();
        let mut logs = names(&directory).map_err(|e| CliError::io("list", &directory, &e))?;
        let mut chosen = Self {
            logs: Vec::new(),
            names: args.services.clone(),
            declared: BTreeMap::new(),
        };
        if !chosen.names.is_empty()
            && let Ok(loaded) = located.load()
        {
            let services = loaded.project.services.iter();
            let declared = services.map(|one| (one.name.clone(), one.declared().to_owned()));
            chosen.declared.extend(declared);
            logs.extend(chosen.declared.keys().cloned());
        }
        for name in &chosen.names {
            if !logs.iter().any(|log| chosen.is_named(log, name)) {
                return Err(unknown(name, &logs));
            }
        }
        logs.retain(|log| chosen.means(log));
        logs.sort_by_key(|name| by_number(name));
        logs.dedup();
        chosen.logs = logs;
        Ok(chosen)
    }

    fn means(&self, log: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|name| self.is_named(log, name))
    }

    /// Tells whether a name means a log. A replica that the file does not declare, since only `hd scale`
    /// asked for it or it was taken out, is known by its name.
    fn is_named(&self, log: &str, name: &str) -> bool {
        log == name
            || match self.declared.get(log) {
                Some(declared) => declared == name,
                None => is_replica(log, name),
            }
    }
}

fn unknown(name: &str, known: &[String]) -> CliError {
    let near = nearest(name, known.iter().map(String::as_str));
    let hint = near.map(|near| format!("did you mean `{near}`?"));
    let message = format!("there is no service `{name}`");
    CliError::new("usage", exit::USAGE, message)
        .hint(hint.unwrap_or_else(|| "`hd ps` lists them".to_owned()))
}

/// Tells whether a log is that of a replica of a service, which the file need not know any more.
fn is_replica(log: &str, service: &str) -> bool {
    let number = log
        .strip_prefix(service)
        .and_then(|rest| rest.strip_prefix('-'));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

/// The order of replicas: `web-2` before `web-10`.
fn by_number(name: &str) -> (String, u32) {
    let split = name.rsplit_once('-');
    let number = split.and_then(|(of, number)| Some((of.to_owned(), number.parse().ok()?)));
    number.unwrap_or_else(|| (name.to_owned(), 0))
}

struct How {
    output: Output,
    /// Lines go to a person's terminal.
    is_terminal: bool,
    prefix: bool,
    times: bool,
    since: Option<SystemTime>,
    until: Option<SystemTime>,
}

/// Reads a time: so long ago, or a moment of RFC 3339 in UTC.
fn moment(text: Option<&str>, flag: &str) -> Result<Option<SystemTime>, CliError> {
    let Some(text) = text else {
        return Ok(None);
    };
    let ago = hd_config::duration::parse(text).ok();
    let ago = ago.and_then(|ago| SystemTime::now().checked_sub(ago));
    ago.or_else(|| parse_moment(text)).map(Some).ok_or_else(|| {
        let message = format!("{flag}: {text:?} is no time");
        CliError::new("usage", exit::USAGE, message)
            .hint("`10m`, `1h30m`, 2026-01-31 or 2026-01-31T12:00:00Z")
    })
}

impl How {
    fn is_meant(&self, line: &LogLine) -> bool {
        self.since.is_none_or(|since| line.at >= since)
            && self.until.is_none_or(|until| line.at <= until)
    }

    /// Prints all there is now.
    fn print(&self, merge: &mut Merge, directory: &std::path::Path) -> Result<(), CliError> {
        let names: Vec<String> = merge.names().map(str::to_owned).collect();
        let width = names
            .iter()
            .map(String::len)
            .max()
            .unwrap_or(0)
            .max(PREFIX_MIN);
        let mut text = String::new();
        while let Some((at, line)) = merge
            .next()
            .map_err(|e| CliError::io("read the logs in", directory, &e))?
        {
            if !self.is_meant(&line) {
                continue;
            }
            let name = names.get(at).map_or("", String::as_str);
            text.push_str(&self.line(name, width, at, &line));
            text.push('\n');
            if text.len() > 1 << 16 {
                self.output.data(&std::mem::take(&mut text))?;
            }
        }
        if text.is_empty() {
            Ok(())
        } else {
            self.output.data(&text)
        }
    }

    fn line(&self, name: &str, width: usize, index: usize, line: &LogLine) -> String {
        let style = self.output.out;
        let stream = match line.stream {
            Stream::Out => "stdout",
            Stream::Err => "stderr",
            Stream::Hd => "hd",
        };
        if self.output.json {
            return json!({"schema": 1, "service": name, "at": timestamp(line.at), "stream": stream, "text": line.text}).to_string();
        }
        let mut text = self.told(line);
        if self.times {
            text = format!("{} {text}", style.paint(Tint::Dim, timestamp(line.at)));
        }
        if self.prefix {
            prefixed(name, width, index, &text, style)
        } else {
            text
        }
    }

    /// A person's terminal is spared what a service may write to it; a program gets what was written.
    fn told(&self, line: &LogLine) -> String {
        let style = self.output.out;
        let text = if self.is_terminal {
            tame(&line.text, style.colour())
        } else {
            line.text.clone()
        };
        match line.stream {
            Stream::Hd => style.paint(Tint::Dim, format!("hd: {text}")),
            Stream::Out | Stream::Err => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use crate::args::Progress;
    use crate::output::style::Style;

    use super::*;

    fn how(json: bool, prefix: bool, times: bool) -> How {
        let style = Style::new(false);
        let output = Output {
            json,
            out: style,
            err: style,
            progress: Progress::Plain,
        };
        How {
            output,
            is_terminal: false,
            prefix,
            times,
            since: None,
            until: None,
        }
    }

    #[test]
    fn a_name_means_its_log_and_those_of_its_replicas() {
        let declared = [("web", "web"), ("web-9", "web-9"), ("job-1", "job")];
        let declared = declared.map(|(log, of)| (log.to_owned(), of.to_owned()));
        let chosen = Chosen {
            logs: Vec::new(),
            names: Vec::new(),
            declared: BTreeMap::from(declared),
        };
        for (log, name, is_meant) in [
            ("web", "web", true),
            ("web-1", "web", true),
            ("web-9", "web", false),
            ("web-9", "web-9", true),
            ("web-1", "web-1", true),
            ("web", "web-1", false),
            ("job-1", "job", true),
            ("job-1", "web", false),
            ("job", "job", true),
            ("web-a", "web", false),
        ] {
            assert_eq!(chosen.is_named(log, name), is_meant, "{log} {name}");
        }
        assert!(chosen.means("any"));
    }

    #[test]
    fn a_terminal_is_spared_what_a_program_gets() {
        let line = LogLine {
            at: UNIX_EPOCH,
            stream: Stream::Out,
            text: "old\r\u{1b}[31mnew\u{1b}[2J".to_owned(),
        };
        for (is_terminal, colour, told) in [
            (true, true, "\u{1b}[31mnew\u{1b}[0m"),
            (true, false, "new"),
            (false, true, line.text.as_str()),
            (false, false, line.text.as_str()),
        ] {
            let mut how = how(false, false, false);
            how.is_terminal = is_terminal;
            how.output.out = Style::new(colour);
            assert_eq!(how.told(&line), told, "{is_terminal} {colour}");
        }
    }

    #[test]
    fn lines_look_as_asked_for() {
        let line = LogLine {
            at: UNIX_EPOCH,
            stream: Stream::Out,
            text: "* Running".to_owned(),
        };
        let shown = |how: How| how.line("web", PREFIX_MIN, 0, &line);
        assert_eq!(shown(how(false, true, false)), "web    | * Running");
        assert_eq!(shown(how(false, false, false)), "* Running");
        assert_eq!(
            shown(how(false, false, true)),
            "1970-01-01T00:00:00.000000Z * Running"
        );
        let json = r#"{"at":"1970-01-01T00:00:00.000000Z","schema":1,"service":"web","stream":"stdout","text":"* Running"}"#;
        assert_eq!(shown(how(true, true, true)), json);
        let remark = LogLine {
            stream: Stream::Hd,
            ..line.clone()
        };
        assert_eq!(
            how(false, true, false).line("web", 6, 0, &remark),
            "web    | hd: * Running"
        );
    }
}
