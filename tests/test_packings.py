"""A file is found plain, in gzip or in xz, in each folder that may hold it; a damaged one is refused in one line."""

import gzip
import hashlib
import lzma
import sys
import tracemalloc

import pytest

import small_cifar as small
from small_archive import files
from small_cifar import assert_ten, refusal, ten

pytest_plugins = ("small_server",)
pytestmark = pytest.mark.usefixtures("cache")

FIRST = "data_batch_1.bin"
CONTENT = small.TEN[FIRST]


@pytest.mark.parametrize("suffix", small.PACK)
@pytest.mark.parametrize("own", ["", "small", small.INSIDE])
def test_files_are_found_however_packed_and_in_each_folder(own, suffix, tmp_path):
    small.write(tmp_path / own, small.TEN, suffix)
    assert_ten(ten(tmp_path))


def test_each_file_may_be_packed_differently(tmp_path):
    for suffix, item in zip(small.PACK, small.TEN.items(), strict=True):
        small.write(tmp_path, dict([item]), suffix)
    assert_ten(ten(tmp_path))


def test_a_plain_file_comes_before_a_packed_one(tmp_path):
    small.write(tmp_path, small.TEN)
    for suffix in (".gz", ".xz"):
        (tmp_path / f"{FIRST}{suffix}").write_bytes(b"damaged")
    assert_ten(ten(tmp_path))


def test_of_two_folders_the_complete_one_is_taken(tmp_path):
    small.write(tmp_path / "small", {FIRST: CONTENT})
    small.write(tmp_path / small.INSIDE, small.TEN)
    assert_ten(ten(tmp_path))


def test_what_a_named_folder_lacks_is_told(tmp_path):
    small.write(tmp_path / small.INSIDE, {FIRST: CONTENT}, ".gz")
    archive = small.archive()
    assert refusal(ten, tmp_path) == (
        f"data set 'small': --data names {tmp_path}, but {tmp_path / small.INSIDE} has no data_batch_2.bin, "
        f"test_batch.bin (nor with .xz or .gz after the name): get them from {archive.address}, or name no folder to "
        "have them downloaded"
    )


XZ, SIZE = lzma.compress(CONTENT), len(CONTENT)
OTHER = bytes([*CONTENT[:-1], CONTENT[-1] ^ 1])
DIGEST = hashlib.sha256(OTHER).hexdigest()[:16]
DAMAGED = {
    "xz: empty": (".xz", b"", "the file is truncated"),
    "xz: truncated": (".xz", XZ[:-9], "the file is truncated"),
    "xz: not packed": (".xz", CONTENT, "damaged or not xz (Input format not supported"),
    "xz: gzip": (".xz", gzip.compress(CONTENT), "damaged or not xz (Input format not supported"),
    "xz: a bit turned": (".xz", XZ[:500] + bytes([XZ[500] ^ 1]) + XZ[501:], "damaged or not xz (Corrupt input"),
    "xz: shorter": (".xz", lzma.compress(CONTENT[:-1]), f"{SIZE - 1} bytes uncompressed, expected {SIZE}"),
    "xz: longer": (".xz", lzma.compress(CONTENT + b"\0"), f"more than {SIZE} bytes uncompressed, expected {SIZE}"),
    "xz: a stream more": (".xz", XZ + lzma.compress(b"\0"), f"more than {SIZE} bytes uncompressed"),
    "xz: another": (".xz", lzma.compress(OTHER), f"SHA-256 of the uncompressed bytes is {DIGEST}…"),
    "gzip: xz": (".gz", XZ, "damaged or not gzip (Not a gzipped file"),
    "gzip: truncated": (".gz", gzip.compress(CONTENT)[:-9], "the file is truncated"),
    "gzip: another": (".gz", gzip.compress(OTHER), f"SHA-256 of the uncompressed bytes is {DIGEST}…"),
    "plain: packed": ("", XZ, f"more than {SIZE} bytes uncompressed, expected {SIZE}"),
    "plain: longer": ("", CONTENT + b"\0", f"more than {SIZE} bytes uncompressed, expected {SIZE}"),
    "plain: another": ("", OTHER, f"SHA-256 of the uncompressed bytes is {DIGEST}…"),
}


@pytest.mark.parametrize(("suffix", "packed", "told"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_refused_with_its_place_and_its_origin(suffix, packed, told, tmp_path):
    path = small.write(tmp_path, small.TEN, suffix) / f"{FIRST}{suffix}"
    path.write_bytes(packed)
    said = refusal(ten, tmp_path)
    assert said.startswith(f"data set 'small': {path} cannot be used: {told}")
    assert said.endswith(f"; replace it with {FIRST} of {small.archive().address}")


@pytest.mark.parametrize("suffix", small.PACK)
def test_what_unpacks_to_too_much_takes_no_memory(suffix, tmp_path):
    small.write(tmp_path, small.TEN, suffix)
    small.write(tmp_path, {FIRST: bytes(1 << 27)}, suffix)
    tracemalloc.start()
    try:
        assert f"more than {SIZE} bytes" in refusal(ten, tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
        assert peak < (8 * len(small.TEN) + 2) << 20, "128 MiB were packed; xz takes 8 a file, and all are read at once"
    finally:
        tracemalloc.stop()


def test_a_python_without_lzma_reads_all_else(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "lzma", None)
    path = small.write(tmp_path, small.TEN, ".gz") / f"{FIRST}.xz"
    assert_ten(ten(tmp_path))
    path.write_bytes(XZ)
    (tmp_path / f"{FIRST}.gz").unlink()
    said = refusal(ten, tmp_path)
    assert said.startswith(f"{path} cannot be read: this Python was built without lzma (")
    assert said.endswith(f"unpack it (xz -d {path.name}), or use a Python that has lzma")


def test_nothing_is_written_where_files_are_only_read(tmp_path):
    small.write(tmp_path, small.TEN, ".xz")
    ten(tmp_path)
    assert files(tmp_path) == {f"{name}.xz" for name in small.TEN}
