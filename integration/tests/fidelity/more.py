"""What programs ask of a disk beside reading and writing: locks, O_DIRECT, ACLs, a huge directory.

`more.py make DIR` leaves it in one step, `more.py use DIR` meets it as a lower in the next.
"""
import fcntl
import mmap
import os
import struct
import sys

NAMES = 100_000
# Version 2; rw- for the owner, r-- for user 1000, r-- for the group, r-- mask, nothing for others
# (linux/posix_acl_xattr.h).
ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", tag, perm, who)
    for tag, perm, who in [
        (0x01, 6, 0xFFFFFFFF),
        (0x02, 4, 1000),
        (0x04, 4, 0xFFFFFFFF),
        (0x10, 4, 0xFFFFFFFF),
        (0x20, 0, 0xFFFFFFFF),
    ]
)


def make(top):
    os.makedirs(top + "/many")
    for number in range(NAMES):
        os.close(os.open("%s/many/f%06d" % (top, number), os.O_CREAT | os.O_WRONLY))
    with open(top + "/block", "wb") as block:
        block.write(bytes(range(256)) * 64)
    with open(top + "/guarded", "w") as guarded:
        guarded.write("with a list\n")
    os.setxattr(top + "/guarded", "system.posix_acl_access", ACL)


def use(top):
    names = os.listdir(top + "/many")
    assert len(names) == NAMES and len(set(names)) == NAMES, len(names)
    assert os.path.exists(top + "/many/f099999") and not os.path.exists(top + "/many/f100000")
    os.unlink(top + "/many/f050000")
    os.close(os.open(top + "/many/new", os.O_CREAT | os.O_EXCL))
    names = set(os.listdir(top + "/many"))
    assert len(names) == NAMES and "new" in names and "f050000" not in names

    assert os.getxattr(top + "/guarded", "system.posix_acl_access") == ACL

    # Aligned, as a database reads.
    direct = os.open(top + "/block", os.O_RDONLY | os.O_DIRECT)
    page = mmap.mmap(-1, 4096)
    assert os.preadv(direct, [page], 4096) == 4096
    assert page[:] == bytes(range(256)) * 16
    os.close(direct)

    lock(top + "/block")
    shared(top + "/block")


def lock(path):
    """A lock that one process holds, another does not get: flock and fcntl."""
    with open(path, "r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        fcntl.lockf(held, fcntl.LOCK_EX)
        child = os.fork()
        if child == 0:
            code = 0
            with open(path, "r+b") as other:
                for take in (fcntl.flock, fcntl.lockf):
                    try:
                        take(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        code = 1
                    except OSError:
                        pass
            os._exit(code)
        assert os.waitpid(child, 0)[1] == 0, "a lock was given twice"


def shared(path):
    """What one process writes into a shared mapping, another reads through the file and its mapping."""
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        child = os.fork()
        if child == 0:
            with open(path, "r+b") as own, mmap.mmap(own.fileno(), 0) as theirs:
                theirs[100:104] = b"here"
            os._exit(0)
        os.waitpid(child, 0)
        assert mapped[100:104] == b"here"
        file.seek(100)
        assert file.read(4) == b"here"


{"make": make, "use": use}[sys.argv[1]](sys.argv[2])
