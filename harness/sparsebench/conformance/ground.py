"""Where training is checked: two small networks on noise, a few recipes, a backend's trainer on a device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from sparsebench import plugins
from sparsebench.config import Recipe
from sparsebench.conformance.check import OnBackend, spread
from sparsebench.conformance.walks import Trainer, Transcript, hurried, transcribe
from sparsebench.data.source import Dataset, Split, standardising_table
from sparsebench.errors import UserError
from sparsebench.method import Law, Method
from sparsebench.mistakes import told
from sparsebench.models import Model, declared_builder
from sparsebench.trainer import Backend, Task

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

CLASSES, BATCH, STEPS = 4, 8, 12


@dataclass(frozen=True)
class Size:
    """The images that a network is given, and how wide it is."""

    images: tuple[int, int, int]
    width: float = 1.0


FULLY_CONNECTED, CONVOLUTIONAL = "lenet-300-100", "small-conv"
NETWORKS: Mapping[str, Size] = MappingProxyType(
    {FULLY_CONNECTED: Size((1, 4, 4), 0.08), CONVOLUTIONAL: Size((4, 6, 6))}
)
"""Models that laws are checked on, small enough to look at every entry."""
RECIPES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "momentum": {"weight_decay": 1e-2},
        "nesterov": {"nesterov": True, "label_smoothing": 0.1},
        "adam": {"optimizer": "adam", "learning_rate": 0.01, "weight_decay": 1e-2},
        "adamw": {"optimizer": "adamw", "learning_rate": 0.01, "weight_decay": 0.1},
        "sgd": {"momentum": 0.0, "weight_decay": 1e-2, "schedule": "constant"},
        "in parts": {"accumulation": 2, "weight_decay": 1e-2, "label_smoothing": 0.1},
        "crop and flip": {"augmentation": "crop-flip", "standardise": "image"},
    }
)
"""Settings of the recipe by a name for them."""
WALKED = {FULLY_CONNECTED: ("momentum", "nesterov", "adam", "adamw"), CONVOLUTIONAL: ("momentum", "adam")}
"""Recipes that masks are looked at under."""
IN_PARTS = {FULLY_CONNECTED: ("in parts",)}
"""Where a batch is several; without batch statistics, which would move with every part."""


@cache
def noise_images(shape: tuple[int, int, int]) -> Dataset:
    """Uniform pixels with labels that follow from nothing: they can be learned by heart."""
    training = split_of(shape, 64)
    return Dataset("noise", CLASSES, training, split_of(shape, 24), standardising_table(training.images))


@cache
def split_of(shape: tuple[int, int, int], samples: int) -> Split:
    """So many samples of noise."""
    generator = np.random.Generator(np.random.Philox(key=[0x6E6F697365, samples]))
    pixels = generator.integers(0, 256, (samples, *shape)).astype(np.uint8)
    return Split(pixels, generator.integers(0, CLASSES, samples).astype(np.int32))


@dataclass(frozen=True)
class Walk:
    """A short run: which method in which network, how sparse, how much each update drops."""

    method: str
    network: str
    recipe: str
    sparsity: float
    alpha: float
    seed: int


@dataclass(frozen=True, eq=False)
class Ground(OnBackend):
    """A backend on a device, and the methods to be tried on it by name; `networks` are those that it builds."""

    backend: Backend
    methods: Mapping[str, Method]
    networks: tuple[str, ...]
    recipes: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: WALKED)
    device: str = "cpu"

    @cached_property
    def another(self) -> Trainer:
        """A second one, which knows nothing of the first."""
        return self.backend.trainer(self.device)

    @cached_property
    def _seen(self) -> dict[Walk, Transcript]:
        return {}

    def method(self, name: str, alpha: float = 0.5) -> Method:
        """The method of that name, with a clock that fits a run of a few steps."""
        return hurried(self.methods[name], alpha)

    def checked(self, name: str, network: str, recipe: str) -> Task:
        """The network on noise, if the backend runs the method there.

        Raises:
            UserError: it does not, with its reason.
        """
        job = task(network, recipe)
        if reason := self.trainer.supports(job, self.methods[name]):
            raise UserError(reason)
        return job

    def transcript(self, case: Walk) -> Transcript:
        """The run that a case describes; several laws look at the same one.

        Raises:
            UserError: the backend does not run this method on this task.
        """
        if case not in self._seen:
            job, method = self.checked(case.method, case.network, case.recipe), self.method(case.method, case.alpha)
            if len(self._seen) >= 64:
                self._seen.clear()
            self._seen[case] = transcribe(self.trainer, job, method, case.sparsity, case.seed)
        return self._seen[case]


@cache
def task(network: str, recipe: str) -> Task:
    """A network of `NETWORKS` on noise of its size: one value for each, since what is compiled is kept by it."""
    size = NETWORKS[network]
    settings = Recipe(steps=STEPS, batch_size=BATCH, **RECIPES[recipe])
    return Task(model(network), noise_images(size.images), settings, STEPS, size.width)


def statistics_of(task: Task) -> set[str]:
    """The names of the model's running statistics."""
    return set(task.model.statistics(task.input)) if task.model.statistics else set()


@cache
def model(network: str) -> Model:
    """The installed model of that name."""
    return plugins.load("models", network)


def buildable(backend: Backend) -> tuple[str, ...]:
    """The networks that the backend has a builder for.

    Raises:
        UserError: none.
    """
    found = tuple(name for name in NETWORKS if not told(lambda name=name: declared_builder(model(name), backend)))
    if not found:
        names = " nor ".join(NETWORKS)
        raise UserError(
            f"backend {backend.name!r} builds neither {names}, the networks that laws are checked on: give it a "
            "builder for one of them (`Backend.builders`)"
        )
    return found


# ---- what is drawn ----------------------------------------------------------------------------------------------


def claiming(ground: Ground, law: Law | None) -> list[str]:
    """The methods that are held to a law; to none in particular: all."""
    return [name for name, method in ground.methods.items() if law is None or law in method.claims]


def places(ground: Ground) -> list[tuple[str, str]]:
    """(network, recipe) of what can be trained."""
    return [(network, recipe) for network in ground.networks for recipe in ground.recipes[network]]


def walks(ground: Ground, law: Law | None = None, names: Sequence[str] = ()) -> SearchStrategy[Walk]:
    """Runs of every method (or of these) in every network, dense ones and nearly empty ones among them."""
    from hypothesis import strategies as st

    return st.builds(
        spread(Walk),
        st.sampled_from(names or claiming(ground, law)),
        st.sampled_from(places(ground)),
        st.sampled_from([0.5, 0.8, 0.0, 0.999]) | st.floats(0, 0.999),
        st.sampled_from([0.5, 1.0, 0.0]) | st.floats(0, 1),
        st.integers(0, 2**63 - 1),
    )


def every_method(ground: Ground, law: Law | None = None) -> list[Walk]:
    """A run of each method, whatever else is drawn."""
    return [Walk(name, *places(ground)[0], 0.8, 0.5, 0) for name in claiming(ground, law)]
