"""A run that goes on from a checkpoint of another backend: begun in torch, ended in jax, or the other way round.

It is a run of its own, told from those of either backend by the checkpoint's digest. All settings but the backend are
those of the run that it goes on from, and so are its cost and its journal until then. The checkpoint may be a
stranger's: what follows from the settings is held against them (`sparsebench.consistency`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from sparsebench import checkpoints, consistency, forms, identity
from sparsebench.checkpoints import DAMAGED, Checkpoint
from sparsebench.config import RunConfig
from sparsebench.consistency import Expected
from sparsebench.errors import UserError
from sparsebench.settings import differing, flat
from sparsebench.snapshots import ASIDE
from sparsebench.trainer import Backend

OWN = frozenset({"id", "config.backend", "config.continued", "numerics.backend"})
"""What may differ, beside what either backend does not read."""


@dataclass(frozen=True, eq=False)
class Handover:
    """A checkpoint to go on from; its `digest` is of all that its run has done and its arrays, and not of times."""

    path: Path
    digest: str
    checkpoint: Checkpoint

    @property
    def config(self) -> RunConfig:
        """The settings of the run that it is of."""
        return RunConfig.model_validate(self.checkpoint.identity["config"])

    def described(self) -> dict[str, Any]:
        """What a record says of the run that it goes on from, and of the one that went on from, if any."""
        found, config = self.checkpoint.identity, self.config
        earlier = {"continued": found["continued"]} if "continued" in found else {}
        facts = {"run": found["id"], "cell": identity.cell(config, found), "backend": config.backend}
        return {**facts, "done": self.checkpoint.done, "numerics": found["numerics"]["backend"], **earlier}

    def check(self, wanted: Mapping[str, Any], backend: Backend, other: Backend, expected: Expected) -> None:
        """Refuse a checkpoint of a run with other settings, of this same backend, or that no such run can have.

        Raises:
            UserError: as said; lists all settings that differ.
        """
        where = f"--continue {self.path}"
        if self.config.backend == backend.name:
            raise UserError(
                f"{where} is of a run in {backend.name} itself: the command that began it goes on from there, without "
                "--continue"
            )
        ignored = OWN | {f"config.recipe.{name}" for name in backend.unread | other.unread}
        if others := differing(_settings(self.checkpoint.identity, ignored), _settings(wanted, ignored)):
            raise UserError(
                f"{where} is of a run with other settings ({'; '.join(others)}): give those that it was begun with"
            )
        try:
            consistency.check(self.checkpoint, expected)
        except UserError as error:
            raise UserError(f"{where} cannot go on in {backend.name}: {error}") from error
        except DAMAGED as error:
            raise UserError(
                f"{where} is no checkpoint of a run with these settings ({_reason(error)}): give one as it was written"
            ) from error


def _settings(found: Mapping[str, Any], ignored: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in flat(found, ("continued",)) if name not in ignored}


def given(path: Path) -> Handover:
    """The checkpoint in a folder, read once per process.

    Raises:
        UserError: there is none, or it is damaged.
    """
    return _given(path.absolute())


@cache
def _given(path: Path) -> Handover:
    try:
        checkpoint = checkpoints.read(path)
        forms.check("its identity", forms.Identity, checkpoint.identity)
        _check_earlier(checkpoint.identity)
        shared = {name: array for name, array in checkpoint.state.items() if not name.startswith(ASIDE)}
        found = Handover(path, _digest(path, checkpoint), replace(checkpoint, state=shared))
        _ = found.described()
    except DAMAGED as error:
        place = f"RECORDS/{checkpoints.FOLDER}/RUN/ITERATIONS"
        raise UserError(
            f"--continue {path} is no whole checkpoint ({_reason(error)}): give a folder {place}"
        ) from error
    return found


def _check_earlier(identity: Mapping[str, Any]) -> None:
    """What it says of the run that it went on from itself, if it did, and so on."""
    while (earlier := identity.get("continued")) is not None:
        forms.check("its identity: continued", forms.Continued, earlier)
        identity = earlier


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"it lacks {error}"
    return error.strerror or str(error) if isinstance(error, OSError) else " ".join(str(error).split())


def _digest(path: Path, checkpoint: Checkpoint) -> str:
    names = [name for name in checkpoints.PARTS if getattr(checkpoint, name) is not None]
    digests = checkpoints.digests(path)
    events = [{name: fact for name, fact in event.items() if name != "seconds"} for event in checkpoint.events]
    facts = [
        checkpoint.identity["id"], checkpoint.done, names, [digests[f"{name}.safetensors"] for name in names],
        checkpoint.active, checkpoint.executed, events,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def start(digest: str | None, path: Path | None) -> Handover | None:
    """The checkpoint of that digest, from the folder at `path`; None where none is asked for.

    Raises:
        UserError: there is no path, or another checkpoint is there.
    """
    if digest is None:
        return None
    if path is None:
        raise UserError(f"the run goes on from checkpoint {digest[:12]}…: give its folder with --continue")
    found = given(path)
    if found.digest != digest:
        raise UserError(
            f"--continue {path} has digest {found.digest[:12]}…, and the run goes on from {digest[:12]}…: give that one"
        )
    return found
