"""The data that any backend may use on the host: what the oracle makes image by image, in memory and from a folder."""

import numpy as np
import pytest

import probe as shows
import small_folder
from probe import probe
from sparsebench.config import Recipe
from sparsebench.data.folder import dataset as folder_of
from sparsebench.data.host import HostData
from sparsebench.trainer import Task
from tasks import images

RECIPES = {
    "plain": {},
    "in parts": {"accumulation": 4},
    "augmented": {"augmentation": "crop-flip"},
    "standardised": {"standardise": "image", "augmentation": "crop-flip", "accumulation": 2},
}


def joined(parts):
    return tuple(np.concatenate(each) for each in zip(*parts, strict=True))


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_batch_is_the_oracles(recipe):
    job = Task(probe, images((2, 6, 6)), Recipe(steps=24, batch_size=8, **RECIPES[recipe]), 24)
    data, feed = HostData(), job.feed(7)
    for i in (0, 7, 8, 17):
        parts = data.parts(job, feed, i)
        assert [len(labels) for _, labels in parts] == [8 // job.recipe.accumulation] * job.recipe.accumulation
        for found, wanted in zip(joined(parts), shows.batch(job, feed, i), strict=True):
            assert found.tobytes() == wanted.tobytes()


def test_a_streamed_batch_is_the_oracles(tmp_path):
    dataset = folder_of("small", small_folder.write(tmp_path))
    recipe = Recipe(steps=4, batch_size=2, augmentation="resized-crop-flip")
    job = Task(probe, dataset, recipe, 4)
    data, feed = HostData(), job.feed(1)
    for i in range(4):
        for found, wanted in zip(joined(data.parts(job, feed, i)), shows.batch(job, feed, i), strict=True):
            assert found.tobytes() == wanted.tobytes()
    data.close()
    assert_evaluated(job, dataset.test)


@pytest.mark.parametrize("samples", [7, 1000, 1003])
def test_evaluation_sees_every_sample_once(samples):
    dataset = images((2, 6, 6), test=samples)
    assert_evaluated(Task(probe, dataset, Recipe(steps=24, batch_size=8, augmentation="crop-flip"), 24), dataset.test)


def assert_evaluated(job, split):
    pixels, labels = joined(HostData().evaluation(job, "test"))
    wanted = np.stack([shows.plain_image(job.dataset, split, job.recipe, k) for k in range(len(split.labels))])
    assert pixels.tobytes() == wanted.tobytes()
    assert labels.tolist() == split.labels.tolist()
