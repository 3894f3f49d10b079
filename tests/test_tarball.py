"""A data set that is downloaded as one tar: what is wanted of it is kept, a hostile one does no harm."""

import gzip
import itertools
import tarfile
import tracemalloc

import pytest

import small_cifar as small
from small_archive import files, whole
from small_cifar import refusal
from sparsebench.data import cifar, fetch

pytest_plugins = ("small_server",)
pytestmark = pytest.mark.usefixtures("cache")

MEMBERS = small.members(small.TEN)
GOOD = small.tar(MEMBERS)
FIRST = f"{small.INSIDE}/data_batch_1.bin"
SIZE = len(MEMBERS[0][1])


@pytest.fixture
def served(server):
    """Sets what the server sends, and gives the archive whose tarball it is, or should have been."""

    def serve(packed, official=None):
        server.answers[small.TAR] = lambda handler, _: whole(handler, packed)
        return small.archive(packed if official is None else official, server.address)

    return serve


def link(kind, target):
    member = tarfile.TarInfo(FIRST)
    member.type, member.linkname = kind, target
    return member


def test_a_tar_is_downloaded_once_and_its_files_are_kept_plain(served, server, cache):
    extra = [(f"{small.INSIDE}/readme.html", b"<html>"), *MEMBERS, ("batches.meta", b"not wanted")]
    archive = served(small.tar(extra))
    for _ in range(2):
        assert fetch.contents(archive, None) == list(small.TEN.values())
    assert cifar.dataset(archive, cifar.TEN, None).train.labels.tolist() == [3, 0, 9, 1, 7]
    assert server.requests == {small.TAR: 1}
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == small.TEN, "and nothing else is left"


def test_the_order_of_members_does_not_matter(served):
    for members in itertools.permutations(MEMBERS):
        assert fetch.contents(served(small.tar(members)), None) == list(small.TEN.values())


def test_a_file_that_the_cache_has_in_any_packing_is_not_replaced(served, server, cache):
    names = list(small.TEN)
    small.write(cache, {names[0]: small.TEN[names[0]]}, ".xz")
    assert fetch.contents(served(GOOD), None) == list(small.TEN.values())
    assert files(cache) == {f"{names[0]}.xz", *names[1:]}
    for name in names[1:]:
        small.write(cache, {name: small.TEN[name]}, ".gz")
        (cache / name).unlink()
    assert fetch.contents(served(GOOD), None) == list(small.TEN.values())
    assert server.requests == {small.TAR: 1}


OUTSIDE = [("../x", b"evil"), ("/tmp/x", b"evil"), (f"{small.INSIDE}/../../x", b"evil"), (f"../{FIRST}", b"evil")]


def test_no_path_of_the_tar_is_written_to(served, tmp_path):
    assert fetch.contents(served(small.tar([*OUTSIDE, *MEMBERS])), None) == list(small.TEN.values())
    assert files(tmp_path) == set(small.TEN)


LARGER = (FIRST, bytes(1 << 25))
HOSTILE = {
    "a member missing": (small.tar(MEMBERS[1:]), f"it has no member {FIRST}"),
    "elsewhere": (small.tar([*OUTSIDE, *MEMBERS[1:]]), f"it has no member {FIRST}"),
    "no members": (small.tar([]), f"it has no member {FIRST}, "),
    "a symbolic link": (
        small.tar([(link(tarfile.SYMTYPE, "/etc/passwd"), b""), *MEMBERS]),
        f"its member {FIRST} is no regular file",
    ),
    "a hard link": (
        small.tar([(link(tarfile.LNKTYPE, MEMBERS[1][0]), b""), *MEMBERS]),
        f"its member {FIRST} is no regular file",
    ),
    "a device": (small.tar([(link(tarfile.CHRTYPE, ""), b"")]), f"its member {FIRST} is no regular file"),
    "a folder": (small.tar([(link(tarfile.DIRTYPE, ""), b"")]), f"its member {FIRST} is no regular file"),
    "larger": (
        small.tar([*MEMBERS[1:], LARGER]),
        f"its member {FIRST} cannot be used: more than {SIZE} bytes uncompressed, expected {SIZE}",
    ),
    "smaller": (
        small.tar([(FIRST, b"short")]),
        f"its member {FIRST} cannot be used: 5 bytes uncompressed, expected {SIZE}",
    ),
    "another": (
        small.tar([(FIRST, bytes(SIZE))]),
        f"its member {FIRST} cannot be used: SHA-256 of the uncompressed bytes is",
    ),
    "truncated": (GOOD[: len(GOOD) // 2], "the archive is truncated"),
    "a tar cut in a member": (
        gzip.compress(gzip.decompress(GOOD)[:2000]),
        "damaged or not a gzipped tar (unexpected end of data)",
    ),
    "no gzip": (gzip.decompress(GOOD), "damaged or not a gzipped tar (Not a gzipped file"),
    "no tar": (gzip.compress(b"<html>" * 200), "damaged or not a gzipped tar ("),
    "nothing": (gzip.compress(b""), "damaged or not a gzipped tar (empty file)"),
}


@pytest.mark.parametrize(("packed", "told"), HOSTILE.values(), ids=HOSTILE)
def test_a_tar_that_is_not_as_expected_leaves_nothing(packed, told, served, tmp_path, cache, server):
    """Even one whose checksum is right."""
    said = refusal(fetch.contents, served(packed), None)
    assert said.startswith(f"data set 'small': cannot download {server.address}{small.TAR}: {told}")
    assert said.endswith("; try again, or put its 3 files in a folder and name that with --data")
    assert files(tmp_path) == set()
    assert list(cache.iterdir()) == []


SENT = {
    "short": (GOOD[:-1], f"{len(GOOD) - 1} bytes, expected {len(GOOD)}"),
    "long": (GOOD + b"\0", f"the server sends more than {len(GOOD)} bytes"),
    "altered": (GOOD[:-1] + b"\x7f", "its SHA-256 is "),
    "nothing": (b"", f"0 bytes, expected {len(GOOD)}"),
}


@pytest.mark.parametrize(("packed", "told"), SENT.values(), ids=SENT)
def test_another_tar_is_not_opened(packed, told, served, cache, server, monkeypatch):
    monkeypatch.setattr(tarfile, "open", None)
    said = refusal(fetch.contents, served(packed, official=GOOD), None)
    assert said.startswith(f"data set 'small': cannot download {server.address}{small.TAR}: {told}")
    assert list(cache.iterdir()) == []


def test_a_large_member_takes_no_memory(served):
    """Whether it is wanted or not: 32 MiB are packed."""
    archive = served(small.tar([("large", bytes(1 << 25)), *MEMBERS[1:], LARGER]))
    tracemalloc.start()
    try:
        assert "more than" in refusal(fetch.contents, archive, None)
        assert tracemalloc.get_traced_memory()[1] < 1 << 23
    finally:
        tracemalloc.stop()


def test_a_download_goes_to_disk_in_chunks(served, monkeypatch):
    monkeypatch.setattr(fetch, "CHUNK", 1000)
    assert fetch.contents(served(GOOD), None) == list(small.TEN.values())


def test_a_damaged_cache_names_the_member_and_the_tar(served, cache):
    archive = served(GOOD)
    small.write(cache, small.TEN)
    (cache / "test_batch.bin").write_bytes(b"")
    said = refusal(fetch.contents, archive, None)
    assert said.endswith(f"expected {4 * 3073}; replace it with test_batch.bin of {archive.address}")


def test_official_tars_come_encrypted_and_hold_what_is_read():
    for archive in (cifar.CIFAR10, cifar.CIFAR100):
        assert archive.address.startswith("https://")
        assert archive.address.endswith(".tar.gz")
        assert archive.tarball.folder in archive.aliases
        assert sum(file.size for file in archive.files) > archive.tarball.size
