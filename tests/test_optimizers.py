"""Optimizers under masks: zero outside the mask, kept connections untouched, new ones fresh, factored state refused."""

import re
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest

from sparsebench.errors import UserError
from sparsebench.method import Event
from sparsebench.methods.pruning import pruning
from sparsebench.methods.rigl import rigl
from sparsebench.methods.set import set_
from sparsebench.methods.static import static
from tasks import RECIPES, begin, bits, conv, gated, short, task, trainer_on, update, walk

# ---- optimizers of a user's own -------------------------------------------------------------------------------


def torch_subclass(module, recipe):
    """Known to be element by element, but for all the trainer can tell."""
    import torch

    class Renamed(torch.optim.SGD):
        pass

    return Renamed(module.parameters(), lr=recipe.learning_rate, momentum=0.9)


def torch_adafactor(module, recipe):
    import torch

    return torch.optim.Adafactor(module.parameters(), lr=recipe.learning_rate)


def torch_own(module, recipe):
    """Scales by the norm over all gradients; `seen` is the last gradient, `beats` and `total` are counters."""
    import torch

    class Own(torch.optim.Optimizer):
        @torch.no_grad()
        def step(self):
            group = self.param_groups[0]
            group["total"] += 1
            norm = sum(p.grad.square().sum() for p in group["params"]).sqrt()
            for p in group["params"]:
                state = self.state[p]
                state["beats"] = state.get("beats", 0) + 1
                state["seen"] = p.grad.clone()
                state["heat"] = 0.9 * state.get("heat", torch.zeros_like(p)) + p.grad / norm
                p.sub_(group["lr"] * state["heat"])

    return Own(module.parameters(), {"lr": recipe.learning_rate, "total": 0})


def in_optax(make, **known):
    """A build function for JAX."""

    def build(recipe):
        import optax

        from sparsebench_jax.optimizers import Optimizer

        return Optimizer(make(optax), **known)

    return build


def seen(optax):
    """Keeps the gradient it was given; before the first, the parameters themselves."""
    return optax.GradientTransformation(lambda parameters: parameters, lambda g, state, parameters=None: (g, g))


jax_chain = in_optax(lambda optax: optax.chain(optax.clip_by_global_norm(0.1), optax.trace(0.9)))
jax_own = in_optax(lambda optax: optax.chain(seen(optax), optax.scale_by_adam()))
jax_spared = in_optax(lambda optax: optax.chain(seen(optax), optax.scale_by_adam()), elementwise=True)
jax_factored = in_optax(lambda optax: optax.scale_by_factored_rms(min_dim_size_to_factor=4))
jax_flattened = in_optax(lambda optax: optax.flatten(optax.scale_by_adam()))

OWN = {
    "torch": {"subclass": torch_subclass, "own": torch_own},
    "jax": {"chain": jax_chain, "own": jax_own},
}


@dataclass(frozen=True)
class Case:
    """An optimizer on a backend."""

    backend: str
    name: str

    @property
    def trainer(self):
        return trainer_on(self.backend, OWN[self.backend].get(self.name))

    def moments(self, state):
        """The optimizer's state: (parameter or None, key) -> array, in canonical layout."""
        return {"torch": torch_moments, "jax": jax_moments}[self.backend](state)

    def task(self, model=gated, steps=20):
        return task(model, steps, **RECIPES.get(self.name, {}))


CASES = [Case(backend, name) for backend in OWN for name in (*RECIPES, *OWN[backend])]
cases = pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.backend}-{case.name}")


def torch_moments(state):
    import torch

    named = state.module.named_parameters()
    found = {(name, key): value for name, p in named for key, value in state.optimizer.state[p].items()}
    return {key: torch.as_tensor(value).numpy().copy() for key, value in found.items()}


def jax_moments(state):
    import jax

    found = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(state.optimizer):
        name = next((key.key for key in path if isinstance(key, jax.tree_util.DictKey)), None)
        axes = {2: (1, 0), 4: (3, 2, 0, 1)}.get(leaf.ndim, range(leaf.ndim))
        found[name, jax.tree_util.keystr(path)] = np.array(leaf).transpose(axes)
    return found


# ---- outside the mask -----------------------------------------------------------------------------------------


@cases
def test_inactive_weights_are_zero_after_every_step(case):
    job, method = case.task(), short(set_)
    losses = []
    for _, loss, state in walk(case.trainer, job, method, 0.6):
        weights = case.trainer.weights(state)
        for name, mask in case.trainer.masks(state).items():
            assert not weights[f"{name}.weight"][~mask].any()
            assert weights[f"{name}.weight"][mask].any()
        losses.append(loss)
    assert len(losses) == 20
    _, tally = case.trainer.train(begin(case.trainer, job, method, 0.6), method, job.feed(0), 0, 4)
    assert tally.losses.tolist() == losses[:4]


@pytest.mark.parametrize("case", [Case("torch", "momentum"), Case("jax", "momentum")], ids=lambda case: case.backend)
def test_segments_do_not_matter(case):
    job = case.task(steps=140)

    def run(*cuts):
        state, losses = begin(case.trainer, job, static, 0.6), []
        for start, stop in pairwise(cuts):
            state, tally = case.trainer.train(state, static, job.feed(0), start, stop)
            losses += tally.losses.tolist()
        return losses, bits(case.trainer.snapshot(state))

    assert run(0, 140) == run(0, 1, 1, 7, 128, 135, 140)


@pytest.mark.parametrize("case", [Case("torch", "own"), Case("jax", "own")], ids=lambda case: case.backend)
def test_optimizers_that_couple_entries_get_masked_gradients(case):
    job = case.task()
    state = begin(case.trainer, job, static, 0.6)
    state, _ = case.trainer.train(state, static, job.feed(0), 0, 1)
    masks = case.trainer.masks(state)
    seen = {name: value for (name, key), value in case.moments(state).items() if "seen" in key or key.startswith("[0]")}
    assert set(seen) == set(case.trainer.weights(state))
    for name, mask in masks.items():
        assert not seen[f"{name}.weight"][~mask].any()
        assert np.count_nonzero(seen[f"{name}.weight"]) > mask.sum() / 2
    assert all(seen[f"{name}.bias"].any() for name in masks)


def test_elementwise_optimizers_are_spared_the_masking():
    trainer = trainer_on("jax", jax_spared)
    job = task(gated, 20)
    state = begin(trainer, job, static, 0.6)
    state, _ = trainer.train(state, static, job.feed(0), 0, 1)
    outside = ~trainer.masks(state)["fc1"]
    assert jax_moments(state)["fc1.weight", "[0]['fc1.weight']"][outside].any()


def test_a_norm_over_all_gradients_counts_active_ones_only():
    trainer, job = trainer_on("jax", jax_chain), task(gated, 20, learning_rate=0.5)
    state = begin(trainer, job, static, 0.6)
    before = trainer.weights(state)
    state, _ = trainer.train(state, static, job.feed(0), 0, 1)
    after = trainer.weights(state)
    moved = sum(((after[name] - before[name]).astype(np.float64) ** 2).sum() for name in after) ** 0.5
    assert moved == pytest.approx(0.5 * 0.1, rel=1e-4)


# ---- updates --------------------------------------------------------------------------------------------------


@cases
@pytest.mark.parametrize("method", [rigl, set_, pruning], ids=lambda method: method.name)
def test_an_update_keeps_what_is_kept_and_clears_what_is_new(case, method):
    trainer, job = case.trainer, case.task()
    state = begin(trainer, job, method, 0.5)
    state, _ = trainer.train(state, method, job.feed(0), 0, 8)
    masks, weights, before = trainer.masks(state), trainer.weights(state), case.moments(state)
    event = Event(8, 0.6, 0.7 if method is pruning else 1.0, method is rigl)
    state, report = update(trainer, job, state, method, event, 0.5)
    after = case.moments(state)
    assert list(after) == list(before)
    for name, new in trainer.weights(state).items():
        old, layer = weights[name], name.removesuffix(".weight")
        if layer not in masks:
            assert bits({name: new}) == bits({name: old})
            continue
        mask = trainer.masks(state)[layer]
        kept, grown = mask & masks[layer], mask & ~masks[layer]
        assert new[kept].tobytes() == old[kept].tobytes()
        assert not new[~kept].any()
        for key in [key for key in before if key[0] == name and before[key].shape == mask.shape]:
            assert after[key][kept].tobytes() == before[key][kept].tobytes()
            assert not after[key][grown].any()
    others = [key for key in before if key[0] is None or before[key].shape != weights[key[0]].shape or "bias" in key[0]]
    assert bits({key: after[key] for key in others}) == bits({key: before[key] for key in others})
    grown = {name: change.grown for name, change in report.layers.items()}
    assert grown["fc1"] == 0 if method is pruning else grown["fc1"] > 0


@cases
def test_what_is_dropped_and_grown_again_keeps_value_and_state(case):
    def again(xp, layer, signals):
        return xp.astype(signals.mask, xp.float32)

    trainer, job = case.trainer, case.task()
    state = begin(trainer, job, set_, 0.5)
    state, _ = trainer.train(state, set_, job.feed(0), 0, 8)
    before = bits(trainer.snapshot(state))
    state, report = update(trainer, job, state, replace(set_, grow=again), Event(7, 0.6), 0.5)
    assert bits(trainer.snapshot(state)) == before
    assert all(change.grown == change.dropped == 0 for change in report.layers.values())


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_an_update_instead_of_a_step_moves_batch_statistics_only(backend):
    case = Case(backend, "adam")
    trainer, job = case.trainer, case.task(conv)
    state = begin(trainer, job, rigl, 0.5)
    state, _ = trainer.train(state, rigl, job.feed(0), 0, 8)
    before = trainer.snapshot(state)
    state, _ = update(trainer, job, state, rigl, Event(8, 0.0, replaces_step=True), 0.5)
    after = trainer.snapshot(state)
    changed = {name for name in before if before[name].tobytes() != after[name].tobytes()}
    assert changed
    assert all("running_" in name or "num_batches" in name or name.startswith("aside/rest/") for name in changed)


# ---- factored state -------------------------------------------------------------------------------------------


def torch_listed(module, recipe):
    optimizer = torch_own(module, recipe)
    step = optimizer.step

    def listed():
        step()
        for p in module.parameters():
            optimizer.state[p]["history"] = [p.detach().clone()]

    optimizer.step = listed
    return optimizer


@pytest.mark.parametrize(
    ("backend", "build"),
    [("torch", torch_adafactor), ("torch", torch_listed), ("jax", jax_factored), ("jax", jax_flattened)],
    ids=["torch-adafactor", "torch-list", "jax-factored", "jax-flattened"],
)
def test_state_that_is_not_per_element_is_refused_before_training(backend, build):
    trainer, job = trainer_on(backend, build), task(gated, 20)
    remedy = "'?fc1.weight.* use an optimizer with per-element state"
    assert re.search(remedy, trainer.supports(job, rigl))
    assert trainer.supports(job, static) is None
    state = begin(trainer, job, static, 0.5)
    state, _ = trainer.train(state, static, job.feed(0), 0, 3)
    weights = bits(trainer.weights(state))
    with pytest.raises(UserError, match=remedy):
        update(trainer, job, state, set_, Event(3, 0.5), 0.5)
    assert bits(trainer.weights(state)) == weights


@cases
def test_per_element_state_is_accepted(case):
    assert [case.trainer.supports(case.task(), method) for method in (rigl, static)] == [None, None]
