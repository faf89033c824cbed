"""Uses files of a lower in every way a program may, and writes over them."""
import fcntl
import hashlib
import mmap
import os
import subprocess
import sys

TOP = sys.argv[1]


def path(name):
    return os.path.join(TOP, name)


def maps():
    content = bytes(range(256)) * 20_000
    with open(path("large"), "rb") as file:
        with mmap.mmap(file.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ) as shared:
            assert shared[:] == content
        with mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE) as private:
            private[0:4] = b"mine"
            assert private[0:8] == b"mine" + content[4:8]
        file.seek(0)
        assert file.read() == content, "a private map reached the file"
    with open(path("large"), "r+b") as file:
        with mmap.mmap(file.fileno(), 0) as shared:
            shared[1000:1004] = b"ours"
            shared.flush()
    with open(path("large"), "rb") as file:
        file.seek(998)
        assert file.read(8) == content[998:1000] + b"ours" + content[1004:1006]


def executes():
    with open(path("tool"), "w") as tool:
        tool.write("#!/bin/sh\necho from a tool\n")
    os.chmod(path("tool"), 0o755)
    assert subprocess.check_output([path("tool")]) == b"from a tool\n"
    assert subprocess.check_output(["sh", path("script.sh")]) == b"from the lower\n"


def locks():
    with open(path("plain"), "r+b") as one, open(path("plain"), "r+b") as two:
        fcntl.flock(one, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            fcntl.flock(two, fcntl.LOCK_EX | fcntl.LOCK_NB)
            raise SystemExit("two hold one lock")
        except BlockingIOError:
            pass
        fcntl.lockf(one, fcntl.LOCK_EX | fcntl.LOCK_NB, 1)


def replaces():
    with open(path("dir/third"), "rb") as held:
        with open(path("new"), "w") as new:
            new.write("new\n")
        os.rename(path("new"), path("dir/third"))
        assert held.read() == b"plain\n", "a held file changed under a rename"
    assert open(path("dir/third")).read() == "new\n"
    held = open(path("hard link"), "rb")
    os.unlink(path("hard link"))
    assert held.read() == b"plain\n", "an unlinked file was lost while open"
    assert not os.path.exists(path("hard link"))
    os.mkdir(path("hard link"))
    assert "hard link" in os.listdir(TOP)


def numbers():
    names = sorted(os.listdir(path("many")))
    assert len(names) == 3_000
    entries = {entry.name: entry.inode() for entry in os.scandir(path("many"))}
    before = {name: os.stat(path("many/" + name)).st_ino for name in names}
    assert before == entries, "a listing and a stat disagree"
    assert len(set(before.values())) == len(names)
    for name in names:
        with open(path("many/" + name)) as file:
            assert file.read() == str(int(name))
            assert os.fstat(file.fileno()).st_ino == before[name]
    assert {name: os.stat(path("many/" + name)).st_ino for name in names} == before


def sizes():
    status = os.statvfs(TOP)
    assert status.f_namemax >= 255 and status.f_bsize > 0
    island = hashlib.sha256(open(path("sparse"), "rb").read()).hexdigest()
    with open(path("sparse"), "r+b") as sparse:
        sparse.seek(7 << 20)
        sparse.write(b"!")
        sparse.truncate(9 << 20)
    # Overlayfs copies a MiB at a time.
    assert os.stat(path("sparse")).st_blocks * 512 < 3 << 20, "a write took the holes away"
    with open(path("sparse"), "rb") as sparse:
        content = sparse.read()
    assert len(content) == 9 << 20 and content[4 << 20 :][:6] == b"island" and content[7 << 20] == ord("!")
    assert hashlib.sha256(content).hexdigest() != island
    try:
        open(path("n" * 256), "w")
        raise SystemExit("a name of 256 bytes was taken")
    except OSError as error:
        assert error.errno == 36, error


def holes():
    """Before `sizes` writes to it: 8 MiB with a few bytes in the middle."""
    few, at = 1 << 20, 4 << 20
    assert os.stat(path("sparse")).st_blocks * 512 < few
    with open(path("sparse"), "rb") as sparse:
        data = os.lseek(sparse.fileno(), 0, os.SEEK_DATA)
        assert at - few < data <= at, data
        assert at < os.lseek(sparse.fileno(), at, os.SEEK_HOLE) < at + few
        assert os.lseek(sparse.fileno(), 0, os.SEEK_HOLE) == 0
        try:
            os.lseek(sparse.fileno(), 6 << 20, os.SEEK_DATA)
            raise SystemExit("data was found in a hole")
        except OSError as error:
            assert error.errno == 6, error
    subprocess.check_call(["cp", path("sparse"), path("sparse copy")])
    assert os.stat(path("sparse copy")).st_blocks * 512 < few, "the copy has no holes"
    with open(path("sparse copy"), "rb") as copy, open(path("sparse"), "rb") as sparse:
        assert copy.read() == sparse.read()


for check in (maps, executes, locks, replaces, numbers, holes, sizes):
    check()
    print(check.__name__, "ok")
