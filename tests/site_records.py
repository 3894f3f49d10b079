"""Fixtures: records of several cells, one of them without a seed and one of evil names, and hardware documents."""

import json

import pytest

import hardware_fixture
import records_fixture as fixture
from html_page import BREAKOUT, EVIL
from sparsebench.errors import UserError
from sparsebench_board import site
from sparsebench_board.pictures.kind import Kind
from sparsebench_board.rows import rows

CASES = [
    ("dense", 0.0, 1.0, 0.950), ("rigl", 0.9, 5.0, 0.951), ("rigl", 0.9, 1.0, 0.930), ("static", 0.9, 1.0, 0.800),
]  # fmt: skip
NOISE = {0: 0.001, 1: -0.002, 2: 0.0015}


SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 30 20"><rect width="30" height="20"/></svg>'


class Drawing(Kind):
    """A stand-in that needs no matplotlib."""

    def svg(self, records):
        if self.name == "empty":
            raise UserError(f"nothing to draw of {records[0].config.method}")
        return SVG


KINDS = {
    name: Drawing(name, f"Title of {name}", f"What {name} shows.", None, whole)
    for name, whole in (("drawn", True), ("empty", True), ("few", False))
}


@pytest.fixture(scope="session")
def recorded(tmp_path_factory):
    """A folder of records: static lacks a seed in jax; another model's method and data set have names like attacks."""
    root = tmp_path_factory.mktemp("recorded") / "runs"
    for method, sparsity, multiplier, accuracy in CASES:
        for backend in ("torch", "jax"):
            for seed, noise in NOISE.items():
                if (method, backend, seed) != ("static", "jax", 1):
                    recipe = fixture.Recipe(steps=round(fixture.STEPS * multiplier))
                    config = fixture.config(method, sparsity, seed, backend, multiplier=multiplier, recipe=recipe)
                    own = noise if method == "rigl" else -noise
                    fixture.write(root, config, round(accuracy + own, 6))
    evil = fixture.config(EVIL, backend=BREAKOUT, model="../..//etc", dataset=BREAKOUT)
    fixture.write(root, evil, 0.7, environment={"cpu": EVIL, "packages": {BREAKOUT: EVIL}}, result={"finished": EVIL})
    folder = root / "hardware"
    folder.mkdir()
    steps, products = [hardware_fixture.step(cut=[EVIL])], [hardware_fixture.product(kernel=EVIL)]
    missing = [{"what": BREAKOUT, "reason": EVIL}]
    whole = hardware_fixture.parts({"cpu": EVIL}, steps=steps, products=products, missing=missing)
    (folder / "2026-01-01T00-00-00Z_evil.json").write_text(json.dumps(whole))
    (folder / "2026-01-02T00-00-00Z_broken.json").write_text('{"schema": 1, "kind": "<script>"')
    return root


@pytest.fixture(scope="session")
def found(recorded):
    """The records as the command line reads them."""
    from sparsebench import records

    return records.read_all(recorded)


@pytest.fixture(scope="session")
def board_rows(found):
    """Their rows."""
    return rows(found)


@pytest.fixture(scope="session")
def written(recorded, found):
    """The site of them all, beside the records."""
    folder = recorded.parent / "site"
    assert site.write(found, folder, hardware=hardware(recorded), kinds=KINDS) == folder / "index.html"
    return folder


def hardware(root):
    return sorted((root / "hardware").glob("*.json"))
