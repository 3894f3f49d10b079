"""What makes two runs the same run: the resolved settings, the data, and the numerics versions of the parts.

Commit, library versions, device and paths are recorded elsewhere, not hashed. Only settings that differ from the
schema's defaults enter the hash, so that a new setting does not rename old runs.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from sparsebench.config import RunConfig, digits
from sparsebench.method import Method
from sparsebench.records import SCHEMA

RECIPE_NUMERICS = 1
"""Raised whenever the meaning of a recipe changes results."""


def document(config: RunConfig, fingerprint: str, method: int, model: int, backend: int) -> dict[str, Any]:
    """The record's `config.json`: the run's id and everything it hashes."""
    numerics = {"method": method, "model": model, "backend": backend, "recipe": RECIPE_NUMERICS}
    facts = {"schema": SCHEMA, "data": fingerprint, "numerics": numerics}
    hashed = facts | {"settings": _differing(config)}
    return {**facts, "id": _id(config, hashed), "config": config.model_dump(mode="json")}


def cell(config: RunConfig, document: Mapping[str, Any]) -> str:
    """What runs share that differ in nothing but their seed: a hash of settings, data and numerics versions.

    A ticket's source is told by its own cell, since its id has a seed in it; so is a run that this one goes on from.
    """
    shared = {name: document.get(name) for name in ("schema", "data", "numerics")}
    left_out: dict[str, Any] = {"seed": True, "ticket": {"source"}, "continued": True}
    if config.weights is None:  # a setting that older cells do not know: they keep their name
        left_out["weights"] = True
    shared["config"] = config.model_dump(mode="json", exclude=left_out)
    shared["ticket"] = document["ticket"]["cell"] if document.get("ticket") else None
    if before := document.get("continued"):
        shared["continued"] = {name: before[name] for name in ("cell", "done")}
    return hashlib.sha256(json.dumps(shared, sort_keys=True).encode()).hexdigest()[:16]


def _differing(config: RunConfig) -> dict[str, Any]:
    """The settings that are not the schema's defaults; those of the update clock are `Method`'s."""
    settings = config.model_dump(mode="json", exclude_defaults=True)
    clock = settings.pop("updates", {})
    return settings | {"updates": {name: value for name, value in clock.items() if value != getattr(Method, name)}}


def _id(config: RunConfig, hashed: dict[str, Any]) -> str:
    """A folder name a person can find, made unique by the hash."""
    digest = hashlib.blake2b(json.dumps(hashed, sort_keys=True).encode(), digest_size=6).hexdigest()
    parts = (config.dataset, config.model, config.method, digits(config.sparsity), config.backend, f"seed{config.seed}")
    return "_".join(re.sub(r"[^A-Za-z0-9.-]+", "-", part) for part in (*parts, digest))
