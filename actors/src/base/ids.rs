//! Which user and group ids there are inside, and what they are to hd.
//!
//! Root has them all. An ordinary user has his own and those of `/etc/subuid`: on an image he is its root, as
//! installers expect; on his own machine he is himself, in a namespace of each sandbox's own.

use hd_projection::ShownIds;
use hd_sandbox::IdMap;
use hd_sandbox::own_namespace::{self, Caller, entered};

use super::Base;

/// What programs say when an id is wanted that there is not.
const MORE_IDS: [&str; 6] = [
    "hanging ownership",
    "hanging group",
    "seteuid",
    "setegid",
    "setgroups",
    "change owner",
];

/// The ids inside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ids {
    /// Those there are; all when absent.
    map: Option<IdMap>,
    /// Whether sandboxes need a user namespace for them, beside that of hd.
    nested: bool,
}

impl Ids {
    /// Gives those of sandboxes on a base.
    pub fn of(base: &Base) -> Self {
        entered().map_or_else(Self::default, |caller| Self::for_caller(caller, base))
    }

    /// Gives those of sandboxes on an image, whichever it is.
    pub fn of_images() -> Self {
        entered().map_or_else(Self::default, Self::on_image)
    }

    fn on_image(caller: &Caller) -> Self {
        Self {
            map: Some(caller.map.clone()),
            nested: false,
        }
    }

    fn for_caller(caller: &Caller, base: &Base) -> Self {
        match base {
            Base::Image(_) => Self::on_image(caller),
            Base::Host(_) => Self {
                // hd is 0 in its own namespace.
                map: Some(IdMap::one((caller.uid, caller.gid), (0, 0))),
                nested: true,
            },
        }
    }

    /// Gives what the key of a step says of them.
    pub fn kind(&self) -> &'static str {
        match &self.map {
            None => "root",
            Some(_) if self.nested => "same",
            Some(map) if map.has_ranges() => "range",
            Some(_) => "single",
        }
    }

    /// Gives user and group, each as it is or, where there is none such, the first there is.
    pub fn inside(&self, (user, group): (u32, u32)) -> (u32, u32) {
        self.shown().map_or((user, group), |shown| {
            (shown.user(user), shown.group(group))
        })
    }

    /// Gives those of some groups that there are.
    pub fn groups(&self, mut groups: Vec<u32>) -> Vec<u32> {
        match self.shown() {
            None => own_namespace::retain_groups(&mut groups),
            Some(shown) if self.kind() == "range" => groups.retain(|id| shown.group(*id) == *id),
            // With a single id the kernel lets nobody name any (user_namespaces(7)).
            Some(_) => groups.clear(),
        }
        groups
    }

    /// Gives what hd calls the ids of a sandbox.
    pub fn outside(&self, inside: (u32, u32)) -> (u32, u32) {
        if self.nested { (0, 0) } else { inside }
    }

    /// Gives the ids as a projection takes them; all when there is nothing to say.
    pub fn shown(&self) -> Option<ShownIds> {
        let map = self.map.as_ref()?;
        let ranges = |all: &[hd_sandbox::IdRange]| {
            let range =
                |one: &hd_sandbox::IdRange| one.inside..one.inside.saturating_add(one.count);
            all.iter().map(range).collect()
        };
        Some(ShownIds::new(ranges(&map.users), ranges(&map.groups)))
    }

    /// Says what to do about a command that failed with these last lines for want of more ids.
    pub fn advice(&self, tail: &[String]) -> Option<&'static str> {
        let is_it = |line: &String| {
            let of_chown = line.contains("chown") && line.contains("nvalid argument");
            of_chown || MORE_IDS.iter().any(|words| line.contains(words))
        };
        (self.kind() == "single" && tail.iter().any(is_it)).then_some(
            "an ordinary user has one id here, so files cannot be given to another and apt-get cannot \
             work: install newuidmap (package uidmap) and give yourself a range in /etc/subuid and \
             /etc/subgid, or run hd as root",
        )
    }

    /// Gives the user namespace that a sandbox must make.
    pub fn user_namespace(&self) -> Option<IdMap> {
        self.map.clone().filter(|_| self.nested)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::ImageBase;
    use super::super::host::HostBase;
    use super::*;

    fn image() -> Base {
        Base::Image(ImageBase {
            reference: String::new(),
            digest: String::new(),
            rooted: hd_dag::Rooted::empty(),
            env: Default::default(),
            workdir: None,
            user: String::new(),
            defaults: Default::default(),
        })
    }

    #[test]
    fn an_image_is_a_world_of_its_own_and_the_machine_is_not() {
        let caller = Caller {
            uid: 1000,
            gid: 100,
            map: IdMap::single(1000, 100),
        };
        let single = Ids::for_caller(&caller, &image());
        assert_eq!((single.kind(), single.inside((33, 7))), ("single", (0, 0)));
        assert_eq!(
            (single.outside((0, 0)), single.user_namespace()),
            ((0, 0), None)
        );
        let said = |line: &str| single.advice(&[line.to_owned()]);
        assert!(said("chown: changing ownership of 'x': Invalid argument").is_some());
        assert!(said("chown: /home/app: Invalid argument").is_some());
        assert_eq!(said("no such file"), None);
        assert!(single.groups(vec![0, 33]).is_empty());
        let host = Base::Host(HostBase::detect("/usr/bin", Path::new("/home/ann")));
        let same = Ids::for_caller(&caller, &host);
        assert_eq!((same.kind(), same.inside((0, 0))), ("same", (1000, 100)));
        assert_eq!(same.advice(&["setgroups: not permitted".to_owned()]), None);
        assert_eq!(same.outside((1000, 100)), (0, 0));
        assert_eq!(same.user_namespace(), Some(IdMap::one((1000, 100), (0, 0))));
        assert!(same.groups(vec![100]).is_empty());
        let all = Ids::default();
        assert_eq!(all.groups(vec![33]), [33]);
        assert_eq!((all.kind(), all.inside((33, 7))), ("root", (33, 7)));
        assert_eq!((all.outside((33, 7)), all.shown()), ((33, 7), None));
    }
}
