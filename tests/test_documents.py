"""Hardware documents as files: what was written is read, nothing is overwritten, and what does not fit is refused."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware_fixture import GPU, document, parts, product, step
from sparsebench.errors import UserError
from sparsebench.hardware import documents
from sparsebench.hardware.intervals import Ratio

WHOLE = parts(steps=[step(), step(update=None)], products=[product(), product("dense", speedup=None, best_dense=None)])


def written(tmp_path, content):
    path = tmp_path / "some.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def refusal(path):
    with pytest.raises(UserError) as caught:
        documents.read(path)
    told = str(caught.value)
    assert told.isprintable()
    assert len(told) < 1000
    return told


def test_what_was_written_is_read(tmp_path):
    whole = documents.made(WHOLE)
    path = documents.write(whole, tmp_path)
    assert documents.read(path) == whole
    assert json.loads(path.read_text()) == WHOLE
    assert path.name == "2026-11-25T14-00-00Z_some-cpu.json"
    assert documents.paths(tmp_path) == [path]
    assert whole.steps[0].masked_to_dense.ratio == Ratio(1.02, 1.01, 1.03, 3)


def test_nothing_is_overwritten_even_by_those_who_write_at_once(tmp_path):
    several = [documents.made(parts(cut=[str(i)])) for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        where = list(pool.map(lambda each: documents.write(each, tmp_path), several))
    assert [documents.read(path) for path in where] == several
    assert set(documents.paths(tmp_path)) == set(where)
    assert len(list((tmp_path / documents.FOLDER).iterdir())) == 8, "nothing is left behind"


def test_names_tell_the_moment_in_utc_and_the_device(tmp_path):
    machine = {"device": "cuda", "gpu": GPU, "started": "2026-11-25T01:00:00+02:00"}
    assert documents.write(document(machine), tmp_path).name == "2026-11-24T23-00-00Z_some-gpu-80gb.json"
    unknown = documents.write(document(machine | {"gpu": None}), tmp_path)
    assert unknown.name == "2026-11-24T23-00-00Z_unknown-gpu.json"
    assert documents.write(document({"cpu": "../../é"}), tmp_path).name == "2026-11-25T14-00-00Z_cpu.json"


def test_what_others_have_written_is_made_printable():
    made = document({"cpu": "a\x1b[31mb"}, missing=[{"what": "torch", "reason": "x" * 5000 + "\n"}])
    assert made.machine.cpu == "a [31mb"
    assert made.missing[0].reason == "x" * 1000


# ---- what does not fit ------------------------------------------------------------------------------------------


def changed(*where, to):
    whole = deepcopy(WHOLE)
    place = whole
    for key in where[:-1]:
        place = place[key]
    place[where[-1]] = to
    return whole


REFUSED = {
    "nothing": (b"", "EOF while parsing"),
    "half": (json.dumps(WHOLE).encode()[:500], "EOF while parsing"),
    "no text": (b"\xff\xfe\x00", "Invalid JSON"),
    "a list": ([], "should be a table"),
    "very deep": (b"[" * 100_000, "recursion limit"),
    "not finite": (json.dumps(changed("steps", 0, "flops", to=float("nan"))).encode(), "steps[0].flops: given nan"),
    "infinite": (json.dumps(changed("steps", 0, "flops", to=float("inf"))).encode(), "finite"),
    "a huge number": (b'{"schema": ' + b"9" * 5000 + b"}", "number out of range"),
    "another schema": (changed("schema", to=2), "schema: given 2, should be 1"),
    "another kind": (changed("kind", to="run"), "kind: given 'run', should be 'hardware'"),
    "text for a number": (changed("machine", "threads", to="2"), "machine.threads: given '2'"),
    "negative": (changed("steps", 0, "step_seconds", "dense", to=-1.0), "greater than or equal to 0"),
    "no such device": (changed("machine", "device", to="tpu"), "machine.device: given 'tpu'"),
    "no moment": (changed("machine", "started", to="yesterday"), "machine.started: "),
    "no time zone": (changed("machine", "started", to="2026-11-25T14:00:00"), "it names no time zone"),
    "terminal codes": (changed("machine", "cpu", to="a\x1b[2Jb"), "machine.cpu: it holds what cannot be printed"),
    "terminal codes in a name": (changed("machine", "\x1b[2J", to=1), "unknown setting"),
    "an endless text": (changed("cut", to=["x" * 1001]), "cut[0]: "),
    "a ratio inside out": (changed("steps", 0, "masked_to_dense", "low", to=2.0), "outside of its interval"),
    "one bound": (changed("steps", 0, "masked_to_dense", "low", to=None), "one bound of two"),
    "something more": (changed("notes", to="<script>"), "unknown setting 'notes'"),
    "a shape of three": (changed("products", 0, "shapes", to=[[1, 2, 3]]), "products[0].shapes[0]"),
    "all wrong": (changed("cut", to=[0] * 5000), "5,000 things in it are not as they should be"),
}


@pytest.mark.parametrize(("content", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_file_that_does_not_fit_is_refused_in_one_line(tmp_path, content, reason):
    path = written(tmp_path, content)
    told = refusal(path)
    assert reason in told
    assert told.startswith(f"hardware document {path} cannot be read (")


def test_files_that_are_none_are_refused(tmp_path, monkeypatch):
    assert refusal(tmp_path / "absent.json").startswith("no hardware document at ")
    assert refusal(tmp_path).startswith("no hardware document at ")
    os.mkfifo(tmp_path / "pipe.json")
    assert refusal(tmp_path / "pipe.json").startswith("no hardware document at "), "nobody waits for a pipe"
    monkeypatch.setattr(documents, "LARGEST", 1000)
    assert "it is larger than 1,000 bytes" in refusal(written(tmp_path, WHOLE))


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda each: st.dictionaries(st.text(), each))
)
def test_no_json_gets_through_or_ends_in_a_traceback(tmp_path_factory, content):
    refusal(written(tmp_path_factory.getbasetemp(), content))


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / documents.FOLDER).write_text("in the way")
    with pytest.raises(UserError, match="the hardware document cannot be written"):
        documents.write(document(), tmp_path)
