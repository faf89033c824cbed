//! What services take over from the image of the environment, where it was pulled.

use std::path::Path;

use hd_actors::base::{Base, ImageBase};
use hd_actors::oci_fetcher::image;
use hd_config::image_defaults::complete;
use hd_oci::{Client, ClientOptions, Source};

use crate::commands::cas;
use crate::error::{CliError, exit};
use crate::project::{Loaded, home};

/// Fills in what the image says; answers the image, when it is there. No registry is asked.
pub(super) fn fill_in(
    loaded: &mut Loaded,
    directory: &Path,
) -> Result<Option<ImageBase>, CliError> {
    let project = &mut loaded.project;
    let Some(text) = project.base.clone() else {
        return Ok(None);
    };
    if !home()?.join("cas").is_dir() {
        return Ok(None);
    }
    let failed = |e: &dyn std::fmt::Display| CliError::new("image", exit::INTERNAL, e).at(&text);
    let source: Source = text
        .parse()
        .map_err(|e| CliError::new("config", exit::USAGE, e).at(&text))?;
    let options = ClientOptions::discover().map_err(|e| failed(&e))?;
    let client = Client::new(options).map_err(|e| failed(&e))?;
    let (store, source) = (cas::open()?, source.below(directory));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|e| failed(&e))?;
    let known = runtime.block_on(client.last_pulled(&source, &store, drop));
    let Some(known) = known.map_err(|e| failed(&e))? else {
        return Ok(None);
    };
    let base = image::base(&text, known);
    let workdir = Base::Image(base.clone()).workdir(project.workdir.as_deref());
    // A service without any command shows as such; `hd up` says what is wrong with it.
    let _ = complete(project, &base.defaults, &workdir);
    Ok(Some(base))
}
