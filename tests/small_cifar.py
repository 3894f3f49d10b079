"""Data sets in CIFAR's layouts that are a few records each, and tars of them as a server might have them."""

import gzip
import hashlib
import io
import itertools
import lzma
import tarfile

import numpy as np
import pytest

from sparsebench.data import cifar
from sparsebench.data.cifar import SUFFIXES
from sparsebench.data.fetch import Archive
from sparsebench.data.packing import PackedFile
from sparsebench.data.tarball import Tarball
from sparsebench.errors import UserError

INSIDE = "cifar-small-bin"
TAR = "small.tar.gz"
PACK = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress}


def records(labels, seed=0):
    """Random pixels under the given labels, one row for a record: the bytes of a file."""
    rows = np.asarray(labels, np.uint8).reshape(len(labels), -1)
    pixels = np.random.default_rng(seed).integers(0, 256, (len(rows), 3072), np.uint8)
    return b"".join(bytes(row.tolist() + image.tolist()) for row, image in zip(rows, pixels, strict=True))


TEN = {
    "data_batch_1.bin": records([3, 0, 9], 1),
    "data_batch_2.bin": records([1, 7], 2),
    "test_batch.bin": records([2, 2, 5, 8], 3),
}


def tar(members):
    """A gzipped tar of (name or TarInfo, content) pairs."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return gzip.compress(stream.getvalue(), mtime=0)


def members(contents):
    """Files as members of the tar's folder."""
    return [(f"{INSIDE}/{name}", content) for name, content in contents.items()]


def archive(packed=b"", address="http://127.0.0.1:9/"):
    """The data set of `TEN`; its tarball is `packed`, at an address where nobody listens unless another is given."""
    files = tuple(PackedFile(n, len(c), hashlib.sha256(c).hexdigest(), SUFFIXES) for n, c in TEN.items())
    tarball = Tarball(len(packed), hashlib.sha256(packed).hexdigest(), INSIDE)
    return Archive("small", address + TAR, files, (INSIDE,), tarball)


def write(folder, contents, suffix=""):
    """The files, packed, in a folder that is made for them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / f"{name}{suffix}").write_bytes(PACK[suffix](content))
    return folder


def refusal(call, *arguments):
    """What is said: one line."""
    with pytest.raises(UserError) as error:
        call(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


def ten(folder, data=None):
    """The data set of `TEN`, from a folder or as the archive `data` has it."""
    return cifar.dataset(data or archive(), cifar.TEN, folder)


def byte_by_byte(content, labels):
    """Images and last labels of a file, taken from where the layout puts each byte."""
    width = labels + 3072
    starts = range(0, len(content), width)
    places = itertools.product(starts, range(3), range(32), range(32))
    pixels = [content[start + labels + 1024 * channel + 32 * row + x] for start, channel, row, x in places]
    return np.reshape(pixels, (len(starts), 3, 32, 32)), [content[start + labels - 1] for start in starts]


def assert_ten(data):
    """It holds the bytes of `TEN`, in order."""
    first, second, test = TEN.values()
    for part, content in ((data.train, first + second), (data.test, test)):
        images, labels = byte_by_byte(content, 1)
        assert (part.images.dtype, part.labels.dtype) == (np.uint8, np.int32)
        np.testing.assert_array_equal(part.images, images)
        np.testing.assert_array_equal(part.labels, labels)
