"""Image folders in ImageNet's usual layout: train/CLASS/*.JPEG and val/CLASS/*.JPEG, read while training.

Labels are the places of the class folders' names in sorted order (by code point, as in torchvision's `ImageFolder`).
`imagenet` is the same with ImageNet's numbers, so that a part of it is never reported under its name.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sparsebench.data.source import Dataset, Source
from sparsebench.data.stream import Stream
from sparsebench.errors import UserError

SIZE = 224
SUFFIXES = (".jpeg", ".jpg", ".png")
PARTS = ("train", "val")
LAYOUT = "train/CLASS/*.JPEG and val/CLASS/*.JPEG (or .jpg, .jpeg, .png)"

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's pixels / 255, red, green, blue: what everybody normalises with (torchvision's models)."""

IMAGENET = (1000, 1_281_167, 50_000)
"""Classes, training and validation images of ILSVRC 2012 (O. Russakovsky et al., arXiv:1409.0575, table 2)."""

Listing = dict[str, list[Path]]
"""The image files of each class, both in order."""


def dataset(name: str, root: Path) -> Dataset:
    """The folder `root` as a data set called `name`.

    Raises:
        UserError: a class is missing, unknown or empty, or a folder cannot be read.
    """
    train, test = (_listing(root / part) for part in PARTS)
    _check_classes(root, train, test)
    return Dataset(name, len(train), _stream(train), _stream(test), imagenet_table())


def imagenet_table() -> NDArray[np.float32]:
    """(256, 3): (value / 255 − mean) / deviation with ImageNet's moments, computed in float64."""
    return ((np.arange(256.0)[:, None] / 255 - MEAN) / DEVIATION).astype(np.float32)


def _load(folder: Path | None) -> Dataset:
    return dataset("image-folder", _laid_out("image-folder", _named("image-folder", folder)))


def _load_imagenet(folder: Path | None) -> Dataset:
    """ImageNet from the folder that was named, or its subfolder `imagenet`; refused if it has not all of it."""
    named = _named("imagenet", folder)
    inside = named / "imagenet"
    root = inside if _has_layout(inside) and not _has_layout(named) else _laid_out("imagenet", named)
    data = dataset("imagenet", root)
    given = data.classes, len(data.train.labels), len(data.test.labels)
    if given != IMAGENET:
        raise UserError(
            f"data set 'imagenet': {root} has {_counts(*given)}, but ImageNet has {_counts(*IMAGENET)}: complete it, "
            "or use the data set 'image-folder' for a part of it"
        )
    return data


def _counts(classes: int, train: int, test: int) -> str:
    return f"{classes:,} classes, {train:,} training and {test:,} validation images"


# ---- the folder that was named --------------------------------------------------------------------------------------


def _named(name: str, folder: Path | None) -> Path:
    """The folder of --data, else of SPARSEBENCH_DATA."""
    given = os.environ.get("SPARSEBENCH_DATA")
    if folder is None and not given:
        raise UserError(f"data set {name!r} is read from a folder: name one that has {LAYOUT} with --data FOLDER")
    return folder or Path(given or "")


def _laid_out(name: str, root: Path) -> Path:
    """The same folder, if it has train and val; a refusal that proposes subfolders which do if it has not."""
    if _has_layout(root):
        return root
    lacking = " and no ".join(f"folder {part}" for part in PARTS if not os.path.isdir(root / part))
    fault, inside = (f"has no {lacking}", _laid_out_within(root)) if os.path.isdir(root) else ("is not a folder", [])
    proposed = " or ".join(f"--data {folder}" for folder in inside)
    advice = f"did you mean {proposed}?" if proposed else "name the folder that has it with --data"
    raise UserError(f"data set {name!r}: {root} {fault}, expected {LAYOUT}: {advice}")


def _laid_out_within(root: Path) -> list[Path]:
    """The first few of the subfolders that have the layout."""
    return [folder for folder in _subfolders(root) if _has_layout(folder)][:3]


def _has_layout(root: Path) -> bool:
    # Path's own `is_dir` raises where a folder may not be looked into
    return all(os.path.isdir(root / part) for part in PARTS)


# ---- what is in it --------------------------------------------------------------------------------------------------


def _listing(part: Path) -> Listing:
    """Class name -> its images. Hidden files and whatever else is there are passed over.

    Raises:
        UserError: there is no class, or one without images.
    """
    classes = {folder.name: _images(folder) for folder in _subfolders(part)}
    if not classes:
        raise UserError(f"{part} has no folder of a class, expected {LAYOUT}: sort the images into folders by class")
    if empty := [name for name, images in classes.items() if not images]:
        raise UserError(
            f"{part}: no images directly in the folder of class {_some(empty)}, expected {LAYOUT}: put them there, or "
            "remove the class from train and val"
        )
    return classes


def _subfolders(folder: Path) -> list[Path]:
    return [folder / name for name in _names(folder, lambda entry: entry.is_dir())]


def _images(folder: Path) -> list[Path]:
    """Links are followed; one that leads nowhere is listed, and refused when it is read."""
    return [folder / name for name in _names(folder, _is_image)]


def _is_image(entry: os.DirEntry[str]) -> bool:
    return entry.name.lower().endswith(SUFFIXES) and not entry.is_dir()


def _names(folder: Path, wanted: Callable[[os.DirEntry[str]], bool]) -> list[str]:
    """Sorted names of the wanted entries that are not hidden; one pass over the folder, as there may be a million."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.name[0] != "." and wanted(entry))
    except OSError as error:
        raise UserError(f"{error.filename or folder} cannot be read ({error.strerror}): make it readable") from error


def _check_classes(root: Path, train: Listing, test: Listing) -> None:
    """Raises UserError unless both parts have the same classes."""
    faults = {
        "val has no class": [name for name in train if name not in test],
        "val has a class that train has not,": [name for name in test if name not in train],
    }
    told = [f"{fault} {_some(names)}" for fault, names in faults.items() if names]
    if told:
        raise UserError(f"{root}: {'; '.join(told)}: train and val must have the same folders")


def _some(names: list[str]) -> str:
    """The first of many names."""
    return ", ".join(map(repr, names[:5])) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _stream(listing: Listing) -> Stream:
    counts = [len(images) for images in listing.values()]
    labels = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    return Stream(tuple(path for images in listing.values() for path in images), labels, SIZE)


image_folder = Source("image-folder", f"any images: FOLDER/{LAYOUT}, named with --data", _load)
imagenet = Source(
    "imagenet", "ImageNet (ILSVRC 2012), 1,281,167 + 50,000 images, in a folder named with --data", _load_imagenet
)
