"""Files that runs start from: weights, and folders of data sets."""

import gzip
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from wrong_inputs import Wrong, file

TRAIN = "train --dataset dots --backend toy --recipe.batch-size 4 --weights w.safetensors"
ONE = np.ones((2, 2), np.float32)


def _header(content: dict, body: bytes = b"") -> bytes:
    text = json.dumps(content).encode()
    return struct.pack("<Q", len(text)) + text + body


def _weights(content: bytes | str, given: str, remedy: str) -> Wrong:
    return Wrong(TRAIN, given, remedy, file("w.safetensors", content))


def _exported(**arrays: np.ndarray | None) -> Callable[[Path], None]:
    """A file of the network's own weights, some of them otherwise; None: left out."""

    def prepare(folder: Path) -> None:
        shapes = {"fc1": (300, 4), "fc2": (100, 300), "fc3": (2, 100)}
        own = {f"{name}.weight": np.zeros(shape, np.float32) for name, shape in shapes.items()}
        own |= {f"{name}.bias": np.zeros(shape[0], np.float32) for name, shape in shapes.items()}
        for name, array in arrays.items():
            own[name.replace("_", ".")] = array
        kept = {name: array for name, array in own.items() if array is not None}
        (folder / "w.safetensors").write_bytes(save(kept))

    return prepare


WEIGHTS = {
    "weights nowhere": Wrong(TRAIN, "w.safetensors", "a safetensors file is needed"),
    "weights are a folder": Wrong(TRAIN.replace("w.safetensors", "runs"), "runs", "a safetensors file is needed"),
    "weights are empty": _weights("", "w.safetensors", "a safetensors file is needed"),
    "weights are a pickle": _weights(b"\x80\x04N.", "w.safetensors", "a safetensors file is needed"),
    "weights are text": _weights("hello, these are no weights", "w.safetensors", "a safetensors file is needed"),
    "a header without end": _weights(b"\xff" * 64, "w.safetensors", "a safetensors file is needed"),
    "a header that is a list": _weights(struct.pack("<Q", 2) + b"[]", "w.safetensors", "a safetensors file is needed"),
    "an array beyond the file": _weights(
        _header({"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}),
        "w.safetensors", "a safetensors file is needed",
    ),
    "an array of an unknown type": _weights(
        _header({"a": {"dtype": "X9", "shape": [1], "data_offsets": [0, 4]}}, b"1234"),
        "w.safetensors", "a safetensors file is needed",
    ),
    "weights in bfloat16": _weights(
        _header({"a": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}, b"1234"), "w.safetensors", "needed"
    ),
    "weights in integers": _weights(save({"fc1.weight": np.ones(3, np.int64)}), "int64", "floating-point"),
    "no weights in it": _weights(save({}), "lacks", "choose the model they fit"),
    "weights of nothing": _weights(save({"x": ONE}), "also has x", "choose the model they fit"),
    "a bias is missing": Wrong(TRAIN, "lacks fc1.bias", "choose the model", _exported(fc1_bias=None)),
    "one array too many": Wrong(TRAIN, "also has fc4.weight", "choose the model", _exported(fc4_weight=ONE)),
    "another shape": Wrong(TRAIN, "(2, 2)", "(300, 4) in the model", _exported(fc1_weight=ONE)),
    "weights that are not finite": Wrong(
        TRAIN, "'fc1.weight'", "finite", _exported(fc1_weight=np.full((300, 4), np.nan, np.float32))
    ),
    "weights beyond float32": Wrong(
        TRAIN, "'fc1.weight'", "not finite in float32", _exported(fc1_weight=np.full((300, 4), 1e300))
    ),
    "weights for a ticket": Wrong(f"{TRAIN} --method lottery", "'lottery'", "leave --weights out", _exported()),
    "weights for a narrower network": Wrong(
        f"{TRAIN} --method small-dense", "'small-dense'", "leave --weights out", _exported()
    ),
}  # fmt: skip

MNIST = "train --dataset mnist --backend toy --data data"
CIFAR = "train --dataset cifar10 --backend toy --data data"
IMAGES = "train --dataset image-folder --backend toy --data data"
NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def idx(*shape: int, content: bytes | None = None) -> bytes:
    """A file of unsigned bytes, of this shape."""
    body = bytes(int(np.prod(shape))) if content is None else content
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape) + body


def _mnist(first: bytes) -> Callable[[Path], None]:
    """The four files, all of this content."""
    return _folder(**{f"{name}.gz": first for name in NAMES})


def _cifar(content: bytes) -> Callable[[Path], None]:
    """The six files, all of this content."""
    names = [*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"]
    return _folder(**{f"cifar-10-batches-bin__{name}": content for name in names})


def _folder(**files: bytes) -> Callable[[Path], None]:
    """Files of a data folder, by path with double underlines for slashes."""

    def prepare(folder: Path) -> None:
        (folder / "data").mkdir()
        for name, content in files.items():
            file(f"data/{name.replace('__', '/')}", content)(folder)

    return prepare


def _looped(folder: Path) -> None:
    (folder / "data").mkdir()
    os.symlink("train", folder / "data" / "train")


DATA = {
    "mnist, none": Wrong(MNIST, "train-images-idx3-ubyte.gz", "get them from", _folder()),
    "mnist, not the original": Wrong(MNIST, "train-images", "replace it with", _mnist(gzip.compress(idx(2, 28, 28)))),
    "mnist, empty files": Wrong(MNIST, "train-images", "replace it with", _mnist(b"")),
    "mnist, not gzip": Wrong(MNIST, "train-images", "replace it with", _mnist(b"hello")),
    "mnist, half a gzip": Wrong(MNIST, "train-images", "replace it with", _mnist(gzip.compress(idx(2, 28, 28))[:-9])),
    "mnist, a folder for a file": Wrong(MNIST, "train-images", "get them from", _folder(**{f"{NAMES[0]}__x": b""})),
    "cifar10, empty files": Wrong(CIFAR, "data_batch_1.bin", "replace it with", _cifar(b"")),
    "cifar10, half a record": Wrong(CIFAR, "data_batch_1.bin", "replace it with", _cifar(bytes(3000))),
    "images, none": Wrong(IMAGES, "data", "train/CLASS/", _folder()),
    "images, only train": Wrong(IMAGES, "data", "val/CLASS/", _folder(train__cat__a=b"x")),
    "images, no class": Wrong(IMAGES, "data/train", "sort the images", _folder(train__a=b"x", val__a=b"x")),
    "images, an empty class": Wrong(
        IMAGES, "'cat'", "remove the class", _folder(train__cat__note=b"x", val__cat__note=b"x")
    ),
    "images, other classes in val": Wrong(
        IMAGES, "'dog'", "must have the same folders",
        _folder(**{"train__cat__a.png": b"x", "val__dog__a.png": b"x"}),
    ),
    "images, a link to itself": Wrong(IMAGES, "data/train", "make it readable", _looped),
    "images, not named": Wrong(IMAGES.replace(" --data data", ""), "'image-folder'", "--data FOLDER"),
}  # fmt: skip
ROWS = {**WEIGHTS, **DATA}
