"""Is all as it should be? Checks by area, each on its own: one that fails is a finding, and the others go on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sparsebench.doctor import data, devices, installation, recorded, space, store
from sparsebench.doctor.finding import Check, Finding, Place, problem
from sparsebench.errors import UserError

AREAS: Mapping[str, Sequence[Check]] = {
    "installation": (installation.python, installation.packages, installation.extras, installation.found),
    "devices": (devices.cores, devices.memory, devices.backends),
    "data": (data.archives,),
    "records": (
        recorded.readable, recorded.unsealed, recorded.halves, recorded.partial, recorded.unfinished, recorded.again,
        recorded.indexed,
    ),
    "MLflow": (store.usable,),
    "disk": (space.writable, space.room),
}  # fmt: skip


def examined(place: Place) -> Iterator[tuple[str, Iterator[Finding]]]:
    """Each area with what its checks find, in the order of `AREAS`; nothing is looked at before it is asked for."""
    for area, checks in AREAS.items():
        yield area, (finding for check in checks for finding in _found(check, place))


def _found(check: Check, place: Place) -> list[Finding]:
    try:
        return list(check(place))
    except UserError as error:
        return [problem(str(error), "")]
    except Exception as error:  # whatever is broken, the other checks are worth having
        name = f"{check.__module__.rpartition('.')[2]}.{getattr(check, '__name__', '?')}"
        return [problem(f"the check {name} failed: {type(error).__name__}: {error}", "please report this")]
