"""A run begun in one backend goes on in the other: state to the bit, next masks, cost, and about the end."""

import json
import shutil
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from sparsebench import checkpoints, handover, identity, records, runner
from sparsebench.cli import main
from sparsebench.config import Recipe, RunConfig, Updates
from sparsebench.errors import UserError
from sparsebench.method import Event
from sparsebench.methods.rigl import rigl
from sparsebench.methods.set import set_
from sparsebench.methods.snfs import snfs
from sparsebench.prepare import prepare
from sparsebench.snapshots import ASIDE, STEPS
from tasks import bits, conv, gated, half, scripted, short, task, trainer_on, update, walk
from test_resume import Cut, cut_at, same
from test_snapshot import through_file

WAYS = [("torch", "jax"), ("jax", "torch")]
DONE, STEPS_IN_ALL = 5, 14
STATES = {
    "momentum": (gated, set_, {}),
    "no momentum": (gated, rigl, {"momentum": 0.0}),
    "nesterov, mean of gradients": (gated, snfs, {"nesterov": True}),
    "adam, statistics": (conv, rigl, {"optimizer": "adam", "learning_rate": 0.01, "weight_decay": 1e-2}),
    "adamw, bfloat16": (half, set_, {"optimizer": "adamw", "learning_rate": 0.01, "weight_decay": 0.1}),
}


def common(arrays):
    """What all backends know, bits and all; a count of steps is a number, in whatever type."""
    found = {name: array for name, array in arrays.items() if not name.startswith(ASIDE)}
    return bits({name: np.float64(array) if name.startswith(STEPS) else array for name, array in found.items()})


def carried(way, model, method, recipe, place):
    """(task, its state after a few steps in one backend, the same in the other, both trainers)."""
    first, second = map(trainer_on, way)
    job = task(model, STEPS_IN_ALL, **recipe)
    *_, (_, _, state) = islice(walk(first, job, short(method), 0.7), DONE)
    return job, state, second.restore(job, through_file(first.snapshot(state), place)), first, second


# ---- the state ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS, ids="-".join)
@pytest.mark.parametrize("name", STATES)
def test_the_other_backend_has_the_same_state(way, name, tmp_path):
    model, method, recipe = STATES[name]
    job, before, after, first, second = carried(way, model, method, recipe, tmp_path)
    assert bits(second.weights(after)) == bits(first.weights(before))
    assert bits(second.masks(after)) == bits(first.masks(before))
    assert common(second.snapshot(after)) == common(first.snapshot(before))
    ends = [
        trainer.train(state, method, job.feed(0), DONE, DONE + 2)
        for trainer, state in ((first, before), (second, after))
    ]
    losses = [tally.losses for _, tally in ends]
    np.testing.assert_allclose(*losses, rtol=2e-2 if model is half else 1e-5)
    weights = [trainer.weights(state) for trainer, (state, _) in zip((first, second), ends, strict=True)]
    for key, weight in weights[0].items():
        if key.endswith(".weight"):  # of biases before a normalisation, and so of its means, Adam moves rounding errors
            np.testing.assert_allclose(weights[1][key], weight, atol=2e-2 if model is half else 1e-5)


@pytest.mark.parametrize("way", WAYS, ids="-".join)
@pytest.mark.parametrize(
    ("model", "method"), [(conv, set_), (scripted, rigl), (conv, snfs)], ids=["set", "rigl", "snfs"]
)
def test_the_next_masks_are_those_that_the_first_backend_would_choose(way, model, method, tmp_path):
    job, before, after, first, second = carried(way, model, method, {"learning_rate": 0.01}, tmp_path)
    event = Event(DONE, 0.5, replaces_step=method is rigl)
    old = bits(first.masks(before))
    before, report = update(first, job, before, method, event, 0.7)
    after, again = update(second, job, after, method, event, 0.7)
    assert bits(second.masks(after)) == bits(first.masks(before)) != old
    assert again.layers == report.layers


# ---- the run --------------------------------------------------------------------------------------------------


def config(backend, method="rigl", steps=60, **settings):
    return RunConfig(
        model="lenet-300-100", dataset="digits", method=method, sparsity=0.9, backend=backend,
        recipe=Recipe(steps=steps, batch_size=32, evaluations=3), updates=Updates(delta_t=7), **settings,
    )  # fmt: skip


def cut(run, root, done):
    """The newest checkpoint of a run that is ended there."""
    with pytest.raises(Cut):
        runner.run(run, root, progress=cut_at(done), keep=runner.Keep(0))
    return max(path for path in checkpoints.folder(root, run.id).iterdir() if path.name.isdigit())


def handed(settings, place):
    """The run of these settings that goes on from a checkpoint."""
    return prepare(settings.model_copy(update={"continued": handover.given(place).digest}), checkpoint=place)


@pytest.fixture(scope="module", params=WAYS, ids="-".join)
def handed_over(request, tmp_path_factory):
    """(first backend, second, checkpoint, the prepared run, its record's folder)."""
    way, root = request.param, tmp_path_factory.mktemp("runs")
    place = cut(prepare(config(way[0])), root, 33)
    run = handed(config(way[1]), place)
    return *way, place, run, runner.run(run, root)


def test_a_record_says_that_it_is_of_two_backends(handed_over):
    first, second, place, run, path = handed_over
    record, done = records.read(path), int(place.name)
    assert record.config.backend == second
    before = json.loads((path / "config.json").read_text())["continued"]
    assert before["run"] == prepare(config(first)).id
    assert (before["backend"], before["done"]) == (first, done)
    assert first in record.environment["continued"]["packages"]
    assert first not in record.environment["packages"]
    assert record.environment["resumed"] == [done]
    assert record.id not in {prepare(config(backend)).id for backend in (first, second)}
    assert identity.cell(run.config, run.identity) != identity.cell(run.config, prepare(config(second)).identity)


def test_its_cost_and_journal_are_of_both_parts(handed_over, tmp_path):
    _, second, place, _, path = handed_over
    record, until = records.read(path), checkpoints.read(place)
    events = record.events()
    assert events[: len(until.events)] == until.events
    trained = [event for event in events if event["kind"] == "train"]
    steps = [i for event in trained for i in range(event["start"], event["stop"])]
    updated = [event["iteration"] for event in events if event["kind"] == "update"]
    assert sorted(steps + updated) == list(range(60))
    straight = records.read(runner.run(prepare(config(second)), tmp_path))
    assert record.result["executed"] == straight.result["executed"]
    assert record.result["active_parameters"] == straight.result["active_parameters"]


def test_seeds_of_both_backends_are_one_cell(tmp_path):
    cells = set()
    for seed in (0, 1):
        place = cut(prepare(config("torch", seed=seed)), tmp_path, 12)
        run = handed(config("jax", seed=seed), place)
        cells.add(identity.cell(run.config, run.identity))
    assert len(cells) == 1


def test_it_is_cut_and_goes_on_to_the_bit_itself(handed_over, tmp_path):
    *_, run, path = handed_over
    cut(run, tmp_path, 45)
    assert same(path, runner.run(run, tmp_path)) == []


def test_a_checkpoint_made_again_is_the_same(tmp_path):
    run = prepare(config("torch"))
    digests = {handover.given(cut(run, tmp_path / name, 20)).digest for name in ("one", "two")}
    assert len(digests) == 1


@pytest.mark.parametrize("way", WAYS, ids="-".join)
def test_it_ends_within_the_seeds_spread(way, tmp_path):
    found = {"first": [], "second": [], "handed": []}
    for seed in range(4):
        settings = [config(backend, steps=150, seed=seed) for backend in way]
        place = cut(prepare(settings[0]), tmp_path, 75)
        runs = prepare(settings[0]), prepare(settings[1]), handed(settings[1], place)
        shutil.copytree(place, tmp_path / "kept" / str(seed))
        for name, run in zip(found, runs, strict=True):
            found[name].append(records.read(runner.run(run, tmp_path)).result["accuracy"])
    pure = [*found["first"], *found["second"]]
    spread = max(pure) - min(pure)
    assert 0 < spread < 0.1
    assert min(pure) - spread / 2 <= np.mean(found["handed"]) <= max(pure) + spread / 2
    for first, second, reached in zip(*found.values(), strict=True):
        assert min(first, second) - spread <= reached <= max(first, second) + spread


# ---- what is refused ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """One of a run in torch."""
    return cut(prepare(config("torch")), tmp_path_factory.mktemp("cut"), 12)


def test_other_settings_are_refused_all_at_once(checkpoint):
    with pytest.raises(
        UserError, match=r"other settings \(config\.seed 0 there, 3 here; config\.sparsity 0\.9 there, 0"
    ):
        handed(config("jax", seed=3).model_copy(update={"sparsity": 0.8}), checkpoint)


def test_the_same_backend_is_refused(checkpoint):
    with pytest.raises(UserError, match="in torch itself: the command that began it goes on from there"):
        handed(config("torch"), checkpoint)


def test_a_setting_that_one_backend_does_not_read_may_differ(tmp_path):
    settings = config("torch")
    last = settings.recipe.model_copy(update={"memory_format": "channels-last"})
    place = cut(prepare(settings.model_copy(update={"recipe": last})), tmp_path, 12)
    assert handed(config("jax"), place).handover.config.recipe.memory_format == "channels-last"


def test_another_checkpoint_than_asked_for_is_refused(checkpoint):
    other = config("jax", continued="0" * 64)
    with pytest.raises(UserError, match="and the run goes on from 000000000000…: give that one"):
        prepare(other, checkpoint=checkpoint)
    with pytest.raises(UserError, match="give its folder with --continue"):
        prepare(other)


def test_a_state_that_only_its_backend_can_read_is_refused(checkpoint, tmp_path):
    found = checkpoints.read(checkpoint)
    strange = {**found.state, "velocity/fc1.weight": found.state["momentum/fc1.weight"]}
    lacking = {name: array for name, array in found.state.items() if name != "parameter/fc1.weight"}
    for state, told in ((strange, "holds 'velocity/fc1.weight'"), (lacking, "its 'fc1.weight' is not that of the")):
        place = checkpoints.write(tmp_path / told[:5], replace(found, state=state))
        with pytest.raises(UserError, match=f"cannot go on in jax: .*{told}"):
            handed(config("jax"), place)


def test_mistakes_of_the_command_are_one_line(checkpoint, tmp_path, capsys):
    shutil.copytree(checkpoint, tmp_path / "torn")
    (tmp_path / "torn" / "state.safetensors").write_bytes(b"torn")
    given = ["train", "--backend", "jax", "--no-mlflow", "--records", str(tmp_path / "runs")]
    for more, told in (
        (["--continue", str(tmp_path / "none")], "is no whole checkpoint (No such file or directory): give a folder"),
        (
            ["--continue", str(tmp_path / "torn")],
            "is no whole checkpoint (state.safetensors does not match its digest)",
        ),
        (["--continue", str(checkpoint)], "is of a run with other settings (config.recipe.batch_size 32 there, 128"),
        (["--continue", str(checkpoint), "--method", "lottery"], "give --ticket.source, its round"),
    ):
        assert main([*given, *more]) == 2
        error = capsys.readouterr().err
        assert told in " ".join(error.split())
        assert "Traceback" not in error
    assert not (tmp_path / "runs").exists()
