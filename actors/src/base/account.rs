//! Who a command runs as, resolved by the image's own `/etc/passwd` and `/etc/group`: pure.

use std::collections::BTreeSet;

/// A resolved user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Other groups that the user is a member of, sorted.
    pub groups: Vec<u32>,
    /// Login name, or the number where there is none.
    pub name: String,
    /// hd chose the user, of whom the image knows nothing: what it says of home and name is another's.
    pub is_hds_choice: bool,
    /// Home directory inside.
    pub home: String,
}

/// Resolves `user`, `uid`, `user:group` or `uid:gid` as the OCI image specification says
/// (config, "User"); an empty text is root. Who names no group is in all that list the user, as under other engines.
pub fn resolve(user: &str, passwd: &str, group: &str) -> Result<Account, String> {
    let (user, wanted_group) = user.split_once(':').unwrap_or((user, ""));
    let user = if user.is_empty() { "0" } else { user };
    let line =
        fields(passwd).find(|line| line.first() == Some(&user) || line.get(2) == Some(&user));
    let uid = match (&line, user.parse()) {
        (Some(line), _) => number(line, 2, "passwd")?,
        (None, Ok(uid)) => uid,
        (None, Err(_)) => return Err(format!("the image has no user `{user}`")),
    };
    let gid = if wanted_group.is_empty() {
        line.as_ref()
            .map_or(Ok(0), |line| number(line, 3, "passwd"))?
    } else if let Ok(gid) = wanted_group.parse() {
        gid
    } else {
        let line = fields(group).find(|line| line.first() == Some(&wanted_group));
        number(
            &line.ok_or(format!("the image has no group `{wanted_group}`"))?,
            2,
            "group",
        )?
    };
    let name = line
        .as_ref()
        .and_then(|line| line.first())
        .map_or(user, |name| name)
        .to_owned();
    let groups = match &line {
        Some(_) if wanted_group.is_empty() => memberships(&name, gid, group),
        _ => Vec::new(),
    };
    let home = line
        .as_ref()
        .and_then(|line| line.get(5))
        .filter(|home| home.starts_with('/'))
        .map_or(if uid == 0 { "/root" } else { "/" }, |home| home);
    Ok(Account {
        uid,
        gid,
        groups,
        name,
        is_hds_choice: false,
        home: home.to_owned(),
    })
}

/// Gives the groups that list a user beside the user's own.
fn memberships(name: &str, own: u32, group: &str) -> Vec<u32> {
    let lists = |line: &Vec<&str>| {
        line.get(3)
            .is_some_and(|members| members.split(',').any(|member| member == name))
    };
    let ids = fields(group)
        .filter(lists)
        .filter_map(|line| line.get(2)?.parse().ok());
    let ids: BTreeSet<u32> = ids.filter(|gid| *gid != own).collect();
    ids.into_iter().collect()
}

fn fields(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().map(|line| line.split(':').collect())
}

fn number(line: &[&str], at: usize, file: &str) -> Result<u32, String> {
    let text = line.get(at).copied().unwrap_or_default();
    text.parse()
        .map_err(|_| format!("/etc/{file} of the image has `{text}` for a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nnode:x:1000:1001::/home/node:/bin/bash\n";
    const GROUP: &str = "root:x:0:\nstaff:x:50:\ndisk:x:6:other,node\nnode:x:1001:node\naudio:x:5:node\nno:x::node\n";

    #[test]
    fn every_form_of_the_specification_resolves() {
        let cases: [(_, (_, _, &[u32], _, _)); 6] = [
            ("", (0, 0, &[], "root", "/root")),
            ("node", (1000, 1001, &[5, 6], "node", "/home/node")),
            ("1000", (1000, 1001, &[5, 6], "node", "/home/node")),
            ("1000:7", (1000, 7, &[], "node", "/home/node")),
            ("node:staff", (1000, 50, &[], "node", "/home/node")),
            ("4242", (4242, 0, &[], "4242", "/")),
        ];
        for (text, (uid, gid, groups, name, home)) in cases {
            let account = Account {
                uid,
                gid,
                groups: groups.to_vec(),
                name: name.into(),
                is_hds_choice: false,
                home: home.into(),
            };
            assert_eq!(resolve(text, PASSWD, GROUP), Ok(account), "{text}");
        }
        assert!(resolve("nobody-here", PASSWD, GROUP).is_err());
        assert!(resolve("node:nogroup", PASSWD, GROUP).is_err());
        assert_eq!(
            resolve("", "", "").map(|account| account.home),
            Ok("/root".to_owned())
        );
    }
}
