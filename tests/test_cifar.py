"""CIFAR: the records as they lie in the files; a part of CIFAR-100 never goes by the name of the whole."""

import lzma
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import small_cifar as small
from small_cifar import assert_ten, byte_by_byte, refusal, ten
from sparsebench import plugins
from sparsebench.data import cifar
from sparsebench.data.source import Dataset, Split, moments, standardising_table
from sparsebench.errors import UserError

pytest_plugins = ("small_server",)
pytestmark = pytest.mark.usefixtures("cache")

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
PART = {"train.bin": small.records([(0, 1), (19, 99), (5, 4)]), "test.bin": small.records([(7, 3)], 1)}


def load(name, folder=None):
    return plugins.load("datasets", name).load(folder)


# ---- layout ---------------------------------------------------------------------------------------------------


def test_every_byte_is_where_the_layout_puts_it(tmp_path):
    data = ten(small.write(tmp_path, small.TEN))
    assert_ten(data)
    assert (data.name, data.classes, data.shape) == ("small", 10, (3, 32, 32))
    assert (data.train.labels.tolist(), data.test.labels.tolist()) == ([3, 0, 9, 1, 7], [2, 2, 5, 8])
    assert data.train.images.flags.c_contiguous
    np.testing.assert_array_equal(data.table, standardising_table(data.train.images))


def test_of_two_labels_the_fine_one_is_learned(tmp_path):
    data = load("cifar100-subset", small.write(tmp_path, PART))
    assert (data.name, data.classes) == ("cifar100-subset", 100)
    for part, content in zip((data.train, data.test), PART.values(), strict=True):
        images, labels = byte_by_byte(content, 2)
        np.testing.assert_array_equal(part.images, images)
        np.testing.assert_array_equal(part.labels, labels)


LABELS = st.sampled_from([cifar.TEN, cifar.HUNDRED])


@given(LABELS, st.integers(0, 3), st.integers(-1, 1), st.randoms(use_true_random=False))
def test_any_bytes_are_read_exactly_or_refused(labels, records, more, random):
    content = random.randbytes(max(records * (len(labels) + 3072) + more, 0))
    whole = bool(content) and len(content) % (len(labels) + 3072) == 0
    allowed = whole and all(
        max(content[column :: len(labels) + 3072]) < count for column, (_, count) in enumerate(labels)
    )
    try:
        given = cifar.parse(content, labels, "it")
    except UserError:
        assert not allowed
        return
    assert allowed
    assert given.tobytes() == content


ONE = small.records([(19, 99)])
REFUSED = {
    "empty": (b"", "there are no records in it"),
    "one byte short": (ONE[:-1], "3073 bytes are no whole number of records of 3074"),
    "one byte more": (ONE + b"\0", "3075 bytes are no whole number of records of 3074"),
    "CIFAR-10's layout": (small.records([3]), "3073 bytes are no whole number of records of 3074"),
    "coarse label 20": (ONE + small.records([(20, 0)]), "coarse label 20, but coarse labels are 0 to 19"),
    "fine label 100": (ONE + small.records([(0, 100)]), "fine label 100, but fine labels are 0 to 99"),
}


@pytest.mark.parametrize(("content", "told"), REFUSED.values(), ids=REFUSED)
def test_what_are_no_such_records_is_refused(content, told, tmp_path):
    said = refusal(load, "cifar100-subset", small.write(tmp_path, PART | {"test.bin": content}))
    assert said.startswith(f"cifar100-subset: test.bin cannot be used: {told}; replace the file with one in the layout")


# ---- the whole of CIFAR-100, and parts of it ------------------------------------------------------------------

WHOLE = cifar.Whole(3, 2, ((0.1, 0.2), (0.5, 0.25), (0.0, 0.0)))


def counted(train, test):
    """A data set of four classes with so many records of each."""
    parts = [np.repeat(np.arange(4, dtype=np.int32), counts) for counts in (train, test)]
    splits = [Split(np.random.default_rng(0).integers(0, 256, (len(p), 3, 32, 32), np.uint8), p) for p in parts]
    return Dataset("four", 4, *splits, standardising_table(splits[0].images))


def published(data):
    return tuple((round(mean / 255, 8), round(deviation / 255, 8)) for mean, deviation in moments(data.train.images))


PARTS = {
    "training": ([3, 3, 3, 2], [2] * 4, "11 training records, expected 12"),
    "test": ([3] * 4, [2, 3, 2, 2], "9 test records, expected 8"),
    "a training class": ([3, 2, 3, 4], [2] * 4, "2 training records of fine label 1, expected 3"),
    "a test class": ([3] * 4, [2, 2, 4, 0], "4 test records of fine label 2, expected 2"),
    "moments": ([3] * 4, [2] * 4, "channel means and deviations of the training pixels are (("),
}


@pytest.mark.parametrize(("train", "test", "told"), PARTS.values(), ids=PARTS)
def test_a_part_may_not_go_by_the_name_of_the_whole(train, test, told):
    said = refusal(cifar.whole, counted(train, test), WHOLE)
    assert said.startswith(f"data set 'four': {told}")
    assert ": a subset or an altered copy must not go by this name; load it as 'cifar100-subset', or replace" in said
    assert "\n" not in said


def test_the_whole_is_told_by_its_moments():
    data = counted([3] * 4, [2] * 4)
    expected = replace(WHOLE, moments=published(data))
    assert cifar.whole(data, expected) is data
    data.train.images[0, 2, 5, 5] ^= 0x80
    assert str(published(data)) in refusal(cifar.whole, data, expected)


def pixels_of(mean, deviation):
    """1024 pixels for each of 50,000 images, of values 0, 1, 128 and 255, that have these moments: flat, uint8.

    64 ones for a 128 change the sum of p and that of p² alike but for a multiple of 255, which 255s make up for.
    """
    total = 50_000 * 1024
    first = round(mean * 255 * total)
    middle, rest = divmod(255 * first - round((mean**2 + deviation**2) * 255**2 * total), 128 * (255 - 128))
    ones = rest // 254
    fewer = -4 * (first - 128 * middle - ones) % 255
    middle, ones = middle - fewer, ones + 64 * fewer
    values = np.repeat(np.array([255, 128, 1], np.uint8), [(first - 128 * middle - ones) // 255, middle, ones])
    return np.pad(values, (0, total - len(values)))


def test_pixels_of_the_published_moments_in_the_right_numbers_pass():
    """Every figure but the pixels' places is that of CIFAR-100."""
    pixels = np.stack([pixels_of(*pair).reshape(-1, 32, 32) for pair in cifar.PUBLISHED.moments], axis=1)
    train, test = (np.arange(count, dtype=np.int32) % 100 for count in (50_000, 10_000))
    data = Dataset("all", 100, Split(pixels, train), Split(pixels[:10_000], test), np.zeros((256, 3), np.float32))
    assert cifar.whole(data, cifar.PUBLISHED) is data
    pixels[0, 0, 0, :4] ^= 0xFF
    assert "channel means" in refusal(cifar.whole, data, cifar.PUBLISHED)


@pytest.mark.parametrize("own", ["", "cifar100", "cifar-100-binary"])
def test_a_subset_is_no_cifar100(own, tmp_path):
    small.write(tmp_path / own, PART)
    said = refusal(load, "cifar100", tmp_path)
    assert said.startswith("data set 'cifar100': 3 training records, expected 50000: a subset or an altered copy must")
    assert "'cifar100-subset'" in said


def test_more_records_than_there_are_are_refused(tmp_path):
    with small.write(tmp_path, PART).joinpath("train.bin").open("wb") as file:
        file.truncate(60_001 * 3074)
    assert "more than 153700000 bytes uncompressed, expected at most 153700000; " in refusal(load, "cifar100", tmp_path)
    said = refusal(load, "cifar100-subset", tmp_path)
    assert said.endswith("more than 184440000 bytes uncompressed, expected at most 184440000; replace it")


@pytest.mark.parametrize("suffix", small.PACK)
@pytest.mark.parametrize("own", ["", "cifar100-subset", "cifar100-mini"])
def test_a_subset_comes_from_a_folder_that_is_named(own, suffix, tmp_path, monkeypatch):
    small.write(tmp_path / own, PART, suffix)
    assert load("cifar100-subset", tmp_path).train.labels.tolist() == [1, 99, 4]
    monkeypatch.setenv("SPARSEBENCH_DATA", str(tmp_path))
    assert load("cifar100-subset").test.labels.tolist() == [3]


def test_a_subset_is_never_downloaded_nor_taken_from_the_cache(tmp_path, cache):
    small.write(cache.parent / "cifar100-subset", PART)
    told = "data set 'cifar100-subset' is never downloaded: name the folder that has it with --data"
    assert refusal(load, "cifar100-subset") == told
    said = refusal(load, "cifar100-subset", tmp_path)
    assert said.endswith("has no train.bin, test.bin (nor with .xz or .gz after the name): put them there, or name the "
                         "folder that has them")  # fmt: skip


def test_a_subset_says_what_its_results_are_not():
    assert "results of it are not CIFAR-100 results" in plugins.load("datasets", "cifar100-subset").summary


# ---- real data ------------------------------------------------------------------------------------------------


def shared(name):
    if not (SHARED / name).is_dir():
        pytest.skip(f"no copy of {name} in ../shared/data")
    return SHARED


def test_cifar10_is_read_whole():
    """Counts and moments as published; each file's digest was checked when it was read."""
    data = load("cifar10", shared("cifar10"))
    assert (data.train.images.shape, data.test.images.shape) == ((50_000, 3, 32, 32), (10_000, 3, 32, 32))
    for part, count in ((data.train, 5000), (data.test, 1000)):
        assert np.bincount(part.labels).tolist() == [count] * 10
    means, deviations = zip(*published(data), strict=True)
    assert means == (0.49139968, 0.48215841, 0.44653091)
    assert deviations == (0.24703223, 0.24348513, 0.26158784)
    with lzma.open(SHARED / "cifar10" / "data_batch_1.bin.xz") as file:
        first = file.read(3073)
    assert (data.train.labels[0], first[0]) == (6, 6), "a frog"
    assert data.train.images[0].tobytes() == first[1:]
    wanted = (np.arange(256)[:, None] / 255 - means) / deviations
    np.testing.assert_allclose(data.table, wanted, rtol=0, atol=1e-6)


def test_the_shared_subset_is_read_and_is_no_cifar100():
    folder = shared("cifar100-mini")
    data = load("cifar100-subset", folder)
    assert (data.train.images.shape, data.test.images.shape) == ((5000, 3, 32, 32), (1000, 3, 32, 32))
    for part, count in ((data.train, 50), (data.test, 10)):
        assert np.bincount(part.labels).tolist() == [count] * 100
    said = refusal(load, "cifar100", folder / "cifar100-mini")
    assert said.startswith("data set 'cifar100': 5000 training records, expected 50000: a subset")
    assert "load it as 'cifar100-subset'" in said
    assert load("cifar100-subset", folder / "cifar100-mini").fingerprint == data.fingerprint
