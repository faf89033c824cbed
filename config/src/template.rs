//! The `hd.toml` that `hd init` writes: it works as it is.

use std::fmt::Write;

/// What is known about the project directory.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Name of the directory.
    pub directory: &'a str,
    /// Names of the files in it.
    pub files: &'a [&'a str],
}

impl Facts<'_> {
    fn has(&self, name: &str) -> bool {
        self.files.contains(&name)
    }

    fn first_of<'n>(&self, names: &[&'n str]) -> Option<&'n str> {
        names.iter().copied().find(|name| self.has(name))
    }
}

/// What one kind of project needs.
#[derive(Default)]
struct Parts {
    steps: Vec<String>,
    cache: Vec<&'static str>,
    service: Option<(String, &'static str)>,
}

/// Writes the template: steps for each manifest that is there, a service where the file to run is
/// evident, the rest as comments.
#[must_use]
pub fn template(facts: &Facts<'_>) -> String {
    let mut parts = Parts::default();
    python(facts, &mut parts);
    node(facts, &mut parts);
    rust(facts, &mut parts);

    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "[environment]\nname = {:?}", name(facts.directory));
    out.push_str(
        "# base = \"debian:12-slim\"    # an OCI image; without it, this machine's own system\n",
    );
    out.push_str(&build(&parts));
    out.push_str(&service(&parts));
    out.push_str("\n# [files]\n# exclude = [\"*.log\"]    # on top of .gitignore and .hdignore\n");
    out
}

fn build(parts: &Parts) -> String {
    if parts.steps.is_empty() {
        return "\n# [build]\n# steps = [\"make\"]    # each runs again only when something it read has changed\n"
            .to_owned();
    }
    let mut out =
        "\n# Each step runs again only when something it read has changed.\n[build]\nsteps = [\n"
            .to_owned();
    for step in &parts.steps {
        let _ = writeln!(out, "    {step:?},");
    }
    out.push_str("]\n");
    if !parts.cache.is_empty() {
        let _ = writeln!(out, "cache = {:?}", parts.cache);
    }
    out
}

fn service(parts: &Parts) -> String {
    match &parts.service {
        Some((command, watch)) => format!(
            "\n[services.web]\ncommand = {command:?}\nwatch = [{watch:?}]    # a change of these restarts it\n\
             # port = 8000    # ready once it accepts connections there\n"
        ),
        None => "\n# [services.web]\n# command = \"./serve\"\n# watch = [\"src/**\"]    # a change of these restarts it\n\
                 # port = 8000    # ready once it accepts connections there\n"
            .to_owned(),
    }
}

fn python(facts: &Facts<'_>, parts: &mut Parts) {
    let installs = facts.has("requirements.txt");
    if installs {
        // `-I` keeps Python from looking at the files beside it, so new ones do not re-run this.
        parts.steps.push("python3 -I -m venv .venv".to_owned());
        parts
            .steps
            .push(".venv/bin/pip install -r requirements.txt".to_owned());
    }
    let program = if installs {
        ".venv/bin/python"
    } else {
        "python3"
    };
    if let Some(file) = facts.first_of(&["app.py", "main.py", "server.py"]) {
        parts.service = Some((format!("{program} {file}"), "*.py"));
    } else if facts.has("manage.py") {
        parts.service = Some((format!("{program} manage.py runserver --noreload"), "*.py"));
    }
}

fn node(facts: &Facts<'_>, parts: &mut Parts) {
    if !facts.has("package.json") {
        return;
    }
    let locked = facts.has("package-lock.json") || facts.has("npm-shrinkwrap.json");
    let install = if locked { "npm ci" } else { "npm install" };
    parts.steps.push(install.to_owned());
    let entry = facts.first_of(&["server.js", "index.js", "app.js", "main.js"]);
    if parts.service.is_none()
        && let Some(file) = entry
    {
        parts.service = Some((format!("node {file}"), "*.js"));
    }
}

fn rust(facts: &Facts<'_>, parts: &mut Parts) {
    if facts.has("Cargo.toml") {
        parts.steps.push("cargo build".to_owned());
        parts.cache.push("target");
    }
}

/// The directory's name as the name of an environment.
fn name(directory: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let name: String = directory
        .chars()
        .map(|c| if plain(c) { c } else { '-' })
        .take(64)
        .collect();
    let name = name.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    if name.is_empty() {
        "app".to_owned()
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Facts, template};
    use crate::parse;

    const FILES: [&str; 9] = [
        "requirements.txt",
        "app.py",
        "manage.py",
        "package.json",
        "package-lock.json",
        "server.js",
        "Cargo.toml",
        "Dockerfile",
        "README.md",
    ];

    #[test]
    fn a_flask_project_gets_its_steps_and_its_service() {
        let facts = Facts {
            directory: "My App",
            files: &["app.py", "requirements.txt"],
        };
        let project = parse(&template(&facts), "hd.toml").unwrap();
        assert_eq!(project.name, "My-App");
        let steps: Vec<&str> = project
            .steps
            .iter()
            .map(|step| step.slug.as_str())
            .collect();
        assert_eq!(steps, ["python3-venv", "pip-install"]);
        let web = project.service("web").unwrap();
        assert_eq!(web.command.to_string(), ".venv/bin/python app.py");
        assert!(web.watch.matches(b"config.py"));
    }

    #[test]
    fn an_empty_directory_gets_an_environment_and_comments() {
        let facts = Facts {
            directory: "/",
            files: &[],
        };
        let text = template(&facts);
        insta::assert_snapshot!(text, @r#"
        [environment]
        name = "app"
        # base = "debian:12-slim"    # an OCI image; without it, this machine's own system

        # [build]
        # steps = ["make"]    # each runs again only when something it read has changed

        # [services.web]
        # command = "./serve"
        # watch = ["src/**"]    # a change of these restarts it
        # port = 8000    # ready once it accepts connections there

        # [files]
        # exclude = ["*.log"]    # on top of .gitignore and .hdignore
        "#);
        let project = parse(&text, "hd.toml").unwrap();
        assert_eq!((project.name.as_str(), project.steps.len()), ("app", 0));
    }

    proptest! {
        #[test]
        fn every_template_parses_and_so_do_its_comments(
            directory in ".{0,80}",
            files in prop::sample::subsequence(FILES.to_vec(), 0..=FILES.len()),
        ) {
            let text = template(&Facts { directory: &directory, files: &files });
            prop_assert!(parse(&text, "hd.toml").is_ok(), "{}", text);
            let bare: String = text
                .lines()
                .filter(|line| !line.contains("runs again only"))
                .map(|line| format!("{}\n", line.trim_start_matches("# ")))
                .collect();
            prop_assert!(parse(&bare, "hd.toml").is_ok(), "{}", bare);
        }
    }
}
