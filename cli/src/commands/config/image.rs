//! What services take over from their images, where those were pulled.

use std::collections::BTreeMap;
use std::path::Path;

use hd_actors::base::{Base, ImageBase};
use hd_actors::oci_fetcher::image;
use hd_config::Service;
use hd_config::image_defaults::{Ground, complete};
use hd_oci::{Client, ClientOptions, Source};
use hd_store::Store;

use crate::commands::cas;
use crate::error::{CliError, exit};
use crate::project::{Loaded, home};

/// The images that were pulled, by reference.
#[derive(Default)]
pub(super) struct Pulled(BTreeMap<String, ImageBase>);

impl Pulled {
    /// Finds one.
    pub(super) fn get(&self, reference: Option<&str>) -> Option<&ImageBase> {
        self.0.get(reference?)
    }
}

/// Fills in what the images say; answers those that are there. No registry is asked.
pub(super) fn fill_in(loaded: &mut Loaded, directory: &Path) -> Result<Pulled, CliError> {
    let project = &mut loaded.project;
    let own = project.services.iter().filter_map(|one| one.base.as_ref());
    let references: Vec<String> = project.base.iter().chain(own).cloned().collect();
    if references.is_empty() || !home()?.join("cas").is_dir() {
        return Ok(Pulled::default());
    }
    let (store, mut pulled) = (cas::open()?, Pulled::default());
    for reference in references {
        if let Some(base) = known(&reference, directory, &store)? {
            pulled.0.insert(reference, base);
        }
    }
    let (reference, declared) = (project.base.clone(), project.workdir.clone());
    let common = pulled.get(reference.as_deref());
    let workdir = common.map(|base| Base::Image(base.clone()).workdir(declared.as_deref()));
    let ground = |service: &Service| {
        let (base, project) = match service.base.as_deref() {
            Some(own) => (pulled.get(Some(own)), None),
            None => (common, workdir.as_deref()),
        };
        let image = &*base?.defaults;
        Some(Ground { image, project })
    };
    // A service without any command shows as such; `hd up` says what is wrong with it.
    let _ = complete(project, ground);
    Ok(pulled)
}

fn known(text: &str, directory: &Path, store: &Store) -> Result<Option<ImageBase>, CliError> {
    let failed = |e: &dyn std::fmt::Display| CliError::new("image", exit::INTERNAL, e).at(text);
    let source: Source = text
        .parse()
        .map_err(|e| CliError::new("config", exit::USAGE, e).at(text))?;
    let options = ClientOptions::discover().map_err(|e| failed(&e))?;
    let client = Client::new(options).map_err(|e| failed(&e))?;
    let source = source.below(directory);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|e| failed(&e))?;
    let known = runtime.block_on(client.last_pulled(&source, store, drop));
    let known = known.map_err(|e| failed(&e))?;
    Ok(known.map(|image| image::base(text, image)))
}
