"""The base of everything a user sets: unknown names are refused, and what is wrong is told all at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

T = TypeVar("T")


class Settings(BaseModel):
    """Settings refuse what they do not know and never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def flat(document: Mapping[str, Any], without: Collection[str] = (), prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every single value of nested tables by its dotted name, those left out whose own name is in `without`."""
    for name, value in document.items():
        if name in without:
            continue
        if isinstance(value, Mapping):
            yield from flat(cast("Mapping[str, Any]", value), without, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def differing(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """The settings that are not the same in both, with their values."""
    return [
        f"{name} {there.get(name)!r} there, {here.get(name)!r} here"
        for name in sorted({*there, *here})
        if there.get(name) != here.get(name)
    ]


def checked(given: Any, parts: Callable[[Any], T], whole: Sequence[str]) -> T:
    """What `parts` makes of `given`. Pydantic looks at a whole only if its parts are sound; here both are told.

    Raises:
        ValidationError: with the mistakes that `parts` found and one more for each line of `whole`.
    """
    objections = [
        InitErrorDetails(type=PydanticCustomError("value_error", "{error}", {"error": line}), input=given)
        for line in whole
    ]
    try:
        sound = parts(given)
    except ValidationError as error:
        objections = [*map(_raised, error.errors()), *objections]
    else:
        if not objections:
            return sound
    raise ValidationError.from_exception_data("settings", objections)


def _raised(mistake: ErrorDetails) -> InitErrorDetails:
    return InitErrorDetails(
        type=mistake["type"], loc=mistake["loc"], input=mistake["input"], ctx=mistake.get("ctx", {})
    )
