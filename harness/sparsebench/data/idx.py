"""MNIST and Fashion-MNIST: 60,000 + 10,000 grey images of 28 × 28 pixels in 10 classes, in gzipped IDX files.

An IDX file is two zero bytes, a type, the number of dimensions, each size as a big-endian uint32, then the entries in
row-major order (Y. LeCun, C. Cortes, C. Burges, The MNIST database, "File formats for the MNIST database").
"""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sparsebench.data.fetch import Archive, contents
from sparsebench.data.packing import PackedFile
from sparsebench.data.source import Dataset, Source, Split, standardising_table
from sparsebench.errors import UserError

CLASSES = 10
UNSIGNED_BYTE = 0x08
FILES = (
    ("train-images-idx3-ubyte.gz", 47_040_016),
    ("train-labels-idx1-ubyte.gz", 60_008),
    ("t10k-images-idx3-ubyte.gz", 7_840_016),
    ("t10k-labels-idx1-ubyte.gz", 10_008),
)


def dataset(archive: Archive, folder: Path | None) -> Dataset:
    """Training images and labels, test images and labels: an archive's four files as a data set.

    Raises:
        UserError: a file is missing, damaged, or cannot be downloaded.
    """
    images, labels, test_images, test_labels = contents(archive, folder)
    train = split(images, labels, f"{archive.name}: training")
    test = split(test_images, test_labels, f"{archive.name}: test")
    return Dataset(archive.name, CLASSES, train, test, standardising_table(train.images))


def split(images: bytes, labels: bytes, name: str) -> Split:
    """The part of a data set called `name`, from the bytes of its two files.

    Raises:
        UserError: they are not what they should be.
    """
    pixels, classes = parse(images, 3, f"{name} images"), parse(labels, 1, f"{name} labels")
    if len(pixels) != len(classes):
        raise _refusal(f"{name} labels", f"{len(classes)} labels for {len(pixels)} images")
    if not len(pixels):
        raise _refusal(f"{name} images", "there are no images in it")
    if classes.max() >= CLASSES:
        raise _refusal(f"{name} labels", f"label {classes.max()}, but labels are 0 to {CLASSES - 1}")
    return Split(pixels[:, None], classes.astype(np.int32))


def parse(content: bytes, dimensions: int, name: str) -> NDArray[np.uint8]:
    """The array in an IDX file of unsigned bytes: uint8, read-only.

    Raises:
        UserError: the bytes are not exactly such a file.
    """
    header = 4 + 4 * dimensions
    if content[:2] != b"\0\0":
        raise _refusal(name, f"it begins with 0x{content[:2].hex()}, an IDX file with two zero bytes")
    if content[2:3] != bytes([UNSIGNED_BYTE]):
        raise _refusal(name, f"entries of type 0x{content[2:3].hex()}, expected 0x08 (unsigned bytes)")
    if content[3:4] != bytes([dimensions]):
        raise _refusal(name, f"{int.from_bytes(content[3:4])} dimensions, expected {dimensions}")
    if len(content) < header:
        raise _refusal(name, f"it ends after {len(content)} bytes, within its header of {header}")
    shape = tuple(np.frombuffer(content, ">u4", dimensions, offset=4).tolist())
    if len(content) - header != math.prod(shape):
        raise _refusal(name, f"{len(content) - header} bytes of data, its header says {math.prod(shape)}")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _refusal(name: str, fault: str) -> UserError:
    return UserError(f"{name} cannot be used: {fault}; replace the file with the original")


def _files(*digests: str) -> tuple[PackedFile, ...]:
    return tuple(PackedFile(name, size, digest) for (name, size), digest in zip(FILES, digests, strict=True))


# Y. LeCun et al., Gradient-based learning applied to document recognition, Proceedings of the IEEE 86(11), 1998. The
# authors' own server no longer has the files; this is the mirror that torchvision names (torchvision.datasets.MNIST).
MNIST = Archive(
    "mnist",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    _files(
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
)

# H. Xiao, K. Rasul, R. Vollgraf, Fashion-MNIST, arXiv:1708.07747, 2017. The README of zalandoresearch/fashion-mnist
# offers a bucket that speaks no https, and the repository itself, which does; the commit fixes the content.
FASHION_MNIST = Archive(
    "fashion-mnist",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/"
    "b2617bb6d3ffa2e429640350f613e3291e10b141/data/fashion/",
    _files(
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
)

mnist = Source("mnist", "60,000 + 10,000 handwritten digits of 28 × 28 pixels", partial(dataset, MNIST), MNIST)
fashion_mnist = Source(
    "fashion-mnist",
    "60,000 + 10,000 pictures of clothes, 28 × 28 pixels",
    partial(dataset, FASHION_MNIST),
    FASHION_MNIST,
)
