"""Third-party plugins that go wrong, each in another of the places where the harness calls them."""

import textwrap
from collections.abc import Callable
from pathlib import Path

from wrong_inputs import Wrong

SOURCE = """
    from dataclasses import replace

    from sparsebench.data.source import Source
    from sparsebench.methods.rigl import rigl
    from sparsebench.methods.set import set_
    from sparsebench.models import Input, Model
    from sparsebench.trainer import Backend


    def broken(*arguments):
        raise RuntimeError("the plugin\\nbroke")


    def nothing(*arguments):
        return None


    mine = replace(set_, name="mine")
    clockless = replace(set_, name="clockless", when=broken)
    eventless = replace(set_, name="eventless", when=lambda clock, i: "now")
    bad_anneal = replace(set_, name="bad-anneal", anneal="cosin")
    bad_start = replace(set_, name="bad-start", start=broken)
    bad_drop = replace(set_, name="bad-drop", drop=broken)
    misshapen = replace(set_, name="misshapen", grow=lambda xp, layer, signals: signals.weight[:1])
    no_data = Source("no-data", "raises", broken)
    none_data = Source("none-data", "gives nothing", nothing)
    no_layers = Model("no-layers", "raises", broken, broken, {"toy": "toy:build"}, input=Input((1, 2, 2), 2))
    no_backend = Backend("no-backend", "raises", broken, builders={"lenet-300-100": "toy:build"})
"""
ENTRY_POINTS = """
[sparsebench.methods]
mine = mishaps:mine
clockless = mishaps:clockless
eventless = mishaps:eventless
bad-anneal = mishaps:bad_anneal
bad-start = mishaps:bad_start
bad-drop = mishaps:bad_drop
misshapen = mishaps:misshapen

[sparsebench.datasets]
no-data = mishaps:no_data
none-data = mishaps:none_data

[sparsebench.models]
no-layers = mishaps:no_layers

[sparsebench.backends]
no-backend = mishaps:no_backend
"""


def install(folder: Path, metadata: Callable[[Path, str, str], None]) -> None:
    """Put the package where it can be imported."""
    (folder / "mishaps.py").write_text(textwrap.dedent(SOURCE))
    metadata(folder, "mishaps", ENTRY_POINTS)


def _train(name: str, kind: str = "method") -> str:
    own = {"method": "rigl", "dataset": "dots", "backend": "toy", "model": "lenet-300-100"} | {kind: name}
    return "train --recipe.batch-size 4 " + " ".join(f"--{option} {value}" for option, value in own.items())


BROKE = "RuntimeError: the plugin broke"
WHERE = f"of package 'mishaps' failed: {BROKE} (mishaps.py:"
LOG = "traceback in runs/workers.log"
ROWS = {
    "when raises": Wrong(_train("clockless"), f"'clockless' {WHERE}", "mend the package"),
    "when gives no event": Wrong(_train("eventless"), "'eventless' of package 'mishaps'", "mend the package"),
    "an anneal that is none": Wrong(_train("bad-anneal"), "'bad-anneal' of package 'mishaps'", "'cosine'"),
    "a data set raises": Wrong(_train("no-data", "dataset"), f"'no-data' {WHERE}", "mend the package"),
    "a data set is none": Wrong(_train("none-data", "dataset"), "'none-data' of package 'mishaps'", "mend the package"),
    "a layer table raises": Wrong(_train("no-layers", "model"), f"'no-layers' {WHERE}", "mend the package"),
    "costs of such a model": Wrong("flops no-layers", f"'no-layers' {WHERE}", "mend the package"),
    "start raises": Wrong(_train("bad-start"), BROKE, LOG),
    "drop raises": Wrong(_train("bad-drop"), BROKE, LOG),
    "a score of another shape": Wrong(_train("misshapen"), "misshapen", LOG),
    "a backend that does not start": Wrong(_train("no-backend", "backend"), BROKE, LOG),
}
