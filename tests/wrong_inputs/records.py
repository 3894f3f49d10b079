"""Records, hardware documents and MLflow stores that are damaged, of another time, or not what they are taken for."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from damage import flip
from sparsebench import seals
from wrong_inputs import Wrong, file

REMEDY = "remove that folder, then run or copy it again"
UNLIKE = "{} does not match its digest in SHA256SUMS"


def _record(folder: Path) -> Path:
    return next(path for path in sorted((folder / "runs").iterdir()) if "_rigl_" in path.name)


def _older(folder: Path) -> Path:
    """The same as an older version made it, without digests: what is in it is all that can be judged."""
    (_record(folder) / seals.NAME).unlink()
    return _record(folder)


def flipped(name: str) -> Callable[[Path], None]:
    """Flips a bit of one file of a record."""
    return lambda folder: flip(_record(folder) / name)


def removed(name: str) -> Callable[[Path], None]:
    """Takes it away, but not its digest."""
    return lambda folder: (_record(folder) / name).unlink()


def shortened(name: str) -> Callable[[Path], None]:
    """Takes the last line from it."""

    def prepare(folder: Path) -> None:
        path = _record(folder) / name
        path.write_text("".join(path.read_text().splitlines(True)[:-1]))

    return prepare


def content(name: str, text: bytes | str) -> Callable[[Path], None]:
    """Gives one file of a record another content."""
    return lambda folder: file(name, text)(_older(folder))


def missing(name: str) -> Callable[[Path], None]:
    """Removes it."""
    return lambda folder: (_older(folder) / name).unlink()


def changed(name: str, *where: str, value: Any) -> Callable[[Path], None]:
    """Puts another value into a document of a record; None: takes it out."""

    def prepare(folder: Path) -> None:
        path = _older(folder) / name
        document = json.loads(path.read_text())
        table = document
        for key in where[:-1]:
            table = table[key]
        table[where[-1]] = value
        if value is None:
            del table[where[-1]]
        path.write_text(json.dumps(document))

    return prepare


def cut(name: str) -> Callable[[Path], None]:
    """Halves it; of lines, ends within the last."""

    def prepare(folder: Path) -> None:
        path = _older(folder) / name
        content = path.read_bytes()
        path.write_bytes(content[:-2] if name.endswith(".jsonl") else content[: len(content) // 2])

    return prepare


def renamed(folder: Path) -> None:
    """The record's folder has another name than its run."""
    shutil.move(_record(folder), folder / "runs" / "other")


def linked(folder: Path) -> None:
    """The records are a link to themselves."""
    (folder / "loop").symlink_to("loop")


BOARD = "leaderboard"
DAMAGES = {
    "config.json is missing": (missing("config.json"), "No such file or directory: config.json"),
    "result.json is missing": (missing("result.json"), "No such file or directory: result.json"),
    "config.json is empty": (content("config.json", ""), "config.json: "),
    "config.json is a list": (content("config.json", "[]"), "config.json holds no object"),
    "config.json is binary": (content("config.json", b"\xff\xfe\x00"), "config.json: "),
    "config.json nests without end": (content("config.json", "[" * 100_000), "config.json: "),
    "schema of the future": (changed("config.json", "schema", value=99), "it has schema 99, this version reads"),
    "schema is missing": (changed("config.json", "schema", value=None), "it lacks 'schema'"),
    "config is a number": (changed("config.json", "config", value=3), "given 3"),
    "sparsity is text": (changed("config.json", "config", "sparsity", value="much"), "sparsity: given 'much'"),
    "a setting is unknown": (changed("config.json", "config", "colour", value="red"), "unknown setting 'colour'"),
    "id is missing": (changed("config.json", "id", value=None), "it lacks 'id'"),
    "id is a number": (changed("config.json", "id", value=3), "id"),
    "id leads out": (changed("config.json", "id", value="../../x"), "../../x"),
    "numerics is text": (changed("config.json", "numerics", value="one"), "numerics"),
    "environment.json is cut": (cut("environment.json"), "environment.json: "),
    "environment is a list": (content("environment.json", "[]"), "environment.json holds no object"),
    "packages is a number": (changed("environment.json", "packages", value=3), "packages"),
    "layers.json is cut": (cut("layers.json"), "layers.json: "),
    "layers is a number": (changed("layers.json", "layers", value=3), "layers.json: layers: given 3"),
    "result.json is cut": (cut("result.json"), "result.json: "),
    "result is empty": (content("result.json", "{}"), "None for accuracy"),
    "accuracy is text": (changed("result.json", "accuracy", value="good"), "accuracy"),
    "accuracy is missing": (changed("result.json", "accuracy", value=None), "accuracy"),
    "accuracy is nan": (changed("result.json", "accuracy", value=float("nan")), "accuracy"),
    "training_flops is text": (changed("result.json", "training_flops", value="many"), "training_flops"),
    "training_flops below 0": (changed("result.json", "training_flops", value=-1), "training_flops"),
    "seconds is a number": (changed("result.json", "seconds", value=3), "seconds"),
    "a bit of the result": (flipped("result.json"), UNLIKE.format("result.json")),
    "a bit of the digests": (flipped("SHA256SUMS"), "SHA256SUMS is damaged"),
}
"""What `leaderboard` reads of a record."""

DEEPER = {
    "export, weights are cut": ("export RIGL", cut("weights.safetensors"), "weights.safetensors is damaged"),
    "export, no weights": ("export RIGL", missing("weights.safetensors"), "No such file or directory: weights"),
    "export, masks are cut": ("export RIGL", cut("masks.safetensors"), "masks.safetensors is damaged"),
    "export, masks are text": ("export RIGL", content("masks.safetensors", "x" * 50), "masks.safetensors is damaged"),
    "compare, events are cut": ("compare RIGL DENSE", cut("events.jsonl"), "cannot be read"),
    "compare, an event is a number": ("compare RIGL DENSE", content("events.jsonl", "3\n"), "events.jsonl"),
    "compare, layers are numbers": ("compare RIGL DENSE", changed("layers.json", "layers", value=[3]), "layers.json"),
    "import, movement is cut": ("import runs --records new", cut("movement.safetensors"), "movement.safetensors"),
    "import, no events": ("import runs --records new", missing("events.jsonl"), "No such file or directory: events"),
    "import, events are binary": ("import runs --records new", content("events.jsonl", b"\xff\n"), "cannot be read"),
    "import, id leads out": (
        "import runs --records new", changed("config.json", "id", value="../../x"), "../../x",
    ),
    "plot movement, cut": ("plot movement", cut("movement.safetensors"), "movement.safetensors is damaged"),
    "plot curves, events are numbers": ("plot curves", content("events.jsonl", "3\n"), "events.jsonl"),
    "plot curves, no loss": ("plot curves", content("events.jsonl", '{"kind": "train"}\n'), "events.jsonl"),
    "plot layers, no density": ("plot layers", changed("layers.json", "layers", value=[{}]), "layers.json"),
    "html, layers are numbers": ("leaderboard --html site", changed("layers.json", "layers", value=[3]), "layers.json"),
    "html, events are numbers": ("leaderboard --html site", content("events.jsonl", "3\n"), "events.jsonl"),
    "run, a damaged record": ("run toys.toml", cut("result.json"), "result.json: "),
    "train, a damaged ticket": (
        "train --dataset dots --backend toy --recipe.batch-size 4 --ticket.source RIGL --sparsity 0.9",
        cut("layers.json"), "layers.json: ",
    ),
    "train, a ticket with other masks": (
        "train --dataset dots --backend toy --recipe.batch-size 4 --ticket.source RIGL --sparsity 0.9",
        cut("masks.safetensors"), "masks.safetensors is damaged",
    ),
    "export, a bit of weights": ("export RIGL", flipped("weights.safetensors"), UNLIKE.format("weights.safetensors")),
    "export, a digest less": ("export RIGL", shortened("SHA256SUMS"), "SHA256SUMS has no digest of weights"),
    "export, a bit of masks": ("export RIGL", flipped("masks.safetensors"), UNLIKE.format("masks.safetensors")),
    "compare, an event less": ("compare RIGL DENSE", shortened("events.jsonl"), UNLIKE.format("events.jsonl")),
    "compare, a bit of weights": (
        "compare DENSE RIGL", flipped("weights.safetensors"), UNLIKE.format("weights.safetensors"),
    ),
    "import, an event less": (
        "import runs --records new", shortened("events.jsonl"), UNLIKE.format("events.jsonl"),
    ),
    "import, a bit of movement": (
        "import runs --records new", flipped("movement.safetensors"), UNLIKE.format("movement.safetensors"),
    ),
    "import, movement is gone": (
        "import runs --records new", removed("movement.safetensors"), "No such file or directory: movement",
    ),
    "import, the result is gone": (
        "import runs --records new", removed("result.json"), "No such file or directory: result.json",
    ),
    "run, the result is gone": (
        "run toys.toml --only method=rigl", removed("result.json"), "No such file or directory: result.json",
    ),
    "train, the result is gone": (
        "train --dataset dots --backend toy --recipe.batch-size 4 --recipe.steps 12 --updates.delta-t 2 --sparsity 0.5",
        removed("result.json"), "No such file or directory: result.json",
    ),
    "plot curves, an event less": ("plot curves", shortened("events.jsonl"), UNLIKE.format("events.jsonl")),
    "train, a ticket with a bit of masks": (
        "train --dataset dots --backend toy --recipe.batch-size 4 --ticket.source RIGL --sparsity 0.9",
        flipped("masks.safetensors"), UNLIKE.format("masks.safetensors"),
    ),
    "ui, a damaged record": ("ui", cut("config.json"), "config.json: "),
}  # fmt: skip

OTHERS = {
    "a folder with another name": Wrong("import runs --records new", "runs/other", "rename the folder", renamed),
    "records in a loop": Wrong("leaderboard --records loop", "loop", "run quick", linked),
    "MLflow is nowhere": Wrong("leaderboard --from-mlflow sqlite:///nope.db", "nope.db", "sparsebench run quick"),
    "MLflow is not asked to": Wrong("leaderboard --from-mlflow", "mlflow.db", "sparsebench run quick"),
    "MLflow is a text": Wrong("leaderboard --from-mlflow sqlite:///toys.toml", "toys.toml", "is it running"),
    "MLflow is a folder": Wrong("leaderboard --from-mlflow sqlite:///runs", "runs", "sparsebench run quick"),
    "MLflow has no such scheme": Wrong("leaderboard --from-mlflow ftp://x/y", "ftp://x/y", "sqlite:///"),
    "MLflow is off": Wrong("leaderboard --from-mlflow http://127.0.0.1:9", "http://127.0.0.1:9", "is it running"),
    "MLflow has a wild port": Wrong("leaderboard --from-mlflow http://127.0.0.1:99999", "99999", "is it running"),
    "MLflow is a word": Wrong("plot sparsity --from-mlflow=nowhere", "nowhere", "sqlite:///"),
    "MLflow is empty": Wrong("leaderboard --from-mlflow=''", "'' is no address", "sqlite:///"),
    "hardware, text": Wrong("bench --show h.json", "h.json", "measure again", file("h.json", "hello")),
    "hardware, empty": Wrong("bench --show h.json", "h.json", "measure again", file("h.json", "")),
    "hardware, a list": Wrong("bench --show h.json", "h.json", "measure again", file("h.json", "[]")),
    "hardware, other things": Wrong("bench --show h.json", "h.json", "measure again", file("h.json", '{"a": 1}')),
    "hardware, a folder": Wrong("bench --show runs", "runs", "sparsebench bench"),
    "hardware, imported": Wrong(
        "import there --records new", "there/hardware/h.json", "measure again", file("there/hardware/h.json", "{}")
    ),
}

ROWS = {
    **{name: Wrong(BOARD, given, REMEDY, prepare) for name, (prepare, given) in DAMAGES.items()},
    **{name: Wrong(line, given, REMEDY, prepare) for name, (line, prepare, given) in DEEPER.items()},
    **OTHERS,
}
