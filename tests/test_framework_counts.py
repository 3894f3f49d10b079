"""What frameworks count themselves, beside the ledger: torch exactly, XLA within 5 %; every record holds it."""

import pytest

from sparsebench import ledger, records, runner
from sparsebench.config import Recipe, RunConfig
from sparsebench.plugins import load
from sparsebench.prepare import prepare
from tasks import gated, images, task, trainer_on


def lenet():
    return task(load("models", "lenet-300-100"), dataset=images((1, 28, 28)))


@pytest.mark.parametrize("job", [lambda: task(gated), lenet], ids=["gated", "lenet"])
def test_torch_counts_what_the_ledger_does(job):
    count = trainer_on("torch").count(job())
    assert (count.tool, count.forward) == ("torch.utils.flop_counter", ledger.dense(job().layers))


def test_xla_counts_nearly_the_same():
    count = trainer_on("jax").count(lenet())
    assert count.tool == "XLA cost_analysis"
    assert count.forward == pytest.approx(ledger.dense(lenet().layers), rel=0.05)


def test_every_record_holds_the_comparison(backend, tmp_path):
    config = RunConfig(
        model="lenet-300-100", dataset="digits", method="rigl", backend=backend.name, sparsity=0.9,
        recipe=Recipe(steps=20, batch_size=32), updates={"delta_t": 5},
    )  # fmt: skip
    count = records.read(runner.run(prepare(config), tmp_path)).result["framework_count"]
    assert count["ours"] == 2 * (64 * 300 + 300 * 100 + 100 * 10)
    assert count["ratio"] == pytest.approx(1, rel=0.05)
    assert count["ratio"] == 1 or backend.name != "torch"
