"""A network and how sparsity is shared out over it, from options that several commands have."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from sparsebench import plugins, policy
from sparsebench.distributions import DISTRIBUTIONS, Apart, Sparsities
from sparsebench.errors import UserError
from sparsebench.layers import Layer, Role
from sparsebench.models import Model
from sparsebench.policy import Choice, Policy

Name = Annotated[str, Parameter(name="MODEL", help="a model; see `sparsebench list models`")]
Format = Annotated[Literal["table", "json"], Parameter(help="how to print it")]
CHOICES = "in the budget, dense outside of it, or dense within it, so that the others pay"


@dataclass(frozen=True)
class Sharing:
    """How sparsity is shared out; what is not given is what the model declares."""

    distribution: Annotated[Literal["uniform", "er", "erk"], Parameter(help="how sparsity is shared out")] = "erk"
    stem: Annotated[Choice | None, Parameter(help=f"the first layer: {CHOICES}")] = None
    depthwise: Annotated[Choice | None, Parameter(help="depthwise convolutions, likewise")] = None
    classifier: Annotated[Choice | None, Parameter(help="the last layer, likewise")] = None
    own: Annotated[str, Parameter(help="sparsities of single layers, outside the budget: fc2=0.891,fc3=0")] = ""


@dataclass(frozen=True)
class Network:
    """A model's layer table and the plan for it."""

    model: Model
    layers: tuple[Layer, ...]
    sparsity: float
    distribution: str
    policy: Policy
    apart: Apart
    sparsities: Sparsities

    def described(self) -> dict[str, Any]:
        """What it is, as keys of a JSON document."""
        return {
            "model": self.model.name,
            "distribution": self.distribution,
            "sparsity": self.sparsity,
            "policy": self.policy.choices(),
            "own": dict(self.apart.own),
        }


def network(name: str, sparsity: float, sharing: Sharing, densest: float = 1.0) -> Network:
    """The model of that name with its plan, in which no layer that is not dense by policy is denser than `densest`.

    Raises:
        UserError: there is no such model or layer, it is not counted at a known input, or the sparsity is impossible.
    """
    check_share(sparsity)
    layers, model = table(name)
    chosen = replace(model.policy_under(sharing.distribution), **_overrides(name, layers, sharing))
    apart = policy.apart(layers, chosen, _own_sparsities(sharing.own), densest)
    plan = DISTRIBUTIONS[sharing.distribution](layers, sparsity, apart)
    return Network(model, layers, sparsity, sharing.distribution, chosen, apart, plan)


def table(name: str) -> tuple[tuple[Layer, ...], Model]:
    """A model's layers at the input it was published for."""
    model = plugins.load("models", name)
    if model.input is None:
        raise UserError(f"model {name!r} does not say what input it is counted at: its specification needs `input`")
    with plugins.blamed("models", name):
        return model.layers(model.input), model


def _own_sparsities(text: str) -> dict[str, float]:
    """`fc2=0.891,fc3=0` as a mapping."""
    pairs = [_own(pair) for pair in text.split(",")] if text else []
    names = [name for name, _ in pairs]
    if repeated := [name for name in names if names.count(name) > 1]:
        raise UserError(f"--own {text}: {repeated[0]!r} is given more than once; give each layer once")
    return dict(pairs)


def _own(pair: str) -> tuple[str, float]:
    name, _, number = (part.strip() for part in pair.partition("="))
    try:
        return name, float(number)
    except ValueError:
        raise UserError(f"--own {pair.strip()}: give a layer and its sparsity, such as fc2=0.891") from None


def check_share(sparsity: float) -> None:
    """Refuse what is not a sparsity.

    Raises:
        UserError: it is none.
    """
    if not 0 <= sparsity < 1:
        raise UserError(f"--sparsity {sparsity:g}: should be at least 0 and below 1, the share of inactive weights")


def _overrides(name: str, layers: tuple[Layer, ...], sharing: Sharing) -> dict[Role, Choice]:
    asked: dict[Role, Choice | None] = {
        "stem": sharing.stem, "depthwise": sharing.depthwise, "classifier": sharing.classifier,
    }  # fmt: skip
    given: dict[Role, Choice] = {}
    for role, choice in asked.items():
        if choice is None:
            continue
        if not policy.members(layers, role):
            raise UserError(f"--{role}: model {name!r} has no such layer; leave the option out")
        given[role] = choice
    return given
