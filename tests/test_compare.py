"""`sparsebench compare`: equal records say so; others are told apart where they first differ, whatever differs."""

import json
import shutil

import numpy as np
import pytest

import records_fixture as fixture
from sparsebench import bits, records, tensors
from sparsebench_board.comparing import compared

pytest_plugins = ("command_line",)


@pytest.fixture
def pair(folder):
    """A record in `runs`, and a copy of it elsewhere that a test may change."""
    record = fixture.write(folder / "runs", fixture.config())
    other = folder / "elsewhere" / record.id
    shutil.copytree(record.path, other)
    return record, fixture.unsealed(other)


def edit(path, change):
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def told(record, other):
    return {part.name: part.differences for part in compared(record, records.read(other)) if part.differences}


def test_equal_records_say_so_and_times_do_not_matter(command, pair):
    record, other = pair
    edit(other / "environment.json", lambda found: found.update(started="2027-01-01T00:00:00+00:00"))
    edit(other / "result.json", lambda found: found.update(seconds={"total": 9.0}, steps_per_second=1.0, finished="x"))
    events = [json.loads(line) | {"seconds": 7.0} for line in (other / "events.jsonl").read_text().splitlines()]
    (other / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    code, out, err = command("compare", record.id, other)
    assert (code, err, out[-1]) == (0, [], "equal, times aside")
    assert all(line.endswith("same") for line in out[:-1])


def test_settings_come_first(command, folder):
    first = fixture.write(folder / "runs", fixture.config(), 0.9)
    second = fixture.write(folder / "runs", fixture.config(seed=1, multiplier=2.0), 0.91, data="e" * 64)
    code, out, _ = command("compare", first.id, second.id)
    assert (code, out[-1]) == (1, "first difference: settings")
    assert out[:3] == [
        "settings  multiplier: 1.0 | 2.0", "          seed: 0 | 1", f"          data: {'d' * 64} | {'e' * 64}",
    ]  # fmt: skip


def test_versions(command, pair):
    record, other = pair
    edit(other / "environment.json", lambda found: found["packages"].update(numpy="9.9"))
    code, out, _ = command("compare", record.id, other)
    assert (code, out[1], out[-1]) == (1, "versions  packages.numpy: 2.1.0 | 9.9", "first difference: versions")


def test_the_first_event_that_differs(pair):
    record, other = pair
    lines = (other / "events.jsonl").read_text().splitlines()
    changed = json.loads(lines[2])
    changed["layers"]["fc1"]["grown"] = 4
    (other / "events.jsonl").write_text("\n".join([*lines[:2], json.dumps(changed), lines[3]]) + "\n")
    assert told(record, other)["events"] == ("event 3 (update at 100 | update at 100): layers.fc1.grown: 3 | 4",)
    (other / "events.jsonl").write_text("\n".join(lines[:4]) + "\n")
    (line,) = told(record, other)["events"]
    assert line.startswith("event 5 (evaluate at 200 | –): kind: evaluate | –; iteration: 200 | –")


def test_masks_and_weights(pair):
    record, other = pair
    weights, masks = record.weights(), record.masks()
    mask = masks["fc1"].copy()
    mask[0, 0], mask[19, 49] = ~mask[0, 0], ~mask[19, 49]
    moved = weights["fc1.weight"].copy()
    moved[0, :3] += np.float32(0.25)
    moved[1, 1] = np.nan
    shapes = json.dumps({"fc1": mask.shape})
    tensors.write(other / "masks.safetensors", bits.packed({"fc1": mask}), {"shapes": shapes})
    tensors.write(other / "weights.safetensors", {"fc1.weight": moved, "fc2.weight": moved}, {})
    assert told(record, other) == {
        "masks": ("fc1: 2 of 1,000 differ",),
        "weights": ("fc1.weight: 4 of 1,000 differ, some not finite", "2 of 2 differ"),
    }
    assert compared(records.read(other), records.read(other))[-1].differences == (), "NaN is as good as NaN"
    tensors.write(other / "weights.safetensors", {"fc1.weight": moved[:1]}, {})
    assert told(record, other)["weights"] == ("fc1.weight: float32 (20, 50) | float32 (1, 50)",)
    moved = weights["fc1.weight"].copy()
    moved[0, :3] += np.float32(0.25)
    tensors.write(other / "weights.safetensors", {"fc1.weight": moved}, {})
    assert told(record, other)["weights"] == ("fc1.weight: 3 of 1,000 differ, by 0.25 at most",)


def test_results_and_layers(pair):
    record, other = pair
    edit(other / "result.json", lambda found: found.update({f"x{i}": i for i in range(20)}))
    edit(other / "layers.json", lambda found: found["layers"][0].update(active=7))
    assert told(record, other)["layers"] == ("layer 0 (fc1 | fc1): active: 100 | 7",)
    result = told(record, other)["result"]
    assert (result[0], len(result), result[-1]) == ("x0: – | 0", 13, "and 8 more")


def test_what_records_say_steers_no_terminal(pair):
    record, other = pair
    edit(other / "environment.json", lambda found: found.update(cpu="\x1b[31mred\n"))
    assert told(record, other)["versions"] == ("cpu: Example CPU | �[31mred�",)


def test_a_run_that_is_not_there_is_told_with_the_closest(command, pair):
    record, _ = pair
    code, out, err = command("compare", record.id, record.id + "0")
    assert (code, out) == (2, [])
    assert len(err) == 1
    assert err[0].startswith(f"error: there is no run '{record.id}0' in runs: did you mean '{record.id}'? ")
    assert command("compare", record.id)[0] == 2
