"""Writes OCI image layouts (image-spec 1.1) and layer tars; run as a program by base-images.

oci.py mktar ROOT OUT            a tar of ROOT with fixed times
oci.py overlay2tar UPPER OUT     the same of an overlayfs upper, as whiteouts and opaque markers
oci.py image LAYOUT --ref R --layer TAR... --env K=V... --cmd C
oci.py names LAYOUT              the references in LAYOUT
oci.py digest LAYOUT REF
"""

import gzip
import hashlib
import io
import json
import os
import stat
import subprocess
import sys
import tarfile

MEDIA = "application/vnd.oci.image."
GZIP, RAW, ZSTD = (MEDIA + "layer.v1.tar" + suffix for suffix in ("+gzip", "", "+zstd"))
CREATED = "2024-01-01T00:00:00Z"
CREATED_UNIX = 1704067200
REF_NAME = "org.opencontainers.image.ref.name"


# ---- blobs and indexes ------------------------------------------------------------------


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def to_json(value):
    return json.dumps(value, separators=(",", ":")).encode()


def put_blob(layout, data):
    """Writes a blob; answers the descriptor's digest and size."""
    directory = os.path.join(layout, "blobs", "sha256")
    os.makedirs(directory, exist_ok=True)
    path = os.path.join(directory, sha256(data))
    if not os.path.exists(path):
        with open(path, "wb") as out:
            out.write(data)
    return {"digest": "sha256:" + sha256(data), "size": len(data)}


def start_layout(layout):
    os.makedirs(layout, exist_ok=True)
    with open(layout + "/oci-layout", "w") as out:
        out.write('{"imageLayoutVersion":"1.0.0"}')


def write_index(layout, descriptors):
    with open(layout + "/index.json", "wb") as out:
        out.write(to_json({"schemaVersion": 2, "manifests": descriptors}))


def named(descriptor, ref):
    return dict(descriptor, annotations={REF_NAME: ref})


# ---- layers and manifests ---------------------------------------------------------------


def gzipped(data):
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", mtime=0, compresslevel=6) as stream:
        stream.write(data)
    return out.getvalue()


def zstd(data):
    return subprocess.run(["zstd", "-q", "-c", "-6"], input=data, stdout=subprocess.PIPE, check=True).stdout


COMPRESS = {GZIP: gzipped, RAW: lambda data: data, ZSTD: zstd}


def layer(layout, tar, media):
    """Stores a tar as a layer; answers (descriptor, diff id)."""
    return dict(mediaType=media, **put_blob(layout, COMPRESS[media](tar))), "sha256:" + sha256(tar)


def layer_from_file(layout, path):
    """The same for a tar file, with the compressed form kept beside it for the next image."""
    with open(path, "rb") as source:
        tar = source.read()
    side = path + ".gz"
    if os.path.exists(side) and os.path.getmtime(side) >= os.path.getmtime(path):
        with open(side, "rb") as source:
            compressed = source.read()
    else:
        compressed = gzipped(tar)
        with open(side + ".part", "wb") as out:
            out.write(compressed)
        os.rename(side + ".part", side)
    return dict(mediaType=GZIP, **put_blob(layout, compressed)), "sha256:" + sha256(tar)


def manifest(layout, layers, config, arch="amd64", variant=None):
    history = [{"created": CREATED, "created_by": f"base-images layer {i}"} for i in range(len(layers))]
    image_config = {
        "created": CREATED,
        "architecture": arch,
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [diff_id for _, diff_id in layers]},
        "history": history,
    }
    if variant:
        image_config["variant"] = variant
    body = {
        "schemaVersion": 2,
        "mediaType": MEDIA + "manifest.v1+json",
        "config": dict(mediaType=MEDIA + "config.v1+json", **put_blob(layout, to_json(image_config))),
        "layers": [descriptor for descriptor, _ in layers],
    }
    return dict(mediaType=MEDIA + "manifest.v1+json", **put_blob(layout, to_json(body)))


# ---- trees as tars ----------------------------------------------------------------------


def xattr(path, key):
    try:
        return os.getxattr(path, key, follow_symlinks=False)
    except OSError:
        return None


def tree_members(root, overlay):
    """Yields (full path or None, name in the tar) in a fixed order; None is an opaque marker."""
    for directory, subdirs, files in os.walk(root):
        subdirs.sort()
        relative = os.path.relpath(directory, root)
        if directory != root:
            yield directory, relative
            if overlay and xattr(directory, "trusted.overlay.opaque") == b"y":
                yield None, relative + "/.wh..wh..opq"
        links = [name for name in subdirs if os.path.islink(os.path.join(directory, name))]
        for name in sorted(files + links):
            yield os.path.join(directory, name), os.path.normpath(os.path.join(relative, name))


def write_tree(tar, root, overlay):
    first_link = {}
    for full, name in tree_members(root, overlay):
        if full is None:
            tar.addfile(tarfile.TarInfo(name))
            continue
        found = os.lstat(full)
        if overlay and stat.S_ISCHR(found.st_mode) and found.st_rdev == 0:
            directory, leaf = os.path.split(name)
            tar.addfile(tarfile.TarInfo(os.path.join(directory, ".wh." + leaf)))
            continue
        if stat.S_ISSOCK(found.st_mode):
            continue
        member = tar.gettarinfo(full, name)
        member.uname = member.gname = ""
        member.mtime = int(found.st_mtime) if overlay else CREATED_UNIX
        member.pax_headers = {
            "SCHILY.xattr." + key: xattr(full, key).decode("utf-8", "surrogateescape")
            for key in os.listxattr(full, follow_symlinks=False)
            if not key.startswith("trusted.")
        }
        if found.st_nlink > 1 and stat.S_ISREG(found.st_mode):
            if found.st_ino in first_link:
                member.type, member.linkname, member.size = tarfile.LNKTYPE, first_link[found.st_ino], 0
            else:
                first_link[found.st_ino] = name
                member.type, member.size = tarfile.REGTYPE, found.st_size
        if member.isreg():
            with open(full, "rb") as source:
                tar.addfile(member, source)
        else:
            tar.addfile(member)


def make_tar(root, out, overlay=False):
    with tarfile.open(out, "w", format=tarfile.PAX_FORMAT, errors="surrogateescape") as tar:
        write_tree(tar, root, overlay)


# ---- the program ------------------------------------------------------------------------


def make_image(layout, options):
    given = {"--ref": [], "--layer": [], "--env": [], "--cmd": []}
    for option, value in zip(options[::2], options[1::2]):
        given[option].append(value)
    start_layout(layout)
    layers = [layer_from_file(layout, path) for path in given["--layer"]]
    config = {"Env": given["--env"], "Cmd": given["--cmd"][0].split()}
    platform = {"architecture": "amd64", "os": "linux"}
    descriptor = dict(manifest(layout, layers, config), platform=platform)
    write_index(layout, [named(descriptor, given["--ref"][0])])


def main(verb, *args):
    if verb == "mktar":
        make_tar(*args)
    elif verb == "overlay2tar":
        make_tar(*args, overlay=True)
    elif verb == "image":
        make_image(args[0], args[1:])
    elif verb in ("names", "digest"):
        with open(args[0] + "/index.json") as source:
            manifests = json.load(source)["manifests"]
        for descriptor in manifests:
            ref = descriptor["annotations"][REF_NAME]
            if verb == "names":
                print(ref)
            elif ref == args[1]:
                print(descriptor["digest"])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(*sys.argv[1:])
