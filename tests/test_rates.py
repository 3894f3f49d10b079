"""Learning rates from formulas of their own, lengths in every unit, and recipes that a run or its data cannot bear."""

import json
import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

import small_folder
from sparsebench import fitting, records
from sparsebench.config import Recipe, RunConfig, Updates
from sparsebench.data.folder import dataset as folder_of
from sparsebench.errors import UserError
from sparsebench.prepare import prepare
from sparsebench_jax import backend as jax_backend
from sparsebench_torch import backend as torch_backend
from tasks import gated, images, task

pytest_plugins = ("command_line",)

NOISE = images((1, 4, 4), 640)
"""80 batches of 8 in an epoch."""


def resolved(multiplier=1.0, dataset=NOISE, backend=torch_backend, **recipe):
    return fitting.resolved(Recipe(**{"batch_size": 8} | recipe), multiplier, dataset, backend)


def rates(recipe, start=0, stop=None):
    """Of a task with this recipe, whose lengths are in steps."""
    job = replace(task(gated), recipe=recipe, steps=recipe.steps)
    return job.rates(start, recipe.steps if stop is None else stop)


# ---- the formula ----------------------------------------------------------------------------------------------


def expected(recipe, i):
    """In another form: the squared cosine, a product over milestones, a rise by whole steps."""
    rate = Fraction(recipe.learning_rate)
    if recipe.schedule == "cosine":
        rate *= Fraction(math.cos(math.pi / 2 * i / recipe.steps) ** 2)
    if recipe.schedule == "step":
        for milestone in recipe.milestones:
            rate *= Fraction(recipe.decay) if i >= milestone else 1
    return float(rate * (Fraction(i) / Fraction(recipe.warmup) if i < recipe.warmup else 1))


@st.composite
def recipes(draw):
    steps, schedule = draw(st.integers(2, 300)), draw(st.sampled_from(["cosine", "constant", "step"]))
    falls = {
        "milestones": sorted(draw(st.sets(st.integers(1, steps - 1), min_size=1, max_size=4))),
        "decay": draw(st.sampled_from([0.1, 0.2]) | st.floats(0.01, 0.99)),
    }
    return resolved(
        steps=steps, schedule=schedule, warmup=draw(st.integers(0, steps - 1)),
        learning_rate=draw(st.floats(1e-4, 10)), **falls if schedule == "step" else {},
    )  # fmt: skip


@given(recipes(), st.data())
def test_every_schedule_with_every_warm_up_is_its_formula(recipe, data):
    fitting.check_rates(recipe)
    found = rates(recipe)
    assert found.dtype == np.float64
    wanted = [expected(recipe, i) for i in range(recipe.steps)]
    assert found.tolist() == pytest.approx(wanted, rel=1e-12, abs=1e-15 * recipe.learning_rate)
    start, stop = sorted(data.draw(st.tuples(*[st.integers(0, recipe.steps)] * 2)))
    assert rates(recipe, start, stop).tolist() == found[start:stop].tolist()


@given(recipes())
def test_rates_rise_in_a_warm_up_and_never_after_it(recipe):
    found, top = rates(recipe), int(recipe.warmup)
    assert found[top:].tolist() == sorted(found[top:], reverse=True)
    assert (found[0] == 0) == (recipe.warmup > 0)
    if recipe.schedule == "constant":
        assert found[:top].tolist() == sorted(set(found[:top]))
        assert set(found[top:]) == {recipe.learning_rate}


def test_the_cifar_recipe():
    """97,656 steps: 0.1, a fifth of it from 30,000 on, and again from 60,000 and 90,000 on."""
    recipe = resolved(steps=97_656, schedule="step", milestones=[30_000, 60_000, 90_000], decay=0.2, learning_rate=0.1)
    fitting.check_rates(recipe)
    at = [0, 29_999, 30_000, 59_999, 60_000, 89_999, 90_000, 97_655]
    found = [rates(recipe, i, i + 1)[0] for i in at]
    assert found == pytest.approx([0.1, 0.1, 0.02, 0.02, 0.004, 0.004, 0.0008, 0.0008], rel=1e-14)
    assert found[0] == 0.1


class Counted:
    """As many labels as ImageNet has, and nothing else of it."""

    shape = (3, 224, 224)

    def __init__(self, samples):
        self.labels = range(samples)
        self.train = self


def test_the_imagenet_recipe():
    """Batch 4096, 312 of them in an epoch: from 0 to 1.6 in five epochs, a tenth after 30, 70 and 90 of 100."""
    recipe = resolved(
        dataset=Counted(1_281_167), batch_size=4096, epochs=100, schedule="step", milestones=[30, 70, 90], warmup=5,
        learning_rate=1.6,
    )  # fmt: skip
    assert (recipe.steps, recipe.warmup, recipe.epochs) == (31_200, 1560, None)
    assert recipe.milestones == (9360, 21_840, 28_080)
    wanted = {
        0: 0, 1: 1.6 / 1560, 780: 0.8, 1559: 1.6 * 1559 / 1560, 1560: 1.6, 9359: 1.6, 9360: 0.16, 21_839: 0.16,
        21_840: 0.016, 28_079: 0.016, 28_080: 0.0016, 31_199: 0.0016,
    }  # fmt: skip
    found = [rates(recipe, i, i + 1)[0] for i in wanted]
    assert found == pytest.approx(list(wanted.values()), rel=1e-14)


# ---- units and multipliers --------------------------------------------------------------------------------------


@given(
    epochs=st.integers(2, 9), first=st.floats(0.1, 0.9), second=st.floats(1, 1.9), warmup=st.floats(0, 1.9),
    multiplier=st.sampled_from([0.5, 1.0, 2.0, 5.0]),
)  # fmt: skip
def test_epochs_and_steps_resolve_alike(epochs, first, second, warmup, multiplier):
    shape = {"schedule": "step", "decay": 0.3}
    in_epochs = resolved(multiplier, epochs=epochs, milestones=[first, second], warmup=warmup, **shape)
    in_steps = resolved(
        multiplier, steps=80 * epochs, milestones=[80 * first, 80 * second], warmup=80 * warmup, **shape
    )
    assert in_epochs.steps == in_steps.steps == 80 * epochs * multiplier
    assert in_epochs.epochs is in_steps.epochs is None
    near = [80 * multiplier * each for each in (first, second, warmup)]
    assert [*in_epochs.milestones, in_epochs.warmup] == pytest.approx(near, abs=0.5 + 1e-9)
    whole = [*in_epochs.milestones, in_epochs.warmup]
    assert whole == [float(round(each)) for each in whole], "a step is a whole number"
    assume(all(abs(each % 1 - 0.5) > 1e-6 for each in near))
    assert in_epochs == in_steps


@pytest.mark.parametrize("multiplier", [0.5, 2.0, 5.0])
def test_a_multiplier_stretches_all_of_the_schedule_and_leaves_delta_t(folder, multiplier):
    recipe = Recipe(steps=400, batch_size=4, schedule="step", milestones=[100, 300], warmup=20)
    once, more = (
        prepare(RunConfig(model="lenet-300-100", dataset="dots", method="rigl", backend="toy", sparsity=0.5,
                          recipe=recipe, updates=Updates(delta_t=50), multiplier=factor))
        for factor in (1.0, multiplier)
    )  # fmt: skip
    assert more.task.steps == 400 * multiplier
    assert more.config.recipe.milestones == (100 * multiplier, 300 * multiplier)
    assert more.config.recipe.warmup == 20 * multiplier
    assert more.config.updates == once.config.updates
    assert more.method.events(more.task.steps)[0].iteration == 50
    places = [0, 10, 20, 98, 100, 298, 300, 398]
    found = [more.task.rates(int(i * multiplier), int(i * multiplier) + 1)[0] for i in places]
    assert found == pytest.approx([once.task.rates(i, i + 1)[0] for i in places])


def test_what_nothing_reads_leaves_the_recipe():
    plain = resolved(steps=9)
    assert resolved(steps=9, decay=0.5) == plain
    assert resolved(steps=9, image_size=4) == plain
    assert resolved(steps=9, optimizer="adam", momentum=0.5) == resolved(steps=9, optimizer="adam")
    last = {"steps": 9, "memory_format": "channels-last"}
    assert resolved(backend=jax_backend, **last) == resolved(backend=jax_backend, steps=9)
    assert resolved(**last) != plain
    stepped = {"steps": 9, "schedule": "step", "milestones": [3]}
    assert resolved(**stepped, decay=0.5) != resolved(**stepped)


def test_a_resolved_recipe_can_be_read_again():
    """As records are."""
    recipe = resolved(2.0, epochs=1.3, schedule="step", milestones=[0.11, 0.7], warmup=0.33, accumulation=4)
    assert Recipe.model_validate(json.loads(recipe.model_dump_json())) == recipe


# ---- what cannot be -----------------------------------------------------------------------------------------------

SETTINGS = {
    "without milestones": ({"schedule": "step"}, "schedule step needs milestones"),
    "without schedule step": ({"milestones": [3]}, "only schedule step has them, not cosine: leave them out"),
    "not increasing": ({"schedule": "step", "milestones": [5, 3]}, r"\[5.0, 3.0\]: each must be later than the one"),
    "twice": ({"schedule": "step", "milestones": [3, 3]}, "each must be later than the one before"),
    "at the start": ({"schedule": "step", "milestones": [0]}, "greater than 0"),
    "never": ({"schedule": "step", "milestones": [math.inf]}, "finite"),
    "no warm-up": ({"warmup": math.inf}, "finite"),
    "growth": ({"schedule": "step", "milestones": [3], "decay": 1}, "less than 1"),
    "parts": ({"batch_size": 8, "accumulation": 3}, "3 parts of a batch of 8 .*choose a number that divides"),
    "more parts than samples": ({"batch_size": 8, "accumulation": 16}, "16 parts of a batch of 8"),
    "no parts": ({"accumulation": 0}, "greater than 0"),
}


@pytest.mark.parametrize(("recipe", "told"), SETTINGS.values(), ids=SETTINGS)
def test_settings_that_contradict_each_other(recipe, told):
    with pytest.raises(ValidationError, match=told):
        Recipe(steps=9, **recipe)


LATE = {
    "at the end": ({"milestones": [9]}, r"^milestone at step 9 of a run of 9: .*before its end$"),
    "after it": ({"milestones": [3, 10.4]}, "milestone at step 10 of a run of 9"),
    "before the first step": ({"milestones": [0.2]}, "milestone at step 0 of a run of 9"),
    "the same step": ({"milestones": [5.2, 5.4]}, "^milestones at steps 5, 5: .*set them further apart$"),
    "warm-up": ({"milestones": [5], "warmup": 9}, "^warm-up of 9 steps in a run of 9: make it shorter than the run$"),
}


@pytest.mark.parametrize(("recipe", "told"), LATE.values(), ids=LATE)
def test_schedules_that_end_after_the_run(recipe, told):
    with pytest.raises(UserError, match=told):
        fitting.check_rates(resolved(steps=9, schedule="step", **recipe))


@given(recipes(), st.sampled_from([0.01, 0.1, 0.37]))
def test_what_is_not_refused_can_be_recorded(recipe, multiplier):
    short = fitting.resolved(recipe, multiplier, NOISE, torch_backend)
    try:
        fitting.check_rates(short)
    except UserError:
        return
    assert Recipe.model_validate(json.loads(short.model_dump_json())) == short


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return small_folder.write(tmp_path_factory.mktemp("pictures"))


MEMORY = {
    "resized in memory": (fitting.check_view, {"augmentation": "resized-crop-flip"}, "in memory: use 'crop-flip' or"),
    "small images": (fitting.check_view, {"augmentation": "crop-flip"}, "4 pixels and images .* 3 × 3: use 'none'"),
    "size in memory": (fitting.check_size, {"image_size": 8}, "image_size 8: .* 4 pixels a side.*; leave it out"),
}
FOLDER = {
    "crop on a folder": ({"augmentation": "crop-flip"}, "read from a folder: use 'resized-crop-flip' or 'none'"),
    "image on a folder": ({"standardise": "image"}, "in memory, .* is read from a folder: use 'channel'"),
}


@pytest.mark.parametrize(("check", "recipe", "told"), MEMORY.values(), ids=MEMORY)
def test_views_that_images_in_memory_do_not_have(check, recipe, told):
    with pytest.raises(UserError, match=told) as error:
        check(Recipe(steps=9, **recipe), images((1, 3, 3)) if "3 × 3" in told else NOISE)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("recipe", "told"), FOLDER.values(), ids=FOLDER)
def test_views_that_images_of_a_folder_do_not_have(pictures, recipe, told):
    with pytest.raises(UserError, match=told) as error:
        fitting.check_view(Recipe(steps=9, **recipe), folder_of("small", pictures))
    assert "\n" not in str(error.value)


def test_views_that_are_not_refused(pictures):
    fitting.check_view(Recipe(steps=9, augmentation="crop-flip", standardise="image"), images((1, 5, 5)))
    small = folder_of("small", pictures)
    fitting.check_view(Recipe(steps=9, augmentation="resized-crop-flip"), small)
    fitting.check_size(Recipe(steps=9, image_size=32), small)
    assert fitting.sized(small, Recipe(steps=9, image_size=32)).shape == (3, 32, 32)
    assert fitting.sized(small, Recipe(steps=9)) is small


TRAIN = ["train", "--dataset", "dots", "--backend", "toy", "--recipe.batch-size", "4", "--recipe.steps", "9"]
STEP = [*TRAIN, "--method", "static", "--recipe.schedule", "step"]
COMMANDS = {
    "late": ([*STEP, "--recipe.milestones", "9"], "milestone at step 9 of a run of 9"),
    "same": ([*STEP, "--recipe.milestones", "5.2", "--recipe.milestones", "5.4"], "no two may be the same step"),
    "no milestones": (STEP, "--recipe: schedule step needs milestones"),
    "warm-up": ([*TRAIN, "--method", "static", "--recipe.warmup", "9"], "warm-up of 9 steps in a run of 9"),
    "parts": ([*TRAIN, "--recipe.accumulation", "3"], "--recipe.accumulation: 3 parts of a batch of 4"),
    "augmentation": (
        [*TRAIN, "--method", "static", "--recipe.augmentation", "crop-flip"], "'dots' are 2 × 2: use 'none'",
    ),
    "size": ([*TRAIN, "--method", "static", "--recipe.image-size", "3"], "'dots' are 2 pixels a side"),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "told"), COMMANDS.values(), ids=COMMANDS)
def test_refused_on_the_command_line_in_one_line(command, folder, arguments, told):
    code, out, err = command(*arguments)
    assert (code, out, len(err)) == (2, [], 1), err
    assert told in err[0]
    assert [path.name for path in folder.iterdir()] == ["toys.toml"], "nothing is written"


def test_a_schedule_on_the_command_line_is_recorded(command):
    words = [*STEP, "--recipe.milestones", "3", "--recipe.milestones", "6", "--recipe.decay", "0.2"]
    assert command(*words, "--recipe.warmup", "2")[0] == 0
    (record,) = [records.read(path.parent) for path in Path("runs").glob("*/result.json")]
    recipe = record.config.recipe
    assert (recipe.milestones, recipe.decay, recipe.warmup) == ((3, 6), 0.2, 2)
