"""Any model of timm by name, `timm/resnet18`: trained in torch, by timm's own code from timm's own initial state.

timm and torch are imported when a model is asked for. What they make of it is in `timm_torch`.
"""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from sparsebench.errors import UserError
from sparsebench.layers import Layer
from sparsebench.models import Family, Input, Model


def member(name: str) -> Model:
    """The specification of timm's model of that name.

    A tag (`resnet50.a1_in1k`) names weights, which are not loaded: it is the architecture's model, counted at the
    images that the weights were trained on.

    Raises:
        UserError: timm is not installed, or has no such model.
    """
    if importlib.util.find_spec("timm") is None:
        raise UserError("models named timm/… need timm, not installed here: pip install 'sparsebench[torch]'")
    _check(name)
    architecture = name.partition(".")[0]
    return Model(
        name=f"timm/{architecture}",
        summary=f"timm's {architecture}",
        layers=partial(_layers, architecture),
        initial=partial(_initial, architecture),
        builders={"torch": partial(_build, architecture)},
        input=_published(name),
        packages=("timm",),
        timm=lambda input: architecture,
        statistics=partial(_statistics, architecture),
    )


def _check(name: str) -> None:
    import timm

    architecture, dot, _ = name.partition(".")
    known = timm.list_models()
    if architecture not in known:
        close = ", ".join(difflib.get_close_matches(name, known, n=3)) or "nothing like it"
        raise UserError(f"unknown timm model {name!r}: did you mean {close}? timm has {len(known):,} of them")
    tagged = timm.list_models(f"{architecture}.*", pretrained=True) if dot else []
    if dot and name not in tagged:
        raise UserError(
            f"unknown weights {name!r} of timm: it has {', '.join(tagged) or f'none of {architecture}'}; "
            f"{architecture} alone is the same network"
        )


def _published(name: str) -> Input:
    """What timm's weights of that name were trained on; ImageNet's at 224 pixels where it does not say."""
    import timm

    settings = timm.get_pretrained_cfg(name)
    return Input(settings.input_size, settings.num_classes) if settings else Input((3, 224, 224), 1000)


def _layers(name: str, input: Input) -> tuple[Layer, ...]:
    from sparsebench_models import timm_torch

    return timm_torch.layers(name, input)


def _initial(name: str, input: Input, generator: np.random.Generator) -> dict[str, NDArray[np.float32]]:
    from sparsebench_models import timm_torch

    return timm_torch.initial(name, input, generator)


def _statistics(name: str, input: Input) -> Mapping[str, tuple[int, ...]]:
    from sparsebench_models import timm_torch

    return timm_torch.statistics(name, input)


def _build(name: str, input: Input) -> object:
    from sparsebench_models import timm_torch

    return timm_torch.build(name, input)


timm_models = Family(name="timm", summary="any model of timm by name, such as timm/resnet18; torch only", member=member)
