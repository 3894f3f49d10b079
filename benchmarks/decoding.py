"""Images a second that `Batches` reads from an image folder, with one thread and with two, against a plain loop.

Random crops at 224 px in batches of 64. The plain loop opens, crops and resizes one image after the other with Pillow
alone; the ratio of two neighbouring rounds is one observation.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import count
from pathlib import Path

import numpy as np
from PIL import Image

from sparsebench.data import crops
from sparsebench.data.feed import Feed
from sparsebench.data.folder import image_folder
from sparsebench.data.stream import Batches, Stream
from sparsebench.hardware.intervals import ratio
from sparsebench.hardware.timing import interleaved
from timing import show

BATCH = 64
ROUND = 4  # batches


def rounds() -> Iterator[range]:
    """The iterations of each round."""
    return (range(start, start + ROUND) for start in count(0, ROUND))


def plain(split: Stream, feed: Feed) -> Callable[[], None]:
    """One round in a loop, without this package's reading."""
    iterations = rounds()

    def work() -> None:
        for i in next(iterations):
            images = np.empty((BATCH, *split.shape), np.uint8)
            rows, draws = feed.indices(i, i + 1)[0].tolist(), feed.draws(i, i + 1)[0].tolist()
            for k in range(BATCH):
                images[k] = augmented(split.paths[rows[k]], draws[k], split.size)

    return work


def augmented(path: Path, draw: int, size: int) -> np.ndarray:
    """One image, straight from Pillow."""
    with Image.open(path) as file:
        picture = file.convert("RGB")
    crop = crops.random(*picture.size, draw)
    pixels = np.asarray(picture.crop(crop.box).resize((size, size), Image.Resampling.BILINEAR))
    return (pixels[:, ::-1] if crop.flip else pixels).transpose(2, 0, 1)


def streamed(split: Stream, feed: Feed, workers: int) -> Callable[[], None]:
    """One round as a run reads it, the start and end of its threads included; nothing is read for the next round."""
    iterations = rounds()

    def work() -> None:
        numbers = next(iterations)
        batches = Batches(split, feed, numbers.stop, augmented=True, workers=workers)
        for i in numbers:
            batches.batch(i)
        batches.close()

    return work


def measure(split: Stream, repeats: int) -> dict[str, object]:
    """Images a second (median) and how many times as fast as the plain loop."""
    feed = Feed(len(split.labels), BATCH, seed=0)
    works = {"plain": plain(split, feed), **{f"{n} threads": streamed(split, feed, n) for n in (1, 2)}}
    seconds = interleaved(works, repeats)
    return {
        "images_a_second": {name: round(BATCH * ROUND / float(np.median(took)), 1) for name, took in seconds.items()},
        "to_plain": {name: asdict(ratio(seconds["plain"], took)) for name, took in seconds.items() if name != "plain"},
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "folder", type=Path, metavar="FOLDER", help="an image folder: train/CLASS/*.JPEG, val/CLASS/*.JPEG"
    )
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    show(decoding=measure(image_folder.load(options.folder).train, options.repeats))
