"""Trains one run twice, never killed and killed at each moment of `MOMENTS`; a process of its own, since it forks.

`python killed_in_training.py BACKEND FOLDER` leaves the records under FOLDER/straight and FOLDER/killed, and prints
what each child was doing when SIGKILL came: what it does it announces through a pipe (`benchmarks/kills.py`).
"""

import importlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import kills
from kills import Moment
from sparsebench.config import Recipe, RunConfig, Updates
from sparsebench.prepare import prepare

MOMENTS = (
    Moment("train", 4, "in", 0.5), Moment("update", 2, "after"), Moment("write", 5, "in", 0.5),
    Moment("evaluate", 1, "after"),
)  # fmt: skip


def main(backend, root):
    for name in kills.FRAMEWORK[backend]:
        importlib.import_module(name)
    run = prepare(RunConfig(
        model="lenet-300-100", dataset="digits", method="rigl", sparsity=0.9, backend=backend,
        recipe=Recipe(steps=60, batch_size=32, evaluations=3), updates=Updates(delta_t=7),
    ))  # fmt: skip
    tally = kills.Tally()
    kills.attend(run, root / "straight", float("inf"), None, tally)
    for moment in (*MOMENTS, None):
        print(kills.attend(run, root / "killed", 0.0, moment, tally).landed)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
