//! Who steps and services run as, by the trees they see or by this machine.

use hd_dag::{Entry, Rooted, Target, TreePath};
use hd_oci::Owner;
use hd_projection::{Composite, Lower};

use super::plan::Plan;
use crate::base::account::{Account, resolve};
use crate::base::ids::Ids;
use crate::base::{Base, ImageBase, tree_path};
use crate::messages::BatchError;
use crate::model::declared::Declared;
use crate::shared::Shared;

/// Largest account file that is read, in bytes.
const ACCOUNT_FILE_MAX: usize = 1 << 20;

/// Gives who steps run as.
pub(super) fn step_account(
    shared: &Shared,
    declared: &Declared,
    base: &Base,
) -> Result<Account, BatchError> {
    match base {
        Base::Host(host) => {
            let (uid, gid) = Ids::of(base).inside(runner(shared));
            let name = host_name(uid);
            Ok(Account {
                uid,
                gid,
                groups: Vec::new(),
                name,
                is_hds_choice: false,
                home: host.home.to_string_lossy().into_owned(),
            })
        }
        Base::Image(image) => of_image(shared, declared, image).map(there_is),
    }
}

/// Gives who steps on an image run as, by the ids that the image has.
fn of_image(
    shared: &Shared,
    declared: &Declared,
    image: &ImageBase,
) -> Result<Account, BatchError> {
    let user = declared.project.user.as_deref();
    let account = found_in(shared, image, image.rooted, user.unwrap_or(&image.user));
    match account {
        // A step may make the user: those after it look again.
        Err(_) if user.is_some() => found_in(shared, image, image.rooted, &image.user),
        account => account,
    }
}

/// Gives whose the files are in an image to be made that a tree says nobody's, as steps see them: what is of the
/// project is of who a step upon `lower` runs as. Nothing when they are root's.
///
/// The ids are those that the image has, also where this machine lends hd but one.
pub fn owners_in(
    shared: &Shared,
    declared: &Declared,
    image: &ImageBase,
    plan: &Plan,
    lower: Rooted,
) -> Result<Vec<Owner>, BatchError> {
    let keeper = of_image(shared, declared, image)?;
    let user = match &declared.project.user {
        Some(user) => found_in(shared, image, lower, user)?,
        None => keeper.clone(),
    };
    let places = [(&plan.workdir_path, user), (&plan.home_path, keeper)];
    if places
        .iter()
        .all(|(_, account)| (account.uid, account.gid) == (0, 0))
    {
        return Ok(Vec::new());
    }
    let owner = |(at, Account { uid, gid, .. }): (&TreePath, Account)| Owner {
        at: at.clone(),
        uid,
        gid,
    };
    Ok(places.map(owner).to_vec())
}

/// Gives who services run as: the declared user, else the owner of the project directory.
///
/// A name is looked up in `lower`, the base with what the steps made of it.
pub fn service_account(
    shared: &Shared,
    declared: &Declared,
    (base, lower): (&Base, Rooted),
    plan: &Plan,
) -> Result<Account, BatchError> {
    match (base, declared.project.user.as_deref()) {
        (Base::Image(image), Some(user)) => account_in(shared, image, lower, user),
        (Base::Image(image), None) => {
            let (uid, gid) = runner(shared);
            if uid == plan.account.uid {
                return Ok(plan.account.clone());
            }
            let user = format!("{uid}:{gid}");
            if uid == 0 {
                // Root can write wherever the image says that its home is.
                return account_in(shared, image, lower, &user);
            }
            let found = named_in(shared, lower, &user)?;
            let home = match &*found.home {
                "/" => "/tmp".to_owned(),
                home => home.to_owned(),
            };
            Ok(there_is(Account {
                home,
                is_hds_choice: true,
                ..found
            }))
        }
        (Base::Host(_), _) => Ok(plan.account.clone()),
    }
}

/// Gives the account of a service's own `user`: of the tree it sees, or of this machine.
pub fn named_account(
    shared: &Shared,
    base: &Base,
    lower: Rooted,
    user: &str,
) -> Result<Account, BatchError> {
    match base {
        Base::Image(image) => account_in(shared, image, lower, user),
        Base::Host(_) => account_of_host(base, user),
    }
}

/// Gives the account of a user of this machine.
pub fn account_of_host(base: &Base, user: &str) -> Result<Account, BatchError> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let account = resolve(user, &read("/etc/passwd"), &read("/etc/group")).map_err(|e| {
        BatchError::new("config", e.replace("the image", "this machine"))
            .hint("name a user of this machine, or a number")
    })?;
    if Ids::of(base).inside((account.uid, account.gid)).0 != account.uid {
        let message = format!("only root may run something as user `{user}` of this machine");
        return Err(BatchError::new("config", message)
            .hint("leave `user` out, or give the project a base: its users are of the image"));
    }
    // The home that the view has belongs to who runs the project.
    Ok(Account {
        home: "/tmp".to_owned(),
        groups: Ids::of(base).groups(account.groups),
        ..account
    })
}

/// The owner of the project directory when hd is root, else the one who runs hd.
fn runner(shared: &Shared) -> (u32, u32) {
    if rustix::process::geteuid().is_root() {
        shared.project_owner()
    } else {
        (
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        )
    }
}

fn host_name(uid: u32) -> String {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    resolve(&uid.to_string(), &passwd, "").map_or_else(|_| uid.to_string(), |account| account.name)
}

/// Gives an account by the files of a tree upon an image.
pub(super) fn account_in(
    shared: &Shared,
    image: &ImageBase,
    tree: Rooted,
    user: &str,
) -> Result<Account, BatchError> {
    found_in(shared, image, tree, user).map(there_is)
}

/// Gives what there is of an account here.
fn there_is(account: Account) -> Account {
    let ids = Ids::of_images();
    let (uid, gid) = ids.inside((account.uid, account.gid));
    Account {
        uid,
        gid,
        groups: ids.groups(account.groups),
        ..account
    }
}

/// Gives an account by the files of a tree, with the home that the image names for everybody where it names one.
fn found_in(
    shared: &Shared,
    image: &ImageBase,
    tree: Rooted,
    user: &str,
) -> Result<Account, BatchError> {
    let account = named_in(shared, tree, user)?;
    Ok(Account {
        home: image.home().map_or(account.home, str::to_owned),
        ..account
    })
}

fn named_in(shared: &Shared, tree: Rooted, user: &str) -> Result<Account, BatchError> {
    let view = shared.composite(tree, Vec::new(), Vec::new());
    let passwd = text(&view, "/etc/passwd");
    let group = text(&view, "/etc/group");
    resolve(user, &passwd, &group).map_err(|e| {
        BatchError::new("config", e)
            .hint("name a user of the image, one that a step before makes (by user = \"root\"), or a number")
    })
}

fn text(view: &Composite, path: &str) -> String {
    let Some(path) = tree_path(path) else {
        return String::new();
    };
    let node = view.resolve(&path).ok().flatten();
    let content = node
        .filter(is_file)
        .and_then(|node| view.read(&node, 0, ACCOUNT_FILE_MAX).ok());
    String::from_utf8_lossy(&content.unwrap_or_default().bytes).into_owned()
}

fn is_file(node: &hd_projection::Node) -> bool {
    matches!(
        &node.source,
        hd_projection::Source::Tree {
            entry: Entry {
                target: Target::Regular { .. },
                ..
            },
            ..
        }
    )
}
