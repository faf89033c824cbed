//! Which services of a Compose file there are, and what the environment is made of.

use std::collections::{BTreeMap, BTreeSet};

use super::yaml::{Key, Node};
use super::{values, volumes, wrong};
use crate::error::ConfigError;
use crate::source::Source;

/// What a service is built of where it names no file.
pub(super) const DOCKERFILE: &str = "Dockerfile";

/// How a service comes to its file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Build {
    pub(super) context: String,
    pub(super) dockerfile: String,
    pub(super) target: Option<String>,
    pub(super) args: BTreeMap<String, String>,
}

/// The services that there are, and what the environment is.
#[derive(Debug)]
pub(super) struct Chosen {
    /// All that can be had.
    pub(super) names: BTreeSet<String>,
    /// Those of them on images of their own.
    pub(super) apart: BTreeMap<String, String>,
    pub(super) build: Option<Build>,
    pub(super) image: Option<String>,
}

impl Chosen {
    /// Gives an earlier service of the same image.
    pub(super) fn twin(&self, name: &str) -> Option<&str> {
        let image = self.apart.get(name)?;
        let mut others = self.apart.iter().take_while(|(other, _)| *other != name);
        let twin = others.find(|(_, other)| *other == image);
        twin.map(|(other, _)| other.as_str())
    }
}

/// Chooses what the environment is made of, and which services there are.
///
/// # Errors
/// Where no service says what it runs on.
pub(super) fn choose(
    source: &Source,
    services: &[(Key, Node)],
    variables: &BTreeMap<String, String>,
) -> Result<Chosen, ConfigError> {
    let build = |node: &Node| build(node, variables);
    let built = services.iter().find_map(|(_, node)| build(node));
    // The one that runs the project, before those that only stand beside it.
    let shows = |node: &Node| image(node).filter(|_| project_dir(node).is_some());
    let shown = services.iter().find_map(|(_, node)| shows(node));
    let first = shown.or_else(|| services.iter().find_map(|(_, node)| image(node)));
    if built.is_none()
        && first.is_none()
        && let Some((key, _)) = services.first()
    {
        return Err(wrong(
            source,
            key,
            format!("the service `{}` has neither `build` nor `image`", key.name),
        ));
    }
    let of_built = |node: &Node| build(node).filter(|own| Some(own) == built.as_ref());
    // What the build is called is what it makes, for services that only name it.
    let names: BTreeSet<String> = services
        .iter()
        .filter(|(_, node)| of_built(node).is_some())
        .filter_map(|(_, node)| image(node))
        .map(|name| tagged(&name))
        .collect();
    let is_named = |node: &Node| image(node).is_some_and(|name| names.contains(&tagged(&name)));
    let fits = |node: &Node| match (&built, build(node)) {
        (Some(built), Some(own)) => own == *built,
        (Some(_), None) => is_named(node),
        (None, _) => image(node) == first,
    };
    let name = |(key, _): &(Key, Node)| key.name.clone();
    let fitting = services.iter().filter(|(_, node)| fits(node)).map(name);
    let mut names: BTreeSet<String> = fitting.collect();
    let apart = apart(services, |name| !names.contains(name));
    names.extend(apart.keys().cloned());
    Ok(Chosen {
        names,
        apart,
        image: if built.is_some() { None } else { first.clone() },
        build: built,
    })
}

/// The image that a service names, or what its build is called.
fn image(node: &Node) -> Option<String> {
    node.get("image").and_then(Node::text).map(str::to_owned)
}

/// The name of an image without the tag that it has by default.
fn tagged(image: &str) -> String {
    image.strip_suffix(":latest").unwrap_or(image).to_owned()
}

fn build(node: &Node, variables: &BTreeMap<String, String>) -> Option<Build> {
    let build = node.get("build")?;
    let text = |name: &str| build.get(name).and_then(Node::text).map(str::to_owned);
    let context = build
        .text()
        .map(str::to_owned)
        .or_else(|| text("context"))
        .unwrap_or_else(|| ".".to_owned());
    let context = context
        .trim_start_matches("./")
        .trim_matches('/')
        .to_owned();
    let dockerfile = text("dockerfile").map(|path| path.trim_start_matches("./").to_owned());
    Some(Build {
        context: if context == "." {
            String::new()
        } else {
            context
        },
        dockerfile: dockerfile.unwrap_or_else(|| DOCKERFILE.to_owned()),
        target: text("target"),
        args: build
            .get("args")
            .map(|args| values::build_args(args, variables))
            .unwrap_or_default(),
    })
}

/// Services that only name an image, of those that are `wanted`. What is built by another service has no registry.
pub(super) fn apart(
    services: &[(Key, Node)],
    wanted: impl Fn(&str) -> bool,
) -> BTreeMap<String, String> {
    let is_built = |node: &Node| node.get("build").is_some();
    let built = services.iter().filter(|(_, node)| is_built(node));
    let built: BTreeSet<String> = built
        .filter_map(|(_, node)| image(node))
        .map(|name| tagged(&name))
        .collect();
    let here = services
        .iter()
        .filter(|(key, node)| !is_built(node) && wanted(&key.name));
    here.filter_map(|(key, node)| Some((key.name.clone(), image(node)?)))
        .filter(|(_, image)| !built.contains(&tagged(image)))
        .collect()
}

/// Where a bind mount shows the project.
pub(super) fn project_dir(node: &Node) -> Option<String> {
    let volumes = node.get("volumes")?.list().iter();
    let mut all = volumes.filter_map(volumes::Entry::read);
    all.find(|one| matches!(one.source.as_deref(), Some("." | "./")))
        .map(|one| one.target.trim_end_matches('/').to_owned())
        .filter(|dir| dir.len() > 1)
}
