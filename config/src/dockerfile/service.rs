//! ENTRYPOINT, CMD, EXPOSE and HEALTHCHECK as a service.

use std::collections::BTreeSet;

use super::instruction::Form;
use super::state::{Program, State, who};
use crate::duration;
use crate::ingest::draft::{DraftHealth, DraftService, Own};
use crate::ingest::report::Book;
use crate::ingest::sources;
use crate::service::Command;

/// Programs that wait for a person: as a service they would end at once.
const INTERACTIVE: [&str; 10] = [
    "sh", "bash", "ash", "dash", "zsh", "python", "python3", "node", "irb", "psql",
];

/// Makes the service of a target; it may be none by itself.
pub(crate) fn own(
    state: &State,
    place: (&str, &BTreeSet<String>),
    book: &mut Book<'_>,
    from_line: usize,
) -> Own {
    let command = command(state);
    let runs = command
        .as_ref()
        .is_some_and(|command| is_told(state, command, book, from_line));
    let command = command.unwrap_or_else(|| Command::Exec(Vec::new()));
    let mut aside = book.aside();
    let book = if runs { book } else { &mut aside };
    let mut service = service(state, command, place, book);
    if !runs {
        // What runs instead may read other files, or read them anew by itself.
        service.watch.clear();
    }
    Own {
        service,
        entrypoint: state.entrypoint.as_ref().map(alone),
        runs,
    }
}

/// Says at ENTRYPOINT and CMD what they become; whether that is a service.
fn is_told(state: &State, command: &Command, book: &mut Book<'_>, from_line: usize) -> bool {
    let lines = lines(state);
    if is_interactive(command) {
        let note = "waits for a person, so it is no service: `hd shell` and `hd run` give it one";
        for line in &lines {
            book.approximated(*line, note);
        }
        return false;
    }
    if lines.is_empty() {
        book.approximated(from_line, format!("its command `{command}` is the service"));
    }
    for line in &lines {
        book.translated(*line, "the service");
    }
    true
}

/// Where the file says what runs.
fn lines(state: &State) -> Vec<usize> {
    let programs = [&state.entrypoint, &state.cmd].into_iter().flatten();
    programs.filter_map(|program| program.line).collect()
}

fn service(
    state: &State,
    command: Command,
    (project, owners): (&str, &BTreeSet<String>),
    book: &mut Book<'_>,
) -> DraftService {
    let port = port(state, book);
    let name = if port.is_some() { "web" } else { "app" };
    let mut service = DraftService::new(name, command);
    if state.cwd != project {
        service.texts.insert("working_dir", state.cwd.clone());
    }
    user(state, &mut service, owners, book);
    if let Some(signal) = &state.stop_signal {
        service.texts.insert("stop_signal", signal.clone());
    }
    service.port = port;
    service.watch = watch(state);
    if let (Some(line), false) = (lines(state).first(), service.watch.is_empty()) {
        book.translated(
            *line,
            format!("an edit of {} restarts it", service.watch.join(", ")),
        );
    }
    service.healthcheck = health(state, book);
    service.unprobed = state.unprobed;
    service
}

/// The command line of ENTRYPOINT and CMD (Dockerfile reference, "Understand how CMD and ENTRYPOINT
/// interact").
fn command(state: &State) -> Option<Command> {
    match (&state.entrypoint, &state.cmd) {
        (None, None) => None,
        (None, Some(cmd)) => Some(alone(cmd)),
        (Some(entrypoint), None) => Some(alone(entrypoint)),
        // The string form of ENTRYPOINT takes no arguments.
        (
            Some(
                entrypoint @ Program {
                    form: Form::Shell(_),
                    ..
                },
            ),
            Some(_),
        ) => Some(alone(entrypoint)),
        (
            Some(Program {
                form: Form::Exec(words),
                ..
            }),
            Some(cmd),
        ) => {
            let mut words = words.clone();
            match &cmd.form {
                Form::Exec(more) => words.extend(more.iter().cloned()),
                Form::Shell(line) => {
                    words.extend(cmd.shell.iter().cloned());
                    words.push(line.clone());
                }
            }
            Some(Command::Exec(words))
        }
    }
}

fn alone(program: &Program) -> Command {
    match &program.form {
        Form::Exec(words) => Command::Exec(words.clone()),
        Form::Shell(line) => match program
            .shell
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .as_slice()
        {
            ["/bin/sh" | "sh", "-c"] => Command::Shell(line.clone()),
            shell => {
                let mut words: Vec<String> = shell.iter().map(|word| (*word).to_owned()).collect();
                words.push(line.clone());
                Command::Exec(words)
            }
        },
    }
}

fn words(command: &Command) -> Vec<&str> {
    match command {
        Command::Exec(words) => words.iter().map(String::as_str).collect(),
        Command::Shell(line) => line.split_whitespace().collect(),
    }
}

fn base_name(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

fn is_interactive(command: &Command) -> bool {
    // An image's own entry point script hands on to what follows it.
    let words = words(command);
    let words = match words.as_slice() {
        [first, rest @ ..] if first.ends_with("entrypoint.sh") && !rest.is_empty() => rest,
        words => words,
    };
    matches!(words, [only] if INTERACTIVE.contains(&base_name(only)))
}

/// Who runs the service: the user that the file names, unless the project's files were to be his,
/// for they belong to the owner of the directory.
fn user(state: &State, service: &mut DraftService, owners: &BTreeSet<String>, book: &mut Book<'_>) {
    let name = |user: &str| user.split(':').next().unwrap_or_default().to_owned();
    let user = who(&state.user);
    let is_owner = owners.iter().any(|owner| name(owner) == name(user));
    if user != "root" && !is_owner {
        service.texts.insert("user", user.to_owned());
    } else if let Some(line) = state.user_line.filter(|_| user != "root") {
        let note = format!(
            "the service runs as the owner of the project directory, not as `{user}`, so that it may write there"
        );
        book.approximated(line, note);
    }
}

/// The first TCP port; services are reached on every port they open, for the network is the host's.
fn port(state: &State, book: &mut Book<'_>) -> Option<u16> {
    let mut first = None;
    // What the file says, it says of this service; the image may be configured otherwise.
    let (of_file, of_image): (Vec<_>, Vec<_>) =
        state.ports.iter().partition(|(_, line)| line.is_some());
    for (text, line) in of_file.into_iter().chain(of_image) {
        let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let number: Option<u16> = number
            .split('-')
            .next()
            .and_then(|number| number.parse().ok());
        let fits = protocol.eq_ignore_ascii_case("tcp") && number.is_some_and(|port| port > 0);
        if fits && first.is_none() {
            first = number;
            if let Some(line) = line {
                book.translated(*line, "the service is ready when it accepts there");
            }
        } else if let Some(line) = line {
            book.approximated(
                *line,
                format!("{text} is reachable too; hd waits for one port only"),
            );
        }
    }
    first
}

/// What restarts the service: sources that its interpreter reads only at its start.
fn watch(state: &State) -> Vec<String> {
    let text = [&state.entrypoint, &state.cmd]
        .into_iter()
        .flatten()
        .map(|program| match &program.form {
            Form::Shell(line) => line.clone(),
            Form::Exec(words) => words.join(" "),
        });
    let text = text.collect::<Vec<_>>().join(" ");
    let has = |names: &[&str]| {
        text.split_whitespace()
            .any(|word| names.contains(&base_name(word)) || word.ends_with(names[0]))
    };
    if has(&[
        ".py", "python", "python3", "flask", "gunicorn", "uvicorn", "celery",
    ]) {
        sources::PYTHON.map(str::to_owned).to_vec()
    } else if has(&[".js", "node", "npm", "yarn", "pnpm"]) {
        sources::NODE.map(str::to_owned).to_vec()
    } else {
        Vec::new()
    }
}

fn health(state: &State, book: &mut Book<'_>) -> Option<DraftHealth> {
    let health = state.health.as_ref()?;
    let line = health.program.line?;
    let mut check = DraftHealth {
        test: alone(&health.program),
        times: Vec::new(),
        retries: None,
    };
    for (name, value) in &health.options {
        match name.as_str() {
            "retries" => check.retries = value.parse().ok().filter(|retries| *retries > 0),
            "start-interval" => {
                book.approximated(line, "--start-interval: probes come at one interval")
            }
            "interval" | "timeout" | "start-period" => {
                let key = match name.as_str() {
                    "interval" => "interval",
                    "timeout" => "timeout",
                    _ => "start_period",
                };
                match duration::parse(value) {
                    Ok(time) if !time.is_zero() || key == "start_period" => {
                        check.times.push((key, value.clone()))
                    }
                    _ => {
                        book.approximated(line, format!("--{name}={value} is left at hd's default"))
                    }
                }
            }
            _ => {}
        }
    }
    book.translated(
        line,
        "the service's health check; times that it does not name are hd's",
    );
    Some(check)
}
