"""A method's published cost on a network beside dense training of it: ratios, totals and where they come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sparsebench.conventions import CONVENTIONS, known
from sparsebench.distributions import active
from sparsebench.formulas import FORMULAS, Step, Timing, dense
from sparsebench.layers import Layer
from sparsebench.published import Account, Cost
from sparsebench.widths import STORAGES, matching, scaled

SMALL_DENSE = "small-dense"
SMALL_DENSE_BITS = "small-dense-bits"
WITHOUT_MASKS = ("dense", SMALL_DENSE, SMALL_DENSE_BITS)


@dataclass(frozen=True)
class Terms:
    """What a cost depends on beside the network and its plan.

    `width` scales every channel count (None: 1, or for small-dense the width that matches the sparse network's
    `storage`); a wider network has the densities of the one at width 1, as in the paper's own accounts. `rounds` are
    whole trainings that come before the one the method's formula tells of.
    """

    method: str
    convention: str = "plain"
    input_gradient: bool = True
    multiplier: float = 1.0
    width: float | None = None
    storage: str = "parameters"
    timing: Timing = field(default_factory=Timing)
    rounds: tuple[Step, ...] = ()


@dataclass(frozen=True)
class Priced:
    """The account of the method, and of dense training of the same model at width 1 and 1x."""

    terms: Terms
    width: float
    account: Account
    dense: Account

    @property
    def inference_ratio(self) -> float:
        """FLOPs of a forward pass, relative to dense."""
        return self.account.inference / self.dense.inference

    @property
    def training_ratio(self) -> float:
        """FLOPs of the whole training, relative to dense training at 1x."""
        return self.terms.multiplier * self.account.training / self.dense.training


def price(
    layers: Sequence[Layer],
    sparsities: Mapping[str, float],
    terms: Terms,
    first: Mapping[str, float] | None = None,
) -> Priced:
    """The account of a network at its plan; `first` is the plan that it starts from (None: dense)."""
    zeros = dict.fromkeys(sparsities, 0.0)
    convention, steps = CONVENTIONS[terms.convention], (*terms.rounds, *FORMULAS[terms.method](terms.timing))
    width = _width(layers, sparsities, terms)
    plan = zeros if terms.method in WITHOUT_MASKS else sparsities
    network = layers if width == 1 else scaled(layers, width)
    return Priced(
        terms, width,
        Account(network, plan, steps, convention, terms.input_gradient, first),
        Account(layers, zeros, dense(terms.timing), convention, terms.input_gradient),
    )  # fmt: skip


def _width(layers: Sequence[Layer], sparsities: Mapping[str, float], terms: Terms) -> float:
    if terms.width is not None:
        return terms.width
    storage = "bits" if terms.method == SMALL_DENSE_BITS else terms.storage
    narrowed = terms.method in (SMALL_DENSE, SMALL_DENSE_BITS)
    return matching(layers, sparsities, STORAGES[storage]) if narrowed else 1.0


# ---- as a document --------------------------------------------------------------------------------------------


def document(priced: Priced) -> dict[str, Any]:
    """Plain values, None where something is unknown. FLOPs are those of one sample; training is a mean over steps."""
    account, terms = priced.account, priced.terms
    return {
        "method": terms.method,
        "convention": terms.convention,
        "input_gradient": terms.input_gradient,
        "multiplier": terms.multiplier,
        "width": priced.width,
        "dense_inference_flops": known(priced.dense.inference),
        "dense_training_flops_per_sample": known(priced.dense.training),
        "inference_flops": known(account.inference),
        "training_flops_per_sample": known(account.training),
        "inference_ratio": known(priced.inference_ratio),
        "training_ratio": known(priced.training_ratio),
        "unknown": account.unknown,
        "steps": [
            {"kind": step.name, "share": step.weight, "dense_gradient": step.dense_gradient}
            | _kinds(account.of_step(step))
            for step in account.steps
        ],
        "layers": [
            planned(layer, account.sparsities[layer.name])
            | {"inference_flops": known(account.convention(layer, 1 - account.sparsities[layer.name]))}
            | _kinds(account.of_layer(layer))
            for layer in account.layers
        ],
    }


def planned(layer: Layer, sparsity: float) -> dict[str, Any]:
    """What a layer is, and what of it is active: its density as planned, its entries as a whole number."""
    return {
        "name": layer.name, "kind": layer.kind, "role": layer.role, "shape": list(layer.shape), "size": layer.size,
        "density": 1 - sparsity, "active": active(layer.size, sparsity), "macs": layer.macs,
    }  # fmt: skip


def _kinds(cost: Cost) -> dict[str, float | None]:
    return {
        "forward": known(cost.forward),
        "activation_gradient": known(cost.activation_gradient),
        "weight_gradient": known(cost.weight_gradient),
    }
