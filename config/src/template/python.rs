//! Python: a virtual environment, and Django, Flask, FastAPI as their documentation starts them.

use super::source::port;
use super::{Facts, Parts};
use crate::ingest::draft::DraftService;
use crate::ingest::sources;
use crate::service::{Command, Condition, RestartPolicy};

/// Files that may hold the application, in the order of likelihood.
const ENTRIES: [&str; 8] = [
    "app.py",
    "main.py",
    "wsgi.py",
    "server.py",
    "application.py",
    "app/main.py",
    "src/main.py",
    "app/__init__.py",
];

/// Whether the project has a virtual environment of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tools {
    /// Programs are those of `.venv`.
    Own,
    /// Programs are the machine's.
    Machine,
}

/// Programs that a virtual environment brings.
const PROGRAMS: [&str; 9] = [
    "python",
    "python3",
    "flask",
    "gunicorn",
    "uvicorn",
    "celery",
    "hypercorn",
    "daphne",
    "waitress-serve",
];

impl Tools {
    fn path(self, program: &str) -> String {
        match (self, program) {
            (Self::Own, program) => format!(".venv/bin/{program}"),
            (Self::Machine, "python") => "python3".to_owned(),
            (Self::Machine, program) => program.to_owned(),
        }
    }

    /// Tells whether a command runs Python, so that it keeps the modules it has read.
    pub(super) fn runs(command: &str) -> bool {
        let mut words = command.split_whitespace();
        words.any(|word| PROGRAMS.contains(&word.rsplit('/').next().unwrap_or(word)))
    }

    /// A line of shell whose programs may be those of the virtual environment.
    pub(super) fn inside(self, command: &str) -> String {
        let (program, rest) = command.split_once(' ').unwrap_or((command, ""));
        let is_alone = !rest.contains([';', '&', '|', '\n', '`', '(']);
        match self {
            Self::Machine => command.to_owned(),
            Self::Own if PROGRAMS.contains(&program) && is_alone => {
                let line = format!("{} {rest}", self.path(program));
                line.trim_end().to_owned()
            }
            Self::Own => format!("PATH=\"$PWD/.venv/bin:$PATH\"; {command}"),
        }
    }
}

/// Adds what is found; tells where Python's programs are then.
pub(super) fn look(facts: &Facts<'_>, parts: &mut Parts) -> Tools {
    let wanted = facts.text("requirements.txt").to_lowercase()
        + &facts.text("pyproject.toml").to_lowercase();
    let django = facts.has("manage.py") && facts.text("manage.py").contains("django");
    let program = program(facts);
    let manifest = facts.first_of(&["requirements.txt", "pyproject.toml"]);
    let manifest = manifest.filter(|file| *file != "pyproject.toml" || is_project(facts));
    if manifest.is_none() && !django && program.is_none() {
        return Tools::Machine;
    }
    let framework = program.as_ref().and_then(|program| program.framework);
    let extra = match (manifest, framework) {
        (None, _) if django => Some(django_version(facts)),
        (None, Some(framework)) => Some(framework.package().to_owned()),
        (Some(_), Some(Framework::FastApi))
            if !wanted.contains("uvicorn") && !wanted.contains("fastapi[") =>
        {
            Some("uvicorn".to_owned())
        }
        _ => None,
    };
    let tools = install(parts, manifest, extra);
    if django {
        self::django(parts, tools);
    } else if let Some(program) = program {
        program.serve(parts, tools);
    } else {
        parts.found("Python", manifest.unwrap_or_default());
    }
    tools
}

/// A manifest that only configures tools installs nothing.
fn is_project(facts: &Facts<'_>) -> bool {
    let text = facts.text("pyproject.toml");
    ["[project]", "[tool.poetry]", "[build-system]"]
        .iter()
        .any(|table| text.contains(table))
}

fn install(parts: &mut Parts, manifest: Option<&str>, extra: Option<String>) -> Tools {
    let what = match manifest {
        Some("requirements.txt") => Some("-r requirements.txt".to_owned()),
        Some(_) => Some("-e .".to_owned()),
        None => None,
    };
    let all: Vec<String> = what.into_iter().chain(extra).collect();
    if all.is_empty() {
        return Tools::Machine;
    }
    // `-I` keeps Python from looking at the files beside it, so new ones do not re-run this.
    parts.steps.push("python3 -I -m venv .venv".to_owned());
    parts
        .steps
        .push(format!(".venv/bin/pip install {}", all.join(" ")));
    Tools::Own
}

/// The release that `django-admin startproject` wrote into the settings, with its patches.
fn django_version(facts: &Facts<'_>) -> String {
    let settings = facts
        .files
        .iter()
        .map(|dir| facts.text(&format!("{dir}/settings.py")));
    let version = settings.into_iter().find_map(|text| {
        let (_, rest) = text.split_once("using Django ")?;
        let version: String = rest
            .chars()
            .take_while(|c| c.is_ascii_digit() || *c == '.')
            .collect();
        Some(version.trim_end_matches('.').to_owned())
    });
    match version.filter(|version| version.matches('.').count() > 0) {
        Some(version) => format!("django~={version}"),
        None => "django".to_owned(),
    }
}

fn django(parts: &mut Parts, tools: Tools) {
    parts.found("Django", "manage.py");
    let python = tools.path("python");
    let command = Command::Shell(format!("{python} manage.py migrate --noinput"));
    let mut migrate = DraftService::new("migrate", command);
    migrate.oneshot = true;
    migrate.restart = RestartPolicy::Never;
    parts.services.push(migrate);
    let command = format!("{python} manage.py runserver --noreload 127.0.0.1:8000");
    parts.serve(command, Some(8000), &sources::PYTHON);
    if let Some(web) = parts.services.last_mut() {
        web.depends_on
            .push(("migrate".to_owned(), Condition::Completed));
    }
    // What the service writes itself is no edit.
    parts.exclude.insert("*.sqlite3*".to_owned());
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Framework {
    Flask,
    FastApi,
}

impl Framework {
    fn title(self) -> &'static str {
        match self {
            Self::Flask => "Flask",
            Self::FastApi => "FastAPI",
        }
    }

    /// What to install when no manifest says it.
    fn package(self) -> &'static str {
        match self {
            Self::Flask => "flask",
            Self::FastApi => "fastapi uvicorn",
        }
    }
}

/// A file that runs.
struct Program {
    file: String,
    framework: Option<Framework>,
    /// Name of the application or its factory in the file.
    name: String,
    runs_itself: bool,
    /// Where it runs itself it names a port, found or not.
    says_port: bool,
    port: Option<u16>,
}

fn program(facts: &Facts<'_>) -> Option<Program> {
    let packages = facts.files.iter().map(|dir| format!("{dir}/__init__.py"));
    let all = ENTRIES
        .iter()
        .map(|file| (*file).to_owned())
        .chain(packages);
    let mut read = all.filter_map(|file| Some((file.clone(), (facts.read)(&file)?)));
    // A package counts only when it holds an application.
    read.find_map(|(file, text)| Program::of(file, &text))
}

/// What begins to serve, of the standard library and the usual frameworks.
const SERVING: [&str; 8] = [
    ".run(",
    "run_app(",
    "run_simple(",
    "listen(",
    "serve(",
    "Server(",
    "_server(",
    "bind(",
];

impl Program {
    fn of(file: String, text: &str) -> Option<Self> {
        let application = text.lines().find_map(|line| {
            let (name, value) = line.split_once('=')?;
            let is_name = name
                .trim()
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_');
            let value = value.trim();
            let framework = if value.starts_with("FastAPI(") {
                Framework::FastApi
            } else if value.starts_with("Flask(") {
                Framework::Flask
            } else {
                return None;
            };
            // Inside a function it is a factory's.
            let name = if line.starts_with(' ') {
                "create_app"
            } else {
                name.trim()
            };
            is_name.then(|| (framework, name.to_owned()))
        });
        let runs_itself = text.contains("__main__") || text.contains("serve_forever(");
        if application.is_none() && file.ends_with("__init__.py") {
            return None;
        }
        let (framework, name) = application.map_or((None, String::new()), |(f, n)| (Some(f), n));
        Some(Self {
            file,
            framework,
            name,
            runs_itself,
            says_port: text
                .lines()
                .any(|line| line.contains(".run(") && line.contains("port")),
            port: port(
                text,
                &SERVING,
                &[
                    "port=",
                    "port =",
                    "PORT",
                    "127.0.0.1",
                    "0.0.0.0",
                    "localhost",
                ],
            ),
        })
    }

    fn serve(&self, parts: &mut Parts, tools: Tools) {
        let kind = self.framework.map_or("Python", Framework::title);
        parts.found(kind, &self.file);
        let module = self
            .file
            .trim_end_matches("/__init__.py")
            .trim_end_matches(".py")
            .replace('/', ".");
        let (command, port) = match self.framework {
            Some(Framework::FastApi) if !self.runs_itself => {
                let uvicorn = tools.path("uvicorn");
                let factory = if self.name == "create_app" {
                    " --factory"
                } else {
                    ""
                };
                (
                    format!("{uvicorn} {module}:{}{factory} --port 8000", self.name),
                    Some(8000),
                )
            }
            Some(Framework::Flask) if !self.runs_itself => (
                format!("{} --app {module} run --port 5000", tools.path("flask")),
                Some(5000),
            ),
            framework => {
                let is_default = framework == Some(Framework::Flask) && !self.says_port;
                let port = self.port.or(is_default.then_some(5000));
                (format!("{} {}", tools.path("python"), self.file), port)
            }
        };
        parts.serve(command, port, &sources::PYTHON);
    }
}
