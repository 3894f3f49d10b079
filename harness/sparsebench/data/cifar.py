"""CIFAR-10 and CIFAR-100: 50,000 + 10,000 colour images of 32 × 32 pixels, in the layout of their binary version.

A file is records without a header: one label byte (CIFAR-100: two, coarse and fine), then 1024 red, 1024 green and 1024
blue bytes, each row by row (A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009, and
https://www.cs.toronto.edu/~kriz/cifar.html). The other versions of these data sets are pickles, which are never read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sparsebench.data.fetch import Archive, contents
from sparsebench.data.packing import PackedFile
from sparsebench.data.source import Dataset, Source, Split, moments, standardising_table
from sparsebench.data.stream import Stream
from sparsebench.data.tarball import Tarball
from sparsebench.errors import UserError

SHAPE = (3, 32, 32)
PIXELS = 3072
SUFFIXES = ("", ".xz", ".gz")
MINI = (2000, 1000)
"""Training and test images of `cifar10-mini`."""

TEN = (("label", 10),)
HUNDRED = (("coarse label", 20), ("fine label", 100))
"""What the bytes before the pixels are, and how many values each may have; the last is what is learned."""


@dataclass(frozen=True)
class Whole:
    """What tells a whole data set from a part of it, where no SHA-256 of its files is published.

    Records of each class in the training and the test part; mean and deviation of each training channel, of pixels
    divided by 255, to eight digits. The test part's pixels are told by nothing: a download is checked as an archive.
    """

    train: int
    test: int
    moments: tuple[tuple[float, float], ...]


def dataset(archive: Archive, labels: tuple[tuple[str, int], ...], folder: Path | None) -> Dataset:
    """An archive whose last file is the test part and all others, in their order, the training part.

    Raises:
        UserError: a file is missing, damaged, or cannot be downloaded.
    """
    *training, test = (
        parse(content, labels, f"{archive.name}: {file.name}")
        for file, content in zip(archive.files, contents(archive, folder), strict=True)
    )
    train = _joined(training)
    return Dataset(archive.name, labels[-1][1], train, _joined([test]), standardising_table(train.images))


def parse(content: bytes, labels: tuple[tuple[str, int], ...], name: str) -> NDArray[np.uint8]:
    """The records of the file called `name`: uint8 (records, labels + 3072), read-only, its labels as allowed.

    Raises:
        UserError: the bytes are not exactly such records, or there are none.
    """
    width = len(labels) + PIXELS
    if not content:
        raise _refusal(name, "there are no records in it")
    if len(content) % width:
        raise _refusal(name, f"{len(content)} bytes are no whole number of records of {width}")
    records = np.frombuffer(content, np.uint8).reshape(-1, width)
    for column, (label, count) in enumerate(labels):
        if (worst := records[:, column].max()) >= count:
            raise _refusal(name, f"{label} {worst}, but {label}s are 0 to {count - 1}")
    return records


def _refusal(name: str, fault: str) -> UserError:
    return UserError(
        f"{name} cannot be used: {fault}; replace the file with one in the layout of CIFAR's binary version"
    )


def _joined(files: list[NDArray[np.uint8]]) -> Split:
    """The images and the last label of all records of all files."""
    images = np.concatenate([records[:, -PIXELS:] for records in files]).reshape(-1, *SHAPE)
    return Split(images, np.concatenate([records[:, -PIXELS - 1] for records in files]).astype(np.int32))


def whole(data: Dataset, expected: Whole) -> Dataset:
    """The data set as it was given, if it is the whole of it.

    Raises:
        UserError: it is a part, or was altered.
    """
    if fault := _fault(data, expected):
        raise UserError(
            f"data set {data.name!r}: {fault}: a subset or an altered copy must not go by this name; load it as "
            f"'cifar100-subset', or replace the files with those of {CIFAR100.address}"
        )
    return data


def _fault(data: Dataset, expected: Whole) -> str | None:
    for part, split, each in (("training", data.train, expected.train), ("test", data.test, expected.test)):
        if len(split.labels) != each * data.classes:
            return f"{len(split.labels)} {part} records, expected {each * data.classes}"
        counts = np.bincount(split.labels, minlength=data.classes)
        if wrong := np.flatnonzero(counts != each).tolist():
            return f"{counts[wrong[0]]} {part} records of fine label {wrong[0]}, expected {each}"
    images = _in_memory(data.train).images
    found = tuple((round(mean / 255, 8), round(deviation / 255, 8)) for mean, deviation in moments(images))
    if found != expected.moments:
        return f"channel means and deviations of the training pixels are {found}, published are {expected.moments}"
    return None


def _in_memory(split: Split | Stream) -> Split:
    if not isinstance(split, Split):
        raise TypeError("the records of CIFAR are in memory, not images of a folder")
    return split


def _mini(folder: Path | None) -> Dataset:
    """The first records of the first training file, and of the test file."""
    data = dataset(CIFAR10_MINI, TEN, folder)
    train, test = (
        Split(split.images[:count], split.labels[:count])
        for split, count in ((_in_memory(data.train), MINI[0]), (_in_memory(data.test), MINI[1]))
    )
    return Dataset("cifar10-mini", data.classes, train, test, standardising_table(train.images))


def _cifar100(folder: Path | None) -> Dataset:
    return whole(dataset(CIFAR100, HUNDRED, folder), PUBLISHED)


def _batch(name: str, sha256: str) -> PackedFile:
    return PackedFile(name, 10_000 * (len(TEN) + PIXELS), sha256, SUFFIXES)


def _unpublished(name: str, records: int) -> PackedFile:
    return PackedFile(name, records * (len(HUNDRED) + PIXELS), None, SUFFIXES)


# Size and SHA-256 of both archives as in tensorflow/datasets, tensorflow_datasets/url_checksums/cifar10.txt and
# cifar100.txt.
CIFAR10 = Archive(
    "cifar10",
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    (
        _batch("data_batch_1.bin", "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5"),
        _batch("data_batch_2.bin", "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed"),
        _batch("data_batch_3.bin", "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67"),
        _batch("data_batch_4.bin", "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48"),
        _batch("data_batch_5.bin", "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add"),
        _batch("test_batch.bin", "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b"),
    ),
    ("cifar-10-batches-bin",),
    Tarball(170_052_171, "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd", "cifar-10-batches-bin"),
)
CIFAR10_MINI = replace(CIFAR10, files=(CIFAR10.files[0], CIFAR10.files[-1]))
CIFAR100 = Archive(
    "cifar100",
    "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
    (_unpublished("train.bin", 50_000), _unpublished("test.bin", 10_000)),
    ("cifar-100-binary",),
    Tarball(168_513_733, "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec", "cifar-100-binary"),
)
PUBLISHED = Whole(500, 100, ((0.50707516, 0.26733429), (0.48654887, 0.25643846), (0.44091784, 0.27615047)))
SUBSET = Archive(
    "cifar100-subset",
    "",
    (_unpublished("train.bin", 60_000), _unpublished("test.bin", 60_000)),  # not more than all of CIFAR-100
    ("cifar100-mini",),
)

cifar10 = Source(
    "cifar10", "50,000 + 10,000 photographs in 10 classes, 32 × 32 pixels", partial(dataset, CIFAR10, TEN), CIFAR10
)
cifar10_mini = Source(
    "cifar10-mini",
    f"the first {MINI[0]:,} + {MINI[1]:,} images of CIFAR-10, for trying things out: results are not CIFAR-10 results",
    _mini,
    CIFAR10_MINI,
)
cifar100 = Source("cifar100", "50,000 + 10,000 photographs in 100 classes, 32 × 32 pixels", _cifar100, CIFAR100)
cifar100_subset = Source(
    "cifar100-subset",
    "any records in CIFAR-100's layout, for tests: results of it are not CIFAR-100 results",
    partial(dataset, SUBSET, HUNDRED),
    SUBSET,
)
