"""Wrong inputs to every command, file and setting: one line each that says what is wrong, code 2, nothing written."""

import pytest

from sparsebench.cli import main
from wrong_inputs import commands, files, settings, suites
from wrong_inputs import plugins as mishaps
from wrong_inputs import records as damages
from wrong_world import listed

pytest_plugins = ("wrong_world",)
pytestmark = pytest.mark.usefixtures("watchdog")

AREAS = {
    "commands": commands.ROWS, "settings": settings.ROWS, "suites": suites.ROWS, "records": damages.ROWS,
    "files": files.ROWS, "plugins": mishaps.ROWS,
}  # fmt: skip
ROWS = {f"{area}: {name}": row for area, rows in AREAS.items() for name, row in rows.items()}


@pytest.mark.parametrize("name", ROWS)
def test_wrong_input_is_refused(name, world, work, tmp_path, capfd):
    row = ROWS[name]
    row.prepare(work)
    before = listed(tmp_path)
    capfd.readouterr()
    code = main(world.words(row.arguments))
    out, err = capfd.readouterr()
    lines = err.splitlines()
    assert (code, out, len(lines)) == (2, "", row.lines), err
    assert all(line.startswith("error: ") for line in lines), err
    assert [told for told in row.told if told not in err] == [], err
    assert listed(tmp_path) == before, "something was written"


def test_there_are_many():
    assert len(ROWS) >= 300
    assert {row.arguments[0] for row in ROWS.values()} > {
        "run", "train", "flops", "density", "leaderboard", "compare", "plot", "ui", "bench", "check", "list", "show",
        "new", "export", "import",
    }  # fmt: skip
