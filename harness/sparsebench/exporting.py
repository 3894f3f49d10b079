"""A record's network as files: dense weights, which timm loads and runs start from, and the masks beside them."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sparsebench import aside, states, tensors
from sparsebench.errors import UserError
from sparsebench.masks import Masks
from sparsebench.models import Arrays, Input, Model
from sparsebench.printing import command
from sparsebench.records import Record


@dataclass(frozen=True, eq=False)
class Export:
    """Parameters, exactly 0 outside the masks, and running statistics; masks by layer, none for a dense network."""

    weights: Arrays
    masks: Masks

    @property
    def density(self) -> float:
        """The share of masked weights that is active; 1 without masks."""
        size = sum(mask.size for mask in self.masks.values())
        return sum(int(mask.sum()) for mask in self.masks.values()) / size if size else 1.0


def exported(record: Record, model: Model) -> Export:
    """What a record holds of its network.

    Raises:
        UserError: it cannot be read, its run diverged, or it lacks running statistics that the model needs.
    """
    if record.diverged:
        raise UserError(f"record {record.path} {record.diverged}; it has no network to export: export another run")
    weights, masks = record.weights(), record.masks()
    needed = {f"{name}.weight" for name in masks}
    needed |= set(model.statistics(model.input)) if model.statistics and model.input else set()
    if missing := sorted(needed - weights.keys()):
        raise UserError(
            f"record {record.path} lacks {missing[0]!r} and {len(missing) - 1} more that {model.name} needs: records "
            "once held no running statistics; train it again"
        )
    for name, mask in masks.items():
        weights[f"{name}.weight"] = np.where(mask, weights[f"{name}.weight"], np.float32(0))
    return Export(weights, masks)


def write(export: Export, path: Path, force: bool) -> list[Path]:
    """The files that were written: weights at `path`, masks beside it if there are any.

    Raises:
        UserError: a file is there and is not to be replaced, or none can be written.
    """
    files = {path: export.weights} | ({masks_beside(path): export.masks} if export.masks else {})
    there = [str(file) for file in files if file.exists()]
    if there and not force:
        raise UserError(f"{' and '.join(there)} would be overwritten: give another file with --to, or --force")
    try:
        aside.put({file: tensors.content(arrays, {}) for file, arrays in files.items()})
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}): give another file with --to") from error
    return list(files)


def masks_beside(path: Path) -> Path:
    """`net.masks.safetensors` for `net.safetensors`."""
    return path.with_name(f"{path.stem}.masks.safetensors")


# ---- what to do with them -------------------------------------------------------------------------------------


def built_for(record: Record) -> Input | None:
    """What the record's network was built for; None where a version before this one did not note it."""
    if record.input is None:
        return None
    channels, height, width = record.input["shape"]
    return Input((channels, height, width), record.input["classes"], record.input["width"])


def next_command(record: Record, model: Model, path: Path) -> str:
    """Python that loads the file into timm's model, or where timm has no such network, a run that starts from it."""
    input = built_for(record)
    name = model.timm(input) if model.timm and input else None
    if name is None or input is None:
        options = ("--model", model.name, "--dataset", record.config.dataset, "--weights", path)
        return command("sparsebench", "train", *options)
    channels = "" if input.shape[0] == 3 else f", in_chans={input.shape[0]}"
    code = (
        "import timm; from safetensors.torch import load_file; "
        f'net = timm.create_model("{name}", num_classes={input.classes}{channels}); '
        f"print(net.load_state_dict(load_file({json.dumps(str(path))})))"
    )
    return command("python", "-c", code)


def described(record: Record, model: Model) -> str | None:
    """Why timm has no such network; None: it has one."""
    input = built_for(record)
    if input is None or model.timm is None:
        return f"timm has no model {model.name}: the file fits this model here"
    if model.timm(input) is None:
        size = " × ".join(map(str, input.shape))
        wide = "" if input.width == 1 else f" at {input.width:g} of its width"
        return f"timm has no {model.name} for images of {size}{wide}: the file fits this model here"
    return None


def contents(export: Export) -> str:
    """What is in the file of weights, in a few words."""
    sizes = {name: math.prod(array.shape) for name, array in export.weights.items()}
    trained = sum(size for name, size in sizes.items() if not name.endswith(states.STATISTICS))
    statistics = " and running statistics" if trained < sum(sizes.values()) else ""
    return f"{trained:,} parameters{statistics}" + (", zero outside the masks" if export.masks else "")
