"""Batches that are read ahead: the same for any number of threads and any order of asking, and an end to both."""

import threading
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import small_folder as small
from sparsebench.data import stream
from sparsebench.data.feed import Feed
from sparsebench.data.stream import Batches, evaluation
from sparsebench.errors import UserError
from sparsebench.replicas import Alone as Rank

pytest_plugins = ("reading_threads",)


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    return small.stream(tmp_path_factory.mktemp("small"))


# ---- batches ----------------------------------------------------------------------------------------------------


def straight(split, feed, i, augmented):
    """A batch read one image after the other."""
    draws = feed.draws(i, i + 1)[0].tolist() if augmented else [None] * feed.batch
    rows = feed.indices(i, i + 1)[0].tolist()
    return np.stack([split.image(*place) for place in zip(rows, draws, strict=True)]), split.labels[rows]


def same(given, wanted):
    for one, other in zip(given, wanted, strict=True):
        np.testing.assert_array_equal(one, other, strict=True)


@pytest.mark.parametrize("augmented", [True, False])
@pytest.mark.parametrize("workers", [1, 2, 5, None])
def test_batches_are_the_same_for_any_number_of_threads(split, workers, augmented):
    feed, batches = Feed(5, 2, 7), Batches(split, Feed(5, 2, 7), 7, augmented, workers)
    for i in range(7):
        same(batches.batch(i), straight(split, feed, i, augmented))
    batches.close()


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 9), max_size=8), st.integers(0, 4), st.integers(1, 10))
def test_any_batch_may_be_asked_for_at_any_time(split, asked, ahead, stop):
    feed, batches = Feed(5, 2, 7), Batches(split, Feed(5, 2, 7), stop, True, 2, ahead)
    for i in asked:
        same(batches.batch(i), straight(split, feed, i, augmented=True))
    batches.close()


def test_a_run_resumed_within_an_epoch_sees_what_the_straight_one_saw(split):
    whole, rest = (Batches(split, Feed(5, 2, 3), 8, True) for _ in range(2))
    seen = [whole.batch(i) for i in range(8)]
    for i in range(3, 8):
        same(rest.batch(i), seen[i])
    whole.close()
    rest.close()


def test_the_same_image_is_cropped_anew_in_every_epoch(split):
    feed, batches = Feed(5, 5, 0), Batches(split, Feed(5, 5, 0), 2, True)
    first, second = batches.batch(0)[0], batches.batch(1)[0]
    order = feed.indices(0, 2)
    pairs = [(first[k], second[order[1].tolist().index(index)]) for k, index in enumerate(order[0].tolist())]
    assert not any(np.array_equal(*pair) for pair in pairs)
    batches.close()


def test_what_was_handed_out_is_not_written_to_again(split):
    batches = Batches(split, Feed(5, 2, 7), 6, True)
    held = [batches.batch(i) for i in range(3)]
    kept = [images.copy() for images, _ in held]
    for i in range(3, 6):
        batches.batch(i)
    same([images for images, _ in held], kept)
    batches.close()


def test_without_a_feed_each_sample_is_a_batch(split):
    batches = Batches(split, None, 5, False)
    for i in range(5):
        same(batches.batch(i), (split.image(i, None)[None], split.labels[i : i + 1]))
    batches.close()
    with pytest.raises(ValueError, match="augmented batches need one"):
        Batches(split, None, 5, True)


# ---- reading ahead ----------------------------------------------------------------------------------------------


@pytest.fixture
def reads(split, monkeypatch):
    """Counts: a semaphore that is released once for every image read, and the list of them."""
    done, read, decoded = threading.Semaphore(0), [], stream._decoded

    def counted(path):
        picture = decoded(path)
        read.append(path)
        done.release()
        return picture

    monkeypatch.setattr(stream, "_decoded", counted)
    return done, read


@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_the_next_batches_are_read_before_they_are_asked_for_and_no_more(split, reads, ahead):
    done, read = reads
    batches = Batches(split, Feed(5, 2, 0), 100, True, 2, ahead)
    batches.batch(0)
    assert all(done.acquire(timeout=30) for _ in range(2 * (ahead + 1)))
    batches.batch(1)
    assert all(done.acquire(timeout=30) for _ in range(2))
    batches.close()
    assert len(read) == 2 * (ahead + 2), "each image once"


def test_nothing_is_read_beyond_the_end(split, reads):
    batches = Batches(split, Feed(5, 2, 0), 2, True, 2, ahead=50)
    batches.batch(0)
    batches.batch(1)
    batches.close()
    assert len(reads[1]) == 4


def test_what_was_read_in_vain_is_dropped(split, monkeypatch):
    """The only thread is held up at the second image until the new batches wait; what waited before is not wanted."""
    begun, gate, read, decoded, draws = threading.Semaphore(0), threading.Event(), [], stream._decoded, Feed.draws

    def held(path):
        read.append(path)
        begun.release()
        assert len(read) == 1 or gate.wait(30)
        return decoded(path)

    def opening(feed, start, stop):
        if start == 56:
            gate.set()
        return draws(feed, start, stop)

    monkeypatch.setattr(stream, "_decoded", held)
    monkeypatch.setattr(Feed, "draws", opening)
    feed = Feed(5, 1, 0)
    batches = Batches(split, feed, 100, True, 1, ahead=4)
    batches.batch(0)
    assert all(begun.acquire(timeout=30) for _ in range(2))
    batches.batch(52)
    batches.close()
    order = [split.paths[feed.indices(i, i + 1)[0, 0]] for i in (0, 1, 52, 53, 54, 55, 56)]
    assert read in [order[:k] for k in range(3, 8)]


# ---- the end of it ----------------------------------------------------------------------------------------------


def test_no_thread_outlives_the_run(split, reading):
    batches = Batches(split, Feed(5, 2, 0), 100, True, 4, ahead=10)
    batches.batch(0)
    assert reading()
    batches.close()
    assert reading() == []
    batches.close()


def test_what_waits_when_a_run_ends_is_not_read(split, monkeypatch):
    read, decoded = [], stream._decoded

    def slow(path):
        read.append(path)
        time.sleep(0.02)
        return decoded(path)

    monkeypatch.setattr(stream, "_decoded", slow)
    batches = Batches(split, Feed(5, 1, 0), 1000, True, 1, ahead=200)
    batches.batch(0)
    batches.close()
    assert len(read) < 200


def test_no_thread_outlives_an_evaluation_that_was_left(split, reading):
    for images, _ in evaluation(split, 2, 3):
        assert reading()
        assert images.shape == (2, 3, 32, 32)
        break
    assert reading() == []


@pytest.mark.parametrize("batch", [1, 2, 5, 7])
def test_an_evaluation_sees_every_sample_once_in_order(split, batch, reading):
    parts = list(evaluation(split, batch))
    assert [len(labels) for _, labels in parts][:-1] == [batch] * (len(parts) - 1)
    wanted = np.stack([split.image(k, None) for k in range(5)])
    same([np.concatenate(part) for part in zip(*parts, strict=True)], (wanted, split.labels))
    assert reading() == []


def test_replicas_read_their_own_share_and_no_more(split, reads):
    """Of a batch in two parts and of an evaluation; together they are what one reads."""
    feed, read = Feed(len(split.labels), 4, 1), reads[1]
    shares = [Batches(split, feed.shared(Rank(rank, 2), 2), 1, True).batch(0) for rank in range(2)]
    assert [len(labels) for _, labels in shares] == [2, 2]
    assert len(read) == 4
    for found, wanted in zip(zip(*shares, strict=True), Batches(split, feed, 1, True).batch(0), strict=True):
        np.testing.assert_array_equal(np.concatenate(found)[[0, 2, 1, 3]], wanted, strict=True)
    read.clear()
    first, second = (list(evaluation(split, 2, 1, slice(rank, None, 2))) for rank in range(2))
    assert len(read) == len(split.labels)
    whole = list(evaluation(split, 2))
    for found, wanted in zip([first[0], second[0], first[1]], whole, strict=True):
        same(found, wanted)


def test_a_bad_image_is_told_to_whoever_asks_for_its_batch(tmp_path, reading):
    split, feed = small.stream(tmp_path), Feed(5, 1, 0)
    bad = split.paths[feed.indices(2, 3)[0, 0]]
    bad.unlink()
    batches = Batches(split, feed, 5, True, 2, ahead=4)
    for i in (0, 1, 3, 4):
        same(batches.batch(i), straight(split, feed, i, augmented=True))
    for _ in range(2):
        with pytest.raises(UserError, match="No such file") as error:
            batches.batch(2)
        assert str(bad) in str(error.value)
    batches.close()
    with pytest.raises(UserError, match="No such file"):
        list(evaluation(split, 2))
    assert reading() == []
