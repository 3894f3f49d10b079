"""What pictures of layers, moving masks and two frameworks show is what records say."""

import numpy as np
import pytest

import picture_records
import records_fixture as fixture
import reference
from picture_records import marks
from sparsebench.errors import UserError
from sparsebench_board import moving
from sparsebench_board.pictures import frameworks, groups, layers, movement, overlap, seeds, style

pytest_plugins = ("picture_records",)
pytestmark = pytest.mark.usefixtures("styled")


# ---- layers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", ["0.8", "0.9"])
def test_layers_of_resnet50_are_the_published_ones(at):
    published = reference.read("erk.json")["resnet50"]["erk"][at]["density"]
    panel = layers.of_model("resnet50", float(at))
    densities = dict(zip(panel.layers, [1 - s for s in panel.plans["erk"]], strict=True))
    assert densities == pytest.approx(published, abs=1e-8)
    assert panel.plans["uniform"] == (0.0, *[float(at)] * 53), "the stem stays dense"
    (axes,) = layers.drawn([panel]).axes
    steps = {patch.get_linestyle(): patch.get_data().values for patch in axes.patches}
    assert steps["-"].tolist() == [100 * s for s in panel.plans["erk"]]
    assert steps["--"].tolist() == [100 * s for s in panel.plans["uniform"]]
    assert [label.get_text() for label in axes.get_xticklabels()] == list(panel.layers)


def test_runs_that_ended_alike_are_one_mark(board):
    (group,) = groups.groups(board)
    panel = layers.of_group(group, 0.98)
    assert panel.layers == ("fc1",)
    assert [(end.who, end.sparsities) for end in panel.ends] == [("rigl, set", (0.98,))]
    assert panel.plans == {"uniform": (0.98,), "erk": (0.98,)}


def test_where_twins_ended_apart_they_are_named(tmp_path):
    records = [fixture.write(tmp_path, fixture.config(backend=name)) for name in ("torch", "jax")]
    records[0].layers[0]["density"] = 0.2
    (group,) = groups.groups(records)
    ends = layers.of_group(group, 0.9).ends
    assert {end.who: end.sparsities for end in ends} == {"rigl torch": (0.8,), "rigl jax": (0.9,)}
    assert {end.look for end in ends} == {style.KNOWN["rigl"]}


def test_layers_of_records_are_drawn_where_they_ended(board):
    panels = layers.figure(board).axes
    assert [panel.get_title(loc="left") for panel in panels] == [
        f"lenet-300-100 on digits, sparsity {s}" for s in (0.9, 0.98)
    ]
    assert {y for _, y in marks(panels[0])} == {90.0}


def test_models_that_are_not_installed_have_the_usual_policy(tmp_path):
    record = fixture.write(tmp_path, fixture.config(model="gone"))
    found, model = layers.table(record)
    assert model is None
    assert [(layer.name, layer.shape, layer.role) for layer in found] == [("fc1", (20, 50), "body")]


# ---- how masks move -------------------------------------------------------------------------------------------


def test_changed_kept_and_dead_are_those_of_the_masks(tmp_path):
    record = picture_records.moving(tmp_path, method="set", sparsity=0.98)
    assert moving.changed(record.events()) == {100: 10.0, 200: 10.0}
    found = record.movement()
    first, *later = picture_records.masks(record.config)
    assert moving.kept(found) == {
        0: 100.0, 100: 100 * (later[0] & first).sum() / 20, 200: 100 * (later[1] & first).sum() / 20,
    }  # fmt: skip
    rows_without = [sum(not row.any() for row in mask) for mask in (first, *later)]
    assert list(moving.dead(found, record.layers).values()) == [100 * n / 20 for n in rows_without]


def test_pruning_changes_what_it_drops_for_good():
    layers = {"a": {"active": 60, "grown": 0, "dropped": 20}, "b": {"active": 15, "grown": 0, "dropped": 5}}
    assert moving.changed([{"kind": "update", "iteration": 9, "layers": layers}]) == {10: 25.0}


def test_movement_is_drawn_for_what_moved(board):
    panels = movement.figure(board).axes
    assert len(panels) == 6
    changes = [line.get_xydata().tolist() for line in panels[3].lines]
    assert changes == [[[100, 10.0], [200, 10.0]]] * 4
    assert panels[4].get_title(loc="left") == "still active of the first mask, %"
    (at_random,) = [line for line in panels[4].lines if line.get_color() == style.GREY]
    assert at_random.get_ydata()[0] == pytest.approx(moving.chance(board[-1].layers)) == pytest.approx(2.0)


def test_older_records_leave_a_gap_that_is_told(tmp_path):
    record = fixture.write(tmp_path, fixture.config())
    picture_records.rewrite(record, picture_records.updates(100))
    first, second, third = movement.figure([record]).axes
    assert len(first.lines[0].get_xdata()) == 2
    assert [panel.texts[0].get_text() for panel in (second, third)] == [movement.MISSING] * 2


# ---- two frameworks -------------------------------------------------------------------------------------------


def test_twins_share_what_their_masks_share(board):
    (group,) = groups.groups(board)
    found = {(each.member.name, each.member.row.sparsity): each for each in overlap.shared(group)}
    assert set(found) == {("rigl", 0.9), ("rigl", 0.98), ("set", 0.98)}
    each = found["set", 0.98]
    assert each.error == 0, "the sample is the whole network"
    assert dict(each.by_seed[0]) == {0: 100.0, 100: 100.0, 200: 100.0}
    torch, jax = (
        picture_records.masks(fixture.config(method="set", sparsity=0.98, seed=2, backend=name))
        for name in ("torch", "jax")
    )
    exact = [200 * (a & b).sum() / (a.sum() + b.sum()) for a, b in zip(torch, jax, strict=True)]
    assert list(each.by_seed[2].values()) == pytest.approx(exact)
    assert exact[-1] < 100


def test_overlap_draws_a_line_for_each_seed_and_their_mean(board):
    panels = overlap.figure(board).axes
    assert [panel.get_title(loc="left").split("\n")[1] for panel in panels] == ["sparsity 0.9", "sparsity 0.98"]
    assert len(panels[0].lines) == 4
    *single, mean = [np.array(line.get_ydata()) for line in panels[0].lines]
    assert mean.tolist() == pytest.approx(np.mean(single, axis=0).tolist())


def test_runs_of_different_networks_share_nothing(tmp_path):
    one = fixture.movement(np.ones((20, 50), bool))
    other = fixture.movement(np.ones((20, 50), bool))
    object.__setattr__(other, "sizes", (999,))
    assert moving.common(one, other) == {}


def test_curves_of_both_frameworks_and_their_difference(board):
    panels = frameworks.figure(board).axes
    titles = [panel.get_title(loc="left") for panel in panels]
    assert titles[0] == "lenet-300-100 on digits\ndense 0"
    assert sorted(titles[1:]) == ["rigl 0.9", "rigl 0.98", "set 0.98", "static 0.9"]
    panel = panels[titles.index("rigl 0.9")]
    assert [line.get_xydata().tolist() for line in panel.lines] == [
        [[100, pytest.approx(48.0)], [200, pytest.approx(96.0)]]
    ] * 2
    assert panel.texts[0].get_text() == "torch − jax: +0.00 ± 0.00"


def test_panels_of_another_benchmark_begin_another_row():
    assert frameworks.slots(["a", "a", "b", "b", "b", "b", "b", "c"]) == [0, 1, 4, 5, 6, 7, 8, 12]
    assert frameworks.slots(["a"] * 5 + ["b"]) == [0, 1, 2, 3, 4, 8]
    assert frameworks.slots(["a"] * 4 + ["b"]) == [0, 1, 2, 3, 4]


def test_more_panels_than_can_be_looked_at_are_refused(board, monkeypatch):
    monkeypatch.setattr(frameworks, "MOST", 4)
    with pytest.raises(UserError, match="5 cells have a twin in another framework, and 4 make a picture"):
        frameworks.figure(board)


# ---- seeds ----------------------------------------------------------------------------------------------------


def test_a_line_is_the_mean_with_students_interval():
    found = seeds.line([{0: 1.0, 5: 2.0}, {0: 3.0, 5: 2.0}, {0: 2.0, 5: 2.0, 9: 7.0}])
    assert (found.x, found.mean) == ((0, 5), (2.0, 2.0))
    assert found.high[0] - found.mean[0] == pytest.approx(4.302653 / 3**0.5, abs=1e-6)
    assert found.low[1] == found.high[1] == 2.0
    assert seeds.line([{0: 1.0}]) == seeds.Line((0,), (1.0,))
    assert seeds.line([]) == seeds.Line((), ())
