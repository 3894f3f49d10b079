"""What pictures of accuracy show is what rows say."""

from itertools import pairwise

import pytest

import picture_records
import records_fixture as fixture
from picture_records import marks
from sparsebench import plugins
from sparsebench.config import Recipe, Updates
from sparsebench_board.pictures import (
    accuracy,
    flops,
    groups,
    matrix,
    sparsity,
    style,
)
from sparsebench_board.pictures.sheet import free
from sparsebench_board.rows import rows

pytest_plugins = ("picture_records",)
pytestmark = pytest.mark.usefixtures("styled")


# ---- accuracy against FLOPs -----------------------------------------------------------------------------------


def test_points_are_rows_relative_to_dense(board):
    found, unit = flops.points(rows(board), flops.TRAINED)
    assert unit == fixture.DENSE_TRAINING
    assert {(p.row.method, p.row.sparsity, p.row.backend): p.x for p in found} == {
        (method, sparsity, backend): pytest.approx(1 - sparsity)
        for method, sparsity in picture_records.METHODS
        for backend in ("torch", "jax")
    }


def test_the_front_is_what_nothing_beats(board):
    found, _ = flops.points(rows(board), flops.INFERRED)
    assert {(p.row.method, p.row.sparsity) for p in found if p.front} == {("dense", 0), ("rigl", 0.9), ("rigl", 0.98)}


def test_no_single_dense_makes_the_axis_absolute(tmp_path):
    records = [
        fixture.write(tmp_path, fixture.config(seed=seed), result={"dense_training_flops": 1e9 + seed})
        for seed in range(2)
    ]
    longer = fixture.write(tmp_path, fixture.config(recipe=Recipe(steps=400)), result={"dense_training_flops": 2e9})
    found, unit = flops.points(rows([*records, longer]), flops.TRAINED)
    assert unit is None
    assert {point.x for point in found} == {fixture.DENSE_TRAINING * 0.1}


def test_rows_that_lack_seeds_are_drawn_and_not_on_the_front(board):
    short = [r for r in board if not (r.config.method == "rigl" and r.config.seed == 2)]
    found, _ = flops.points(rows(short), flops.TRAINED)
    assert len(found) == 10
    assert {p.row.method for p in found if p.front} == {"dense", "static", "set"}


def test_every_row_has_its_mark_with_its_interval(board):
    (panel,) = flops.figure(flops.TRAINED, board).axes
    assert marks(panel) == {(round(1 - s, 6), round(100 * a, 4)) for (_, s), a in picture_records.ACCURACY.items()}
    bars = [seg for container in panel.containers for seg in container.lines[2][0].get_segments()]
    lengths = {round(float(seg[1][1] - seg[0][1]), 4) for seg in bars}
    row = rows(board)[0]
    assert lengths == {round(200 * row.accuracy_ci95, 4)}
    front = panel.lines[0].get_xydata().tolist()
    assert front[0] == [pytest.approx(0.02), pytest.approx(92.0)]
    assert front[-1] == [1.0, pytest.approx(97.0)]


def test_each_model_and_data_set_has_a_panel_of_its_own(board, tmp_path):
    other = [fixture.write(tmp_path, fixture.config(dataset="mnist", seed=seed)) for seed in range(3)]
    panels = flops.figure(flops.TRAINED, [*board, *other]).axes
    assert [panel.get_title(loc="left") for panel in panels] == [
        "lenet-300-100 on digits", "lenet-300-100 on mnist",
    ]  # fmt: skip
    assert marks(panels[1]) == {(0.1, 90.0)}


# ---- the axis of accuracies -----------------------------------------------------------------------------------


def test_the_axis_leaves_out_what_is_far_below():
    low, high = accuracy.window([97, 96.5, 96, 95.5, 40], [(96, 98)])
    assert 90 < low < 95.5
    assert 97.5 < high < 98, "an interval that is wider than half of what the means span is cut"
    assert accuracy.window([97, 96, 89], [])[0] < 89, "no more than that is left out"
    low, high = accuracy.window([90.0, 90.1], [])
    assert high - low == pytest.approx(accuracy.LEAST), "a trifle does not look large"


def test_what_is_below_the_axis_is_listed_with_its_number(board, tmp_path):
    poor = [fixture.write(tmp_path, fixture.config(method="snip", seed=seed), accuracy=0.3) for seed in range(3)]
    (panel,) = flops.figure(flops.TRAINED, [*board, *poor]).axes
    assert "↓ 30.0" in {text.get_text() for text in panel.texts}
    assert all(y > 80 or y == 0 for _, y in marks(panel))


def test_an_axis_of_flops_has_ticks_that_do_not_run_into_each_other():
    low, high = flops.reach([0.0027])
    assert low < 0.002 < 0.005 < high
    assert flops.ticks(low, high) == [0.001, 0.002, 0.005]
    low, high = flops.reach([0.02, 1.0])
    assert flops.ticks(low, high) == [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0]
    assert flops.ticks(1e9, 2e12) == [1e9, 3e9, 1e10, 3e10, 1e11, 3e11, 1e12]


def test_equal_places_are_drawn_side_by_side():
    assert accuracy.asides([0.1, 0.5, 0.1, 0.1005], step=4) == [-4, 0, 0, 4]
    many = accuracy.asides([1.0] * 50)
    assert max(many) - min(many) == pytest.approx(32)
    assert all(a < b for a, b in pairwise(many))


def test_labels_that_overlap_an_earlier_one_have_no_room():
    assert free([(100, 10), (110, 12), (300, 10), (100, 40)], [8, 8, 8, 8]) == [True, False, True, True]


# ---- accuracy against sparsity, the matrix --------------------------------------------------------------------


def test_lines_join_the_sparsities_of_a_method(board):
    (panel,) = sparsity.figure(board).axes
    rigl = [
        line for line in panel.lines if line.get_color() == style.KNOWN["rigl"].colour and len(line.get_xdata()) == 2
    ]
    joined = [line.get_xydata() for line in rigl if line.get_linestyle() != "None" and line.get_marker() == "None"]
    assert len(joined) == 2, "a line for each framework"
    for line in joined:
        assert line.tolist() == [[pytest.approx(0.1), pytest.approx(96)], [pytest.approx(0.02), pytest.approx(92)]]
    dense = [
        line for line in panel.lines if line.get_color() == style.BLACK and line.get_ydata()[0] == pytest.approx(97)
    ]
    assert len(dense) == 2
    assert [text.get_text() for text in panel.get_xticklabels()] == ["0.98", "0.9"]


def test_published_figures_of_what_was_run_stand_beside_it(tmp_path):
    def group(**settings):
        usual = {"model": "resnet50", "dataset": "imagenet", "distribution": "uniform"} | settings
        (found,) = groups.groups([fixture.write(tmp_path, fixture.config(**usual))])
        return {(each.method, each.sparsity, each.distribution) for each in sparsity.references(found)}

    assert group(method="static") == {("static", s, "uniform") for s in (0.8, 0.9, 0.95, 0.965)}
    assert group(method="dense", sparsity=0.0) == {("dense", 0.0, None)}
    assert group(method="static", dataset="imagenette") == set()
    assert group(method="static", multiplier=2.0) == set()


def test_the_matrix_has_every_row_in_its_place(board):
    (group,) = groups.groups(board)
    jax, torch = matrix.matrices(group)
    assert (jax.title, torch.title) == ("lenet-300-100 on digits, jax", "lenet-300-100 on digits, torch")
    assert jax.names == ("dense", "rigl", "set", "static")
    assert jax.sparsities == (0, 0.9, 0.98)
    found = [[row and round(row.accuracy, 4) for row in line] for line in torch.cells]
    assert found == [[0.97, None, None], [None, 0.96, 0.92], [None, None, 0.91], [None, 0.93, None]]
    texts = [text.get_text() for text in matrix.figure(board).axes[0].texts]
    assert texts[0] == "97.00 ± 2.48"
    assert len(texts) == 5


def test_levels_on_the_way_to_a_ticket_are_no_columns(board, tmp_path):
    between = fixture.write(tmp_path, fixture.config(method="lottery", sparsity=0.725375))
    (group,) = groups.groups([*board, between])
    assert matrix.matrices(group)[0].sparsities == (0, 0.9, 0.98)
    (alone,) = groups.groups([between])
    assert matrix.matrices(alone)[0].sparsities == (0.725375,)


def test_shades_go_from_white_to_dark():
    assert matrix.shade(50, (60, 90)) == matrix.SHADES[0]
    assert matrix.shade(95, (60, 90)) == matrix.SHADES[1]
    assert matrix.shade(75, (60, 90)) == "#bfd9ec"


# ---- groups and looks -----------------------------------------------------------------------------------------


def test_recipes_do_not_mix(board, tmp_path):
    other = fixture.write(tmp_path, fixture.config(recipe=Recipe(steps=200, learning_rate=0.5)))
    found = groups.groups([*board, other])
    assert {group.title: len(group.members) for group in found} == {
        "lenet-300-100 on digits, learning_rate=0.1": 10, "lenet-300-100 on digits, learning_rate=0.5": 1,
    }  # fmt: skip


def test_lengths_of_one_recipe_stand_together(board, tmp_path):
    longer = fixture.write(tmp_path, fixture.config(multiplier=2.0, recipe=Recipe(steps=400)))
    (found,) = groups.groups([*board, longer])
    assert {member.name for member in found.members if member.row.method == "rigl"} == {"rigl 1×", "rigl 2×"}


def test_settings_of_a_method_have_looks_of_their_own(tmp_path):
    updates = Updates(delta_t=20, alpha=0.5, begin=0.0, end=0.75, anneal="cosine")
    records = [fixture.write(tmp_path, fixture.config()), fixture.write(tmp_path, fixture.config(updates=updates))]
    looks = groups.named_looks(groups.groups(records))
    assert list(looks) == ["rigl alpha=0.3", "rigl alpha=0.5"]
    assert looks["rigl alpha=0.3"] == style.KNOWN["rigl"]
    assert looks["rigl alpha=0.5"] not in style.KNOWN.values()


def test_no_two_methods_look_alike():
    assert set(style.KNOWN) == set(plugins.names("methods")), "every method of ours has a look"
    own = {name: name for name in style.KNOWN}
    strangers = {f"method {k}": f"method {k}" for k in range(30)}
    several = {f"rigl {k}×": "rigl" for k in range(10)} | {"dense": "dense"}
    for names in (own, strangers, several, own | strangers):
        found = style.looks(names)
        assert len({(look.marker, look.turn) for look in found.values()}) == len(names), "without colours too"
        assert {name for name, look in found.items() if look.colour == style.BLACK} <= {"dense"}
    assert style.looks(own) == style.KNOWN
    for backend in style.DASHES:
        dashes = [style.dash(backend, style.Look(style.RED, "o", turn)) for turn in range(3)]
        assert len(set(dashes)) == 3


def test_a_length_in_one_panel_is_told_in_all(board, tmp_path):
    longer = fixture.write(tmp_path, fixture.config(model="other", multiplier=5.0))
    found = groups.groups([*board, longer])
    assert {m.name for group in found for m in group.members if m.row.method == "rigl"} == {"rigl 1×", "rigl 5×"}
