"""Backends with one mistake each, as wrappers of the torch one: the suite says which law is broken, and how."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

import planted
from sparsebench import plugins
from sparsebench.conformance.engine import Status
from sparsebench.errors import NonFiniteScoreError
from sparsebench.masks import Counts

torch = pytest.importorskip("torch")

from sparsebench_torch.state import TorchState  # noqa: E402
from sparsebench_torch.trainer import TorchTrainer  # noqa: E402


class StaleValues(TorchTrainer):
    """Grown connections start at a value of their past."""

    def update(self, state, method, event, budget, feed):
        before = self.masks(state)
        state, report = super().update(state, method, event, budget, feed)
        for weight, old, new in zip(state.masked, before.values(), state.masks.values(), strict=True):
            weight.detach()[new & ~torch.from_numpy(old)] = 0.01
        return state, report


class KeptMoments(TorchTrainer):
    """The optimizer's state of grown connections is not cleared."""

    def update(self, state, method, event, budget, feed):
        moments = [{key: value.clone() for key, value in s.items()} for s in state.optimizer.state.values()]
        state, report = super().update(state, method, event, budget, feed)
        for own, kept in zip(state.optimizer.state.values(), moments, strict=True):
            own.update(kept)
        return state, report


class MovedCounter(TorchTrainer):
    """An update starts the optimizer's count of steps anew."""

    def update(self, state, method, event, budget, feed):
        state, report = super().update(state, method, event, budget, feed)
        for own in state.optimizer.state.values():
            own |= {key: torch.zeros(()) for key in own if key == "step"}
        return state, report


class Selecting(TorchTrainer):
    """Masks are selected by a function of its own."""

    def update(self, state, method, event, budget, feed):
        return super().update(state, replace(method, select=self.select), event, budget, feed)


class ByTopk(Selecting):
    """Ties fall as torch.topk has them."""

    @staticmethod
    def select(xp, score, count, among):
        flat = np.where(among, score, -np.inf).reshape(-1)
        mask = torch.zeros(flat.size, dtype=torch.bool)
        mask[torch.topk(torch.from_numpy(flat), int(count)).indices] = True
        return mask.numpy().reshape(score.shape)


class ByThreshold(Selecting):
    """Everything that equals the last one selected is selected too."""

    @staticmethod
    def select(xp, score, count, among):
        if not count:
            return np.zeros_like(among)
        return among & (score >= np.sort(score[among])[::-1][count - 1])


class MaskedBias(TorchTrainer):
    """A bias is pruned like a kernel."""

    def update(self, state, method, event, budget, feed):
        state, report = super().update(state, method, event, budget, feed)
        bias = state.module.fc3.bias if hasattr(state.module, "fc3") else state.module.fc.bias
        bias.detach()[bias.abs().argmin()] = 0
        return state, report


class NanAccepted(TorchTrainer):
    """What is not finite is a number to it."""

    def update(self, state, method, event, budget, feed):
        def sane(score):
            return lambda xp, layer, signals: np.nan_to_num(score(xp, layer, signals)).astype(np.float32)

        return super().update(
            state, replace(method, drop=sane(method.drop), grow=sane(method.grow)), event, budget, feed
        )


class HalfRefused(TorchTrainer):
    """An update that is refused has changed a mask already."""

    def update(self, state, method, event, budget, feed):
        try:
            return super().update(state, method, event, budget, feed)
        except NonFiniteScoreError:
            name = next(iter(state.masks))
            state.masks[name] = ~state.masks[name]
            raise


class OnePart(TorchTrainer):
    """The gradient that growth follows is that of the first part of the batch."""

    def update(self, state, method, event, budget, feed):
        own = self._data.batches
        self._data.batches = lambda *asked: (islice(parts, 1) for parts in own(*asked))
        try:
            return super().update(state, method, event, budget, feed)
        finally:
            self._data.batches = own


class HalfSteps(TorchTrainer):
    """Steps follow the first part of each batch."""

    def train(self, state, method, feed, start, stop):
        own = self._data.batches
        self._data.batches = lambda *asked: (islice(parts, 1) for parts in own(*asked))
        try:
            return super().train(state, method, feed, start, stop)
        finally:
            self._data.batches = own


class MasksBefore(TorchTrainer):
    """Masks are applied before the optimizer's step instead of after it."""

    def train(self, state, method, feed, start, stop):
        hook = state.optimizer.register_step_pre_hook(lambda *_: TorchState.apply_masks(state))
        state.apply_masks = lambda: None
        state, tally = super().train(state, method, feed, start, stop)
        hook.remove()
        del state.apply_masks
        return state, tally


class SeedIgnored(TorchTrainer):
    """Noise is drawn by seed 0, whatever the run's."""

    def update(self, state, method, event, budget, feed):
        state, report = super().update(state, method, event, budget, replace(feed, seed=0))
        return state, report


class StepForgotten(TorchTrainer):
    """A snapshot leaves out how many steps the optimizer has taken."""

    def snapshot(self, state):
        arrays = super().snapshot(state)
        return {name: np.zeros_like(array) if name.endswith("/step") else array for name, array in arrays.items()}


class SharedSnapshot(TorchTrainer):
    """A snapshot is the state's own memory."""

    def snapshot(self, state):
        arrays = super().snapshot(state)
        return arrays | {f"module/{name}": tensor.detach().numpy() for name, tensor in state.module.named_parameters()}


class RegrownFresh(TorchTrainer):
    """What is dropped and grown again in one update starts anew."""

    def update(self, state, method, event, budget, feed):
        thinned = {name: Counts(counts.kept, 0) for name, counts in budget.items()}
        state, _ = super().update(state, replace(method, needs_gradient=False), event, thinned, feed)
        return super().update(state, method, event, budget, feed)


class WholeBatches(TorchTrainer):
    """The last, smaller batch of an evaluation is left out."""

    def evaluate(self, state, split):
        own = self._data.evaluation
        self._data.evaluation = lambda *asked: (part for part in own(*asked) if len(part[1]) in (24, 1, 7, 999, 1000))
        try:
            return super().evaluate(state, split)
        finally:
            self._data.evaluation = own


PLANTED = {
    StaleValues: ("kept-and-grown", "grown weights of layer"),
    KeptMoments: ("moments", "momentum carried on by grown connections"),
    MovedCounter: ("moments", "size of the next step"),
    ByTopk: ("rule", "the mask of layer"),
    ByThreshold: ("counts", "active entries"),
    MaskedBias: ("kernels-only", "are 0: only kernels are masked"),
    NanAccepted: ("finite", "and the update accepts it"),
    HalfRefused: ("finite", "leaves other masks behind"),
    OnePart: ("full-batch", "by the mean gradient of the whole batch"),
    HalfSteps: ("dense", "losses against float64"),
    MasksBefore: ("zero-outside", "weights of layer"),
    SeedIgnored: ("rule", "the mask of layer"),
    StepForgotten: ("snapshot", "after a snapshot"),
    SharedSnapshot: ("snapshot", "a snapshot, after what it was taken of trained on"),
    RegrownFresh: ("regrown", "dropped and grown again in one update lost value or state"),
    WholeBatches: ("evaluation", "samples"),
}


@pytest.mark.parametrize("mistake", PLANTED, ids=lambda mistake: mistake.__name__)
def test_a_mistake_is_found(mistake):
    check, told = PLANTED[mistake]
    found = planted.outcome(planted.backend(mistake), check, "torch")
    assert found.status is Status.BROKEN
    assert told in found.reason
    assert planted.outcome(plugins.load("backends", "torch"), check, "torch").status is Status.HELD
