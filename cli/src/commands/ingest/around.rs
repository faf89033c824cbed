//! What an importer asks of this machine: files of the context, and what images say.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use hd_config::ingest::{BaseImage, FileKind, Surroundings};
use hd_oci::{Client, ClientOptions, ImageConfig, Source};
use hd_store::Store;
use tokio::runtime::Runtime;

use crate::error::{CliError, exit};
use crate::project::home;

/// The context directory and the way to registries; images are asked about once.
pub(super) struct Around {
    context: PathBuf,
    runtime: Runtime,
    known: RefCell<BTreeMap<String, Result<BaseImage, String>>>,
}

impl Around {
    pub(super) fn new(context: &Path) -> Result<Self, CliError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime
            .map_err(|e| CliError::new("io", exit::INTERNAL, format!("cannot start: {e}")))?;
        Ok(Self {
            context: context.to_path_buf(),
            runtime,
            known: RefCell::default(),
        })
    }

    /// Reads the `.dockerignore` that holds: the Dockerfile's own, else that of the context.
    pub(super) fn ignore(&self, dockerfile: Option<&Path>) -> Result<Option<String>, CliError> {
        let own = dockerfile.map(|file| {
            let mut name = file.as_os_str().to_owned();
            name.push(".dockerignore");
            PathBuf::from(name)
        });
        for file in own.into_iter().chain([self.context.join(".dockerignore")]) {
            match std::fs::read_to_string(&file) {
                Ok(text) => return Ok(Some(text)),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(CliError::io("read", &file, &e)),
            }
        }
        Ok(None)
    }

    /// An image as it was pulled before, as `hd up` takes it, else as the registry says now.
    async fn ask(&self, text: &str) -> Result<ImageConfig, String> {
        let source: Source = text.parse().map_err(|e| format!("{e}"))?;
        let source = source.below(&self.context);
        let options = ClientOptions::discover().map_err(|e| e.to_string())?;
        let client = Client::new(options).map_err(|e| e.to_string())?;
        let cas = home()
            .map(|home| home.join("cas"))
            .ok()
            .filter(|cas| cas.join("FORMAT").is_file());
        if let Some(store) = cas.and_then(|cas| Store::open(&cas).ok())
            && let Ok(Some(image)) = client.last_pulled(&source, &store, drop).await
        {
            return Ok(image.config);
        }
        let work = std::env::temp_dir();
        let inspected = client.inspect(&source, &work).await;
        let config = inspected.map_err(|e| e.to_string())?.config;
        ImageConfig::parse(config.as_bytes()).map_err(|e| e.to_string())
    }
}

impl Surroundings for Around {
    fn file(&self, path: &str) -> Option<FileKind> {
        let full = self.context.join(path);
        let meta = std::fs::metadata(&full).ok()?;
        if meta.is_dir() {
            return Some(FileKind::Dir);
        }
        let executable = meta.permissions().mode() & 0o100 != 0;
        Some(match archive(&full) {
            Some(option) => FileKind::Archive { option },
            None => FileKind::File { executable },
        })
    }

    fn directories(&self, path: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.context.join(path)).into_iter();
        let all = entries.flatten().flatten();
        all.filter(|entry| entry.path().is_dir())
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect()
    }

    fn read(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.context.join(path)).ok()
    }

    fn image(&self, reference: &str) -> Result<BaseImage, String> {
        if let Some(known) = self.known.borrow().get(reference) {
            return known.clone();
        }
        let asked = self.runtime.block_on(self.ask(reference)).map(base);
        self.known
            .borrow_mut()
            .insert(reference.to_owned(), asked.clone());
        asked
    }
}

fn base(config: ImageConfig) -> BaseImage {
    BaseImage {
        env: config.env.into_iter().collect(),
        workdir: config.workdir,
        user: config.user,
        entrypoint: config.entrypoint,
        cmd: config.cmd,
        exposed: config.exposed,
        shell: config.shell,
        on_build: config.on_build,
    }
}

/// Tells an archive by its first bytes, as ADD does; gives the letter `tar` wants.
fn archive(path: &Path) -> Option<&'static str> {
    let mut head = Vec::new();
    let file = std::fs::File::open(path).ok()?;
    file.take(512).read_to_end(&mut head).ok()?;
    let magic: [(&[u8], &str); 3] = [(b"\x1f\x8b", "z"), (b"BZh", "j"), (b"\xfd7zXZ\0", "J")];
    let packed = magic.iter().find(|(magic, _)| head.starts_with(magic));
    let plain = (head.get(257..262) == Some(b"ustar")).then_some("");
    packed.map(|(_, letter)| *letter).or(plain)
}
