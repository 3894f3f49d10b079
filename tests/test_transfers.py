"""What stays on the device: buffers are used again, data are moved there once, and only what a batch is named by after.

On a CPU JAX refuses implicit transfers from NumPy just as on a GPU; those back to the host are free there.
"""

from dataclasses import replace

import numpy as np
import pytest

from sparsebench.methods.rigl import rigl
from sparsebench.methods.snfs import snfs
from sparsebench.methods.static import static
from tasks import begin, conv, gated, short, task, trainer_on, walk

NETS = {"loop": gated, "steps": conv}


# ---- JAX --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "precision"), [(gated, "bfloat16"), (conv, "float32")], ids=["loop", "steps"])
def test_a_segment_of_jax_takes_nothing_from_the_host_unasked(model, precision):
    jax = pytest.importorskip("jax")
    each, job = trainer_on("jax"), task(model, 24, precision=precision, augmentation="crop-flip")
    state = begin(each, job, rigl, 0.5)
    state, _ = each.train(state, rigl, job.feed(0), 0, 2)
    with jax.transfer_guard("disallow"):
        state, losses = each.advance(state, rigl, job.feed(0), 2, 7)
    assert sum(np.size(loss) for loss in losses) >= 5
    with pytest.raises(Exception, match="Disallowed host-to-device"), jax.transfer_guard("disallow"):
        each._program(job).step(None, *_carried(state), each.origin(job), each._data.batch(job, job.feed(0), 7), 0.1)


def _carried(state):
    from sparsebench_jax.trainer import _carried

    return _carried(state)


@pytest.mark.parametrize(
    ("model", "method", "precision"),
    [(gated, static, "float32"), (gated, snfs, "float32"), (conv, static, "bfloat16")],
    ids=lambda each: getattr(each, "name", each),
)
def test_a_step_of_jax_writes_its_results_where_its_arguments_were(model, method, precision):
    """Parameters, optimizer state, statistics and what is observed: all that is donated; the losses are new."""
    jax = pytest.importorskip("jax")
    each, job = trainer_on("jax"), task(model, 24, precision=precision)
    state, _ = each.train(begin(each, job, method, 0.5), method, job.feed(0), 0, 1)
    plan = each.lowered(state, method, job.feed(0)).compile().memory_analysis()
    donated = sum(leaf.nbytes for leaf in jax.tree.leaves((state.parameters, state.rest, state.optimizer, state.aux)))
    assert plan.alias_size_in_bytes == donated > 0


def test_what_was_donated_is_gone():
    pytest.importorskip("jax")
    each, job = trainer_on("jax"), task(gated, 24)
    state = begin(each, job, static, 0.5)
    each.train(state, static, job.feed(0), 0, 3)
    assert all(array.is_deleted() for array in state.parameters.values())
    assert not any(array.is_deleted() for array in state.masks.values())


# ---- both -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", NETS.values(), ids=NETS)
def test_pixels_are_made_and_moved_once(backend, model, monkeypatch):
    """However many segments, updates, evaluations and states there are: once for each split."""
    each = type(trainer_on(backend.name))("cpu")
    job, asked = task(model, 12, augmentation="crop-flip", weight_decay=0.01), []
    pixels = type(job).pixels
    monkeypatch.setattr(type(job), "pixels", lambda self, split: asked.append(id(split)) or pixels(self, split))
    for seed in range(2):
        *_, (_, _, state) = walk(each, job, short(rigl, alpha=0.6), 0.5, seed=seed)
        each.evaluate(state, "test")
        each.evaluate(state, "train")
    assert sorted(asked) == sorted({id(job.dataset.train), id(job.dataset.test)})


@pytest.mark.parametrize("model", NETS.values(), ids=NETS)
def test_after_that_only_places_are_moved(backend, model, monkeypatch):
    """Crop and flip are done on the device: the host sends whole numbers that name samples, rows and columns."""
    each, job = trainer_on(backend.name), task(model, 12, augmentation="crop-flip")
    state, _ = each.train(begin(each, job, static, 0.5), static, job.feed(0), 0, 2)
    monkeypatch.setattr(type(job), "pixels", lambda self, split: pytest.fail("pixels were read on the host"))
    sent = watched(monkeypatch, backend.name, each)
    each.train(state, static, job.feed(0), 2, 6)
    assert {kind for kind, _ in sent} <= {"int32", "int64", "float32"}
    height, width = job.input.image
    for kind, shape in sent:
        assert kind != "float32" or len(shape) < 2, "learning rates only"
        assert kind == "float32" or not shape or shape[-1] in (height, width, job.recipe.batch_size)


def watched(monkeypatch, name, each):
    """(type, shape) of every array that is sent to the device from now on."""
    seen = []

    def note(arrays):
        seen.extend((str(array.dtype), array.shape) for array in arrays)

    if name == "jax":
        import jax

        send = each.place.send
        noted = replace(each.place, send=lambda given, where: note(jax.tree.leaves(given)) or send(given, where))
        monkeypatch.setattr(each, "place", noted)
    else:
        from sparsebench_torch import data

        send = data.sent
        monkeypatch.setattr(data, "sent", lambda array, device: note([array]) or send(array, device))
    return seen
