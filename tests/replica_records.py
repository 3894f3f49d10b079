"""What a trainer makes of some small runs, as arrays in a file: `replica_records.py OUT FROM DEVICES`.

One start of a process is enough for all tests; a launcher's environment makes it one of several processes, of which
each writes OUT with its rank. FROM has snapshots of the run on one device.
"""

import sys
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

import small_folder
from sparsebench import plugins
from sparsebench.data.folder import dataset as folder_of
from sparsebench.launch import Launch, launched
from sparsebench.masks import Counts
from sparsebench.method import Event
from sparsebench.methods.rigl import rigl
from sparsebench.methods.set import set_
from sparsebench.methods.snfs import snfs
from sparsebench.models import initial_weights
from sparsebench.replicas import ReplicasDifferError, anybody, check
from sparsebench.trainer import Task
from sparsebench_models.lenet import lenet_300_100
from tasks import begin, conv, gated, images, scripted, short, task, update, walk

STEPS, MIDDLE, SPARSITY = 20, 11, 0.7
METHODS = {method.name: short(method, alpha=0.6) for method in (rigl, set_, snfs)}
MODELS = {"lenet": partial(task, lenet_300_100, dataset=images((1, 8, 8), test=1003)), "conv": partial(task, conv)}
PARTS = (1, 2)
JOBS = {1: [(model, parts) for model in MODELS for parts in PARTS], 2: [("lenet", 2), ("conv", 1)]}
"""(model, parts) that are run, by the number of processes: what takes time is to compile them."""
EVENT = Event(MIDDLE, 0.4, replaces_step=True)
EQUAL = {"rigl": scripted, "set": conv, "snfs": conv}
"""Nets on which a method's scores cannot depend on the order of a sum, once the states are the same."""


def job_of(model, parts):
    return MODELS[model](steps=STEPS, accumulation=parts, weight_decay=1e-3, label_smoothing=0.1)


def equal(method):
    return job_of("conv", 1) if EQUAL[method] is conv else task(scripted, STEPS)


def streamed(folder):
    """A task in two parts whose images are read from files."""
    data = folder_of("small", folder)
    data = replace(data, train=data.train.at(8), test=data.test.at(8))
    changes = {"batch_size": 4, "augmentation": "resized-crop-flip", "accumulation": 2}
    return Task(lenet_300_100, data, task(gated, 6).recipe.model_copy(update=changes), 6)


# ---- what is noted ----------------------------------------------------------------------------------------------


def named(prefix, arrays):
    return {f"{prefix}/{name}": array for name, array in arrays.items()}


def metrics(trainer, state):
    found = [trainer.evaluate(state, split) for split in ("test", "train")]
    return np.array([[each.accuracy, each.loss] for each in found])


def ended(trainer, prefix, losses, state):
    found = named(f"{prefix}/weights", trainer.weights(state)) | named(f"{prefix}/masks", trainer.masks(state))
    return found | {f"{prefix}/losses": np.array(losses, np.float64), f"{prefix}/metrics": metrics(trainer, state)}


def run(trainer, prefix, job, method, state=None, start=0):
    """Losses, weights, masks and metrics at the end."""
    losses = []
    for _, loss, after in walk(trainer, job, method, SPARSITY, state=state, start=start):
        losses.append(np.nan if loss is None else loss)
        state = after
    return ended(trainer, prefix, losses, state)


def middle(trainer, job, method):
    """The state after the first steps of a run."""
    return list(islice(walk(trainer, job, method, SPARSITY), MIDDLE))[-1][-1]


def whole_runs(trainer, jobs):
    found = {}
    for model, parts in jobs:
        for name, method in METHODS.items():
            found |= run(trainer, f"{model}/{parts}/{name}", job_of(model, parts), method)
    return found


def middles(trainer):
    """Snapshots that others begin from."""
    found = named("middle", trainer.snapshot(middle(trainer, job_of("conv", 1), METHODS["rigl"])))
    for method, model in EQUAL.items():
        job = equal(method)
        state = middle(trainer, job, METHODS[method]) if model is conv else begin(trainer, job, rigl, SPARSITY)
        found |= named(f"equal/{method}", trainer.snapshot(state))
    return found


def under(arrays, prefix):
    return {name.removeprefix(f"{prefix}/"): array for name, array in arrays.items() if name.startswith(f"{prefix}/")}


def updated(trainer, snapshots, method):
    """New masks from the same state."""
    job = equal(method)
    state = trainer.restore(job, under(snapshots, f"equal/{method}"))
    return trainer.masks(update(trainer, job, state, METHODS[method], EVENT, SPARSITY)[0])


def from_snapshots(trainer, snapshots):
    """Updates of equal states, and a run that goes on."""
    found = {}
    for method in EQUAL:
        found |= named(f"updated/{method}", updated(trainer, snapshots, method))
    job = job_of("conv", 1)
    state = trainer.restore(job, under(snapshots, "middle"))
    found |= named("again", trainer.snapshot(state))
    return found | run(trainer, "continued", job, METHODS["rigl"], state, MIDDLE)


def all_of(trainer, snapshots, folder, jobs):
    """What one device makes too."""
    found = whole_runs(trainer, jobs) | from_snapshots(trainer, snapshots)
    return found | run(trainer, "streamed", streamed(folder), METHODS["set"])


# ---- what only several devices have ------------------------------------------------------------------------------


def compiled_again(trainer):
    """What is compiled in more updates and segments of a run that was made before."""
    import jax

    seen, job, method = [], job_of("lenet", 2), METHODS["rigl"]

    def listen(event, duration, **facts):
        if event.endswith("backend_compile_duration"):
            seen.append(facts.get("fun_name"))

    state = begin(trainer, job, method, SPARSITY)
    jax.monitoring.register_event_duration_secs_listener(listen)
    for k in range(20):
        state, _ = trainer.train(state, method, job.feed(k), 5 * k, 5 * k + 1 + k % 4)
        event = Event(5 * k + 4, 0.3 - k / 100, replaces_step=True)
        state, _ = update(trainer, job, state, method, event, SPARSITY + k / 100)
    trainer.evaluate(state, "test"), trainer.snapshot(state), trainer.weights(state)
    jax.monitoring.unregister_event_duration_listener(listen)
    return {"compiled again": np.array(seen, str)}


def programs(trainer):
    """What a step is made of, and what of it stays where it was: no transfer is implicit."""
    import jax

    found = {}
    for name in MODELS:
        job, method = job_of(name, dict(JOBS[2])[name]), METHODS["snfs"]
        state, _ = trainer.train(middle(trainer, job, method), method, job.feed(0), MIDDLE, MIDDLE + 1)
        compiled = trainer.lowered(state, method, job.feed(0)).compile()
        donated = jax.tree.leaves((state.parameters, state.rest, state.optimizer, state.aux))
        with jax.transfer_guard("disallow"):
            after, _ = trainer.advance(state, method, job.feed(0), MIDDLE + 1, MIDDLE + 4)
        plan = compiled.memory_analysis().alias_size_in_bytes
        found[f"programs/{name}/text"] = np.array(compiled.as_text())
        found[f"programs/{name}/flops"] = np.array(compiled.cost_analysis()["flops"])
        found[f"programs/{name}/aliased"] = np.array([plan, sum(leaf.nbytes for leaf in donated)])
        found[f"programs/{name}/gone"] = np.array([leaf.is_deleted() for leaf in donated])
        found[f"programs/{name}/places"] = np.array([str(leaf.sharding) for leaf in jax.tree.leaves(after.masks)])
    return found


def on_device(trainer):
    """Masks of one layer, on the host and by the way that accelerators take."""
    from sparsebench_jax import rewiring

    each, found, job = type(trainer)(place=lambda device: trainer.place), {}, job_of("conv", 1)
    each._programs = trainer._programs
    for way in ("on_host", "on_device"):
        each._rewire = getattr(rewiring, way)
        weights = initial_weights(job.model, job.input, 0)
        state = each.init(job, weights, {"fc": np.arange(32).reshape(4, 8) % 3 == 0})
        state, _ = each.train(state, snfs, job.feed(0), 0, 1)
        state, _ = each.update(state, snfs, EVENT, {"fc": Counts(6, 5)}, job.feed(0))
        found |= named(way, each.masks(state))
    return found


# ---- bugs of the field -------------------------------------------------------------------------------------------


def growth_from_one_replica(trainer, snapshots):
    """Masks of an update whose gradient is that of this process's own share of the batch."""
    import jax

    planted, alone = (type(trainer)(**given) for given in ({"place": lambda device: trainer.place}, {}))
    job = job_of("conv", 1)
    planted._programs, own = dict(trainer._programs), alone._program(job)

    def gradient(parameters, rest, masks, origin, batch):
        shares = tuple(each.addressable_shards[0].data for each in batch)
        held = jax.tree.map(np.asarray, (parameters, rest, masks))
        found = own.gradient(*alone.place.put(held), alone.origin(job), alone.place.put(shares))
        return planted.place.put(jax.tree.map(np.asarray, found))

    planted._programs[job.model, job.input, job.recipe] = replace(planted._program(job), gradient=gradient)
    state = planted.restore(job, under(snapshots, "equal/set"))
    return planted.masks(update(planted, job, state, METHODS["rigl"], EVENT, SPARSITY)[0])


def drawn_per_rank(trainer, group, snapshots):
    job = job_of("conv", 1)
    state = trainer.restore(job, under(snapshots, "equal/set"))
    state, _ = update(trainer, job, state, METHODS["set"], EVENT, SPARSITY, seed=group.rank)
    return trainer.masks(state)


def apart(trainer, snapshots):
    """A state in which one device has another mask than the first."""
    import jax

    job = job_of("conv", 1)
    state = trainer.restore(job, under(snapshots, "equal/set"))
    name, mask = next(iter(state.masks.items()))
    copies = [shard.data for shard in mask.addressable_shards]
    copies[-1] = jax.device_put(~np.asarray(copies[-1]), copies[-1].device)
    other = jax.make_array_from_single_device_arrays(mask.shape, mask.sharding, copies)
    return replace(state, masks=state.masks | {name: other})


def told(work):
    """What the check says, or nothing."""
    try:
        work()
    except ReplicasDifferError as error:
        return np.array(str(error))
    return np.array("")


def planted(trainer, group, snapshots):
    mine = growth_from_one_replica(trainer, snapshots)
    drawn = drawn_per_rank(trainer, group, snapshots)
    return named("planted/growth", mine) | {
        "planted/growth told": told(lambda: check(group, mine, "masks")),
        "planted/drawn told": told(lambda: check(group, drawn, "masks")),
        "planted/apart told": told(lambda: trainer.snapshot(apart(trainer, snapshots))),
    }


# ---- a group ------------------------------------------------------------------------------------------------------


def agreed(group):
    """What processes tell each other: nothing, little, and more than one piece."""
    from sparsebench_jax import joining

    joining.PIECE = 64
    sizes = (0, 1, 64, 65, 200)
    gathered = [group.gather(bytes([group.rank]) * size * (group.rank + 1)) for size in sizes]
    shared = [group.share(bytes([group.rank + 7]) * size * (1 - group.rank)) for size in sizes]
    wanted = [anybody(group, group.rank == 1), anybody(group, False)]
    return {
        "group/is": np.array([group.rank, group.size]),
        "group/gathered": np.array([[each.hex() for each in one] for one in gathered]),
        "group/shared": np.array([each.hex() for each in shared]),
        "group/wanted": np.array(wanted),
    }


def main(out, source, devices):
    trainer, group = plugins.load("backends", "jax").spread.join("cpu", launched() or Launch(devices=int(devices)))
    snapshots, folder = dict(np.load(source)), small_folder.write(Path(out) / str(group.rank))
    found = all_of(trainer, snapshots, folder, JOBS[group.size])
    check(group, found, "everything")
    found |= middles(trainer) | compiled_again(trainer) | programs(trainer) | planted(trainer, group, snapshots)
    found |= on_device(trainer) if group.size == 1 else {}
    np.savez(f"{out}.{group.rank}.npz", **found, **agreed(group))


if __name__ == "__main__":
    main(*sys.argv[1:])
