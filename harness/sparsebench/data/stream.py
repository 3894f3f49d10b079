"""Images that are read when they are needed: decoded in threads, ahead of their use, the same for any number of them.

A batch is a pure function of its iteration, so a run can be resumed anywhere. Only what is being read, what waits and
what was handed out is in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from sparsebench.data import crops
from sparsebench.data.feed import Feed
from sparsebench.environment import threads
from sparsebench.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int32]

LIMIT = 178_956_970
"""Pixels of the largest image that is decoded, 512 MiB as RGB: where Pillow speaks of a decompression bomb."""


class Digest(Protocol):
    """What identifies data takes bytes, as hashlib's objects do."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Take these bytes too."""
        ...


@dataclass(frozen=True, eq=False)
class Stream:
    """A split whose images are files, FOLDER/class/name; `size`: pixels a side of what `image` returns."""

    paths: tuple[Path, ...]
    labels: Labels
    size: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one image."""
        return 3, self.size, self.size

    def at(self, size: int) -> Stream:
        """The same images at another size."""
        return replace(self, size=size)

    def image(self, index: int, draw: int | None) -> Pixels:
        """One image, RGB: uint8 (3, size, size), an array of its own, bilinear with antialiasing.

        Without a draw it is cropped as torchvision evaluates on ImageNet: shorter side round(size · 256 / 224), centre
        (in one step, which may round a value up where two round it down). A draw, a random 64-bit integer, stands for
        a crop and a flip (`crops.random`).

        Raises:
            UserError: the file cannot be read or decoded.
        """
        picture = _decoded(self.paths[index])
        if draw is None:
            return _resized(picture, self.size, crops.centre(*picture.size, self.size))
        crop = crops.random(*picture.size, draw)
        # cut first: `resize` would let what is just outside of the box shine through at the edges
        pixels = _resized(picture.crop(crop.box), self.size, None)
        return np.ascontiguousarray(pixels[:, :, ::-1]) if crop.flip else pixels

    def identify(self, digest: Digest) -> None:
        """Give the number of files, then label, class folder, name and size in bytes of each, to a digest.

        Raises:
            UserError: a file is not there any more.
        """
        digest.update(ascii(len(self.paths)).encode())
        for path, label in zip(self.paths, self.labels.tolist(), strict=True):
            digest.update(ascii((label, path.parent.name, path.name, _bytes(path))).encode())


class Batches:
    """Reads batches in order, ahead of their use, in threads that end with `close`."""

    def __init__(
        self,
        split: Stream,
        feed: Feed | None,
        stop: int,
        augmented: bool,
        workers: int | None = None,
        ahead: int = 2,
    ) -> None:
        """Batches 0 … stop − 1 as `feed` orders them; without a feed, batch i is sample i alone, never augmented.

        `ahead`: how many batches are read beyond the one that is asked for. `workers` (default: as many as there are
        cores) and `ahead` change how fast images are read, never which or how.
        """
        if feed is None and augmented:
            raise ValueError("what is random about an image is drawn from a feed: augmented batches need one")
        plan = partial(_plan, feed, augmented) if feed else _alone
        self._reader = _Reader(split, plan, stop, workers, ahead)

    def batch(self, i: int) -> tuple[Pixels, Labels]:
        """Images (batch, 3, size, size) and labels (batch,) of iteration i; any may be asked for at any time.

        Raises:
            UserError: an image cannot be read; names it.
        """
        return self._reader.batch(i)

    def close(self) -> None:
        """End the threads; what was read ahead is dropped."""
        self._reader.close()


def evaluation(
    split: Stream, batch: int, workers: int | None = None, every: slice = slice(None)
) -> Iterator[tuple[Pixels, Labels]]:
    """Every sample once, in order, centre-cropped, read ahead; the last batch may be shorter.

    Only `every` of those batches, where others read the rest.

    Raises:
        UserError: an image cannot be read; names it.
    """
    samples = len(split.labels)
    wanted = range(-(-samples // batch))[every]
    reader = _Reader(split, lambda k: _in_order(samples, batch, wanted[k]), len(wanted), workers, ahead=2)
    try:
        for k in range(len(wanted)):
            yield reader.batch(k)
    finally:
        reader.close()


# ---- which images a batch is made of ------------------------------------------------------------------------------

Plan = Callable[[int], tuple[NDArray[np.int32], list[int] | None]]
"""Sample indices of a batch and, if it is augmented, a draw for each."""


def _plan(feed: Feed, augmented: bool, i: int) -> tuple[NDArray[np.int32], list[int] | None]:
    return feed.indices(i, i + 1)[0], feed.draws(i, i + 1)[0].tolist() if augmented else None


def _alone(i: int) -> tuple[NDArray[np.int32], None]:
    return np.array([i], np.int32), None


def _in_order(samples: int, batch: int, i: int) -> tuple[NDArray[np.int32], None]:
    return np.arange(i * batch, min((i + 1) * batch, samples), dtype=np.int32), None


# ---- reading ahead --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Reading:
    """A batch while it is read: each task puts one image where it belongs."""

    images: Pixels
    labels: Labels
    tasks: list[Future[None]]

    def finished(self) -> tuple[Pixels, Labels]:
        try:
            done, _ = wait(self.tasks, return_when=FIRST_EXCEPTION)  # wakes up once, not for each image
            for task in done:
                task.result()
        finally:
            self.drop()
        return self.images, self.labels

    def drop(self) -> None:
        for task in self.tasks:
            task.cancel()


class _Reader:
    """Batches by a plan, `ahead` of them beyond the one that is asked for."""

    def __init__(self, split: Stream, plan: Plan, stop: int, workers: int | None, ahead: int) -> None:
        self._split, self._plan, self._stop, self._ahead = split, plan, stop, ahead
        self._pool = ThreadPoolExecutor(
            threads() if workers is None else workers, thread_name_prefix="sparsebench-read"
        )
        self._begun: dict[int, _Reading] = {}

    def batch(self, i: int) -> tuple[Pixels, Labels]:
        wanted = range(i, max(i + 1, min(i + 1 + self._ahead, self._stop)))
        for j in self._begun.keys() - set(wanted):
            self._begun.pop(j).drop()
        for j in wanted:
            if j not in self._begun:
                self._begun[j] = self._begin(j)
        return self._begun.pop(i).finished()

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._begun.clear()

    def _begin(self, i: int) -> _Reading:
        indices, draws = self._plan(i)
        images = np.empty((len(indices), *self._split.shape), np.uint8)
        places = zip(images, indices.tolist(), draws or [None] * len(indices), strict=True)
        tasks = [self._pool.submit(self._read, *place) for place in places]
        return _Reading(images, self._split.labels[indices], tasks)

    def _read(self, place: Pixels, index: int, draw: int | None) -> None:
        place[:] = self._split.image(index, draw)


# ---- one image ------------------------------------------------------------------------------------------------------


def _decoded(path: Path) -> Image:
    """An image file as RGB; its EXIF orientation is ignored, as torchvision does."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path, formats=("JPEG", "PNG")) as picture:
            _check(picture)
            picture.load()
            picture.info.pop("transparency", None)  # Pillow would warn that RGB has none
            return picture.convert("RGB")
    except UnidentifiedImageError as error:
        raise _refusal(path, "it is not a JPEG or PNG image") from error
    except Exception as error:  # on damaged files Pillow raises whatever its parsers stumble on
        fault = error.strerror if isinstance(error, OSError) else None
        raise _refusal(path, fault or str(error) or type(error).__name__) from error


def _refusal(path: Path, fault: str) -> UserError:
    fault = " ".join(fault.split())
    return UserError(
        f"image {path} cannot be used: {fault}; replace it with the original or remove it from the data set"
    )


def _check(picture: Image) -> None:
    """Raises ValueError if decoding would exhaust the memory or the bits of a pixel would be lost."""
    if picture.width * picture.height > LIMIT:
        raise ValueError(f"{picture.width} × {picture.height} pixels, allowed are {LIMIT} in all")
    if picture.mode.startswith(("I", "F")):
        raise ValueError(f"its pixels have more than 8 bits (mode {picture.mode})")


def _resized(picture: Image, size: int, box: tuple[float, float, float, float] | None) -> Pixels:
    """The box (None: all of it) at this size: uint8 (3, size, size)."""
    from PIL.Image import Resampling

    pixels = np.asarray(picture.resize((size, size), Resampling.BILINEAR, box))
    return np.array(pixels.transpose(2, 0, 1), order="C")


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise _refusal(path, error.strerror or str(error)) from error
