"""Crop and flip, standardisation, streams: what a network sees is to the bit what an image-by-image oracle makes."""

from dataclasses import replace
from functools import partial
from itertools import islice, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import probe as shows
import small_folder
from probe import probe, shown
from sparsebench.config import Recipe
from sparsebench.data.augmentation import windows
from sparsebench.data.feed import Feed
from sparsebench.data.folder import dataset as folder_of
from sparsebench.data.source import Split
from sparsebench.data.source import standardised as per_image
from sparsebench.data.stream import Stream
from sparsebench.environment import threads
from sparsebench.method import Event
from sparsebench.methods.dense import dense
from sparsebench.methods.rigl import rigl
from sparsebench.methods.static import static
from sparsebench.models import initial_weights
from sparsebench.trainer import Task
from sparsebench_models.lenet import lenet_300_100
from tasks import begin, bits, conv, images, one_thread, short, task, trainer_on, update, walk

pytest_plugins = ("reading_threads",)

DRAWS = st.integers(0, 2**64 - 1)


# ---- crop and flip ------------------------------------------------------------------------------------------------


@given(
    pixels=st.tuples(st.integers(1, 3), st.integers(5, 12), st.integers(5, 12)).flatmap(
        lambda shape: hnp.arrays(np.uint8, shape, elements=st.integers(0, 255))
    ),
    draws=st.lists(DRAWS, min_size=1, max_size=5),
)
def test_rows_and_columns_are_the_oracles_window(pixels, draws):
    height, width = pixels.shape[1:]
    rows, columns = windows(np.array([draws], np.uint64), (height, width))
    assert (rows.dtype, columns.dtype) == (np.int32, np.int32)
    assert (rows.shape, columns.shape) == ((1, len(draws), height), (1, len(draws), width))
    for row, column, draw in zip(rows[0], columns[0], draws, strict=True):
        np.testing.assert_array_equal(pixels[:, row[:, None], column], shows.window(pixels, draw), strict=True)


def test_every_offset_comes_up_once_in_nine():
    """Over all words of 16 bits, and rows do not look at what decides columns, nor these at the flip."""
    words = np.arange(2**16, dtype=np.uint64)
    top = {0: words, 16: words << np.uint64(16)}
    for shift, place in ((0, 0), (16, 1)):
        first = windows(top[shift], (9, 9))[place][:, 4]
        assert sorted(set(np.bincount(first).tolist())) == [7281, 7282]
        assert len(np.unique(windows(top[16 - shift], (9, 9))[place], axis=0)) == 1
    high = windows(np.arange(2**9, dtype=np.uint64) << np.uint64(32), (11, 11))
    assert [len(np.unique(each, axis=0)) for each in high] == [1, 2]


def test_offsets_and_flips_are_uniform_and_independent():
    """Chi-square of 9 × 9 × 2 cells over the draws of four epochs: 161 degrees of freedom."""
    rows, columns = windows(Feed(8100, 8100, 5).draws(0, 4).ravel(), (17, 17))
    flipped = (columns[:, 8] > columns[:, 9]).astype(int)  # around the middle nothing is mirrored
    counts = np.zeros((9, 9, 2))
    np.add.at(counts, (rows[:, 8] - 4, columns[:, 8] - 4, flipped), 1)
    assert ((counts - 200) ** 2 / 200).sum() < 221.1, "221.1 is passed once in a thousand"


# ---- each image by its own moments --------------------------------------------------------------------------------


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 6), st.integers(1, 6))))
def test_images_are_standardised_as_in_float64(pixels):
    found = per_image(Split(pixels, np.zeros(len(pixels), np.int32)))
    assert found.dtype == np.float32
    for image, wanted in zip(found, map(shows.standardised, pixels), strict=True):
        assert (np.abs(image - wanted) <= np.spacing(np.abs(wanted))).all(), "in the last digit at most"


def test_an_image_of_one_value_becomes_nothing_and_blocks_do_not_show():
    pixels = np.repeat(np.arange(1030, dtype=np.uint8)[:, None, None, None], 9, axis=2).reshape(-1, 1, 3, 3).copy()
    assert not per_image(Split(pixels, np.zeros(1030, np.int32))).any()
    pixels[:, 0, 0, 0] ^= 1
    found = per_image(Split(pixels, np.zeros(1030, np.int32)))
    assert (found[1023:1026] == np.stack([shows.standardised(image) for image in pixels[1023:1026]])).all()
    assert abs(found[:, 0, 0, 0]) == pytest.approx(8 / 9 / (1 / 3), rel=1e-6)  # σ = √8/9 is below 1/√9


# ---- what both frameworks see --------------------------------------------------------------------------------------

VIEWS = {
    "plain": {},
    "crop-flip": {"augmentation": "crop-flip"},
    "image": {"standardise": "image"},
    "both": {"augmentation": "crop-flip", "standardise": "image"},
    "in parts": {"augmentation": "crop-flip", "accumulation": 4},
}
STREAMED = {
    "centre": {},
    "resized": {"augmentation": "resized-crop-flip"},
    "in parts": {"augmentation": "resized-crop-flip", "accumulation": 2},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five images to train with, three to validate with, of 16 pixels a side."""
    found = folder_of("small", small_folder.write(tmp_path_factory.mktemp("small")))
    return replace(found, train=found.train.at(16), test=found.test.at(16))


@pytest.fixture
def streaming(backend):
    """A trainer of its own, whose threads end with the test."""
    trainer = backend.trainer("cpu")
    one_thread()
    yield trainer
    if trainer._data._ahead._batches:
        trainer._data._ahead._batches.close()


def streamed(folder, model=probe, steps=7, **recipe):
    return Task(model, folder, Recipe(steps=steps, batch_size=2, **recipe), steps)


def assert_seen(trainer, job, iterations, seed=7):
    """In training, in an update, and by whoever asks the data for it."""
    state, feed = begin(trainer, job, static, 0.0, seed), job.feed(seed)
    for i in iterations:
        wanted, labels = shows.batch(job, feed, i)
        assert [found.tobytes() for found in taken(trainer, job, feed, i)] == [wanted.tobytes(), labels.tobytes()]
        event = Event(i, 0.5, replaces_step=True)
        for call in (trainer.train, partial(update, trainer, job)):
            arguments = (static, feed, i, i + 1) if call == trainer.train else (rigl, event, 0.0, seed)
            parts, (state, _) = shown(partial(call, state, *arguments))
            assert len(parts) == job.recipe.accumulation
            assert np.concatenate(parts).tobytes() == wanted.tobytes()


def taken(trainer, job, feed, i):
    """(images float32, labels int32) of a batch, straight from the backend's data."""
    data = trainer._data
    if "jax" in type(trainer).__module__:
        import jax

        from sparsebench_jax.batches import look

        batch, see = data.batch(job, feed, i), jax.jit(look)
        parts = zip(*batch, strict=True) if job.recipe.accumulation > 1 else [batch]
        seen = [see(data.origin(job, "train"), part) for part in parts]
        return [np.concatenate(each) for each in zip(*seen, strict=True)]
    (parts,) = data.batches(job, feed, i, i + 1)
    return [
        np.concatenate([each.numpy() for each in part]).astype(kind)
        for part, kind in zip(zip(*parts, strict=True), (np.float32, np.int32), strict=True)
    ]


@pytest.mark.parametrize("view", VIEWS)
def test_batches_in_memory_are_the_oracles(backend, view):
    assert_seen(trainer_on(backend.name), task(probe, dataset=images((2, 6, 7)), **VIEWS[view]), [0, 7, 8, 17])


def test_so_they_are_in_jax_step_by_step(monkeypatch):
    trainer = trainer_on("jax")
    monkeypatch.setattr(trainer, "steps_from_host", lambda task: True)
    assert_seen(trainer, task(probe, dataset=images((2, 6, 7)), **VIEWS["both"]), [0, 7, 8, 17])


@pytest.mark.parametrize("view", STREAMED)
def test_batches_of_a_folder_are_the_oracles(streaming, folder, view):
    assert_seen(streaming, streamed(folder, **STREAMED[view]), [0, 1, 2, 5, 4])


def test_runs_of_one_trainer_do_not_mix(streaming, folder, reading):
    """Another seed, view or split is another run, and the threads of the one before have ended."""
    jobs = [
        (streamed(folder), 1),
        (streamed(folder), 2),
        (streamed(folder, augmentation="resized-crop-flip"), 2),
        (streamed(replace(folder, train=folder.test)), 2),
    ]
    for job, seed in [*jobs, *jobs]:
        assert_seen(streaming, job, [0, 1], seed)
        assert 0 < len(reading()) <= threads()


class Ramp(Stream):
    """Images of all values that a pixel can have."""

    def image(self, index, draw):
        return np.stack([np.roll(np.arange(256), c + index).reshape(16, 16) for c in range(3)]).astype(np.uint8)


def test_every_value_of_a_pixel_has_its_place_in_the_table(streaming, folder):
    """255 too, the last that an index of eight bits reaches."""
    ramp = Ramp(folder.train.paths, folder.train.labels, 16)
    assert_seen(streaming, streamed(replace(folder, train=ramp)), [0, 1])


# ---- evaluation -----------------------------------------------------------------------------------------------------


def assert_evaluated(trainer, job, which):
    """Every sample once, in order, as it is; what pads the last batch weighs nothing."""
    split, state = getattr(job.dataset, which), begin(trainer, job, dense, 0.0)
    parts, metrics = shown(partial(trainer.evaluate, state, which))
    count = len(split.labels)
    assert len(parts) == -(-count // job.evaluation_batch) > 1
    wanted = np.stack([shows.plain_image(job.dataset, split, job.recipe, k) for k in range(count)])
    assert np.concatenate(parts)[:count].tobytes() == wanted.tobytes()
    means, weights = wanted.astype(np.float64).mean((1, 2, 3)), initial_weights(probe, job.input, 0)
    logits = means[:, None] * weights["fc.weight"].T + weights["fc.bias"]
    losses = np.log(np.exp(logits).sum(1)) - logits[range(count), split.labels]
    assert metrics.loss == pytest.approx(losses.mean(), rel=1e-6)
    assert metrics.accuracy * count == pytest.approx((logits.argmax(1) == split.labels).sum(), abs=1e-9)


@pytest.mark.parametrize("which", ["train", "test"])
@pytest.mark.parametrize("view", ["crop-flip", "both"])
def test_evaluation_in_memory_is_not_augmented(backend, view, which, monkeypatch):
    monkeypatch.setattr("sparsebench.trainer.EVALUATION_BATCH", 9)
    assert_evaluated(trainer_on(backend.name), task(probe, dataset=images((2, 6, 7)), **VIEWS[view]), which)


@pytest.mark.parametrize("which", ["train", "test"])
def test_evaluation_of_a_folder_is_not_augmented(streaming, folder, which, monkeypatch):
    monkeypatch.setattr("sparsebench.trainer.EVALUATION_BATCH", 2)
    data = folder if which == "train" else replace(folder, classes=4)
    assert_evaluated(streaming, streamed(data, augmentation="resized-crop-flip"), which)


# ---- whatever the segmentation, and from the middle -----------------------------------------------------------------


def trained(trainer, job, cuts, seed=3):
    """(losses, snapshot) of training with these cuts, from the first to the last."""
    state, losses = begin(trainer, job, static, 0.5, seed), []
    for start, stop in pairwise(cuts):
        state, tally = trainer.train(state, static, job.feed(seed), start, stop)
        losses += tally.losses.tolist()
    return losses, bits(trainer.snapshot(state))


@settings(max_examples=4)
@given(st.sets(st.integers(1, 19), max_size=6))
def test_segments_in_memory_do_not_show(backend, cuts):
    job = task(conv, 20, augmentation="crop-flip", standardise="image", accumulation=2)
    trainer = trainer_on(backend.name)
    assert trained(trainer, job, [0, *sorted(cuts), 20]) == trained(trainer, job, [0, 20])


def test_segments_of_a_folder_do_not_show(streaming, folder):
    job = streamed(folder, lenet_300_100, augmentation="resized-crop-flip")
    whole = trained(streaming, job, [0, 7])
    assert len(set(whole[0])) == 7
    assert trained(streaming, job, list(range(8))) == whole
    assert trained(streaming, job, [0, 3, 7]) == whole


def assert_resumes(trainer, fresh, job, cut, sparsity=0.7):
    """Straight on, and from a snapshot in a trainer that has seen nothing: losses and everything else, to the bit."""
    method = short(rigl, alpha=0.6)
    straight = [(loss, state) for _, loss, state in walk(trainer, job, method, sparsity)]
    losses, whole = [loss for loss, _ in straight], bits(trainer.snapshot(straight[-1][1]))
    for _, _, state in islice(walk(trainer, job, method, sparsity), cut):
        arrays = trainer.snapshot(state)
    rest = walk(fresh, job, method, sparsity, state=fresh.restore(job, arrays), start=cut)
    resumed = [(loss, state) for _, loss, state in rest]
    assert [loss for loss, _ in resumed] == losses[cut:]
    assert bits(fresh.snapshot(resumed[-1][1])) == whole


def test_augmented_training_resumes_within_an_epoch(backend):
    job = task(conv, 14, augmentation="crop-flip", accumulation=2, optimizer="adam", learning_rate=0.01)
    assert_resumes(trainer_on(backend.name), backend.trainer("cpu"), job, 5)


def test_streamed_training_resumes_within_an_epoch(streaming, backend, folder):
    job, fresh = streamed(folder, lenet_300_100, 9, augmentation="resized-crop-flip"), backend.trainer("cpu")
    assert_resumes(streaming, fresh, job, 3)
    fresh._data._ahead._batches.close()
