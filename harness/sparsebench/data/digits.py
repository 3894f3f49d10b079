"""The 8 × 8 digits that scikit-learn carries: real data without a download.

1797 images in 10 classes, pixels 0 … 16: the test part of Optical Recognition of Handwritten Digits (E. Alpaydin and
C. Kaynak, UCI Machine Learning Repository, 1998). scikit-learn defines no split; ours is fixed for ever: the first 1437
of a keyed permutation train, the other 360 test. The 13 writers are in both parts.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsebench.data.feed import permutation
from sparsebench.data.source import Dataset, Source, Split, standardising_table
from sparsebench.errors import UserError

CLASSES = 10
TRAINING = 1437
SPLIT_KEY = 0x646967697473  # "digits"


def _load(folder: Path | None) -> Dataset:
    """The data set; `folder` is not looked into, since the images come with scikit-learn."""
    images, labels = _bundled()
    order = permutation(SPLIT_KEY, 0, len(labels))
    train, test = (Split(images[part], labels[part]) for part in (order[:TRAINING], order[TRAINING:]))
    return Dataset("digits", CLASSES, train, test, standardising_table(train.images))


def _bundled() -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """uint8 (1797, 1, 8, 8) and int32 (1797,), in scikit-learn's order."""
    try:
        bundle: Any = import_module("sklearn.datasets").load_digits()
    except ImportError as error:
        raise UserError(
            f"data set 'digits' comes with scikit-learn, which cannot be imported ({error}): "
            "pip install 'sparsebench[board]'"
        ) from error
    return bundle.images[:, None].astype(np.uint8), bundle.target.astype(np.int32)


digits = Source("digits", "1437 + 360 handwritten digits of 8 × 8 pixels, bundled with scikit-learn", _load)
