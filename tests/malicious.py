"""Files that want to be more than data, and a mark that is there only if one of them was."""

import json
import os
import pickle
import struct
import zlib

import pytest


class Bomb:
    """Unpickled, it leaves a mark."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def mark(tmp_path):
    """What is there only if something was executed, or written outside of its folder."""
    yield tmp_path / "mark"
    assert not (tmp_path / "mark").exists()


def header(text, size=0):
    """A safetensors file with that header and so many bytes of data."""
    return struct.pack("<Q", len(text)) + text.encode() + bytes(size)


def entry(shape, offsets, kind="F32"):
    return json.dumps({"w": {"dtype": kind, "shape": shape, "data_offsets": offsets}})


SAFETENSORS = {
    "a pickle": None,
    "nothing": b"",
    "a header without end": struct.pack("<Q", 2**63) + b"{}",
    "a header of a terabyte": struct.pack("<Q", 2**40) + b"{}",
    "a shape of exabytes": header(entry([2**60], [0, 2**62]), 8),
    "a shape that overflows": header(entry([2**33, 2**33], [0, 4]), 4),
    "a shape below nothing": header('{"w":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}', 4),
    "offsets outside": header(entry([1], [4096, 4100]), 4),
    "offsets that overlap": header(
        '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[8],"data_offsets":[4,12]}}',
        12,
    ),
    "offsets backwards": header(entry([1], [4, 0]), 4),
    "a type of Python's objects": header(entry([1], [0, 8], "O"), 8),
    "brackets without end": header("[" * 100_000),
}  # fmt: skip


@pytest.fixture(params=SAFETENSORS)
def arrays(request, mark):
    """The bytes of a file that is to pass for safetensors."""
    content = SAFETENSORS[request.param]
    return pickle.dumps(Bomb(mark)) if content is None else content


def png(width, height):
    """A PNG that says it is so large, and holds nothing."""
    said = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [said, b"IDAT" + zlib.compress(b""), b"IEND"]
    packed = (struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def dictionary_of_gigabytes():
    """An xz file of a few bytes whose header asks for a dictionary of 1.5 GiB, as large as the format has them here."""
    import lzma

    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 20}]
    packed = bytearray(lzma.compress(b"x" * 100, lzma.FORMAT_XZ, lzma.CHECK_NONE, filters=filters))
    block = packed[12:]
    length = (block[0] + 1) * 4
    place = next(k for k in range(2, length - 4) if block[k : k + 2] == b"\x21\x01") + 2
    block[place] = 37  # 3 · 2^29 bytes
    block[length - 4 : length] = struct.pack("<I", zlib.crc32(bytes(block[: length - 4])))
    packed[12:] = block
    return bytes(packed)
