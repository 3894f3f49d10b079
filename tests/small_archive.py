"""A data set of ten small images in four gzipped IDX files, and what is said when it cannot be had."""

import gzip
import hashlib

import numpy as np
import pytest

from sparsebench.data import fetch
from sparsebench.data.fetch import Archive
from sparsebench.data.packing import PackedFile
from sparsebench.errors import UserError

NAMES = ("train-images.gz", "train-labels.gz", "test-images.gz", "test-labels.gz")
LABELS = (np.array([3, 1, 4, 1, 5, 9], np.uint8), np.array([2, 6, 5, 3], np.uint8))
PIXELS = tuple(np.random.default_rng(n).integers(0, 256, (n, 20, 21), np.uint8) for n in (6, 4))


def idx(array, dtype=0x08):
    """The bytes of an IDX file, written out one by one."""
    sizes = b"".join(int(size).to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, dtype, array.ndim]) + sizes + bytes(array.ravel().tolist())


CONTENTS = tuple(idx(array) for pair in zip(PIXELS, LABELS, strict=True) for array in pair)
PACKED = {name: gzip.compress(content, mtime=0) for name, content in zip(NAMES, CONTENTS, strict=True)}


def archive(address="http://127.0.0.1:9/", name="small"):
    """The data set; nobody listens at the address unless another is given."""
    files = (PackedFile(n, len(c), hashlib.sha256(c).hexdigest()) for n, c in zip(NAMES, CONTENTS, strict=True))
    return Archive(name, address, tuple(files))


def write(folder, names=NAMES):
    """Files of the data set, in a folder that is made for them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(PACKED[name])
    return folder


def files(folder):
    """The names of all files below a folder."""
    return {path.name for path in folder.rglob("*") if path.is_file()}


def refusal(archive, folder=None):
    """What is said when the files cannot be had: one line."""
    with pytest.raises(UserError) as error:
        fetch.contents(archive, folder)
    assert "\n" not in str(error.value)
    return str(error.value)


def whole(handler, content):
    """Answer as a server should."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)
