"""What the hardware benchmark says of times: intervals, order of turns, deadlines, patterns of zeros."""

import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsebench.cli.benched import bounded
from sparsebench.hardware import memory, patterns
from sparsebench.hardware.intervals import FEWEST, Ratio, ratio
from sparsebench.hardware.timing import in_a_row, interleaved, repeated
from sparsebench.hardware.workloads import STANDARD, Workload, chosen, task

times = st.lists(st.floats(1e-6, 1e3), min_size=FEWEST, max_size=40).map(np.array)


def test_the_ratio_is_that_of_neighbours():
    slow, fast = np.array([2.0, 20.0, 200.0] * 3), np.array([1.0, 10.0, 100.0] * 3)
    assert ratio(slow, fast) == Ratio(2.0, 2.0, 2.0, 9), "a machine that drifts a hundredfold hides nothing"


def test_the_interval_of_known_numbers():
    values = np.random.default_rng(3).normal(1.1, 0.1, 400)
    found = ratio(values, np.ones(400))
    theory = 1.96 * 1.2533 * 0.1 / math.sqrt(400)  # of the median of normal values
    assert found.median == pytest.approx(1.1, abs=0.02)
    assert (found.high - found.low) / 2 == pytest.approx(theory, rel=0.25)
    assert found.clear


@given(times)
def test_the_interval_holds_the_median_and_lies_within_the_values(values):
    found = ratio(values, np.ones(len(values)))
    assert values.min() <= found.low <= found.median <= found.high <= values.max()
    assert found == ratio(values, np.ones(len(values)))


@given(times, st.floats(0.1, 10))
def test_the_interval_scales(values, factor):
    one, other = ratio(values, np.ones(len(values))), ratio(values * factor, np.ones(len(values)))
    assert (other.low, other.high) == pytest.approx((one.low * factor, one.high * factor))


@pytest.mark.parametrize("count", range(1, FEWEST))
def test_few_pairs_show_nothing(count):
    found = ratio(np.full(count, 3.0), np.ones(count))
    assert found == Ratio(3.0, None, None, count)
    assert not found.clear
    assert bounded(found, 2) == f"3.00 ({count} pairs)"


@pytest.mark.parametrize(
    ("low", "high", "clear"), [(0.9, 1.1, False), (1.0, 1.2, False), (1.01, 1.2, True), (0.8, 0.99, True)]
)
def test_an_interval_that_holds_one_shows_nothing(low, high, clear):
    assert Ratio(1.0, low, high, 9).clear is clear


def test_pieces_of_work_take_turns():
    done = []
    works = {name: lambda name=name: done.append(name) for name in "abc"}
    seconds = interleaved(works, 3, warmup=1)
    assert "".join(done) == "abcbcacababc"
    assert {name: len(values) for name, values in seconds.items()} == {"a": 3, "b": 3, "c": 3}


def test_no_time_leaves_the_least():
    late = time.perf_counter() - 1
    assert len(interleaved({"a": list}, 10, until=late, least=4)["a"]) == 4
    assert len(interleaved({"a": list}, 2, until=late, least=4)["a"]) == 2


def test_work_in_a_row():
    done = []
    repeated(lambda: done.append(1), 7)()
    assert len(done) == 7
    assert in_a_row(lambda: time.sleep(0.01), 0.001) == 1
    assert in_a_row(list, 1.0, most=50) == 50


def test_memory_is_told_in_bytes():
    held = np.ones(50_000_000, np.uint8)
    assert held.size < memory.resident() <= memory.peak_resident() < 2**40


# ---- patterns -------------------------------------------------------------------------------------------------

sides = st.integers(1, 5).map(lambda n: 4 * n)
shapes = st.tuples(sides, sides)


@given(shapes, st.sampled_from([0.05, 0.1, 0.2, 0.5, 1.0]))
def test_counts_of_unstructured_zeros_are_exact(shape, density):
    (weight,) = patterns.linears([shape], "unstructured", density).weights
    assert np.count_nonzero(weight) == max(1, round(density * weight.size))


@given(shapes, st.sampled_from([0.1, 0.5]))
def test_blocks_are_full_or_empty(shape, density):
    layers = patterns.linears([shape], "block", density)
    side, weight = layers.block, layers.weights[0]
    assert side in (4, 8, 16)
    blocks = weight.reshape(shape[0] // side, side, shape[1] // side, side)
    counts = np.count_nonzero(blocks, axis=(1, 3))
    assert set(counts.ravel()) <= {0, side * side}
    assert np.count_nonzero(counts) == max(1, round(density * counts.size))


@given(shapes)
def test_two_of_four(shape):
    (weight,) = patterns.linears([shape], "2:4", 0.5).weights
    assert (np.count_nonzero(weight.reshape(-1, 4), axis=1) == 2).all()


def test_blocks_divide_every_layer():
    assert patterns.block_side([(300, 784), (100, 300), (10, 100)]) == 2
    assert patterns.block_side([(256, 64)]) == 16
    assert patterns.block_side([(7, 5)]) == 1


# ---- workloads ------------------------------------------------------------------------------------------------


def test_standard_workloads_and_others():
    assert chosen([], "cpu") == STANDARD["cpu"]
    assert chosen(["resnet50", "resnet50"], "cpu") == (Workload("resnet50", 8, 96),)
    assert chosen(["wrn-22-2-dropout"], "cuda") == (Workload("wrn-22-2-dropout", 32, 32),)


def test_a_task_of_random_images():
    made = task(Workload("resnet50", 8, 96))
    assert (made.input.shape, made.input.classes, made.recipe.batch_size) == ((3, 96, 96), 1000, 8)
    assert made.dataset.fingerprint == task(Workload("resnet50", 8, 96)).dataset.fingerprint
