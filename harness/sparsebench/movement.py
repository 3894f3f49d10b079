"""How masks move over a run, noted at its start and after at most twenty updates: enough to draw and to compare.

What a note counts is exact. Whole masks over time would be larger than all else in a record, so of the masks
themselves a note keeps the bits at a fixed sample of places, the same for every run of a network: how much of two
masks is shared, whichever two runs they are of, follows from those to within `spread`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json

from sparsebench import noise
from sparsebench.layers import Layer
from sparsebench.masks import Mask, Masks

PLACES = 32_768
"""Places in a sample: 4 kB of bits a note."""
STEPS = 10
"""Notes are after as many updates evenly spread as in equal ratios."""
COUNTS = ("active", "overlap", "dead_outputs", "dead_inputs")


@dataclass(frozen=True, eq=False)
class Movement:
    """The notes of a run, m of them on l layers.

    `iterations` (m,) are those done at each note, ascending; the first is where the run begins. Of each layer, int64
    (m, l): `active` connections; `overlap`, those of them that the run's first mask has too; `dead_outputs`, its
    outputs (neurons or channels) without a single active connection into them, which are then the same for every
    sample; `dead_inputs`, places on the input axis of its tensor from which no active connection leaves (of a grouped
    convolution, in all of its groups together). `bits` (m, ⌈n/8⌉) are the mask at `places(sizes)`, eight to a byte.
    """

    layers: tuple[str, ...]
    sizes: tuple[int, ...]
    iterations: NDArray[np.int64]
    active: NDArray[np.int64]
    overlap: NDArray[np.int64]
    dead_outputs: NDArray[np.int64]
    dead_inputs: NDArray[np.int64]
    bits: NDArray[np.uint8]

    def sampled(self) -> NDArray[np.bool_]:
        """The bits (m, n), one by one."""
        return np.unpackbits(self.bits, axis=1, count=sampled(self.sizes)).astype(np.bool_)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What a safetensors file holds of it, beside `metadata`."""
        return {name: getattr(self, name) for name in ("iterations", *COUNTS, "bits")}

    def metadata(self) -> dict[str, str]:
        """The layers and their sizes."""
        return {"layers": json.dumps(self.layers), "sizes": json.dumps(self.sizes)}


def from_file(arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> Movement:
    """What `arrays` and `metadata` were made of.

    Raises:
        KeyError, ValueError, TypeError: something is missing or does not fit.
    """
    layers, sizes = (tuple(from_json(metadata[name])) for name in ("layers", "sizes"))
    if any(type(size) is not int or size < 0 for size in sizes):
        raise ValueError("movement.safetensors: a layer's size is no number of connections")
    check(arrays, layers, sizes)
    return Movement(layers, sizes, *(arrays[name] for name in ("iterations", *COUNTS, "bits")))


def check(arrays: Mapping[str, NDArray[Any]], layers: Sequence[str], sizes: Sequence[int]) -> None:
    """Refuse arrays that are not the notes of a network of such layers.

    Raises:
        KeyError, ValueError: something is missing or does not fit.
    """
    notes = np.size(arrays["iterations"])
    shapes = {"iterations": (notes,), **dict.fromkeys(COUNTS, (notes, len(layers)))}
    shapes["bits"] = (notes, -(-sampled(sizes) // 8))
    for name, shape in shapes.items():
        kind = np.uint8 if name == "bits" else np.int64
        if arrays[name].shape != shape or arrays[name].dtype != kind:
            raise ValueError(f"movement.safetensors: {name} is {arrays[name].dtype} {arrays[name].shape}, not {shape}")


# ---- the sample -----------------------------------------------------------------------------------------------


def sampled(sizes: Sequence[int]) -> int:
    """How many places there are in the sample of a network: `PLACES`, or all of a smaller one."""
    return min(PLACES, sum(sizes))


@lru_cache(maxsize=4)
def places(sizes: tuple[int, ...]) -> NDArray[np.int64]:
    """The sample: canonical flat places in all layers, one after another, in order.

    The network is cut into n stretches of equal length, and a hash chooses one place in each: every place is as
    likely, no layer is missed that is larger than a stretch, and the same network has the same sample everywhere. A
    place that the cut goes through may be drawn from both sides.
    """
    total, count = sum(sizes), sampled(sizes)
    at = np.arange(count, dtype=np.int64)
    if count < total:
        within = (noise.uniform(np, noise.key(0, 0, "movement"), (count,)) * 2.0**24).astype(np.int64)
        at = (at * total + (within * total >> 24)) // count
    at.flags.writeable = False
    return at


def shared(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> tuple[float, float]:
    """Share of connections that two sampled masks have in common, 2·both / (one's + other's), and its standard error.

    For masks of as many connections that is the share of either that the other has too. The error is that of a share
    of as many independent draws as there are active places in the sample, which is no smaller than this sample's; 0
    where the sample is all there is, is for the caller to say. NaN for two empty masks.
    """
    count = (int(first.sum()) + int(second.sum())) / 2
    if not count:
        return math.nan, math.nan
    share = int((first & second).sum()) / count
    return share, math.sqrt(max(0.0, share * (1 - share)) / count)


# ---- taking notes ---------------------------------------------------------------------------------------------


def noted(updates: int) -> set[int]:
    """After which of a run's updates (from 0) notes are taken: of many, ten in equal ratios and ten in equal steps.

    A mask moves most in its first updates, and its end counts most.
    """
    if updates <= 2 * STEPS:
        return set(range(updates))
    ratios = {round(updates ** (k / (STEPS - 1))) for k in range(STEPS)}
    return {each - 1 for each in ratios | {round(updates * k / STEPS) for k in range(1, STEPS + 1)}}


@dataclass
class Notes:
    """Notes as they are taken, when `due` many iterations are done; `first` is the mask that the run begins with."""

    layers: Sequence[Layer]
    first: Masks
    due: frozenset[int]
    iterations: list[int] = field(default_factory=list[int])
    counts: dict[str, list[list[int]]] = field(default_factory=lambda: {name: [] for name in COUNTS})
    bits: list[NDArray[np.uint8]] = field(default_factory=list[NDArray[np.uint8]])

    def take(self, done: int, masks: Masks) -> None:
        """One note, after `done` iterations."""
        rows = [_counts(masks[layer.name], self.first[layer.name]) for layer in self.layers]
        self.iterations.append(done)
        for name, column in zip(COUNTS, zip(*rows, strict=True), strict=True):
            self.counts[name].append(list(column))
        self.bits.append(np.packbits(self._sample(masks)))

    def again(self, arrays: Mapping[str, NDArray[Any]]) -> Notes:
        """These notes as far as `Movement.arrays` tells them, to be continued."""
        counts: dict[str, list[list[int]]] = {name: arrays[name].tolist() for name in COUNTS}
        return replace(self, iterations=arrays["iterations"].tolist(), counts=counts, bits=list(arrays["bits"]))

    def movement(self) -> Movement:
        """All of them."""
        counts = {name: np.array(self.counts[name], np.int64) for name in COUNTS}
        names, iterations = tuple(layer.name for layer in self.layers), np.array(self.iterations, np.int64)
        return Movement(names, self._sizes, iterations, **counts, bits=np.stack(self.bits))

    @property
    def _sizes(self) -> tuple[int, ...]:
        return tuple(layer.size for layer in self.layers)

    def _sample(self, masks: Masks) -> Mask:
        at, ends = places(self._sizes), np.cumsum([0, *self._sizes])
        cuts = np.searchsorted(at, ends)
        parts = [
            masks[layer.name].reshape(-1)[at[cuts[k] : cuts[k + 1]] - ends[k]] for k, layer in enumerate(self.layers)
        ]
        return np.concatenate(parts)


def _counts(mask: Mask, first: Mask) -> tuple[int, int, int, int]:
    """In the order of `COUNTS`."""
    flat = mask.reshape(mask.shape[0], -1)
    outputs = flat.any(axis=1)
    inputs = flat.any(axis=0).reshape(mask.shape[1], -1).any(axis=1)
    counts = (mask, mask & first, ~outputs, ~inputs)
    active, overlap, dead_outputs, dead_inputs = (int(np.count_nonzero(each)) for each in counts)
    return active, overlap, dead_outputs, dead_inputs
