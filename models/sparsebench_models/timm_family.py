"""Any model of timm by name, `timm/resnet18`, as a layer table: found by module type on torch's meta device.

Nothing is downloaded and no weight takes memory. Operations that cost FLOPs and are no layer's (attention's products)
enter the table as layers of kind `other` without entries, so that totals are unknown and not too small.
"""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from sparsebench.errors import UserError
from sparsebench.layers import Layer, Role
from sparsebench.models import Family, Input, Model

if TYPE_CHECKING:
    from torch import nn

Uses = dict[str, tuple[int, tuple[int, int] | None]]
"""Module path -> (output positions of one sample, input height and width of a convolution)."""


def member(name: str) -> Model:
    """The specification of timm's model of that name.

    Raises:
        UserError: timm is not installed, or has no such model.
    """
    if importlib.util.find_spec("timm") is None:
        raise UserError("models named timm/… need timm, not installed here: pip install 'sparsebench[torch]'")
    import timm

    known = timm.list_models()
    if name not in known:
        close = ", ".join(difflib.get_close_matches(name, known, n=3)) or "nothing like it"
        raise UserError(f"unknown timm model {name!r}: did you mean {close}? timm has {len(known):,} of them")
    settings = timm.get_pretrained_cfg(name)
    (channels, height, width), classes = (
        (settings.input_size, settings.num_classes) if settings else ((3, 224, 224), 1000)
    )
    return Model(
        name=f"timm/{name}",
        summary=f"timm's {name}; a layer table",
        layers=partial(layers, name),
        input=Input((channels, height, width), classes),
    )


def layers(name: str, input: Input) -> tuple[Layer, ...]:
    """Every convolution and linear layer in the order of first use, then what costs FLOPs and is neither."""
    module = _built(name, input)
    uses, counts = _used(module, input)
    named = {path: each for path, each in module.named_modules() if path in uses}
    found = [_layer(path, named[path], *uses[path]) for path in uses]
    return (*_with_roles(found), *_others(module, counts, uses))


def _built(name: str, input: Input) -> nn.Module:
    import timm
    import torch

    with torch.device("meta"):
        return timm.create_model(name, num_classes=input.classes, in_chans=input.shape[0]).eval()


def _used(module: nn.Module, input: Input) -> tuple[Uses, Mapping[str, Mapping[Any, int]]]:
    """How often each layer is used in a forward pass of one sample, and torch's own count of every module."""
    import torch
    from torch import nn
    from torch.utils.flop_counter import FlopCounterMode

    uses: Uses = {}

    def hook(path: str) -> Callable[..., None]:
        def note(layer: nn.Module, given: tuple[Any, ...], output: Any) -> None:
            conv = isinstance(layer, nn.Conv2d)
            positions = output[0, 0].numel() if conv else output.numel() // output.shape[-1]
            before, _ = uses.get(path, (0, None))
            uses[path] = before + positions, tuple(given[0].shape[2:]) if conv else None

        return note

    for path, layer in module.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(hook(path))
    module.requires_grad_(False)  # under no_grad torch's counter fails where a parameter is a module's input
    with FlopCounterMode(display=False) as counter:
        module(torch.zeros(1, *input.shape, device="meta"))
    return uses, counter.get_flop_counts()


def _layer(path: str, module: Any, positions: int, image: tuple[int, int] | None) -> Layer:
    shape, macs = tuple(module.weight.shape), module.weight.numel() * positions
    if image is None:
        return Layer(path, shape, "linear", macs)
    role: Role = "depthwise" if module.groups > 1 and shape[1] == 1 else "body"
    return Layer(path, shape, "conv", macs, role, image, module.stride[0])


def _with_roles(found: list[Layer]) -> Iterator[Layer]:
    """The first convolution is the stem, the last linear layer the classifier."""
    convolutions, linears = ([each.name for each in found if each.kind == kind] for kind in ("conv", "linear"))
    roles: Mapping[str, Role] = {
        **dict.fromkeys(convolutions[:1], "stem"), **dict.fromkeys(linears[-1:], "classifier"),
    }  # fmt: skip
    for each in found:
        yield replace(each, role=roles.get(each.name, each.role))


def _others(module: nn.Module, counts: Mapping[str, Mapping[Any, int]], uses: Uses) -> Iterator[Layer]:
    """Modules that cost FLOPs beyond those of their children, and are no layers."""
    root = type(module).__name__
    totals = {path.removeprefix(root).lstrip("."): sum(kinds.values()) for path, kinds in counts.items()}
    for path, each in module.named_modules():
        children = sum(totals.get(f"{path}.{name}".lstrip("."), 0) for name, _ in each.named_children())
        if path not in uses and totals.get(path, 0) > children:
            yield Layer(path or root, (0,), "other", 0)


timm_models = Family(
    name="timm", summary="any model of timm by name, such as timm/resnet18: layer tables", member=member
)
