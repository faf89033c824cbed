//! A project of a test, with an `HD_HOME` and ports of its own.

use std::path::{Path, PathBuf};

use crate::files;
use crate::leftovers;
use crate::ports::Port;
use crate::report::Report;
use crate::run::Run;
use crate::up::Up;
use crate::user::User;

/// Everything is below one temporary directory; dropping it ends what still runs there.
#[derive(Debug)]
pub struct Env {
    place: tempfile::TempDir,
    home: PathBuf,
    project: PathBuf,
    ports: Vec<Port>,
    vars: Vec<(String, String)>,
    user: Option<User>,
}

impl Env {
    /// A copy of `examples/NAME`, committed to git, with each `port = N` of its `hd.toml` (and every
    /// other place that says N there) moved to a free port.
    pub fn example(name: &str) -> Self {
        let mut env = Self::empty();
        let source = workspace().join("examples").join(name);
        files::copy_tree(
            &source,
            &env.project,
            &[".venv", "node_modules", "dist", "data", "__pycache__"],
        );
        env.move_ports();
        env.git_init();
        env
    }

    /// A copy of a directory, committed to git.
    pub fn copy(directory: &Path) -> Self {
        let env = Self::empty();
        files::copy_tree(directory, &env.project, &[]);
        env.git_init();
        env
    }

    /// A project made of these files.
    pub fn project(files: &[(&str, &str)]) -> Self {
        let mut env = Self::empty();
        for (path, text) in files {
            files::write(&env.path(path), text);
        }
        env.move_ports();
        env.git_init();
        env
    }

    fn empty() -> Self {
        // A short name: sockets live below it, and their paths end at 107 bytes.
        let place = tempfile::Builder::new()
            .prefix("hd-t-")
            .tempdir()
            .expect("a directory for the test");
        open_to_all(place.path());
        let (home, project) = (place.path().join("home"), place.path().join("project"));
        std::fs::create_dir(&project).expect("make the project directory");
        Self {
            place,
            home,
            project,
            ports: Vec::new(),
            vars: Vec::new(),
            user: None,
        }
    }

    /// Sets a variable for each `hd` started from now on.
    pub fn set(&mut self, key: &str, value: &str) -> &mut Self {
        self.vars.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Lets an ordinary user run each `hd` from now on; all files of the test are his.
    pub fn as_user(&mut self, has_ranges: bool) -> &User {
        let user = User::new(self.place.path(), has_ranges);
        self.user.insert(user)
    }

    /// Starts over with an empty `HD_HOME` for the same project.
    pub fn second_home(&mut self) -> &mut Self {
        self.use_home("home2")
    }

    /// Goes on with another `HD_HOME` for the same project, or back to an earlier one; the first is
    /// `home`.
    pub fn use_home(&mut self, name: &str) -> &mut Self {
        self.home = self.place.path().join(name);
        self
    }

    /// Keeps all state in the project itself from now on.
    pub fn home_in_project(&mut self) -> &mut Self {
        self.home = self.project.join(".hd");
        self
    }

    /// The directory everything is below: what a leftover would mention.
    pub fn mark(&self) -> &Path {
        self.place.path()
    }

    /// The `HD_HOME`.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The directories of all its instances, the one without a name first.
    #[track_caller]
    pub fn instances(&self) -> Vec<PathBuf> {
        let all = std::fs::read_dir(self.home.join("instances")).expect("list the instances");
        let mut all: Vec<PathBuf> = all.map(|entry| entry.expect("an entry").path()).collect();
        all.sort();
        all
    }

    /// A path in the project; "" is the project itself.
    pub fn path(&self, relative: &str) -> PathBuf {
        if relative.is_empty() {
            self.project.clone()
        } else {
            self.project.join(relative)
        }
    }

    /// The free port that took the place of the `index`-th `port` of `hd.toml`.
    pub fn port(&self, index: usize) -> u16 {
        self.ports[index].number
    }

    /// Prepares `hd ARGS` in the project, for this `HD_HOME`.
    pub fn hd<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Run {
        let user = self.user.as_ref();
        let mut run = user
            .map_or_else(|| Run::new(&binary()), User::hd)
            .args(args)
            .dir(&self.project)
            .env("HD_HOME", &self.home);
        for (key, value) in &self.vars {
            run = run.env(key, value);
        }
        run
    }

    /// `hd up --once --json`, which must succeed.
    #[track_caller]
    pub fn once(&self) -> Report {
        self.once_with(&[])
    }

    /// The same with more arguments.
    #[track_caller]
    pub fn once_with(&self, more: &[&str]) -> Report {
        self.hd(["up", "--once", "--json"].iter().chain(more))
            .finish()
            .ok()
            .report()
    }

    /// `hd up --once --json`, which must fail with this exit code.
    #[track_caller]
    pub fn once_fails(&self, code: i32) -> Report {
        self.hd(["up", "--once", "--json"])
            .finish()
            .expect_code(code)
            .report()
    }

    /// `hd status --json`.
    #[track_caller]
    pub fn status(&self) -> Report {
        self.hd(["status", "--json"]).finish().ok().report()
    }

    /// `hd up` in the background.
    pub fn up(&self) -> Up {
        self.up_with(&[])
    }

    /// The same with more arguments.
    pub fn up_with(&self, more: &[&str]) -> Up {
        let run = self.hd(["up"].iter().chain(more));
        Up::start(run.into_command())
    }

    /// A shell script in the project that ends in `hd up`; `$HD` is the binary.
    pub fn up_through(&self, script: &str) -> Up {
        let run = Run::new(Path::new("sh")).args(["-c", script]);
        let run = run.dir(&self.project).env("HD_HOME", &self.home);
        Up::start(run.env("HD", binary()).into_command())
    }

    /// `git` in the project; answers its output.
    #[track_caller]
    pub fn git(&self, args: &[&str]) -> String {
        let who = [
            "-c",
            "user.name=test",
            "-c",
            "user.email=test@localhost",
            "-c",
            "safe.directory=*",
        ];
        let run = Run::new(Path::new("git"))
            .args(who)
            .args(args)
            .dir(&self.project);
        // A person's own settings (hooks, signing) are none of the test's business.
        run.env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .finish()
            .ok()
            .stdout
    }

    /// What `git status` finds beside edits of files it knows: nothing, when hd left nothing.
    #[track_caller]
    pub fn added(&self) -> Vec<String> {
        let status = self.git(&["status", "--porcelain"]);
        let added = status.lines().filter(|line| !line.starts_with(" M "));
        added.map(str::to_owned).collect()
    }

    fn git_init(&self) {
        self.git(&["init", "--quiet"]);
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", "start"]);
    }

    fn move_ports(&mut self) {
        let file = self.path("hd.toml");
        let Ok(mut text) = std::fs::read_to_string(&file) else {
            return;
        };
        // In two rounds: a new number may contain an old one.
        let place = |index| format!("@port {index}@");
        let old = declared_ports(&text);
        for (index, old) in old.iter().enumerate() {
            text = text.replace(&old.to_string(), &place(index));
        }
        for index in 0..old.len() {
            let port = Port::free();
            text = text.replace(&place(index), &port.number.to_string());
            self.ports.push(port);
        }
        files::write(&file, &text);
    }
}

impl Drop for Env {
    fn drop(&mut self) {
        leftovers::sweep(self.mark());
    }
}

/// The numbers of the lines `port = N`, in order.
fn declared_ports(hd_toml: &str) -> Vec<u16> {
    let values = hd_toml
        .lines()
        .filter_map(|line| line.trim().strip_prefix("port = "));
    values
        .filter_map(|value| value.trim().parse().ok())
        .collect()
}

/// `hd` runs services as the owner of a project, who must be able to get there.
fn open_to_all(directory: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(directory, mode).expect("open the test's directory to all");
}

/// The root of the workspace.
pub fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The binary under test: `HD_BIN`, else `hd` where cargo puts it beside the tests.
pub fn binary() -> PathBuf {
    if let Some(named) = std::env::var_os("HD_BIN") {
        return PathBuf::from(named);
    }
    let test = std::env::current_exe().expect("where this test is");
    let beside = test
        .parent()
        .and_then(Path::parent)
        .map(|profile| profile.join("hd"));
    let found = beside.filter(|binary| binary.is_file());
    found.expect("no hd beside the tests: `cargo build -p hd-cli` first, or set HD_BIN")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_of_an_example_are_moved_wherever_they_are_named() {
        let env = Env::example("two-services");
        let text = files::read(&env.path("hd.toml"));
        assert_eq!(declared_ports(&text), [env.port(0), env.port(1)]);
        assert!(!text.contains("800"), "{text}");
        assert!(
            text.contains(&format!("http://127.0.0.1:{}", env.port(0))),
            "{text}"
        );
        assert_eq!(env.git(&["status", "--porcelain"]), "");
    }
}
