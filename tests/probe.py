"""A net that shows what it is fed, and the batches that it should be fed: written out, an image at a time."""

import math
import sys
from fractions import Fraction

import numpy as np

from sparsebench.data.stream import Stream
from sparsebench.layers import linear
from sparsebench.models import Model
from tasks import drawn

seen = []
"""Images of every forward pass since it was last cleared."""


def torch_probe(input):
    import torch

    class Probe(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = torch.nn.Linear(1, 4)

        def forward(self, images):
            seen.append(images.numpy().copy())
            return self.fc(images.mean((1, 2, 3))[:, None])

    return Probe()


def flax_probe(input):
    import jax
    from flax import nnx

    class Probe(nnx.Module):
        def __init__(self):
            self.fc = nnx.Linear(1, 4, rngs=nnx.Rngs(0))

        def __call__(self, images):
            jax.debug.callback(lambda batch: seen.append(np.array(batch)), images)
            return self.fc(images.mean((1, 2, 3))[:, None])

    return Probe()


def _layers(input):
    return (linear("fc", 1, 4),)


def _initial(input, generator):
    return {"fc.weight": drawn("probe weight", (4, 1)), "fc.bias": drawn("probe bias", 4)}


BUILDERS = {"torch": "probe:torch_probe", "jax": "probe:flax_probe"}
probe = Model("probe", "shows what it is fed", _layers, _initial, BUILDERS)


def shown(call):
    """What the net is fed during a call, and what the call returns."""
    seen.clear()
    result = call()
    if "jax" in sys.modules:
        sys.modules["jax"].effects_barrier()
    return list(seen), result


# ---- what it should see -----------------------------------------------------------------------------------------


def window(image, draw):
    """Continued by 4 pixels that mirror it, cut at two of nine offsets each, and flipped if bit 32 of the draw says so.

    The offsets are ninths of the draw's two lowest words of 16 bits.
    """
    _, height, width = image.shape
    top, left = (math.floor(Fraction(draw >> shift & 0xFFFF, 2**16) * 9) for shift in (0, 16))
    wide = np.pad(image, ((0, 0), (4, 4), (4, 4)), mode="symmetric")
    cut = wide[:, top : top + height, left : left + width]
    return np.fliplr(cut.transpose(1, 2, 0)).transpose(2, 0, 1) if draw >> 32 & 1 else cut


def standardised(image):
    """One image by its own moments, in float64."""
    values = image.astype(np.float64)
    return ((values - values.mean()) / max(values.std(), 1 / math.sqrt(values.size))).astype(np.float32)


def looked_up(image, table):
    """Each channel through its column of the table."""
    return np.stack([table[channel, c] for c, channel in enumerate(image)])


def batch(job, feed, i):
    """(images, labels) of iteration i."""
    data, recipe = job.dataset, job.recipe
    indices, draws = (rows[0].tolist() for rows in (feed.indices(i, i + 1), feed.draws(i, i + 1)))
    images = [_image(data, recipe, index, draw) for index, draw in zip(indices, draws, strict=True)]
    return np.stack(images), data.train.labels[indices]


def _image(data, recipe, index, draw):
    if recipe.augmentation == "resized-crop-flip":
        return looked_up(data.train.image(index, draw), data.table)
    image = plain_image(data, data.train, recipe, index)
    return window(image, draw) if recipe.augmentation == "crop-flip" else image


def plain_image(data, split, recipe, index):
    """As it is seen without augmentation."""
    if isinstance(split, Stream):
        return looked_up(split.image(index, None), data.table)
    image = split.images[index]
    return standardised(image) if recipe.standardise == "image" else looked_up(image, data.table)
