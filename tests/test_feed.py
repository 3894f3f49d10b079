"""The order of the data: a pure function of (seed, iteration), the same however it is asked for."""

from itertools import pairwise

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from sparsebench.data.feed import PURPOSE, Feed, permutation

SEEDS = st.integers(0, 2**63 - 1)


@st.composite
def feeds(draw):
    samples = draw(st.integers(1, 40))
    return Feed(samples, draw(st.integers(1, samples)), draw(SEEDS))


def expected(feed, iteration):
    """The samples of one iteration, from NumPy's Philox by another way: Python's sort of (integer, index)."""
    epoch, row = divmod(iteration, feed.samples // feed.batch)
    # key and counter as four 64-bit words each, the lowest first; the first word counts the blocks drawn
    philox = np.random.Philox(counter=(PURPOSE << 192) + (epoch << 128), key=feed.seed)
    drawn = [int(philox.random_raw()) for _ in range(feed.samples)]
    order = [index for _, index in sorted(zip(drawn, range(feed.samples), strict=True))]
    return order[row * feed.batch : (row + 1) * feed.batch]


@given(feeds(), st.integers(0, 100), st.integers(0, 12))
def test_each_iteration_takes_the_samples_that_philox_puts_there(feed, start, length):
    given = feed.indices(start, start + length)
    assert given.dtype == np.int32
    assert given.shape == (length, feed.batch)
    assert given.tolist() == [expected(feed, i) for i in range(start, start + length)]


@given(feeds(), st.integers(0, 5))
def test_an_epoch_visits_no_sample_twice_and_drops_the_last_partial_batch(feed, epoch):
    visited = feed.indices(epoch * feed.batches, (epoch + 1) * feed.batches).ravel()
    assert feed.samples - feed.batch < len(visited) <= feed.samples
    assert len(set(visited.tolist())) == len(visited)
    order = permutation(feed.seed, epoch, feed.samples)
    assert sorted(order.tolist()) == list(range(feed.samples))
    assert visited.tolist() == order[: len(visited)].tolist()


@given(feeds(), st.lists(st.integers(0, 60), min_size=2, max_size=6).map(sorted))
@example(Feed(10, 3, 0), [0, 2, 3, 3, 4, 9])
def test_the_order_is_the_same_for_any_segmentation(feed, cuts):
    parts = [feed.indices(start, stop) for start, stop in pairwise(cuts)]
    np.testing.assert_array_equal(np.concatenate(parts), feed.indices(cuts[0], cuts[-1]))


@given(SEEDS, st.integers(0, 2**32))
def test_seeds_and_epochs_have_orders_of_their_own(seed, epoch):
    seeds, epochs = (seed, seed ^ 1, seed ^ (1 << 62)), (epoch, epoch ^ 1, epoch ^ (1 << 40))
    orders = {tuple(permutation(s, e, 50).tolist()) for s in seeds for e in epochs}
    assert len(orders) == 9


def test_what_is_asked_for_twice_cannot_be_changed_in_between():
    feed = Feed(10, 5, 0)
    first = feed.indices(0, 2)
    kept = first.copy()
    first[:] = 0
    np.testing.assert_array_equal(feed.indices(0, 2), kept)
    assert not permutation(0, 0, 10).flags.writeable


def test_the_order_is_this_one_for_ever():
    assert permutation(0, 0, 8).tolist() == [6, 1, 0, 3, 7, 2, 4, 5]
    assert permutation(2**63 - 1, 3, 8).tolist() == [7, 4, 1, 2, 6, 0, 5, 3]


def test_every_place_is_equally_likely_for_every_sample():
    """Counts of (sample, place) over 4,000 orders of 4: 4/3 of a chi-square with 9 degrees of freedom."""
    orders = np.array([permutation(7, epoch, 4) for epoch in range(4000)])
    counts = np.array([[np.sum(orders[:, place] == sample) for sample in range(4)] for place in range(4)])
    assert np.sum((counts - 1000) ** 2 / 1000) < 4 / 3 * 27.9, "27.9 is passed once in a thousand"
