"""Strategies that damage what was sound: JSON trees, texts, bytes, and the headers of safetensors files."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from([-(2**70), 2**31, 2**63, 10**400]),
    st.floats(allow_nan=True, allow_infinity=True), st.text(max_size=8),
    st.sampled_from(["", "rigl", "../x", "\x1b[31m", "<script>", "1", "nan", "x" * 3000, "größe"]),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
"""Any JSON, and what Python's reader takes beyond it."""


def flip(path: Path, bit: int = -1) -> None:
    """Flip one bit of a file, the last unless another is named."""
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in nested tables and lists but the root."""
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, inner in pairs:
        yield (*path, key)
        yield from places(inner, (*path, key))


@st.composite
def mutated(draw: Any, tree: Any) -> Any:
    """The tree with one to three places taken out, given another value, or joined by what nobody knows."""
    tree = json.loads(json.dumps(tree))
    for _ in range(draw(st.integers(1, 3))):
        known = list(places(tree))
        if not known:
            return draw(VALUES)
        *way, last = draw(st.sampled_from(known))
        inner = tree
        for key in way:
            inner = inner[key]
        how = draw(st.sampled_from(["value", "value", "out", "more"]))
        if how == "value":
            inner[last] = draw(VALUES)
        elif how == "out":
            del inner[last]
        elif isinstance(inner, dict):
            inner[draw(st.text(max_size=5))] = draw(VALUES)
        else:
            inner.append(draw(VALUES))
    return tree


@st.composite
def damaged(draw: Any, content: bytes) -> bytes:
    """The bytes with a bit flipped, cut off, with some of them replaced, or others put in."""
    place = draw(st.integers(0, max(0, len(content) - 1)))
    how = draw(st.sampled_from(["flip", "cut", "replace", "insert"]))
    if how == "cut" or not content:
        return content[:place]
    if how == "flip":
        bit = 1 << draw(st.integers(0, 7))
        return content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :]
    other = draw(st.binary(min_size=1, max_size=9))
    return content[:place] + other + content[place + (len(other) if how == "replace" else 0) :]


@st.composite
def reheaded(draw: Any, content: bytes) -> bytes:
    """A safetensors file whose header is another JSON, of a length that fits."""
    end = 8 + struct.unpack("<Q", content[:8])[0]
    header = json.dumps(draw(mutated(json.loads(content[8:end])))).encode()
    return struct.pack("<Q", len(header)) + header + content[end:]


@st.composite
def redocumented(draw: Any, content: bytes) -> bytes:
    """A JSON file, or one of JSON lines, with other values in it."""
    lines = content.decode().splitlines()
    try:
        return json.dumps(draw(mutated(json.loads(content)))).encode()
    except ValueError:
        place = draw(st.integers(0, len(lines) - 1))
        lines[place] = json.dumps(draw(mutated(json.loads(lines[place]))))
        return "\n".join(lines).encode()


def spoilt(name: str, content: bytes) -> st.SearchStrategy[bytes | None]:
    """A file of that name, damaged in a way that befits it; None: it is gone."""
    within = reheaded(content) if name.endswith(".safetensors") else redocumented(content)
    return st.one_of(within, within, within, damaged(content), st.none())


def toml(value: Any) -> str:
    """A value as TOML, tables in braces; what TOML has not is left out."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(f"{json.dumps(key)} = {toml(each)}" for key, each in value.items() if each is not None)
            + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(toml(each) for each in value if each is not None) + "]"
    return json.dumps(value) if isinstance(value, str) else repr(value)


def toml_file(tree: Any) -> str:
    """A file of it, where it is a table."""
    pairs = tree.items() if isinstance(tree, dict) else [("x", tree)]
    return "\n".join(f"{json.dumps(key)} = {toml(value)}" for key, value in pairs if value is not None)
