"""What checks of `sparsebench doctor` find in a folder of records."""

import pytest

import records_fixture as fixture
from sparsebench.doctor.finding import Place


@pytest.fixture
def runs(tmp_path):
    """Two sound records."""
    for seed in range(2):
        fixture.write(tmp_path / "runs", fixture.config(seed=seed))
    return tmp_path / "runs"


def told(check, root, given=None):
    """What a check finds: level and text with the remedy."""
    return [(each.level, f"{each.what} → {each.remedy}") for each in check(Place(root, given))]


def the_one(check, root, given=None):
    (found,) = told(check, root, given)
    return found


def first(root):
    return sorted(path for path in root.iterdir() if (path / "result.json").is_file())[0]
