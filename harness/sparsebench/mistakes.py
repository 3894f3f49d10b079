"""What pydantic has against somebody's settings, as one line per mistake: where, what was given, what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Annotated, Any, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ValidationError
from pydantic_core import ErrorDetails

from sparsebench import plugins
from sparsebench.errors import UserError, unknown

Item = TypeVar("Item")
Made = TypeVar("Made")
LONGEST = 500
"""Characters of a value that are told."""
Where = tuple[int | str, ...]
"""A path into nested settings: `("grid", "sparsities", 1)`."""


def lines(error: ValidationError, model: type[BaseModel], show: Callable[[Where], str]) -> list[str]:
    """All mistakes in settings that were checked against `model`; `show` writes a path as the user gave it."""
    return [_line(mistake, model, show) for mistake in error.errors()]


def dotted(where: Where) -> str:
    """`grid.sparsities[1]`, as in a TOML file."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where).removeprefix(".")


def option(where: Where) -> str:
    """`--recipe.batch-size`, as on the command line."""
    return "--" + dotted(where).replace("_", "-")


def _line(mistake: ErrorDetails, model: type[BaseModel], show: Callable[[Where], str]) -> str:
    where = tuple(part for part in mistake["loc"] if part != "[key]")
    place = f"{show(where)}: " if where else ""
    if mistake["type"] == "extra_forbidden":
        return place + str(unknown("setting", str(where[-1]), _settings(model, where[:-1])))
    if mistake["type"] == "value_error":
        return f"{place}{mistake['ctx']['error']}" if "ctx" in mistake else place + mistake["msg"]
    if mistake["type"] == "missing":
        return f"{place}missing, must be given{_described(model, where)}"
    message = _PLAIN.get(mistake["type"], mistake["msg"].removeprefix("Input ")).replace("9223372036854776000", "2^63")
    return f"{place}given {_short(mistake['input'])}, {message}{_closest(mistake)}{_described(model, where)}"


def _short(given: object) -> str:
    """A value as it was given, of bearable length: a list may be as long as its file."""
    text = repr(given)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


_PLAIN = {
    "tuple_type": "should be a list",
    "dict_type": "should be a table",
    "model_type": "should be a table",
    "too_short": "should have at least one value",
}
"""Where pydantic's own words speak of Python instead of the user's file."""


def _closest(mistake: ErrorDetails) -> str:
    expected = str(mistake.get("ctx", {}).get("expected", "")).replace("'", "").replace(" or ", ", ").split(", ")
    close = difflib.get_close_matches(str(mistake["input"]), expected, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _described(model: type[BaseModel], where: Where) -> str:
    """What the setting means, in its own words: the description of the field that encloses the mistake."""
    description = None
    annotation: Any = model
    for part in where:
        if _is_model(annotation) and part in annotation.model_fields:
            description = annotation.model_fields[part].description
        annotation = _inside(annotation, part)
    return f" ({description})" if description else ""


def _settings(model: type[BaseModel], where: Sequence[int | str]) -> list[str]:
    """The settings allowed at a path."""
    annotation: Any = model
    for part in where:
        annotation = _inside(annotation, part)
    return list(annotation.model_fields) if _is_model(annotation) else []


def _inside(annotation: Any, part: int | str) -> Any:
    if _is_model(annotation):
        field = annotation.model_fields.get(part)
        return field and field.annotation
    arguments = [argument for argument in get_args(annotation) if argument not in (..., type(None))]
    return arguments[-1] if arguments else None


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


# ---- names that must exist ------------------------------------------------------------------------------------


def _known(group: plugins.Group, name: str) -> str:
    if name not in plugins.names(group):
        raise ValueError(str(unknown(plugins.KINDS[group], name, plugins.names(group))))
    return name


def _model(name: str) -> str:
    """A model of the list, or a member of a family."""
    if "/" not in name:
        return _known("models", name)
    if mistakes := told(lambda: plugins.load("models", name)):
        raise ValueError(mistakes[0])
    return name


BackendName = Annotated[str, AfterValidator(partial(_known, "backends"))]
MethodName = Annotated[str, AfterValidator(partial(_known, "methods"))]
ModelName = Annotated[str, AfterValidator(_model)]
DatasetName = Annotated[str, AfterValidator(partial(_known, "datasets"))]


def told(check: Callable[[], object]) -> list[str]:
    """What a check says that refuses something by a UserError: a line for each mistake, none if all is well."""
    try:
        check()
    except UserError as error:
        return str(error).splitlines()
    return []


def gathered(make: Callable[[Item], Made], items: Iterable[Item]) -> list[Made]:
    """What is made of each.

    Raises:
        UserError: with a line for each mistake in any of them.
    """
    made: list[Made] = []
    mistakes: list[str] = []
    for item in items:
        mistakes += told(lambda item=item: made.append(make(item)))
    refuse(mistakes)
    return made


def refuse(mistakes: Sequence[str]) -> None:
    """Raise one UserError with a line for each mistake, if there is any."""
    if mistakes:
        raise UserError("\n".join(mistakes))
