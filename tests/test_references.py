"""Published rows: figure by figure those of the collection they come from, and never among measured ones."""

import csv
import io
import json
from collections import Counter

import pytest

import reference
from records_fixture import row
from sparsebench_board.columns import title
from sparsebench_board.formats import FORMATS, formatted
from sparsebench_board.references import DATA, Reference, matching, published
from sparsebench_board.table import board
from sparsebench_board.views.published import view

DOCUMENT = json.loads(DATA.read_text(encoding="utf-8"))
RIGL = row(model="resnet50", dataset="imagenet", cell="r")
"""RigL at 0.9 with ERK."""


def figures(collection):
    """(table, label, sparsity, length or None) -> top1, std, train_x, test_x of every row of tables we take from."""
    found = {}
    for name in ("resnet50_imagenet_fig2", "resnet50_imagenet_table4", "mobilenet_v1_fig3"):
        for each in collection[name]["rows"]:
            key = (name, each["method"], each["S"])
            found[key] = (each["top1"], each["std"], each.get("train_x"), each["test_x"])
    dense = collection["resnet50_imagenet_fig2"]["dense"]
    found["resnet50_imagenet_fig2", "dense", 0] = (dense["top1"], dense["std"], 1.0, 1.0)
    for each in collection["resnet50_readme_checkpoints"]["rows"]:
        if each["label_smoothing"]:
            found["resnet50_readme_checkpoints", each["dist"], each["S"], each["mult"]] = (
                each["top1"],
                None,
                None,
                None,
            )
    figure4, reprod = collection["wrn22_2_cifar10_fig4"], collection["wrn22_2_cifar10_reprod"]
    for label in ("RigL (ERK)", "RigL 2x (ERK)", "Static (ERK)", "Static 2x (ERK)"):
        for sparsity, top1 in zip(figure4["S"], figure4[label], strict=True):
            found["wrn22_2_cifar10_fig4", label, sparsity] = (top1, None, None, None)
    found["wrn22_2_cifar10_fig4", "dense", 0] = (figure4["dense"], None, 1.0, 1.0)
    found["wrn22_2_cifar10_reprod", "dense_50k", 0] = (reprod["dense_50k"], None, 1.0, 1.0)
    for start, label, top1, std, train in collection["lottery_table3"]["rows"]:
        if start == "Random":
            found["lottery_table3", label, 0.8] = (top1, std, train, None)
    return found


def key(entry):
    length = (entry["multiplier"],) if entry["table"] == "resnet50_readme_checkpoints" else ()
    return (entry["table"], entry["label"], entry["sparsity"], *length)


def test_every_figure_is_the_collections():
    collection = reference.read("published_accuracy.json")
    printed = figures(collection["accuracy"])
    for entry in DOCUMENT["rows"]:
        assert printed[key(entry)] == tuple(entry[name] for name in ("top1", "std", "train_x", "test_x")), entry
    assert {name: collection["sources"][name] for name in DOCUMENT["sources"]} == DOCUMENT["sources"]


def test_every_table_of_the_collection_is_used_or_left_out_with_a_reason():
    collection = reference.read("published_accuracy.json")["accuracy"]
    left_out = {(each["table"], label) for each in DOCUMENT["excluded"] for label in each["rows"]}
    assert all(each["reason"] for each in DOCUMENT["excluded"])
    used = {(each["table"], each["label"]) for each in DOCUMENT["rows"]}
    for name in ("resnet50_imagenet_fig2", "mobilenet_v1_fig3", "resnet50_imagenet_table4"):
        assert all((name, each["method"]) in used | left_out for each in collection[name]["rows"])
    assert set(collection) == {table for table, _ in used | left_out}


def test_labels_mean_what_the_rows_say():
    for entry in DOCUMENT["rows"]:
        label, dense = entry["label"], entry["method"] in ("dense", "small-dense")
        named = label.partition(" (")[0].removesuffix(" 5x").removesuffix(" 2x").lower()
        if entry["table"] != "resnet50_readme_checkpoints":
            assert named.removesuffix("_50k") == entry["method"]
            assert entry["multiplier"] == (5 if " 5x" in label else 2 if " 2x" in label else 1)
        erk = "erk" if "ERK" in label else "uniform"
        assert entry["distribution"] == (None if dense else erk)
        assert dense or 0 < entry["sparsity"] < 1
    counts = Counter((key(entry), entry["where"]) for entry in DOCUMENT["rows"])
    assert max(counts.values()) == 1


def test_references_are_fractions_with_a_source():
    found = published()
    assert len(found) == len(DOCUMENT["rows"])
    assert all(0.5 < each.accuracy < 1 and each.source.count(": ") for each in found)
    assert all(each.std is None or each.std < 0.01 for each in found)


@pytest.mark.parametrize(
    "other",
    [
        {"model": "m"},
        {"dataset": "d"},
        {"method": "set"},
        {"sparsity": 0.85},
        {"distribution": "er"},
        {"multiplier": 2.0},
    ],
)
def test_a_reference_fits_in_all_or_not_at_all(other):
    told = [(each.accuracy, each.std, each.multiplier) for each in matching([RIGL])]
    assert told == [(pytest.approx(0.73), pytest.approx(0.0004), 1.0), (pytest.approx(0.7307), None, 1.0)]
    assert not any(each.fits(RIGL) for each in matching([row(**{"model": "resnet50", "dataset": "imagenet"} | other)]))


def test_methods_without_a_distribution_fit_any():
    small = row(model="resnet50", dataset="imagenet", method="small-dense", distribution="erk")
    assert [each.accuracy for each in matching([small])] == [pytest.approx(0.689)]


def test_tables_hold_them_apart_and_name_the_source():
    shown = view([RIGL, row()])
    assert [sheet.title for sheet in shown.sheets] == [title([RIGL]), "published: resnet50 on imagenet", title([row()])]
    assert shown.sheets[::2] == board([RIGL, row()]).sheets
    for format in ("table", "md"):
        text = formatted(shown, format)
        assert "73.00" in text
        assert "arXiv" in text
        assert "ranked with nothing" in text


@pytest.mark.parametrize("format", list(FORMATS))
def test_without_a_fitting_one_the_board_is_the_board(format):
    text = formatted(view([row()]), format)
    assert "published:" not in text
    assert formatted(board([row()]), "md") == formatted(view([row()]), "md")


def test_programs_are_told_which_kind_a_row_is():
    entries = json.loads(formatted(view([RIGL]), "json"))
    lines = list(csv.DictReader(io.StringIO(formatted(view([RIGL]), "csv"))))
    assert (
        [each["kind"] for each in entries] == [each["kind"] for each in lines] == ["measured", "published", "published"]
    )
    assert [each["seeds"] for each in entries] == [[0, 1, 2], None, None]
    assert lines[1]["source"].endswith("Figure 2")
    assert set(Reference.__dataclass_fields__) < set(entries[0])
