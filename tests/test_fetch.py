"""Where files come from, in order; a download is there whole or not at all."""

import itertools
import multiprocessing
import os
import socket
import threading
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

import small_archive as small
from full_files import room_for
from small_archive import files, refusal
from sparsebench.data import fetch, idx

pytest_plugins = ("small_server",)
pytestmark = pytest.mark.usefixtures("cache")

FIRST = small.NAMES[0]


def damaged(folder):
    """A folder with all files, one of them damaged: reading it is an error."""
    (small.write(folder) / FIRST).write_bytes(b"")
    return folder


# ---- the order of places --------------------------------------------------------------------------------------


@pytest.mark.parametrize("own", ["", "small"], ids=["the data set's own folder", "a folder of data sets"])
def test_the_first_place_is_taken_and_no_other_is_looked_at(own, tmp_path, cache, server, monkeypatch):
    archive = small.archive(server.address)
    given, variable = tmp_path / "given", tmp_path / "variable"
    small.write(given / own)
    for later in (variable / own, cache):
        damaged(later)
    monkeypatch.setenv("SPARSEBENCH_DATA", str(variable))
    assert fetch.contents(archive, given) == list(small.CONTENTS)
    assert str(variable) in refusal(archive)
    small.write(variable / own)
    assert fetch.contents(archive, None) == list(small.CONTENTS)
    monkeypatch.setenv("SPARSEBENCH_DATA", "")
    assert str(cache) in refusal(archive)
    small.write(cache)
    assert fetch.contents(archive, None) == list(small.CONTENTS)
    assert not server.requests


def test_what_is_nowhere_is_downloaded_once(cache, server):
    for _ in range(2):
        assert fetch.contents(small.archive(server.address), None) == list(small.CONTENTS)
    assert server.requests == dict.fromkeys(small.NAMES, 1)
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == small.PACKED, "and nothing else is left"


def test_only_what_the_cache_lacks_is_downloaded(cache, server):
    small.write(cache, small.NAMES[1:])
    assert fetch.contents(small.archive(server.address), None) == list(small.CONTENTS)
    assert server.requests == {FIRST: 1}


@pytest.mark.parametrize("option", ["--data", "SPARSEBENCH_DATA"])
@pytest.mark.parametrize("own", ["", "small"])
def test_a_named_folder_without_the_files_is_refused(option, own, tmp_path, cache, server, monkeypatch):
    small.write(cache)
    root = tmp_path / "data"
    place = small.write(root / own, small.NAMES[1:3])
    monkeypatch.setenv("SPARSEBENCH_DATA", str(root))
    told = refusal(small.archive(server.address), root if option == "--data" else None)
    assert f"{option} names {root}, but {place} has no {FIRST}, {small.NAMES[3]}: " in told
    assert f"get them from {server.address}, or name no folder" in told
    assert not server.requests
    assert files(root) == set(small.NAMES[1:3])


def test_a_named_folder_that_does_not_exist_is_refused(tmp_path, server, monkeypatch):
    monkeypatch.setenv("SPARSEBENCH_DATA", str(tmp_path / "nowhere"))
    told = refusal(small.archive(server.address))
    assert f"{tmp_path / 'nowhere'} has no {', '.join(small.NAMES)}" in told
    assert not server.requests


def test_the_cache_is_where_the_xdg_specification_has_it(tmp_path, monkeypatch):
    assert fetch.cache() == tmp_path / "cache" / "sparsebench"
    monkeypatch.setenv("HOME", str(tmp_path))
    for ignored in ("", "relative/cache"):
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert fetch.cache() == tmp_path / ".cache" / "sparsebench"


def test_without_a_home_the_cache_has_to_be_named(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)  # a container's user that no file knows
    assert "XDG_CACHE_HOME" in refusal(small.archive())


def test_official_addresses_are_encrypted():
    for archive in (idx.MNIST, idx.FASHION_MNIST):
        assert archive.address.startswith("https://")
        assert archive.address.endswith("/")


# ---- servers that do not serve --------------------------------------------------------------------------------

LIMIT = len(small.CONTENTS[0]) * 1025 // 1024 + 1024


def half(handler, content):
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content[: len(content) // 2])


def half_of_a_chunk(handler, content):
    handler.protocol_version = "HTTP/1.1"
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"%x\r\n" % len(content) + content[: len(content) // 2])


def endless(handler, content):
    handler.send_response(200)
    handler.end_headers()
    try:
        for _ in range(1000):
            handler.wfile.write(bytes(1 << 16))
    except OSError:
        handler.server.done.set()


def silent(handler, content):
    handler.server.done.wait(20)


FAULTY = {
    "404": (lambda handler, content: handler.send_error(404), "HTTP Error 404: Not Found"),
    "no HTTP": (lambda handler, content: handler.wfile.write(b"what?\n\n"), "what?"),
    "nothing": (lambda handler, content: None, "Remote end closed connection without response"),
    "half": (half, "the file is truncated"),
    "half of a chunk": (half_of_a_chunk, "IncompleteRead"),
    "endless": (endless, f"the server sends more than {LIMIT} bytes"),
    "silent": (silent, "timed out"),
}


@pytest.mark.parametrize(("answer", "told"), FAULTY.values(), ids=FAULTY)
def test_a_server_that_does_not_serve_leaves_nothing(answer, told, cache, server, monkeypatch):
    server.done, server.answers[FIRST] = threading.Event(), answer
    if answer is silent:
        monkeypatch.setattr(fetch, "TIMEOUT", 0.2)
    said = refusal(small.archive(server.address))
    assert said.startswith(f"data set 'small': cannot download {server.address}{FIRST}: {told}")
    assert said.endswith("; try again, or put its 4 files in a folder and name that with --data")
    assert list(cache.iterdir()) == []
    if answer is endless:
        assert server.done.wait(10), "it was hung up on"
    server.done.set()


def test_what_came_before_an_interruption_is_kept(cache, server):
    server.answers[small.NAMES[2]] = half
    assert small.NAMES[2] in refusal(small.archive(server.address))
    assert files(cache) == set(small.NAMES[:2])
    server.answers.clear()
    assert fetch.contents(small.archive(server.address), None) == list(small.CONTENTS)
    assert server.requests == dict.fromkeys(small.NAMES, 1) | {small.NAMES[2]: 2}


def test_a_server_that_is_down_or_unknown_is_one_line(cache, monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert "Connection refused" in refusal(small.archive(f"http://127.0.0.1:{unused.getsockname()[1]}/"))
    unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **options: (_ for _ in ()).throw(unknown))
    assert "Name or service not known" in refusal(small.archive("https://nobody.invalid/"))
    assert files(cache) == set()


# ---- folders and disks ----------------------------------------------------------------------------------------


def test_a_cache_that_cannot_be_written_to_is_refused_before_the_download(tmp_path, server):
    (tmp_path / "cache").write_text("a file where the folder should be")
    said = refusal(small.archive(server.address))
    assert f"cannot write {tmp_path / 'cache'}" in said
    assert "set XDG_CACHE_HOME to a folder that can be written to" in said
    assert not server.requests


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_cache_without_permission_is_refused(tmp_path, cache, server):
    cache.parent.mkdir(parents=True)
    cache.parent.chmod(0o500)
    assert "Permission denied" in refusal(small.archive(server.address))
    assert not server.requests


def test_a_disk_that_is_full_half_way_leaves_nothing(cache, server):
    with room_for(len(small.PACKED[FIRST]) // 2):
        said = refusal(small.archive(server.address))
    assert f"cannot write {cache / FIRST} (File too large): make room there, or set XDG_CACHE_HOME" in said
    assert files(cache) == set()
    assert list(cache.iterdir()) == [], "nor the folder it was written in"


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_an_interrupted_download_leaves_nothing(moment, cache, server, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(*{"fsync": (os, "fsync"), "replace": (Path, "replace")}[moment], interrupt)
        with pytest.raises(KeyboardInterrupt):
            fetch.contents(small.archive(server.address), None)
    assert list(cache.iterdir()) == []


def test_a_file_has_its_name_only_when_it_is_on_disk(cache, server, monkeypatch):
    seen = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: seen.append((os.fstat(descriptor).st_size, named())))

    def named():
        return {path.name for path in cache.iterdir() if path.is_file()}

    fetch.contents(small.archive(server.address), None)
    sizes = [len(packed) for packed in small.PACKED.values()]
    before = [set(), *map(set, itertools.accumulate([name] for name in small.NAMES[:-1]))]
    assert seen == list(zip(sizes, before, strict=True))


def test_what_a_killed_download_left_is_swept_away(cache, server):
    small.write(cache / ".partial-abandoned")
    assert fetch.contents(small.archive(server.address), None) == list(small.CONTENTS)
    assert {path.name for path in cache.iterdir()} == set(small.NAMES)


def test_two_processes_may_download_at_once(cache, server):
    both = threading.Barrier(2)

    def together(handler, content):
        both.wait(30)
        small.whole(handler, content)

    server.answers[FIRST] = together
    archive = small.archive(server.address)
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        results = [future.result(60) for future in [pool.submit(fetch.contents, archive, None) for _ in range(2)]]
    assert results == [list(small.CONTENTS)] * 2
    assert server.requests[FIRST] == 2
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == small.PACKED
