//! `[volumes]` and `volumes` of a service.

use toml::de::DeValue;

use super::services::name;
use crate::keys::{self, name_advice};
use crate::read::{Item, Result};
use crate::volume::{TMPFS, Volume, VolumeSource, is_path, target};

/// The names in `[volumes]`.
pub(super) fn declared(item: &Item<'_>) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for one in item.section()?.items() {
        let name = name(&one, "volume")?;
        if name == TMPFS {
            return Err(one.invalid_key("`tmpfs` means memory", "choose another name"));
        }
        one.section()?.check(&keys::VOLUME)?;
        names.push(name);
    }
    Ok(names)
}

/// The volumes of a service; those with a name must be among `known`.
pub(super) fn of_service(item: &Item<'_>, known: &[String]) -> Result<Vec<Volume>> {
    let hint = "volumes = [\"data:/var/lib/db\", \"./conf:/etc/app:ro\", \"tmpfs:/scratch\"]";
    let mut volumes: Vec<Volume> = Vec::new();
    for one in item.elements_of("a list of volumes", hint)? {
        let volume = match one.value() {
            DeValue::Table(_) => long(&one)?,
            _ => short(&one)?,
        };
        if let Some(name) = volume.name()
            && !known.iter().any(|known| known == name)
        {
            return Err(unknown(&one, name, known));
        }
        if volumes.iter().any(|other| other.target == volume.target) {
            let why = format!("two volumes are at {}", volume.target);
            return Err(one.invalid(why, "each has a target of its own"));
        }
        volumes.push(volume);
    }
    Ok(volumes)
}

fn unknown(item: &Item<'_>, name: &str, known: &[String]) -> crate::error::ConfigError {
    let near = name_advice(name, known.iter().map(String::as_str));
    let hint = format!("add `{name} = {{}}` to [volumes]; `./{name}` is a path of the project");
    let hint = if near.starts_with("did") { near } else { hint };
    item.invalid(format!("there is no volume `{name}`"), hint)
}

/// `SOURCE:TARGET[:ro]`.
fn short(item: &Item<'_>) -> Result<Volume> {
    let text = item.text()?;
    let hint = "SOURCE:/TARGET or SOURCE:/TARGET:ro";
    let parts: Vec<&str> = text.split(':').collect();
    let (source, place, read_only) = match parts.as_slice() {
        [source, place] | [source, place, "rw"] => (*source, *place, false),
        [source, place, "ro"] => (*source, *place, true),
        [_, _, option] => {
            return Err(item.invalid(format!("{option:?} is no option of a volume"), hint));
        }
        _ => return Err(item.invalid(format!("{text:?} is no volume"), hint)),
    };
    Ok(Volume {
        source: source_of(item, source)?,
        target: target(place).map_err(|why| item.invalid(why, hint))?,
        read_only,
    })
}

fn source_of(item: &Item<'_>, text: &str) -> Result<VolumeSource> {
    match text {
        "" => Err(item.invalid("it has no source", "SOURCE:/TARGET")),
        TMPFS => Ok(VolumeSource::Tmpfs { size: None }),
        path if is_path(path) => Ok(VolumeSource::Bind(path.to_owned())),
        name if name.contains('/') => {
            let hint = format!("`./{name}` is a path of the project");
            Err(item.invalid(format!("{name:?} is no name of a volume"), hint))
        }
        name => Ok(VolumeSource::Named(name.to_owned())),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Named,
    Bind,
    Tmpfs,
}

/// `{ source, target, type, read_only, size }`.
fn long(item: &Item<'_>) -> Result<Volume> {
    let section = item.section()?;
    section.check(&keys::SERVICE_VOLUME)?;
    let kinds = [
        ("volume", Kind::Named),
        ("bind", Kind::Bind),
        (TMPFS, Kind::Tmpfs),
    ];
    let kind = section.optional("type", |item| item.one_of(&kinds))?;
    let size = section.optional("size", Item::size)?;
    let place = section.require("target", "add target = \"/…\"")?;
    let source = match (kind, section.get("source")) {
        (Some(Kind::Tmpfs), None) => VolumeSource::Tmpfs { size },
        (Some(Kind::Tmpfs), Some(source)) => {
            return Err(source.invalid_key("memory has no source", "leave `source` out"));
        }
        (kind, Some(source)) => {
            let text = source.text()?;
            let found = source_of(&source, text)?;
            match (kind, found) {
                (None | Some(Kind::Named), VolumeSource::Tmpfs { .. }) => {
                    return Err(source.invalid("`tmpfs` means memory", "type = \"tmpfs\""));
                }
                (Some(Kind::Named), VolumeSource::Bind(_)) => {
                    let why = format!("{text:?} is a path, no name of a volume");
                    return Err(source.invalid(why, "type = \"bind\""));
                }
                (Some(Kind::Bind), VolumeSource::Named(_) | VolumeSource::Tmpfs { .. }) => {
                    VolumeSource::Bind(format!("./{text}"))
                }
                (_, found) => found,
            }
        }
        (_, None) => {
            let hint = "a name of [volumes], a path, or type = \"tmpfs\"";
            return Err(section
                .require("source", hint)
                .err()
                .unwrap_or_else(|| item.invalid("it has no source", hint)));
        }
    };
    if let Some(at) = section.get("size")
        && !matches!(source, VolumeSource::Tmpfs { .. })
    {
        return Err(at.invalid_key(
            "only memory has a size",
            "type = \"tmpfs\", or leave it out",
        ));
    }
    let read_only = section.optional("read_only", Item::boolean)?;
    Ok(Volume {
        source,
        target: target(place.text()?).map_err(|why| place.invalid(why, ""))?,
        read_only: read_only.unwrap_or(false),
    })
}
