"""Methods with one mistake each: the suite says which law is broken, without a network or in training."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

import planted
from sparsebench.cli.certified import show
from sparsebench.conformance.certificate import certify
from sparsebench.conformance.engine import Status
from sparsebench.errors import UserError
from sparsebench.method import Event, Law, Local, magnitude
from sparsebench.methods.pruning import pruning
from sparsebench.methods.rigl import rigl
from sparsebench.methods.rigl_nm import rigl_2_4
from sparsebench.methods.set import set_
from sparsebench.methods.snfs import snfs, snfs_redistributed
from sparsebench.methods.static import static
from sparsebench.patterns import NM
from sparsebench.selection import top


def by_topk(xp, score, count, among):
    """Ties fall as torch.topk has them; in NumPy, as an unstable partition does."""
    flat = xp.where(among, score, -np.inf).reshape(-1)
    if xp is np:
        order = np.argpartition(-flat, int(count) - 1)[: int(count)] if count else []
        mask = np.zeros(flat.size, bool)
        mask[order] = True
        return mask.reshape(score.shape)
    mask = xp.zeros_like(flat, dtype=xp.bool)
    mask[xp.topk(flat, int(count)).indices] = True
    return mask.reshape(score.shape)


def by_threshold(xp, score, count, among):
    """One too many where the last one selected has an equal."""
    first = top(xp, score, count, among)
    worst = xp.min(xp.where(first, score, xp.full_like(score, np.inf)))
    return first | top(xp, score, count + 1, among) & (score == worst) & among


def one_too_few(xp, score, count, among):
    return top(xp, score, count - (count > 0), among)


def hiding(xp, layer, signals):
    """NaN and infinity count as 0."""
    return xp.where(xp.isfinite(signals.weight), xp.abs(signals.weight), xp.zeros_like(signals.weight))


def in_double(xp, layer, signals):
    return xp.astype(xp.abs(signals.weight), xp.float64)


def with_own_chance(xp, layer, signals):
    return xp.asarray(np.random.default_rng().random(layer.shape, np.float32))


def by_seed_0(xp, layer, signals):
    return xp.asarray(np.random.default_rng(0).random(layer.shape, np.float32))


def epsilon(xp, layer, signals):
    """Scores that are 0/0 where a whole layer is 0."""
    return xp.abs(signals.weight) / xp.max(xp.abs(signals.weight)) / xp.astype(xp.any(signals.mask), xp.float32)


def writing(xp, layer, signals):
    signals.weight[0] = 0
    return xp.abs(signals.weight)


@Local
def normalised(xp, layer, signals):
    """A part of a layer scores otherwise than within it."""
    return xp.abs(signals.weight) / (1 + xp.sum(xp.abs(signals.weight)))


def forgetful(xp, layer, aux, weight, gradient):
    """A mean that hides what is not finite."""
    return 0.9 * aux + 0.1 * xp.where(xp.isfinite(gradient), gradient, xp.zeros_like(gradient))


def in_numpy_only(xp, layer, signals):
    return np.abs(np.asarray(signals.weight)) if xp is np else xp.abs(signals.weight) * 1.001


def never_done(clock, i):
    return Event(i, sparsity_share=0.9) if clock.due(i) else None


def twice(clock, i):
    return Event(0, 0.3) if clock.due(i) else None


def overdrawn(clock, i):
    return Event(i, 2 * clock.alpha) if clock.due(i) else None


@dataclass(frozen=True)
class Roomy(NM):
    """2:4 that gives every group room for three."""

    def rooms(self, xp, layer, active, salient):
        return super().rooms(xp, layer, active, salient) * 0 + 3


PLANTED = {
    "ties by topk": (replace(rigl, select=by_topk), "selection", "numpy", "have equal scores"),
    "ties by topk in torch": (replace(rigl, select=by_topk), "selection", "torch", "have equal scores"),
    "one too many under ties": (replace(rigl, select=by_threshold), "selection", "numpy", "entries stay where"),
    "one too few": (replace(rigl, select=one_too_few), "selection", "torch", "entries stay where"),
    "NaN is 0": (replace(rigl, drop=hiding), "nan", "numpy", "drop of layer 'fc' changes and stays finite"),
    "NaN in a mean is 0": (replace(snfs, observe=forgetful), "nan", "jax", "observe of layer"),
    "float64": (replace(rigl, drop=in_double), "scores", "torch", "is float64, not float32"),
    "chance of its own": (replace(rigl, grow=with_own_chance), "scores", "numpy", "gives another score"),
    "seed ignored": (replace(set_, start=by_seed_0), "seeds", "numpy", "a seed is ignored"),
    "0/0": (replace(set_, drop=epsilon), "scores", "numpy", "is not finite, though"),
    "writes to its signals": (replace(set_, drop=writing), "scores", "numpy", "read-only"),
    "writes to its signals in torch": (replace(set_, drop=writing), "scores", "torch", "wrote to an array"),
    "cannot be compiled": (replace(set_, drop=writing), "scores", "jax", "immutable"),
    "not local": (replace(set_, drop=normalised), "local", "numpy", "drop is declared Local"),
    "other scores elsewhere": (replace(set_, drop=in_numpy_only), "same-scores", "torch", "against NumPy"),
    "never at its sparsity": (replace(pruning, when=never_done), "clock", "numpy", "0.9 of the planned sparsity"),
    "two updates at once": (replace(set_, when=twice), "clock", "numpy", "one by one in order"),
    "drops more than all": (replace(set_, when=overdrawn), "clock", "numpy", "of all"),
    "reads what it says it does not": (
        replace(set_, unread=frozenset({"delta_t"})), "clock", "numpy", "delta_t is said to be unread",
    ),
    "three of four": (replace(rigl_2_4, pattern=Roomy()), "pattern", "torch", "does not follow Roomy(n=2, m=4)"),
    "lets pruned ones return": (replace(set_, claims=set_.claims | {Law.MONOTONE}), "monotone", "torch", "return"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", PLANTED)
def test_a_mistake_is_found(mistake):
    method, check, on, told = PLANTED[mistake]
    if on != "numpy":
        pytest.importorskip(on)
    found = planted.outcome(method, check, on)
    assert found.status is Status.BROKEN, found
    assert told in found.reason


def raising(clock, i):
    return Event(i, clock.nonsense)


@pytest.mark.parametrize(
    ("method", "told"),
    [(replace(set_, when=raising), "AttributeError: "), (replace(set_, anneal="nonsense"), "nonsense")],
    ids=["when", "anneal"],
)
def test_what_raises_before_a_case_is_drawn_is_broken_too(method, told):
    certificate = certify(method, cases=1)
    assert not certificate.passed
    assert any(told in outcome.reason for _, outcome in certificate.failures)
    show(certificate)


def test_where_nothing_can_be_tried_there_is_no_certificate():
    if pytest.importorskip("torch").cuda.is_available():
        pytest.skip("there is a CUDA device to try it on")
    with pytest.raises(UserError, match="no CUDA device"):
        certify(static, device="cuda")


def test_a_law_that_is_not_claimed_is_not_held_against_a_method():
    method = replace(rigl, drop=hiding, claims=rigl.claims - {Law.FINITE_SCORES})
    assert planted.outcome(method, "nan", "numpy").status is Status.UNCLAIMED


@pytest.mark.parametrize("method", [rigl, snfs_redistributed, pruning], ids=lambda method: method.name)
@pytest.mark.parametrize("check", ["scores", "nan", "selection", "local", "seeds", "clock"])
def test_sound_methods_have_no_such_mistake(method, check):
    assert planted.outcome(method, check, "numpy", 30).status in (Status.HELD, Status.IDLE)


def test_the_smallest_case_is_found():
    """The mistake shows where a weight is 0, from seed 0 on."""

    def wrong(xp, layer, signals):
        return xp.where(signals.weight == 0, xp.full_like(signals.weight, np.nan), magnitude(xp, layer, signals))

    found = planted.outcome(replace(set_, drop=wrong), "scores", "numpy", 100)
    assert (found.example.layer, found.example.seed, found.example.weight) == ("fc", 0, "few values")
