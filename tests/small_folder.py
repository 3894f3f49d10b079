"""A small image folder: two classes, five images to train with and three to validate with, no two alike."""

import numpy as np
from PIL import Image

from sparsebench.data.folder import dataset

IMAGES = {
    "train": {"cat": ["b.JPEG", "a.jpg", "c.png"], "ant": ["d.JPEG", "e.JPEG"]},
    "val": {"cat": ["f.JPEG"], "ant": ["g.JPEG", "h.JPEG"]},
}


def pixels(seed, width=50, height=40):
    """A smooth random picture, which JPEG leaves nearly as it is: uint8 (height, width, 3)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def save(path, array):
    """An image file, in folders that are made for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, format="PNG" if path.suffix == ".png" else "JPEG")
    return path


def write(root):
    """The folder, with all of its images; each has its own content and size."""
    names = [(part, kind, name) for part in IMAGES for kind in IMAGES[part] for name in IMAGES[part][kind]]
    for seed, (part, kind, name) in enumerate(names):
        save(root / part / kind / name, pixels(seed, 50 + seed, 40 + 3 * seed))
    return root


def stream(root, size=32):
    """The training part, at this size."""
    return dataset("small", write(root)).train.at(size)
