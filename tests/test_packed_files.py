"""What is in a packed file: exactly the bytes that are expected, or it is refused, wherever it comes from."""

import gzip
import hashlib
import tracemalloc

import pytest

import small_archive as small
from small_archive import files, refusal
from sparsebench.data import fetch

pytest_plugins = ("small_server",)
pytestmark = pytest.mark.usefixtures("cache")

FIRST = small.NAMES[0]
CONTENT = small.CONTENTS[0]
GOOD = small.PACKED[FIRST]
SIZE = len(CONTENT)
OTHER = bytes([*CONTENT[:-1], CONTENT[-1] ^ 1])

DAMAGED = {
    "empty": (b"", f"0 bytes uncompressed, expected {SIZE}"),
    "truncated": (GOOD[:-9], "the file is truncated"),
    "without its trailer": (GOOD[:-8], "the file is truncated"),
    "cut in its header": (GOOD[:5], "the file is truncated"),
    "not packed": (CONTENT, "damaged or not gzip (Not a gzipped file"),
    "a web page": (b"<html>not found</html>", "damaged or not gzip (Not a gzipped file"),
    "a bit turned in the data": (GOOD[:500] + bytes([GOOD[500] ^ 1]) + GOOD[501:], "damaged or not gzip ("),
    "a bit turned in the trailer": (GOOD[:-5] + bytes([GOOD[-5] ^ 1]) + GOOD[-4:], "damaged or not gzip (CRC"),
    "not deflate": (GOOD[:10] + b"\xff" * 40, "damaged or not gzip (Error -3"),
    "something after it": (GOOD + b"more", "damaged or not gzip (Not a gzipped file"),
    "shorter": (gzip.compress(CONTENT[:-1]), f"{SIZE - 1} bytes uncompressed, expected {SIZE}"),
    "longer": (gzip.compress(CONTENT + b"\0"), f"more than {SIZE} bytes uncompressed, expected {SIZE}"),
    "a member more": (GOOD + gzip.compress(b"\0"), f"more than {SIZE} bytes uncompressed"),
    "another": (gzip.compress(OTHER), f"SHA-256 of the uncompressed bytes is {hashlib.sha256(OTHER).hexdigest()[:16]}"),
}


@pytest.mark.parametrize(("packed", "told"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_refused_with_its_place_and_its_origin(packed, told, tmp_path):
    (small.write(tmp_path) / FIRST).write_bytes(packed)
    archive = small.archive()
    said = refusal(archive, tmp_path)
    assert said.startswith(f"data set 'small': {tmp_path / FIRST} cannot be used: {told}")
    assert said.endswith(f"; replace it with {archive.address}{FIRST}")


@pytest.mark.parametrize(("packed", "told"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_download_is_not_kept(packed, told, cache, server):
    server.answers[FIRST] = lambda handler, content: small.whole(handler, packed)
    said = refusal(small.archive(server.address))
    assert said.startswith(f"data set 'small': cannot download {server.address}{FIRST}: {told}")
    assert files(cache) == set()


@pytest.mark.parametrize("level", [0, 1, 9])
def test_it_does_not_matter_how_a_mirror_packs(level, cache, server):
    """Not at all (the largest such file), fast, or best in two members."""
    halves = CONTENT[:1000], CONTENT[1000:]
    packed = b"".join(gzip.compress(half, level) for half in halves) if level == 9 else gzip.compress(CONTENT, level)
    server.answers[FIRST] = lambda handler, content: small.whole(handler, packed)
    assert fetch.contents(small.archive(server.address), None) == list(small.CONTENTS)
    assert (cache / FIRST).read_bytes() == packed


def test_a_folder_in_the_place_of_a_file_is_refused(tmp_path):
    small.write(tmp_path, small.NAMES[1:])
    (tmp_path / FIRST).mkdir()
    assert "Is a directory" in refusal(small.archive(), tmp_path)


def test_what_unpacks_to_too_much_takes_no_memory(tmp_path):
    (small.write(tmp_path) / FIRST).write_bytes(gzip.compress(bytes(1 << 25)))
    tracemalloc.start()
    try:
        assert f"more than {SIZE} bytes" in refusal(small.archive(), tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 22, "32 MiB were packed"
    finally:
        tracemalloc.stop()
