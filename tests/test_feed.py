"""The order of the data: a pure function of (seed, iteration), the same however it is asked for."""

from itertools import pairwise

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from sparsebench.data.feed import AUGMENTATION, PURPOSE, Feed, permutation, random_words

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


def expected_draws(feed, iteration):
    """A random integer for each place of one iteration, from NumPy's Philox by another way: block after block."""
    epoch, row = divmod(iteration, feed.samples // feed.batch)
    drawn = []
    for block in range(-(-feed.samples // 4)):  # of four integers each
        philox = np.random.Philox(counter=(AUGMENTATION << 192) + (epoch << 128) + block, key=feed.seed)
        drawn += [int(philox.random_raw()) for _ in range(4)]
    return drawn[row * feed.batch : (row + 1) * feed.batch]


@given(feeds(), st.integers(0, 100), st.integers(0, 12))
def test_each_place_has_the_integer_that_philox_puts_there(feed, start, length):
    given = feed.draws(start, start + length)
    assert given.dtype == np.uint64
    assert given.shape == (length, feed.batch)
    assert given.tolist() == [expected_draws(feed, i) for i in range(start, start + length)]


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
    for asked in (feed.indices, feed.draws):
        parts = [asked(start, stop) for start, stop in pairwise(cuts)]
        np.testing.assert_array_equal(np.concatenate(parts), asked(cuts[0], cuts[-1]), strict=True)


@given(SEEDS, st.integers(0, 2**32))
def test_seeds_and_epochs_have_orders_of_their_own(seed, epoch):
    seeds, epochs = (seed, seed ^ 1, seed ^ (1 << 62)), (epoch, epoch ^ 1, epoch ^ (1 << 40))
    orders = {tuple(permutation(s, e, 50).tolist()) for s in seeds for e in epochs}
    assert len(orders) == 9
    words = [word for s in seeds for e in epochs for word in random_words(s, e, 50).tolist()]
    assert len(set(words)) == 450


@given(SEEDS, st.integers(0, 2**32))
def test_draws_share_no_integer_with_the_order(seed, epoch):
    keys = np.random.Philox(key=seed, counter=[0, 0, epoch, PURPOSE]).random_raw(400).tolist()
    assert not set(keys) & set(random_words(seed, epoch, 400).tolist())


def test_draws_say_nothing_about_the_order():
    """Correlation over 20,000 pairs of (place of a sample in the order, draw there): under four deviations."""
    order, words = permutation(1, 0, 20_000), random_words(1, 0, 20_000)
    assert abs(np.corrcoef(order, words)[0, 1]) < 4 / np.sqrt(20_000)
    bits = (words[:, None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)
    assert np.all(np.abs(bits.mean(axis=0) - 0.5) < 4.5 * 0.5 / np.sqrt(20_000)), "every bit is set half of the time"


def test_what_is_asked_for_twice_cannot_be_changed_in_between():
    feed = Feed(10, 5, 0)
    for asked, epoch in ((feed.indices, permutation), (feed.draws, random_words)):
        first = asked(0, 2)
        kept = first.copy()
        first[:] = 0
        np.testing.assert_array_equal(asked(0, 2), kept)
        assert not epoch(0, 0, 10).flags.writeable


def test_the_order_is_this_one_for_ever():
    assert permutation(0, 0, 8).tolist() == [6, 1, 0, 3, 7, 2, 4, 5]
    assert permutation(2**63 - 1, 3, 8).tolist() == [7, 4, 1, 2, 6, 0, 5, 3]


def test_the_draws_are_these_for_ever():
    assert random_words(0, 0, 3).tolist() == [1198384779672752554, 9675627848160634826, 4702597762814206944]
    assert random_words(2**63 - 1, 3, 3).tolist() == [11452432079310173062, 4503893655653887914, 3651317177760719967]


def test_every_place_is_equally_likely_for_every_sample():
    """Counts of (sample, place) over 4,000 orders of 4: 4/3 of a chi-square with 9 degrees of freedom."""
    orders = np.array([permutation(7, epoch, 4) for epoch in range(4000)])
    counts = np.array([[np.sum(orders[:, place] == sample) for sample in range(4)] for place in range(4)])
    assert np.sum((counts - 1000) ** 2 / 1000) < 4 / 3 * 27.9, "27.9 is passed once in a thousand"
