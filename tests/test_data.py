"""The data sets: every pixel and label as its origin has it, a fingerprint of all of them, damage refused."""

import gzip
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import small_archive as small
from sparsebench import plugins
from sparsebench.data import idx
from sparsebench.data.source import Dataset, Split, normalised, standardising_table
from sparsebench.errors import UserError

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
PIXELS = hnp.arrays(np.uint8, st.tuples(*(st.integers(1, n) for n in (5, 3, 4, 4))))


# ---- normalisation --------------------------------------------------------------------------------------------


@given(PIXELS)
def test_normalised_pixels_are_standard_scores(images):
    table = standardising_table(images)
    given = normalised(Split(images, np.zeros(len(images), np.int32)), table)
    wide = images.astype(np.float64)
    deviation = wide.std(axis=(0, 2, 3), keepdims=True)
    wanted = (wide - wide.mean(axis=(0, 2, 3), keepdims=True)) / np.where(deviation > 0, deviation, 1)
    assert (table.dtype, table.shape) == (np.float32, (256, images.shape[1]))
    assert (given.dtype, given.shape) == (np.float32, images.shape)
    np.testing.assert_allclose(given, wanted, rtol=1e-6, atol=1e-6)


def test_pixels_beyond_those_that_made_the_table_go_through_it_too():
    table = standardising_table(np.array([[[[0, 2]]], [[[4, 2]]]], np.uint8))
    np.testing.assert_allclose(table[:, 0], (np.arange(256) - 2) / np.sqrt(2), rtol=1e-6)
    two = np.stack([table[:, 0], -table[:, 0]], axis=1)
    pixels = np.array([0, 255], np.uint8).reshape(1, 2, 1, 1)
    given = normalised(Split(pixels, np.zeros(1, np.int32)), two)
    assert given.ravel().tolist() == [table[0, 0], -table[255, 0]], "each channel has its own column"


def test_the_table_is_made_of_all_images():
    """More images than are counted at a time."""
    images = np.random.default_rng(0).integers(0, 256, (3000, 1, 2, 2), np.uint8)
    images[:1000] //= 2
    wide = images.astype(np.float64)
    wanted = (np.arange(256) - wide.mean()) / wide.std()
    np.testing.assert_allclose(standardising_table(images)[:, 0], wanted, rtol=1e-6, atol=1e-6)


# ---- fingerprint ----------------------------------------------------------------------------------------------


def dataset():
    draw = np.random.default_rng(0).integers
    train, test = (Split(draw(0, 256, (n, 2, 3, 3), np.uint8), draw(0, 4, n, np.int32)) for n in (4, 3))
    return Dataset("drawn", 4, train, test, draw(0, 9, (256, 2)).astype(np.float32))


PARTS = {
    "train images": lambda data: data.train.images,
    "train labels": lambda data: data.train.labels,
    "test images": lambda data: data.test.images,
    "test labels": lambda data: data.test.labels,
    "table": lambda data: data.table,
}


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
@given(st.data())
def test_any_entry_that_changes_changes_the_fingerprint(part, data):
    changed = dataset()
    entries = part(changed).reshape(-1)
    entries[data.draw(st.integers(0, len(entries) - 1))] += 1
    assert changed.fingerprint != dataset().fingerprint == dataset().fingerprint


def test_the_fingerprint_knows_where_one_array_ends_and_what_it_holds():
    data = dataset()
    (images, labels), test = (data.train.images, data.train.labels), data.test
    alike = [
        data,
        replace(data, train=Split(images.reshape(4, 2, 9, 1), labels)),
        replace(data, train=test, test=data.train),
        replace(data, train=Split(images, labels.view(np.float32))),
        replace(data, train=Split(images.view(np.int8), labels)),
        replace(data, table=data.table.reshape(128, 4)),
    ]
    assert len({one.fingerprint for one in alike}) == len(alike)


def test_the_fingerprint_is_of_values_not_of_their_layout_in_memory():
    data = dataset()
    columns = replace(data, train=Split(np.asfortranarray(data.train.images), data.train.labels))
    assert columns.fingerprint == data.fingerprint


# ---- digits ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits():
    pytest.importorskip("sklearn", reason="digits come with scikit-learn, which is not installed")
    return plugins.load("datasets", "digits").load(None)


def test_digits_are_those_of_scikit_learn_each_in_one_part(digits):
    from sklearn.datasets import load_digits

    origin = load_digits()
    images = np.concatenate([digits.train.images, digits.test.images])
    labels = np.concatenate([digits.train.labels, digits.test.labels])
    assert (digits.train.images.shape, digits.test.images.shape) == ((1437, 1, 8, 8), (360, 1, 8, 8))
    assert (images.dtype, labels.dtype, digits.classes) == (np.uint8, np.int32, 10)
    given = sorted((int(label), image.ravel().tolist()) for image, label in zip(images, labels, strict=True))
    assert given == sorted((int(t), d.tolist()) for d, t in zip(origin.data, origin.target, strict=True))
    assert len({(label, tuple(pixels)) for label, pixels in given}) == 1797, "no digit is there twice"


def test_digits_are_split_alike_for_every_class(digits):
    """178 digits a class on average: the share that trains is within 4 deviations of 0.8."""
    counts = [np.bincount(part.labels, minlength=10) for part in (digits.train, digits.test)]
    assert sum(counts).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert np.all(np.abs(counts[0] / sum(counts) - 0.8) < 4 * np.sqrt(0.8 * 0.2 / 174))


def test_digits_are_normalised_by_the_training_part_alone(digits):
    given = normalised(digits.train, digits.table).astype(np.float64)
    assert abs(given.mean()) < 1e-6
    assert abs(given.std() - 1) < 1e-6
    assert abs(normalised(digits.test, digits.table).mean()) > 1e-4


def test_digits_are_these_for_ever(digits):
    assert digits.fingerprint == "481d867914428eb3beb2f38fec3f0fff4e2132e653b85513438d1095a4666711"


def test_digits_without_scikit_learn_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(UserError, match=r"pip install 'sparsebench\[board\]'"):
        plugins.load("datasets", "digits").load(None)


def test_naming_a_data_set_does_not_load_what_it_needs():
    code = (
        "import sys; from sparsebench import plugins\n"
        "assert not [error for _, error in plugins.survey('datasets') if isinstance(error, Exception)]\n"
        "print([name for name in ('sklearn', 'scipy', 'torch', 'jax') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


# ---- IDX files ------------------------------------------------------------------------------------------------


def test_images_and_labels_of_idx_files_stay_in_order(tmp_path):
    data = idx.dataset(small.archive(), small.write(tmp_path))
    for part, pixels, labels in zip((data.train, data.test), small.PIXELS, small.LABELS, strict=True):
        assert (part.images.dtype, part.labels.dtype) == (np.uint8, np.int32)
        np.testing.assert_array_equal(part.images[:, 0], pixels)
        np.testing.assert_array_equal(part.labels, labels)
    assert (data.name, data.classes, data.shape) == ("small", 10, (1, 20, 21))
    np.testing.assert_array_equal(data.table, standardising_table(small.PIXELS[0][:, None]))


HUGE = b"\x80\0\0\0" * 2 + b"\0\0\0\4"
IMAGES, LABELS = small.idx(small.PIXELS[1]), small.idx(small.LABELS[1])

REFUSED = {
    "empty": (b"", LABELS, "small: training images cannot be used: it begins with 0x,"),
    "not IDX": (b"\x89PNG" + IMAGES, LABELS, "it begins with 0x8950"),
    "still packed": (small.PACKED["test-images.gz"], LABELS, "it begins with 0x1f8b"),
    "only zeros": (b"\0\0", LABELS, "entries of type 0x,"),
    "floats": (small.idx(small.PIXELS[1], dtype=0x0D), LABELS, "entries of type 0x0d, expected 0x08 (unsigned bytes)"),
    "no dimensions": (IMAGES[:3], LABELS, "0 dimensions, expected 3"),
    "labels for images": (LABELS, LABELS, "training images cannot be used: 1 dimensions, expected 3"),
    "images for labels": (IMAGES, IMAGES, "training labels cannot be used: 3 dimensions, expected 1"),
    "within the header": (IMAGES[:15], LABELS, "it ends after 15 bytes, within its header of 16"),
    "header alone": (IMAGES[:16], LABELS, "0 bytes of data, its header says 1680"),
    "one byte short": (IMAGES[:-1], LABELS, "1679 bytes of data, its header says 1680"),
    "one byte more": (IMAGES + b"\0", LABELS, "1681 bytes of data, its header says 1680"),
    "labels short": (IMAGES, LABELS[:-1], "training labels cannot be used: 3 bytes of data, its header says 4"),
    "as many as 64 bits hold": (IMAGES[:4] + HUGE, LABELS, "0 bytes of data, its header says 18446744073709551616"),
    "counts differ": (IMAGES, small.idx(small.LABELS[0]), "training labels cannot be used: 6 labels for 4 images"),
    "label 10": (IMAGES, LABELS[:-1] + b"\x0a", "label 10, but labels are 0 to 9"),
    "no images": (small.idx(small.PIXELS[1][:0]), small.idx(small.LABELS[1][:0]), "there are no images in it"),
}


@pytest.mark.parametrize(("images", "labels", "told"), REFUSED.values(), ids=REFUSED)
def test_damaged_idx_files_are_refused(images, labels, told):
    with pytest.raises(UserError) as error:
        idx.split(images, labels, "small: training")
    assert told in str(error.value)
    assert str(error.value).endswith("; replace the file with the original")


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=4, min_side=0)))
def test_what_was_written_is_read(array):
    given = idx.parse(small.idx(array), array.ndim, "it")
    assert given.dtype == np.uint8
    np.testing.assert_array_equal(given, array, strict=True)


@given(st.binary(max_size=40), st.integers(1, 3))
def test_any_bytes_are_read_exactly_or_refused(content, dimensions):
    try:
        array = idx.parse(content, dimensions, "it")
    except UserError:
        return
    assert small.idx(array) == content


COUNTS = {
    "mnist": (
        [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
        [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
    ),
    "fashion-mnist": ([6000] * 10, [1000] * 10),
}


@pytest.mark.parametrize("name", COUNTS)
def test_the_real_files_are_read_whole(name):
    """Class counts as published; moments as everybody quotes them (pixels / 255, training part)."""
    if not (SHARED / name).is_dir():
        pytest.skip(f"no copy of {name} in ../shared/data")
    data = plugins.load("datasets", name).load(SHARED)
    assert data.name == name
    assert (data.train.images.shape, data.test.images.shape) == ((60_000, 1, 28, 28), (10_000, 1, 28, 28))
    for part, counts in zip((data.train, data.test), COUNTS[name], strict=True):
        assert np.bincount(part.labels).tolist() == counts
    with gzip.open(SHARED / name / "t10k-images-idx3-ubyte.gz") as file:
        assert file.read()[16:] == data.test.images.tobytes()
    mean, deviation = {"mnist": (0.1307, 0.3081), "fashion-mnist": (0.2860, 0.3530)}[name]
    np.testing.assert_allclose(data.table[:, 0], (np.arange(256) / 255 - mean) / deviation, atol=2e-3)
