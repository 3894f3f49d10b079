"""The thousand records that others are timed on: a few of them are records like any other."""

import subprocess
import sys
from pathlib import Path

from sparsebench import records
from sparsebench_board.rows import rows

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "many_runs.py"


def test_pretended_runs_leave_real_records(tmp_path):
    subprocess.run([sys.executable, SCRIPT, tmp_path / "runs", "--runs", "21"], check=True, capture_output=True)
    found = records.read_all(tmp_path / "runs")
    assert len(found) == 21
    assert sorted((row.method, row.backend, len(row.seeds)) for row in rows(found)) == [
        ("dense", "jax", 10), ("dense", "torch", 10), ("static", "torch", 1),
    ]  # fmt: skip
    sparse = next(record for record in found if record.config.method == "static")
    assert {name: int(mask.sum()) for name, mask in sparse.masks().items()} == {
        layer["name"]: layer["active"] for layer in sparse.layers
    }
    assert sparse.result["accuracy"] == sparse.events()[-1]["accuracy"]
