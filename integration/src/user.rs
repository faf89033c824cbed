//! `hd` run by an ordinary user of the machine, with no right of root's.
//!
//! It runs in a mount namespace of its own, where `/dev/fuse` is open to all, as udev makes it on most machines, and
//! where the user is known, with more ids in `/etc/subuid` or without.

use std::path::{Path, PathBuf};

use crate::run::Run;

/// Makes the devices and account files, mounts them and becomes the user: `sh -c SCRIPT sh DIR UID RANGES PROGRAM…`.
const SCRIPT: &str = r#"set -e
dir=$1; uid=$2; ranges=$3; shift 3
mount -t tmpfs none "$dir"
mknod -m 666 "$dir/fuse" c 10 229
mount --bind "$dir/fuse" /dev/fuse
{ cat /etc/passwd; echo "hd-test:x:$uid:$uid::/home/hd-test:/bin/sh"; } > "$dir/passwd"
echo "$ranges" > "$dir/ranges"
for file in subuid subgid; do
    if [ -e /etc/$file ]; then mount --bind "$dir/ranges" /etc/$file; fi
done
mount --bind "$dir/passwd" /etc/passwd
exec setpriv --reuid "$uid" --regid "$uid" --clear-groups "$@"
"#;

/// An ordinary user.
#[derive(Debug, Clone)]
pub struct User {
    /// His id, and that of his group.
    pub uid: u32,
    /// Whether he has 65,536 ids more.
    pub has_ranges: bool,
    /// An empty directory that only his processes see filled.
    dir: PathBuf,
    /// A copy of `hd` where he can get at it.
    program: PathBuf,
}

impl User {
    /// Makes a user who can run the binary under test from `place`, and gives him all below it.
    pub(crate) fn new(place: &Path, has_ranges: bool) -> Self {
        const UID: u32 = 4242;
        let (dir, program) = (place.join("dev"), place.join("hd-of-user"));
        std::fs::create_dir(&dir).expect("make a directory");
        let binary = crate::env::binary();
        if std::fs::hard_link(&binary, &program).is_err() {
            std::fs::copy(&binary, &program).expect("copy hd");
        }
        let user = Self {
            uid: UID,
            has_ranges,
            dir,
            program,
        };
        user.own(place);
        user
    }

    /// Gives him a directory and what is below it.
    pub fn own(&self, place: &Path) {
        let owner = format!("{0}:{0}", self.uid);
        let chown = Run::new(Path::new("chown")).args(["--recursive", "--no-dereference", &owner]);
        // The binary is everybody's, and may have other names.
        let all = std::fs::read_dir(place).expect("list a directory of the test");
        let all = all.map(|entry| entry.expect("an entry").path());
        let all = all.filter(|path| *path != self.program);
        chown.args(all).finish().ok();
        let top = Some(self.uid);
        std::os::unix::fs::chown(place, top, top).expect("give the test's directory away");
    }

    /// Prepares `hd` for him, without arguments.
    pub(crate) fn hd(&self) -> Run {
        let ranges = if self.has_ranges {
            format!("{}:300000:65536", self.uid)
        } else {
            String::new()
        };
        Run::new(Path::new("unshare"))
            .args(["--mount", "sh", "-c", SCRIPT, "sh"])
            .args([self.dir.as_os_str()])
            .args([self.uid.to_string(), ranges])
            .args([self.program.as_os_str()])
            .env("HOME", "/home/hd-test")
            .env("USER", "hd-test")
    }
}
