"""Makes a tree of everything a file system can hold, or says what a tree holds."""
import base64
import hashlib
import json
import os
import stat
import struct
import sys

CAPABILITY = struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0)  # v2, effective, cap_net_raw
NS = 1_700_000_000_123_456_789


def make(top):
    os.mkdir(top)
    at = lambda name: os.path.join(os.fsencode(top), name)
    write(at(b"plain"), b"plain\n")
    os.link(at(b"plain"), at(b"hard link"))
    os.mkdir(at(b"dir"), 0o2775)
    os.chmod(at(b"dir"), 0o2775)
    os.link(at(b"plain"), at(b"dir/third"))
    os.symlink(b"../plain", at(b"dir/up"))
    os.symlink(b"nowhere \xff", at(b"dangling"))
    os.mkfifo(at(b"fifo"), 0o640)
    write(at(b"setuid"), b"#!/bin/sh\n", 0o4755)
    write(at(b"sticky"), b"", 0o1600)
    write(at(b"\xff\xfe not utf-8 \n"), b"odd\n")
    write(at(b"n" * 255), b"long\n")
    write(at(b"unreadable"), b"secret\n", 0)
    with open(at(b"sparse"), "wb") as sparse:
        sparse.truncate(8 << 20)
        sparse.seek(4 << 20)
        sparse.write(b"island")
    write(at(b"attributes"), b"x")
    os.setxattr(at(b"attributes"), b"user.hd", b"\0value\xff")
    os.setxattr(at(b"dir"), b"user.dir", b"d")
    for number in range(40):
        os.setxattr(at(b"dir"), b"user.a-name-of-some-length-%03d" % number, b"v")
    write(at(b"capable"), b"x", 0o755)
    os.setxattr(at(b"capable"), b"security.capability", CAPABILITY)
    write(at(b"large"), bytes(range(256)) * 20_000)
    os.mkdir(at(b"many"))
    for number in range(3_000):
        write(at(b"many/%05d" % number), b"%d" % number)
    for name in (b"plain", b"sparse", b"dir/up"):
        os.utime(at(name), ns=(NS, NS), follow_symlinks=False)
    os.utime(at(b"dir"), ns=(NS, NS + 1))


def write(path, content, mode=0o644):
    with open(path, "wb") as file:
        file.write(content)
    os.chmod(path, mode)


def describe(top):
    """Every path with all that must survive; hard links by the set of their names."""
    found, inodes = {}, {}
    for parent, dirs, files in os.walk(os.fsencode(top)):
        for name in dirs + files:
            path = os.path.join(parent, name)
            status = os.lstat(path)
            key = base64.b64encode(os.path.relpath(path, os.fsencode(top))).decode()
            inodes.setdefault(status.st_ino, []).append(key)
            found[key] = entry(path, status)
    for names in inodes.values():
        for name in names:
            found[name]["names"] = sorted(names) if len(names) > 1 else None
    return found


def entry(path, status):
    kind = stat.S_IFMT(status.st_mode)
    said = {"mode": status.st_mode, "owner": [status.st_uid, status.st_gid], "mtime": status.st_mtime_ns}
    attributes = [] if kind == stat.S_IFLNK else os.listxattr(path, follow_symlinks=False)
    said["attributes"] = {
        name: base64.b64encode(os.getxattr(path, name)).decode()
        for name in sorted(attributes)
        if name.startswith("user.") or name == "security.capability"
    }
    if kind == stat.S_IFLNK:
        said["target"] = base64.b64encode(os.readlink(path)).decode()
    if kind == stat.S_IFREG:
        said["size"] = status.st_size
        with open(path, "rb") as file:
            said["content"] = hashlib.sha256(file.read()).hexdigest()
    return said


if __name__ == "__main__":
    command, top = sys.argv[1:3]
    if command == "make":
        make(top)
        with open("made.json", "w") as made:
            json.dump(describe(top), made)
    else:
        with open("made.json") as made:
            made = json.load(made)
        now = describe(top)
        wrong = [name for name in sorted(made.keys() | now.keys()) if made.get(name) != now.get(name)]
        for name in wrong[:10]:
            print(base64.b64decode(name), "was", made.get(name), "is", now.get(name))
        print(len(made), "compared")
        sys.exit(1 if wrong else 0)
