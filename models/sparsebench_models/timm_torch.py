"""timm's models in PyTorch: built, drawn, and told as a layer table that torch's meta device gives.

A parameter counts once, under its own name, however many modules or calls use it. Convolutions in one and three
dimensions, attention's products and whatever else costs FLOPs and is neither a 2-D convolution nor a linear layer enter
the table as kind `other` without entries, so that totals are unknown and not too small. Nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from timm.layers.std_conv import ScaledStdConv2d, ScaledStdConv2dSame, StdConv2d, StdConv2dSame
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from sparsebench.errors import UserError
from sparsebench.layers import Layer, Role
from sparsebench.models import Input
from sparsebench.states import COUNTER

COMPUTED = (StdConv2d, StdConv2dSame, ScaledStdConv2d, ScaledStdConv2dSame)
"""Convolutions whose kernel is their weights standardised: what is 0 among the weights is not 0 in it."""

Uses = dict[str, tuple[int, tuple[int, int] | None]]
"""Module path -> (output positions of one sample, input height and width of a convolution)."""


def build(name: str, input: Input, device: str = "cpu") -> nn.Module:
    """timm's module, from images (batch, channels, height, width) to logits (batch, classes).

    Raises:
        UserError: another width than 1 is asked for, or timm refuses.
    """
    if input.width != 1:
        raise UserError(
            f"model 'timm/{name}' has one width, and a dense network of its size needs {input.width:g} of it"
        )
    try:
        with torch.device(device):
            return timm.create_model(name, pretrained=False, num_classes=input.classes, in_chans=input.shape[0])
    except Exception as error:  # timm's models raise what they like, as they do below
        raise _refusal(name, input, error) from error


def initial(name: str, input: Input, generator: np.random.Generator) -> dict[str, NDArray[np.float32]]:
    """timm's own initial state, drawn by torch on the CPU with a seed from `generator`; no other draw is touched.

    Raises:
        UserError: a parameter is not float32.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(generator.integers(2**63)))
        module = build(name, input)
    for path, parameter in module.named_parameters():
        if parameter.dtype != torch.float32:
            raise UserError(f"model 'timm/{name}' has {path!r} in {parameter.dtype}: only float32 is trained")
    return {path: parameter.detach().numpy().copy() for path, parameter in module.named_parameters()}


def statistics(name: str, input: Input) -> dict[str, tuple[int, ...]]:
    """The shapes of what is in the module's state and no parameter, or one under a second name."""
    module = build(name, input, "meta")
    own = dict(module.named_parameters()).keys()
    state = {path: tuple(tensor.shape) for path, tensor in module.state_dict().items()}
    return {path: shape for path, shape in state.items() if path not in own and not path.endswith(COUNTER)}


# ---- the layer table ------------------------------------------------------------------------------------------


@cache
def layers(name: str, input: Input) -> tuple[Layer, ...]:
    """Every convolution and linear layer in the order of first use, then what costs FLOPs and is neither.

    Raises:
        UserError: timm cannot build the model, or it cannot take such images.
    """
    module = build(name, input, "meta")
    try:
        uses, counts = _used(module, input)
    except Exception as error:
        raise _refusal(name, input, error) from error
    named = dict(module.named_modules())
    found = _merged(_layer(*_owner(module, path, named[path]), named[path], *uses[path]) for path in uses)
    return (*_with_roles(found), *_others(module, counts, uses, 2 * sum(layer.macs for layer in found)))


def _used(module: nn.Module, input: Input) -> tuple[Uses, Mapping[str, Mapping[Any, int]]]:
    """How often each layer is used in a forward pass of one sample, and torch's own count of every module."""
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
    module.eval().requires_grad_(False)  # under no_grad torch's counter fails where a parameter is a module's input
    with FlopCounterMode(display=False) as counter:
        logits = module(torch.zeros(1, *input.shape, device="meta"))
    if logits.shape != (1, input.classes):
        raise ValueError(f"its output has shape {tuple(logits.shape)}, not (1, {input.classes})")
    return uses, counter.get_flop_counts()


def _owner(module: nn.Module, path: str, layer: nn.Module) -> tuple[str, bool]:
    """(the name that the layer's weights go by, whether the kernel is those weights and nothing computed from them)."""
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    own = names.get(id(layer.weight))
    return (own or f"{path}.weight").removesuffix(".weight"), own is not None and not isinstance(layer, COMPUTED)


def _layer(path: str, plain: bool, module: Any, positions: int, image: tuple[int, int] | None) -> Layer:
    shape, macs = tuple(module.weight.shape), module.weight.numel() * positions
    if not plain:
        return Layer(path, shape, "other", macs)
    if image is None:
        return Layer(path, shape, "linear", macs)
    role: Role = "depthwise" if module.groups > 1 and shape[1] == 1 else "body"
    return Layer(path, shape, "conv", macs, role, image, module.stride[0])


def _merged(found: Iterator[Layer]) -> list[Layer]:
    """Modules that share their weights are one layer, as costly as all of them."""
    whole: dict[str, Layer] = {}
    for each in found:
        first = whole.get(each.name)
        whole[each.name] = replace(first, macs=first.macs + each.macs) if first else each
    return list(whole.values())


def _with_roles(found: list[Layer]) -> Iterator[Layer]:
    """The first convolution is the stem, the last linear layer the classifier."""
    convolutions, linears = ([each.name for each in found if each.kind == kind] for kind in ("conv", "linear"))
    roles: Mapping[str, Role] = {
        **dict.fromkeys(convolutions[:1], "stem"), **dict.fromkeys(linears[-1:], "classifier"),
    }  # fmt: skip
    for each in found:
        yield replace(each, role=roles.get(each.name, each.role))


def _others(module: nn.Module, counts: Mapping[str, Mapping[Any, int]], uses: Uses, layers: int) -> Iterator[Layer]:
    """Modules that cost FLOPs beyond those of their children, and are no layers; `layers` is what these cost.

    Where modules are shared, torch's counts may hide what is left: then it is the whole network's.
    """
    root = type(module).__name__
    totals = {path.removeprefix(root).lstrip("."): sum(kinds.values()) for path, kinds in counts.items()}
    found = list[str]()
    for path, each in module.named_modules():
        children = sum(totals.get(f"{path}.{name}".lstrip("."), 0) for name, _ in each.named_children())
        if path not in uses and totals.get(path, 0) > children:
            found.append(path)
    for path in found or ([""] if totals.get("", 0) > layers else []):
        yield Layer(path or root, (0,), "other", 0)


def _refusal(name: str, input: Input, error: Exception) -> UserError:
    size = " × ".join(map(str, input.shape))
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:300].rstrip(".")
    return UserError(
        f"model 'timm/{name}' cannot be built for images of {size} and {input.classes} classes ({reason}): "
        "choose another model, or images of another size"
    )
