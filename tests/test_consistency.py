"""A checkpoint that somebody sealed again is refused where it says what no run of its settings can have done."""

import copy
import math
from dataclasses import replace

import numpy as np
import pytest

from sparsebench import checkpoints, consistency, handover, records, runner
from sparsebench.asked import Search, asked
from sparsebench.cli.work import prepare_all
from sparsebench.config import Recipe, RunConfig, Updates
from sparsebench.errors import UserError
from sparsebench.prepare import prepare
from test_handover import config, cut, handed

METHODS = ("dense", "rigl", "rigl-itop", "rigl-2-4", "set", "snfs", "snfs-redistributed", "pruning", "pruning-global",
           "snip", "snip-global", "static", "srigl", "srigl-unablated", "granet", "granet-global", "acdc",
           "acdc-global", "small-dense")  # fmt: skip


def expected(run):
    """What `prepare` holds a checkpoint of this run against."""
    return consistency.Expected(
        run.task, run.method, run.first, run.sparsities, run.config.rewind, run.config.ticket is not None
    )


# ---- what runs have passes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_every_checkpoint_of_a_run_is_one_that_it_can_have(method, tmp_path, monkeypatch):
    sparsity = {"dense": 0.0, "rigl-2-4": 0.5}.get(method, 0.9)
    settings = {"rewind": 12} if method in ("dense", "rigl") else {}
    run = prepare(RunConfig(
        model="lenet-300-100", dataset="digits", method=method, sparsity=sparsity, backend="torch", **settings,
        recipe=Recipe(steps=40, batch_size=32, evaluations=3), updates=Updates(delta_t=5),
    ))  # fmt: skip
    seen, write = [], checkpoints.write

    def checked(root, checkpoint):
        seen.append(checkpoint.done)
        consistency.check(checkpoint, expected(run))
        return write(root, checkpoint)

    monkeypatch.setattr(checkpoints, "write", checked)
    runner.run(run, tmp_path, keep=runner.Keep(0))
    assert seen[0] < 10 < 30 < seen[-1]


def test_those_of_a_ticket_too(tmp_path):
    given = asked(config("torch", method="lottery"), Search(remove=0.5, rewind=12))
    first, second, *_ = prepare_all([given], None, tmp_path)
    runner.run(first.prepared, tmp_path)
    found = checkpoints.read(cut(second.prepared, tmp_path, 40))
    assert found.events[0]["start"] == 12
    consistency.check(found, expected(second.prepared))


# ---- what no run has does not ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A checkpoint of a run of RigL in torch, after several updates."""
    return checkpoints.read(cut(prepare(config("torch", rewind=12)), tmp_path_factory.mktemp("cut"), 33))


def event(found, kind, **facts):
    """The last event of a kind, with something else in it."""
    events = copy.deepcopy(found.events)
    max((each for each in events if each["kind"] == kind), key=events.index).update(facts)
    return {"events": events}


def without(found, kind, name):
    events = copy.deepcopy(found.events)
    next(each for each in events if each["kind"] == kind).pop(name)
    return {"events": events}


def denser(found):
    """All of fc1 is active, from the first update on."""
    events, size = copy.deepcopy(found.events), found.state["mask/fc1"].size
    for each in events:
        if each["kind"] == "update":
            each["layers"]["fc1"]["active"] = size
            each["layers"]["fc1"]["grown"] = each["layers"]["fc1"]["dropped"]
    return {"events": events, "active": {**found.active, "fc1": size}, **everywhere(found)}


def everywhere(found):
    return {"state": {**found.state, "mask/fc1": np.ones_like(found.state["mask/fc1"])}}


def arrays(found, part, **changes):
    return {part: {**getattr(found, part), **{name.replace("__", "/"): array for name, array in changes.items()}}}


FORGED = {
    "negative": (lambda f: {"done": -3}, "progress.json: done: given -3"),
    "beyond": (lambda f: {"done": 5000}, "5,000 iterations are done of 60"),
    "another": (lambda f: {"done": f.done - 1}, "events are not those of"),
    "mask": (everywhere, "the mask of fc1 has 19,200 connections"),
    "dense": (denser, "fc1 has 19,200 active connections, the plan has"),
    "mask's type": (lambda f: arrays(f, "state", mask__fc1=f.state["mask/fc1"].astype(np.uint8)), "is uint8, not bool"),
    "mask's lack": (lambda f: {"state": {n: a for n, a in f.state.items() if n != "mask/fc1"}}, "masks are not those"),
    "momentum": (lambda f: arrays(f, "state", momentum__fc1__weight=0), "not that of the network"),
    "momentum's shape": (lambda f: {"state": {**f.state, "momentum/fc1.weight": np.zeros(3, np.float32)}},
                         "'momentum/fc1.weight' is not that of the network"),
    "observed": (lambda f: arrays(f, "state", aux__fc9=np.zeros(3)), "'aux/fc9' is not that of the network"),
    "cost": (lambda f: {"executed": {}}, "its FLOPs are not those of its events"),
    "cheaper": (lambda f: {"executed": {**f.executed, "fc1": dict.fromkeys(f.executed["fc1"], 1)}}, "its FLOPs are"),
    "active": (lambda f: {"active": {**f.active, "fc1": 1}}, "fc1 has 1 active connections"),
    "layers": (lambda f: {"active": {"fc1": 1}}, "its layers are not those of the network"),
    "seconds": (lambda f: without(f, "train", "seconds"), r"it lacks 'events\[0\].seconds'"),
    "words": (lambda f: {"seconds": "long"}, "progress.json: seconds: given 'long'"),
    "clock": (lambda f: event(f, "update", iteration=3), "where the timetable has"),
    "fraction": (lambda f: event(f, "update", drop_fraction=0.0), "where the timetable has"),
    "split": (lambda f: event(f, "evaluate", split="train"), "where the timetable has"),
    "loss": (lambda f: event(f, "train", loss=math.inf), "a loss is not finite"),
    "fewer": (lambda f: {"events": f.events[:-1]}, "events are not those of"),
    "resumed": (lambda f: {"resumed": (-1,)}, "resumed"),
    "notes": (lambda f: {"notes": {n: a for n, a in f.notes.items() if n != "explored/fc1"}}, "was ever active"),
    "explored": (lambda f: arrays(f, "notes", explored__fc1=np.zeros_like(f.notes["explored/fc1"])), "never were"),
    "movement": (lambda f: arrays(f, "notes", overlap=f.notes["overlap"][:1]), "overlap is int64"),
    "moments": (lambda f: arrays(f, "notes", iterations=f.notes["iterations"] + 1), "at other iterations"),
    "no bits": (lambda f: {"notes": {n: a for n, a in f.notes.items() if n != "bits"}}, "it lacks 'bits'"),
    "rewind": (lambda f: {"rewind": None}, "weights to rewind to are kept after 12 iterations"),
    "rewound": (lambda f: {"rewind": {**f.rewind, "fc1.weight": np.zeros(3, np.float32)}}, "fc1.weight has shape"),
    "numerics": (lambda f: {"identity": {**f.identity, "numerics": {"method": 1}}}, "it lacks 'backend'"),
    "ticket": (lambda f: {"identity": {**f.identity, "ticket": {"source": "x"}}}, "lacks 'ticket.cell'"),
    "earlier": (lambda f: {"identity": {**f.identity, "continued": {"run": "x"}}}, "continued: it lacks 'cell'"),
    "settings": (lambda f: {"identity": {**f.identity, "config": {"seed": "x"}}}, "no whole checkpoint"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
def test_what_no_run_of_its_settings_has_is_refused_in_a_line(name, sound, tmp_path):
    change, told = FORGED[name]
    place = checkpoints.write(tmp_path, replace(sound, **change(sound)))
    with pytest.raises(UserError, match=told) as error:
        handed(config("jax", rewind=12), place)
    assert len(str(error.value).splitlines()) == 1


def test_what_the_run_has_done_is_in_its_identity(sound, tmp_path):
    place = checkpoints.write(tmp_path / "one", sound)
    other = checkpoints.write(tmp_path / "other", replace(sound, **event(sound, "train", loss=0.5)))
    later = checkpoints.write(tmp_path / "later", replace(sound, **event(sound, "train", seconds=9.0)))
    digests = [handover.given(each).digest for each in (place, other, later)]
    assert digests[0] == digests[2] != digests[1]


def test_what_only_its_own_backend_reads_is_left_behind(sound, tmp_path):
    told = arrays(sound, "state", aside__group__0__weight_decay=np.float64(9.0))
    place = checkpoints.write(tmp_path, replace(sound, **told))
    assert not [name for name in handover.given(place).checkpoint.state if name.startswith("aside/")]


def test_a_state_that_cannot_be_restored_is_refused_in_a_line(sound, tmp_path, monkeypatch):
    run = handed(config("jax", rewind=12), checkpoints.write(tmp_path, sound))

    def lacking(trainer, task, arrays):
        raise KeyError("statistic/bn1.mean")

    monkeypatch.setattr(type(runner.trainer_of(run.backend, "cpu")), "restore", lacking)
    with pytest.raises(UserError, match=r"cannot go on in jax \(KeyError: 'statistic/bn1\.mean'\): give one as it was"):
        runner.run(run, tmp_path / "runs")
    assert list(records.paths(tmp_path / "runs")) == []
