"""Makes the hostile fixture images, and the merged tree that unpacking them must give.

    hostile.py LAYOUT MULTI_LAYOUT BUSYBOX EXPECTED_TSV

fixtures/layers has what real images get wrong: whiteouts, opaque directories with the marker
first and last, type changes, re-added paths, hard links, links that leave the root, setuid,
xattrs, special files, odd names and owners, missing parents, an empty layer. EXPECTED_TSV is
computed by the little model here (`apply`), which was checked against three other unpackers.
"""

import hashlib
import io
import os
import sys
import tarfile
from urllib.parse import quote_from_bytes

from oci import (
    GZIP,
    MEDIA,
    RAW,
    ZSTD,
    layer as put_layer,
    manifest,
    named,
    put_blob,
    sha256,
    start_layout,
    to_json,
    write_index,
)

CAP_NET_BIND_SERVICE = bytes([1, 0, 0, 2]) + (1 << 10).to_bytes(4, "little") + bytes(12)
NOISE = b"".join(hashlib.sha256(b"%d" % i).digest() for i in range(20000))
APPLETS = "sh ls cat stat id env sleep true false echo find sort head od readlink mkdir rm test ping su"
TYPES = {
    "f": tarfile.REGTYPE,
    "d": tarfile.DIRTYPE,
    "l": tarfile.SYMTYPE,
    "h": tarfile.LNKTYPE,
    "c": tarfile.CHRTYPE,
    "p": tarfile.FIFOTYPE,
}
DEFAULT_MODE = {"d": 0o755, "l": 0o777}
MTIME = 1700000000


class Layer:
    """The entries of one layer, in the order of its tar."""

    def __init__(self):
        self.entries = []

    def add(self, path, kind="f", data=b"", link="", dev=(0, 0), xattrs=None, **meta):
        if kind == "h":  # as tar writers do: a link's header repeats its target's metadata
            target = next(e for e in self.entries if e["path"] == os.fsencode(link))
            meta = {key: target[key] for key in ("mode", "uid", "gid", "mtime")}
        entry = {"mode": DEFAULT_MODE.get(kind, 0o644), "uid": 0, "gid": 0, "mtime": MTIME, **meta}
        entry.update(path=os.fsencode(path), kind=kind, dev=dev, xattrs=xattrs or {}, link=os.fsencode(link))
        entry["data"] = data.encode() if isinstance(data, str) else data
        self.entries.append(entry)

    def tar(self):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for entry in self.entries:
                member = tarfile.TarInfo(os.fsdecode(entry["path"]) + "/" * (entry["kind"] == "d"))
                for key in ("mode", "uid", "gid", "mtime"):
                    setattr(member, key, entry[key])
                member.type = TYPES[entry["kind"]]
                member.linkname = os.fsdecode(entry["link"])
                member.devmajor, member.devminor = entry["dev"]
                for key, value in entry["xattrs"].items():
                    member.pax_headers["SCHILY.xattr." + key] = value.decode("utf-8", "surrogateescape")
                member.size = len(entry["data"]) if entry["kind"] == "f" else 0
                tar.addfile(member, io.BytesIO(entry["data"]))
        return out.getvalue()


# ---- the layers -------------------------------------------------------------------------


def first_layer(busybox):
    layer = Layer()
    for name in ("bin", "dev", "etc", "home", "opt"):
        layer.add(name, "d")
    layer.add("proc", "d", mode=0o555)
    layer.add("root", "d", mode=0o700)
    layer.add("sys", "d", mode=0o555)
    layer.add("tmp", "d", mode=0o1777)
    layer.add("var", "d")
    layer.add("bin/busybox", data=busybox, mode=0o755)
    for applet in APPLETS.split():
        layer.add("bin/" + applet, "h", link="bin/busybox")
    layer.add("etc/passwd", data="root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n")
    layer.add("etc/group", data="root:x:0:\napp:x:1000:\nextra:x:2000:app\n")
    layer.add("etc/os-release", data='ID=hd-fixture\nPRETTY_NAME="hd fixture"\n')
    add_what_later_layers_change(layer)
    add_links_modes_and_xattrs(layer)
    add_names_and_times(layer)
    return layer


def add_what_later_layers_change(layer):
    layer.add("opt/keep", "d")
    layer.add("opt/keep/file", data="kept\n")
    layer.add("opt/keep/empty")
    layer.add("opt/keep/zeros", data=bytes(1 << 20))
    layer.add("opt/keep/rand", data=NOISE)
    layer.add("opt/gone-file", data="layer 1\n")
    layer.add("opt/gone-dir", "d")
    layer.add("opt/gone-dir/sub", "d")
    layer.add("opt/gone-dir/sub/f", data="x")
    for q in ("opaque-first", "opaque-last"):
        layer.add(f"opt/{q}", "d")
        layer.add(f"opt/{q}/old", data="old\n")
        layer.add(f"opt/{q}/sub", "d")
        layer.add(f"opt/{q}/sub/old", data="old\n")
        layer.add(f"opt/{q}/both", data="lower\n")
    layer.add("opt/dir-to-file", "d")
    layer.add("opt/dir-to-file/in", data="x")
    layer.add("opt/file-to-dir", data="was a file\n")
    layer.add("opt/dir-to-link", "d")
    layer.add("opt/dir-to-link/in", data="x")
    layer.add("opt/link-to-dir", "l", link="keep")
    layer.add("opt/readd", data="first\n")
    layer.add("opt/mode-only", data="same content\n", mode=0o600)
    layer.add("opt/dir-mode-only", "d", mode=0o755)
    layer.add("opt/dir-mode-only/stays", data="stays\n")
    layer.add("opt/hard", "d")
    layer.add("opt/hard/a", data="linked\n")
    layer.add("opt/hard/b", "h", link="opt/hard/a")
    layer.add("opt/hard/c", "h", link="opt/hard/a")
    layer.add("opt/hard/split", data="split\n")
    layer.add("opt/hard/split2", "h", link="opt/hard/split")
    layer.add("opt/hard/gone", data="survivor\n")
    layer.add("opt/hard/left", "h", link="opt/hard/gone")


def add_links_modes_and_xattrs(layer):
    layer.add("opt/links", "d")
    layer.add("opt/links/rel", "l", link="../keep/file")
    layer.add("opt/links/abs", "l", link="/opt/keep/file")
    layer.add("opt/links/dangling", "l", link="/no/such/place")
    layer.add("opt/links/up", "l", link="../../../../../../etc/passwd")
    layer.add("opt/links/loop", "l", link="loop")
    layer.add("opt/links/owned", "l", link="rel", uid=1000, gid=1000)
    layer.add("opt/links/todir", "l", link="../keep")
    layer.add("opt/perm", "d")
    layer.add("opt/perm/setuid", data=b"#!/bin/sh\nid\n", mode=0o4755)
    layer.add("opt/perm/setgid", data=b"g", mode=0o2755, gid=2000)
    layer.add("opt/perm/none", data=b"n", mode=0o0)
    layer.add("opt/perm/setgid-dir", "d", mode=0o2775, gid=2000)
    layer.add("opt/perm/bigid", data="big\n", uid=3000000, gid=3000001)
    layer.add("opt/perm/readonly-dir", "d", mode=0o555)
    layer.add("opt/perm/readonly-dir/in", data="in\n", mode=0o444)
    layer.add("opt/special", "d")
    layer.add("opt/special/fifo", "p")
    layer.add("opt/special/null", "c", dev=(1, 3), mode=0o666)
    layer.add("opt/xattr", "d", xattrs={"user.on-dir": b"yes"})
    layer.add("opt/xattr/user", data="x\n", xattrs={"user.hd.test": b"value with = and\nnewline"})
    layer.add(
        "opt/xattr/cap", data=b"#!/bin/sh\n", mode=0o755, xattrs={"security.capability": CAP_NET_BIND_SERVICE}
    )


def add_names_and_times(layer):
    layer.add("opt/names", "d")
    layer.add("opt/names/café-日本", data="utf-8\n")
    layer.add("opt/names/with space\tand\nnewline", data="ws\n")
    layer.add("opt/names/ -rf *", data="glob\n")
    layer.add("opt/names/\\back", data="b\n")
    layer.add("opt/names/" + "n" * 255, data="255\n")
    deep = "opt/names"
    for i in range(12):
        deep += "/" + "deep%02d" % i * 4
        layer.add(deep, "d")
    layer.add(deep + "/end", data="deep\n")
    layer.add("opt/names/bad\udcff\udcfeutf8", data="bytes\n")
    layer.add("opt/names/..dots", data="dots\n")
    layer.add("opt/names/.whatever", data="not a whiteout\n")
    layer.add("opt/time", "d")
    layer.add("opt/time/subsec", data="t\n", mtime=1700000000.123456)
    layer.add("opt/time/epoch", data="t\n", mtime=0)
    layer.add("opt/time/2100", data="t\n", mtime=4102444800)
    layer.add("opt/implicit/parents/file", data="no entry for my parents\n")


def second_layer():
    layer = Layer()
    layer.add("opt/.wh.gone-file")
    layer.add("opt/.wh.gone-dir")
    layer.add("opt/.wh.never-existed")
    layer.add("opt/keep/.wh.zeros")
    layer.add("opt/opaque-first", "d", mode=0o700)
    layer.add("opt/opaque-first/.wh..wh..opq")
    layer.add("opt/opaque-first/new", data="new\n")
    layer.add("opt/opaque-first/both", data="upper\n")
    layer.add("opt/opaque-last", "d")
    layer.add("opt/opaque-last/new", data="new\n")
    layer.add("opt/opaque-last/both", data="upper\n")
    layer.add("opt/opaque-last/.wh..wh..opq")
    layer.add("opt/dir-to-file", data="now a file\n")
    layer.add("opt/file-to-dir", "d")
    layer.add("opt/file-to-dir/in", data="in\n")
    layer.add("opt/dir-to-link", "l", link="keep")
    layer.add("opt/link-to-dir", "d")
    layer.add("opt/link-to-dir/in", data="in\n")
    layer.add("opt/.wh.readd")
    layer.add("opt/mode-only", data="same content\n", mode=0o755)
    layer.add("opt/dir-mode-only", "d", mode=0o711, uid=1000)
    layer.add("opt/hard/split2", data="now on its own\n")
    layer.add("opt/hard/.wh.gone")
    return layer


def third_layer():
    layer = Layer()
    layer.add("home/app", "d", mode=0o750, uid=1000, gid=1000)
    layer.add(
        "home/app/run",
        data='#!/bin/sh\necho fixture "$@"; id -u; pwd\n',
        mode=0o755,
        uid=1000,
        gid=1000,
    )
    layer.add("opt/readd", "d")
    layer.add("opt/readd/second", data="second\n")
    layer.add("opt/new-in-3", data="3\n")
    return layer


# ---- the model: what unpacking must give ------------------------------------------------


def drop(tree, path, itself=True):
    for name in [n for n in tree if n.startswith(path + b"/") or (itself and n == path)]:
        del tree[name]


def apply(tree, layer):
    """Puts a layer on a tree; deletions first, because they speak of lower layers only."""
    for entry in layer.entries:
        directory, leaf = os.path.split(entry["path"])
        if leaf == b".wh..wh..opq":
            drop(tree, directory, itself=False)
        elif leaf.startswith(b".wh."):
            drop(tree, os.path.join(directory, leaf[4:]))
    for entry in layer.entries:
        path = entry["path"]
        directory, leaf = os.path.split(path)
        if leaf.startswith(b".wh."):
            continue
        while directory and directory not in tree:
            implied = {"kind": "d", "mode": None, "uid": 0, "gid": 0, "mtime": None, "xattrs": {}}
            tree[directory] = dict(implied, inode=object())
            directory = os.path.dirname(directory)
        old = tree.get(path)
        if not (entry["kind"] == "d" and old and old["kind"] == "d"):
            drop(tree, path)
        tree[path] = tree[entry["link"]] if entry["kind"] == "h" else dict(entry, inode=object())


HEADER = (
    "#path\ttype\tmode\tuid\tgid\tsize\tmtime_ns\tsha256-or-target-or-dev\thardlink-of\txattrs"
    "     (percent-encoded; * = any)\n"
)


def quoted(raw):
    return quote_from_bytes(raw, safe="/._-+:,@~")


def row(path, entry, first_of_group):
    kind = entry["kind"]
    content = "-"
    if kind == "f":
        content = sha256(entry["data"])
    elif kind == "l":
        content = quoted(entry["link"])
    elif kind == "c":
        content = "%d:%d" % entry["dev"]
    any_time = kind == "d" or entry["mtime"] is None
    xattrs = ";".join(f"{key}={value.hex()}" for key, value in sorted(entry["xattrs"].items()))
    return [
        quoted(path),
        kind,
        "*" if entry["mode"] is None else "%04o" % entry["mode"],
        str(entry["uid"]),
        str(entry["gid"]),
        str(len(entry["data"])) if kind == "f" else "-",
        "*" if any_time else str(round(entry["mtime"] * 1e6) * 1000),
        content,
        quoted(first_of_group) if first_of_group else "-",
        xattrs or "-",
    ]


def write_expected(layers, out_path):
    tree = {}
    for layer in layers:
        apply(tree, layer)
    groups = {}
    for path in sorted(tree):
        groups.setdefault(id(tree[path]["inode"]), []).append(path)
    with open(out_path, "w") as out:
        out.write(HEADER)
        for path in sorted(tree):
            group = groups[id(tree[path]["inode"])]
            first = group[0] if len(group) > 1 else None
            out.write("\t".join(row(path, tree[path], first)) + "\n")


# ---- the images -------------------------------------------------------------------------

CONFIG = {
    "User": "app:extra",
    "WorkingDir": "/home/app",
    "Env": ["PATH=/bin", "FIXTURE=yes", "EMPTY="],
    "Entrypoint": ["/home/app/run"],
    "Cmd": ["default", "arg"],
    "ExposedPorts": {"8080/tcp": {}},
    "Volumes": {"/var/data": {}},
    "Labels": {"org.example.k": "v w"},
    "StopSignal": "SIGQUIT",
}


def write_layers(layout, tars):
    start_layout(layout)
    mixed = manifest(layout, [put_layer(layout, tar, media) for tar, media in tars], CONFIG)
    all_zstd = manifest(layout, [put_layer(layout, tar, ZSTD) for tar, _ in tars], CONFIG)
    write_index(layout, [named(mixed, "layers:1"), named(all_zstd, "layers:zstd")])


def write_multi(layout, tars):
    """An index as BuildKit pushes it: two platforms and an attestation of an unknown one."""
    start_layout(layout)
    manifests = []
    for arch, variant in (("arm64", "v8"), ("amd64", None)):
        platform = {"architecture": arch, "os": "linux"}
        if variant:
            platform["variant"] = variant
        layers = [put_layer(layout, tar, media) for tar, media in tars]
        image = manifest(layout, layers, dict(CONFIG, Labels={"arch": arch}), arch, variant)
        manifests.append(dict(image, platform=platform))
    attestation = manifest(layout, [put_layer(layout, b"{}", RAW)], {}, "unknown")
    notes = {
        "vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": manifests[1]["digest"],
    }
    nowhere = {"architecture": "unknown", "os": "unknown"}
    manifests.append(dict(attestation, platform=nowhere, annotations=notes))
    body = {"schemaVersion": 2, "mediaType": MEDIA + "index.v1+json", "manifests": manifests}
    index = dict(mediaType=MEDIA + "index.v1+json", **put_blob(layout, to_json(body)))
    write_index(layout, [named(index, "multi:1")])


def main(layout, multi_layout, busybox_path, expected_path):
    with open(busybox_path, "rb") as source:
        layers = [first_layer(source.read()), second_layer(), third_layer(), Layer()]
    tars = list(zip((layer.tar() for layer in layers), (GZIP, GZIP, RAW, GZIP)))
    write_layers(layout, tars)
    write_multi(multi_layout, tars)
    write_expected(layers, expected_path)


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    main(*sys.argv[1:])
