"""How masks move: what notes count is exact, what the sample says is what it should be, and a run takes its notes."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import records_fixture as fixture
from sparsebench import movement, noise, records, runner, seals, tensors
from sparsebench.config import Recipe, RunConfig, Updates
from sparsebench.errors import UserError
from sparsebench.layers import conv, depthwise, linear
from sparsebench.movement import COUNTS, PLACES, Notes, noted, places, shared
from sparsebench.prepare import prepare
from sparsebench_board import moving

SIZES = st.lists(st.integers(1, 60_000), min_size=1, max_size=5)


def random_mask(shape, density, purpose):
    return noise.uniform(np, noise.key(0, 0, purpose), shape) < density


# ---- the sample -----------------------------------------------------------------------------------------------


@given(SIZES)
def test_places_are_as_many_as_they_should_be_and_in_order(sizes):
    found = places(tuple(sizes))
    assert len(found) == min(PLACES, sum(sizes)) == movement.sampled(sizes)
    assert (np.diff(found) >= 0).all()
    assert found[0] >= 0
    assert found[-1] < sum(sizes)


def test_places_of_a_small_network_are_all_of_it():
    assert places((3, 4)).tolist() == list(range(7))


@pytest.mark.parametrize("total", [PLACES + 1, 50_200, 26_000_000])
def test_places_are_one_in_each_stretch_and_everywhere_in_it(total):
    stretch = total / PLACES
    within = places((total - 9, 9)) + 0.5 - stretch * np.arange(PLACES)
    assert within.min() > -0.5
    assert within.max() < stretch + 0.5
    assert within.mean() == pytest.approx(stretch / 2, rel=0.02)


@given(st.floats(0.02, 0.5), st.floats(0, 1), st.integers(0, 99))
def test_what_the_sample_says_is_within_its_error(density, alike, seed):
    """Of a network of 200,000 places; five standard errors are never left in so few draws."""
    shape = (1000, 200)
    first = random_mask(shape, density, f"first {seed}")
    other = np.where(random_mask(shape, alike, f"alike {seed}"), first, random_mask(shape, density, f"other {seed}"))
    at = places((first.size,))
    share, error = shared(first.reshape(-1)[at], other.reshape(-1)[at])
    exact = 2 * (first & other).sum() / (first.sum() + other.sum())
    assert abs(share - exact) <= 5 * error + 1e-9


def test_shares_of_masks_that_are_known():
    one, other = np.array([1, 1, 1, 0, 0], bool), np.array([0, 0, 1, 1, 1], bool)
    assert shared(one, other) == (1 / 3, pytest.approx(math.sqrt(2 / 27)))
    assert shared(one, one) == (1.0, 0.0)
    assert shared(one, ~one) == (0.0, 0.0)
    assert all(map(math.isnan, shared(one & False, other & False)))


# ---- notes ----------------------------------------------------------------------------------------------------


@given(st.integers(0, 3000))
def test_notes_are_few_and_the_first_and_last_update_are_among_them(updates):
    found = noted(updates)
    assert found <= set(range(updates))
    assert len(found) <= 20
    assert found == set(range(updates)) or len(found) >= 14
    if updates:
        assert {0, updates - 1} <= found


LAYERS = (
    linear("fc", 7, 5),
    conv("conv", 3, 4, 3, (8, 8)),
    depthwise("depthwise", 6, 3, (8, 8)),
)


def by_hand(layer, mask, first):
    """Loops over outputs and inputs."""
    outputs = [mask[o].any() for o in range(layer.shape[0])]
    inputs = [mask[:, i].any() for i in range(layer.shape[1])]
    return [mask.sum(), (mask & first).sum(), len(outputs) - sum(outputs), len(inputs) - sum(inputs)]


@pytest.mark.parametrize("density", [0.0, 0.05, 0.3, 1.0])
def test_counts_are_those_of_the_masks(density):
    first = {layer.name: random_mask(layer.shape, density, f"first {layer.name}") for layer in LAYERS}
    later = {layer.name: random_mask(layer.shape, density, f"later {layer.name}") for layer in LAYERS}
    notes = Notes(LAYERS, first, frozenset())
    notes.take(0, first)
    notes.take(41, later)
    found = notes.movement()
    assert found.iterations.tolist() == [0, 41]
    for k, masks in enumerate((first, later)):
        for j, layer in enumerate(LAYERS):
            counts = [getattr(found, name)[k, j] for name in COUNTS]
            assert counts == by_hand(layer, masks[layer.name], first[layer.name])
    whole = np.concatenate([later[layer.name].reshape(-1) for layer in LAYERS])
    assert (found.sampled()[1] == whole[places(found.sizes)]).all()


def test_what_is_written_comes_back(tmp_path):
    masks = [random_mask((20, 50), 0.1, str(k)) for k in range(3)]
    record = fixture.write(tmp_path, fixture.config(), moved=fixture.movement(*masks))
    found = record.movement()
    assert (found.layers, found.sizes, found.iterations.tolist()) == (("fc1",), (1000,), [0, 100, 200])
    assert (found.sampled() == np.stack([mask.reshape(-1) for mask in masks])).all()
    assert found.active[:, 0].tolist() == [mask.sum() for mask in masks]
    records.copy(record, tmp_path / "copy")
    assert (records.read(tmp_path / "copy" / record.id).movement().bits == found.bits).all()


def test_older_records_tell_nothing(tmp_path):
    assert fixture.write(tmp_path, fixture.config()).movement() is None


def damage(record, **changes):
    arrays, metadata = tensors.read(record.path / records.MOVEMENT)
    tensors.write(record.path / records.MOVEMENT, arrays | changes, metadata)
    seals.write(record.path)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"bits": np.zeros((1, 3), np.uint8)}, r"bits is uint8 \(1, 3\), not \(1, 125\)"),
        ({"overlap": np.zeros((1, 1))}, r"overlap is float64 \(1, 1\), not \(1, 1\)"),
        ({"iterations": np.zeros(2, np.int64)}, r"active is int64 \(1, 1\), not \(2, 1\)"),
    ],
)
def test_damage_is_told_in_a_line(tmp_path, changes, told):
    record = fixture.write(tmp_path, fixture.config(), moved=fixture.movement(np.ones((20, 50), bool)))
    damage(record, **changes)
    with pytest.raises(UserError, match=told):
        record.movement()


def test_notes_of_another_network_are_refused(tmp_path):
    moved = replace(fixture.movement(np.ones((20, 50), bool)), layers=("fc9",))
    record = fixture.write(tmp_path, fixture.config(), moved=moved)
    with pytest.raises(UserError, match="is of other layers than"):
        record.movement()


# ---- a run's --------------------------------------------------------------------------------------------------


def config(backend, **changes):
    usual = {
        "model": "lenet-300-100", "dataset": "digits", "method": "set", "sparsity": 0.9, "seed": 0,
        "recipe": Recipe(steps=60, batch_size=32), "updates": Updates(delta_t=10),
    }  # fmt: skip
    return RunConfig(backend=backend, **(usual | changes))


def recorded(tmp_path, backend, **changes):
    return records.read(runner.run(prepare(config(backend, **changes)), tmp_path))


def test_a_run_takes_notes_at_its_start_and_after_its_updates(tmp_path, backend):
    record = recorded(tmp_path, backend.name)
    found = record.movement()
    updates = [event for event in record.events() if event["kind"] == "update"]
    assert found.iterations.tolist() == [0, *(event["iteration"] + 1 for event in updates)]
    assert found.active[-1].tolist() == [layer["active"] for layer in record.layers]
    last = np.concatenate([record.masks()[name].reshape(-1) for name in found.layers])
    assert (found.sampled()[-1] == last[places(found.sizes)]).all(), "no mask changes after the last update"
    assert (found.overlap[0] == found.active[0]).all()
    gone = [sum(layer["dropped"] for layer in event["layers"].values()) for event in updates]
    assert found.overlap[0].sum() - found.overlap[1].sum() == gone[0], (
        "what the first update drops is of the first mask"
    )


def test_masks_that_never_move_are_not_noted(tmp_path, backend):
    assert recorded(tmp_path, backend.name, method="static", updates=Updates()).movement() is None


def test_twins_begin_with_one_mask(tmp_path):
    for name in ("torch", "jax"):
        pytest.importorskip(name)
    first, second = (recorded(tmp_path, name).movement() for name in ("torch", "jax"))
    found = moving.common(first, second)
    assert list(found) == first.iterations.tolist()
    assert found[0] == (100.0, 0.0)
    assert min(share for share, _ in found.values()) > 50
