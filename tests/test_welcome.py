"""What an experiment greets with: views that show what is there, a note that fits, a page of what the store holds."""

import base64
import json
import shutil
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

import records_fixture as fixture
from sparsebench import records
from sparsebench.cli import main
from sparsebench_board import mirrored, prepared, tracking, ui, welcome
from sparsebench_board.entries import KIND, LABEL
from sparsebench_board.mirror import Outcome, mirror
from sparsebench_board.page import HERE, publish
from sparsebench_board.rows import rows
from sparsebench_board.welcome import CUT, NOTE, ROOM, note

pytest_plugins = ("mlflow_store",)
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")  # MLflow's, on import


@pytest.fixture
def store(migrated, tmp_path):
    """(URI, folder of artifacts) of a fresh store."""
    return f"sqlite:///{shutil.copy(migrated, tmp_path / 'mlflow.db')}", tmp_path / "mlartifacts"


def written(root, methods=("rigl", "set"), seeds=2):
    return [
        fixture.write(root, fixture.config(method, 0.9, seed), 0.9 + place / 100 + seed / 1000)
        for place, method in enumerate(methods) for seed in range(seeds)
    ]  # fmt: skip


def experiment(store):
    return tracking.connect(store[0]).get_experiment_by_name(tracking.EXPERIMENT)


def state(tag):
    """What MLflow's pages read of a view's tag."""
    envelope = json.loads(tag)
    assert (type(envelope["name"]), type(envelope["createdAt"])) == (str, int)
    packed = envelope["state"].removeprefix("deflate;")
    return json.loads(zlib.decompress(base64.b64decode(packed)))


def runs(store, filter_string, order_by=()):
    return tracking.connect(store[0]).search_runs(
        [experiment(store).experiment_id], filter_string, order_by=list(order_by)
    )


def named(data):
    """What a run has, as views name it."""
    kinds = {"metrics": data.metrics, "tags": data.tags, "params": data.params}
    return [f"{kind}.`{name}`" for kind, entries in kinds.items() for name in entries]


def test_views_name_what_runs_have(tmp_path, store):
    mirror(written(tmp_path / "runs"), *store)
    tags = experiment(store).tags
    for view in prepared.VIEWS:
        shown = state(tags[prepared.PREFIX + view.key])
        assert shown == json.loads(json.dumps(view.state))
        found = runs(
            store, shown["searchFilter"], [f"{shown['orderByKey']} {'ASC' if shown['orderByAsc'] else 'DESC'}"]
        )
        names = {name for run in found for name in named(run.data)}
        assert set(shown["selectedColumns"]) <= names
        assert set(shown["selectedColumns"]) <= set(shown["columnOrder"])
        assert set(shown["columnOrder"]) <= set(shown["columnWidths"])
        for chart in shown.get("compareRunCharts", ()):
            metrics = [chart[axis]["key"] for axis in ("xaxis", "yaxis") if axis in chart]
            assert {f"metrics.`{name}`" for name in (*metrics, *chart.get("selectedMetrics", ()))} <= names
            assert {f"params.`{name}`" for name in chart.get("selectedParams", ())} <= names
            assert chart["metricSectionId"] in [section["uuid"] for section in shown["compareRunSections"]]
        methods = [run.data.tags["method"] for run in found]
        assert methods == (["rigl", "rigl", "set", "set"] if "groupBy" in shown else ["set", "rigl"])


def test_seeds_are_grouped_by_their_cell(tmp_path, store):
    mirror(written(tmp_path / "runs"), *store)
    children = runs(store, f"tags.`{KIND}` = 'run'")
    labels = {run.data.tags[LABEL]: run.data.tags["sparsebench.cell"] for run in children}
    assert len(labels) == len(set(labels.values())) == 2
    assert all(label.startswith(("rigl 0.9 torch, ", "set 0.9 torch, ")) for label in labels)


def test_the_note_is_the_board_with_links_to_the_views(tmp_path, store):
    found = written(tmp_path / "runs")
    mirror(found[:2], *store)
    assert "2 runs in 1 cell, seeds 0–1" in experiment(store).tags[NOTE]
    mirror(found[2:], *store)  # what the store holds is shown, not what was mirrored last
    text = experiment(store).tags[NOTE]
    first, _, rest = text.partition("\n")
    assert first.removeprefix("sparsebench: ").split(" · ") == [
        f"[{view.name}](#{view.address(experiment(store).experiment_id)[2:]})" for view in prepared.VIEWS
    ]
    assert "4 runs in 2 cells, seeds 0–1" in rest
    assert "| set&emsp; | 0.9&emsp; | torch&emsp; | 91.05 ± " in rest
    assert "| :--- | :--- |" in rest


def test_a_note_is_text_and_fits(tmp_path):
    record = fixture.write(tmp_path, fixture.config())
    methods = [{"method": f"<script>{k}|</script>"} for k in range(300)]
    found = [replace(record, config=record.config.model_copy(update=method)) for method in methods]
    text = note("links", found)
    assert len(text) <= ROOM
    assert text.endswith(" |" + CUT)
    assert "<script>" not in text.replace("\\<script\\>", "")
    assert note("links", found[:3]).count("\n| \\<script") == 3


def test_nothing_is_written_twice(tmp_path, store, monkeypatch):
    found = written(tmp_path / "runs")
    mirror(found, *store)
    client, names = tracking.load(), []
    monkeypatch.setattr(client, "set_experiment_tag", lambda self, id, name, value: names.append(name))
    assert mirror(found, *store) == Outcome(present=4)
    assert names == []


@pytest.mark.parametrize("broken", ["get_experiment", "set_experiment_tag"])
def test_a_store_that_takes_no_tags_takes_runs(tmp_path, store, monkeypatch, broken):
    def refuse(*arguments, **named):
        raise RuntimeError("no")

    monkeypatch.setattr(tracking.load(), broken, refuse)
    assert mirror(written(tmp_path / "runs"), *store) == Outcome(new=4)


# ---- the page -------------------------------------------------------------------------------------------------


def pages(store):
    return runs(store, f"tags.`{KIND}` = 'page'")


def test_the_page_is_logged_once_and_anew_for_other_runs(tmp_path, store):
    found = written(tmp_path / "runs")
    mirror(found[:2], *store)
    publish(found[:2], *store)
    (first,) = pages(store)
    publish(found[:2], *store)
    assert [run.info.run_id for run in pages(store)] == [first.info.run_id]
    mirror(found, *store)
    publish([], *store)  # of records that are not here, the store has what is needed
    (second,) = pages(store)
    assert second.info.run_id != first.info.run_id
    folder = Path(second.info.artifact_uri.removeprefix("file://")) / "leaderboard"
    shown = (folder / "index.html").read_text()
    assert "4 runs in 2 cells" in shown
    assert shown.count(HERE) == 1
    with zipfile.ZipFile(folder / "leaderboard.zip") as archive:
        names = archive.namelist()
        assert HERE not in archive.read("leaderboard/index.html").decode()
    assert sum(name.startswith("leaderboard/cells/") and name.endswith(".html") for name in names) == 2
    link = f"[Page](#/experiments/{experiment(store).experiment_id}/runs/{second.info.run_id}/artifacts/leaderboard/"
    assert link in experiment(store).tags[NOTE].split("\n")[0]
    assert rows(mirrored.read_all(store[0])) == rows(found), "it is no run of the board"
    assert mirror(found, *store) == Outcome(present=4)
    assert link in experiment(store).tags[NOTE].split("\n")[0]


def test_a_page_that_was_interrupted_is_made_again(tmp_path, store, monkeypatch):
    found = written(tmp_path / "runs")
    mirror(found, *store)

    def interrupt(*arguments, **named):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tracking.load(), "log_artifacts", interrupt)
        with pytest.raises(KeyboardInterrupt):
            publish(found, *store)
    assert "[Page]" not in experiment(store).tags[NOTE]
    publish(found, *store)
    (only,) = pages(store)
    assert only.info.status == "FINISHED"
    assert "[Page]" in experiment(store).tags[NOTE]


def test_ui_shows_runs_where_a_page_cannot_be_made(tmp_path, store, monkeypatch, capsys):
    written(tmp_path / "runs")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store[0])
    served = []
    monkeypatch.setattr(ui, "serve", lambda *arguments: served.append(arguments))
    monkeypatch.setattr(welcome, "greet", lambda shelf: None)
    monkeypatch.setattr("sparsebench_board.site.write", lambda *arguments, **named: 1 / 0)
    assert main(["ui", "--records", str(tmp_path / "runs")]) == 0
    assert len(served) == 1
    assert capsys.readouterr().err == ("warning: MLflow has no page of the board, or an old one (division by zero)\n")
    assert len(records.read_all(tmp_path / "runs")) == 4
