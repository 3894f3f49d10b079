"""Identity: a run's name follows its science, and nothing else, today and after settings have been added."""

from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from sparsebench import environment, identity, records
from sparsebench.config import Recipe, Roles, RunConfig, Ticket, Updates
from sparsebench.method import Method
from sparsebench.prepare import prepare

pytest_plugins = ("command_line",)

DATA = "d" * 64
CLOCK = Updates(delta_t=20, alpha=0.3, begin=0.0, end=0.75, anneal="cosine")
RIGL = RunConfig(
    model="lenet-300-100", dataset="digits", method="rigl", backend="torch", sparsity=0.9, seed=3,
    recipe=Recipe(steps=1000), updates=CLOCK,
)  # fmt: skip
PINNED = "digits_lenet-300-100_rigl_0.9_torch_seed3_bd47bac8158c"
LATER = ["f4a1ecc50c86", "5b8b6c64b086", "cea303b7d449"]
PINNED_CELL = "7b2bfe28b4c492eb"


def named(config=RIGL, data=DATA, method=1, model=1, backend=1):
    return identity.document(config, data, method, model, backend)["id"]


def changed(**settings):
    return RIGL.model_copy(update=settings)


def test_a_pinned_name():
    """If this fails, every run made before has lost its name: settings may be added, with a default, not changed."""
    assert named() == PINNED


def test_pinned_names_of_settings_that_came_later():
    """These too: a step schedule with a warm-up, and what the network sees and computes in."""
    schedule = {"schedule": "step", "milestones": [300, 600], "decay": 0.2, "warmup": 50}
    view = {"augmentation": "crop-flip", "standardise": "image", "accumulation": 4}
    computed = {"precision": "bfloat16", "memory_format": "channels-last", "evaluations": 5}
    names = [named(changed(recipe=Recipe(steps=1000, **later))) for later in (schedule, view, computed)]
    assert [name.removeprefix("digits_lenet-300-100_rigl_0.9_torch_seed3_") for name in names] == LATER


def test_a_pinned_cell():
    """So does a cell: its runs before and after a setting was added are seeds of one."""
    assert identity.cell(RIGL, identity.document(RIGL, DATA, 1, 1, 1)) == PINNED_CELL
    weighed = changed(weights="a" * 64)
    assert identity.cell(weighed, identity.document(weighed, DATA, 1, 1, 1)) != PINNED_CELL


SCIENCE = {
    "model": "lenet", "dataset": "mnist", "method": "set", "backend": "jax", "sparsity": 0.98, "seed": 4,
    "distribution": "uniform", "multiplier": 5.0, "rewind": 10, "ticket": Ticket(source="another"),
    "policy": Roles(stem="dense"), "weights": "a" * 64, "continued": "b" * 64,
}  # fmt: skip
RECIPE = {
    "optimizer": "adam", "learning_rate": 0.2, "schedule": "constant", "momentum": 0.8, "nesterov": True,
    "weight_decay": 1e-4, "label_smoothing": 0.1, "batch_size": 64, "steps": 2000, "milestones": (300.0,), "decay": 0.2,
    "warmup": 10.0, "accumulation": 2, "precision": "bfloat16", "memory_format": "channels-last",
    "standardise": "image", "augmentation": "crop-flip", "image_size": 64, "evaluations": 5,
}  # fmt: skip
UPDATES = {"delta_t": 10, "alpha": 0.5, "begin": 0.1, "end": 0.5, "anneal": "constant", "grown_value": "random"}

OTHERS = [
    *(changed(**{name: value}) for name, value in SCIENCE.items()),
    *(changed(recipe=RIGL.recipe.model_copy(update={name: value})) for name, value in RECIPE.items()),
    *(changed(updates=CLOCK.model_copy(update={name: value})) for name, value in UPDATES.items()),
]


def test_every_setting_that_decides_a_result_is_in_the_name():
    versions = [{"data": "e" * 64}, {"method": 2}, {"model": 2}, {"backend": 2}]
    names = [named(), *map(named, OTHERS), *(named(**version) for version in versions)]
    assert len(set(names)) == len(names)
    assert len(OTHERS) == sum(len(each.model_fields) for each in (RunConfig, Recipe, Updates)) - 3


def test_so_is_the_version_of_the_recipe(monkeypatch):
    before = named()
    monkeypatch.setattr(identity, "RECIPE_NUMERICS", identity.RECIPE_NUMERICS + 1)
    assert named() != before


class LaterRecipe(Recipe):
    clip: Annotated[float | None, Field(gt=0)] = None


class LaterUpdates(Updates):
    warmup: float | None = None


class LaterConfig(RunConfig):
    recipe: LaterRecipe
    updates: LaterUpdates = LaterUpdates()
    replicas: int = 1


def later(warmup=0.0, clip=None, **others):
    """The run in a version that has three more settings, its clock resolved to numbers."""
    recipe = LaterRecipe(**RIGL.recipe.model_dump(), clip=clip)
    updates = LaterUpdates(**CLOCK.model_dump(), warmup=warmup)
    return LaterConfig(**RIGL.model_dump(exclude={"recipe", "updates"}), recipe=recipe, updates=updates, **others)


def test_a_new_setting_does_not_rename_old_runs(monkeypatch):
    monkeypatch.setattr(Method, "warmup", 0.0, raising=False)
    assert named(later()) == named()
    assert len({named(), named(later(warmup=0.1)), named(later(clip=1.0)), named(later(replicas=2))}) == 4


def test_the_document_says_what_was_hashed():
    document = identity.document(RIGL, DATA, 1, 2, 3)
    assert RunConfig.model_validate(document.pop("config")) == RIGL
    assert document.pop("id") == named(model=2, backend=3)
    assert document == {
        "schema": records.SCHEMA,
        "data": DATA,
        "numerics": {"method": 1, "model": 2, "backend": 3, "recipe": identity.RECIPE_NUMERICS},
    }


@given(st.text(max_size=9), st.floats(0, 1, exclude_max=True), st.integers(0, 2**63 - 1))
def test_names_stay_in_their_folder(name, sparsity, seed):
    found = named(changed(dataset=f"x{name}", model=name, method=name, sparsity=sparsity, seed=seed))
    assert records.NAME.fullmatch(found)


# ---- what is resolved before it is hashed ---------------------------------------------------------------------


def asked(method="rigl", sparsity=0.5, multiplier=1.0, updates=None, **recipe):
    recipe = {"batch_size": 4} | (recipe or {"steps": 400})
    return RunConfig(
        model="lenet-300-100", dataset="dots", method=method, backend="toy", sparsity=sparsity, multiplier=multiplier,
        recipe=Recipe(**recipe), updates=Updates(**(updates or {})),
    )  # fmt: skip


def test_where_and_when_a_run_is_made_is_not_in_its_name(folder, tmp_path, monkeypatch):
    before = prepare(asked()).id
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setattr(environment, "commit", lambda: "0" * 12)
    assert prepare(asked(), data=tmp_path / "elsewhere").id == before


def test_settings_that_mean_the_same_have_one_name(folder):
    assert prepare(asked()).id == prepare(asked(updates={"delta_t": 100, "alpha": 0.3, "end": 0.75})).id
    assert prepare(asked("static", epochs=2)).id == prepare(asked("static", steps=8)).id
    assert prepare(asked("static", updates={"delta_t": 7})).id == prepare(asked("static")).id
    assert prepare(asked("dense", sparsity=0.9)).id == prepare(asked("dense", sparsity=0.0)).id
    assert prepare(asked(updates={"delta_t": 50})).id != prepare(asked()).id
    assert prepare(asked("pruning", updates={"alpha": 0.1, "anneal": "constant"})).id == prepare(asked("pruning")).id
    assert prepare(asked("pruning", updates={"end": 0.5})).id != prepare(asked("pruning")).id
    adam = {"steps": 400, "optimizer": "adam"}
    assert prepare(asked(**adam, momentum=0.5)).id == prepare(asked(**adam)).id
    assert prepare(asked(steps=400, momentum=0.5)).id != prepare(asked()).id


def test_a_memory_format_is_in_the_name_where_it_is_read(folder):
    last = {"steps": 400, "memory_format": "channels-last"}
    names = {
        backend: [prepare(asked(**each).model_copy(update={"backend": backend})).id for each in ({"steps": 400}, last)]
        for backend in ("torch", "jax")
    }
    assert names["jax"][0] == names["jax"][1]
    assert names["torch"][0] != names["torch"][1]


def test_a_schedule_has_one_name_in_epochs_and_in_steps(folder):
    """Four batches an epoch."""
    in_epochs = asked("static", epochs=100, schedule="step", milestones=[25, 50.25], warmup=5)
    in_steps = asked("static", steps=400, schedule="step", milestones=[100, 201], warmup=20)
    assert prepare(in_epochs).id == prepare(in_steps).id
    assert prepare(asked("static", steps=400, decay=0.5)).id == prepare(asked("static", steps=400)).id
    assert prepare(asked("static", steps=400, image_size=2)).id == prepare(asked("static", steps=400)).id


def test_a_name_never_rounds_a_sparsity_to_another(folder):
    assert "_rigl_0.99999999_" in prepare(asked(sparsity=0.99999999)).id
    assert "_rigl_0.5_" in prepare(asked(sparsity=0.5)).id


@pytest.mark.parametrize("multiplier", [0.5, 2.0, 5.0])
def test_a_multiplier_stretches_the_run_and_keeps_delta_t(folder, multiplier):
    once, more = prepare(asked()), prepare(asked(multiplier=multiplier))
    assert more.task.steps == 400 * multiplier
    assert more.config.updates.delta_t == once.config.updates.delta_t == 100
    last = more.method.events(more.task.steps)[-1].iteration
    assert 300 * multiplier - 100 <= last < 300 * multiplier
    same_length = prepare(asked(steps=round(400 * multiplier)))
    assert len({once.id, more.id, same_length.id}) == 3
