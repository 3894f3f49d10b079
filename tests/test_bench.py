"""`sparsebench bench`, end to end on little, and what it refuses. No time is asserted."""

import json
from pathlib import Path

import pytest

from sparsebench import plugins
from sparsebench.cli import benched
from sparsebench.errors import UserError
from sparsebench.hardware import machine, suite

pytest_plugins = ("command_line",)

LITTLE = ["bench", "--model", "lenet-300-100", "--repeats", "2"]


def installed(name):
    try:
        plugins.load("backends", name)
    except UserError as error:
        pytest.skip(str(error))
    return name


def test_a_little_benchmark_end_to_end(command, backend):
    code, out, err = command(
        *LITTLE, "--seconds", "20", "--backend", backend.name, "--to", "found.json", "--format", "json"
    )
    document = json.loads("\n".join(out))
    assert (code, err) == (0, ["measuring sparse kernels", f"measuring lenet-300-100 {backend.name}"])
    assert document == json.loads(Path("found.json").read_text())
    check_document(document, backend.name)
    told = " ".join(benched.machine(document))
    assert f"torch {document['machine']['packages'].get('torch')}" in told or backend.name != "torch"


def check_document(document, backend):
    """Every key that a reader may rely on."""
    assert (document["schema"], document["kind"], document["failed"]) == (1, "hardware", False)
    assert {"cpu", "threads", "device", "python", "packages", "cpu_mhz", "gpu", "started"} <= set(document["machine"])
    assert document["settings"] == {
        "device": "cpu", "workloads": [{"model": "lenet-300-100", "batch": 128, "size": 28}],
        "backends": [backend], "repeats": 2, "seconds": 20,
    }  # fmt: skip
    for row in document["steps"]:
        check_steps(row)
    for row in document["products"]:
        assert len(row["seconds"]) == 2
        assert row["theory"] == 1 if row["pattern"] == "dense" else row["theory"] >= 1
    assert [each for each in document["missing"] if not each["reason"]] == []
    assert any("2:4" in each["what"] for each in document["missing"])
    assert document["steps"] or "lenet-300-100" in " ".join(document["cut"]), "what is not there was cut, and told"


def check_steps(row):
    assert (row["model"], row["batch"], row["size"], row["sparsity"]) == ("lenet-300-100", 128, 28, 0.9)
    assert {name: len(values) for name, values in row["seconds"].items()} == {"masked": 2, "dense": 2}
    assert set(row["masked_to_dense"]) == {"median", "low", "high", "pairs"}
    assert row["masked_to_dense"]["low"] is None, "two pairs bound nothing"
    assert min(*row["images_per_second"].values(), row["steps"]) > 0
    assert min(row["compile_seconds"].values()) >= 0
    assert row["memory"]["bytes"] > 0


def test_a_backend_without_kernels_is_measured_and_told(command):
    code, out, err = command(*LITTLE, "--backend", "toy", "--seconds", "60")
    assert (code, err) == (0, ["measuring sparse kernels", "measuring lenet-300-100 toy"])
    assert any(line.split()[:4] == ["lenet-300-100", "toy", "128", "28"] for line in out)
    assert "2 repeats" in " ".join(out)
    assert out[out.index("missing:") + 1 :] == ["  toy kernels: the backend names none"]


def test_what_there_is_no_time_for_is_told(command):
    code, out, err = command(*LITTLE, "--backend", "toy", "--seconds", "1e-9")
    assert code == 0
    assert out[out.index("cut for lack of time:") + 1 :] == [
        "  sparse kernels: all of it",
        "  lenet-300-100 toy: all of it",
    ]
    assert err == []


def broken(seconds):
    print("a framework says why")
    raise RuntimeError("the driver\nis too old")


def fine(seconds):
    return {"products": [seconds > 0], "missing": [], "cut": []}


def test_a_part_that_fails_costs_itself(command, monkeypatch):
    parts = [suite.Part("broken", broken), suite.Part("fine", fine)]
    monkeypatch.setattr(suite, "_parts", lambda plan: iter(parts))
    monkeypatch.setattr("tempfile.tempdir", str(Path.cwd()))
    code, out, err = command(*LITTLE, "--backend", "toy", "--format", "json")
    document = json.loads("\n".join(out))
    assert code == 1
    assert document["missing"] == [{"what": "broken", "reason": "RuntimeError: the driver is too old"}]
    assert document["products"] == [True]
    (log,) = Path.cwd().glob("sparsebench-bench-*/log")
    assert "a framework says why" in log.read_text()
    assert err[-1] == f"error: something failed, see `missing`; what its process printed is in {log}"


REFUSED = {
    "model": (["--model", "lenet-300"], "unknown model 'lenet-300': did you mean 'lenet-300-100'?"),
    "backend": (["--backend", "torhc"], "unknown backend 'torhc': did you mean 'torch'?"),
    "missing packages": (["--backend", "needy"], "pip install 'sparsebench[needy]'"),
    "no builder": (["--backend", "toy", "--model", "resnet50"], "backend 'toy' cannot build model 'resnet50'"),
    "no device": (["--backend", "toy", "--model", "lenet-300-100", "--device", "cuda"], "the toy sees none: use"),
    "repeats": (["--repeats", "0"], "--repeats"),
    "seconds": (["--seconds", "0"], "--seconds"),
    "format": (["--format", "md"], "md"),
    "unwritable": (["--backend", "toy", "--model", "lenet-300-100", "--to", "no/where.json"], "--to no/where.json:"),
    "a folder": (["--backend", "toy", "--model", "lenet-300-100", "--to", "."], "a folder is there"),
}


@pytest.mark.parametrize(("arguments", "reason"), REFUSED.values(), ids=REFUSED)
def test_mistakes_are_refused_in_one_line(command, arguments, reason):
    code, out, err = command("bench", *arguments)
    assert (code, out, len(err)) == (2, [], 1), err
    assert reason in err[0]


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_without_a_gpu_cuda_is_refused(command, name):
    plugins_backend = installed(name)
    probe = plugins.load("backends", plugins_backend)
    try:
        probe.trainer("cuda")
    except UserError:
        code, _, err = command("bench", "--backend", name, "--device", "cuda")
        assert (code, len(err)) == (2, 1)
        assert "use --device cpu" in err[0]
    else:
        pytest.skip("there is a GPU")


NVIDIA_SMI = """#!/bin/sh
echo "Some GPU, 580.1, 81559 MiB, 1980 MHz, 1980 MHz, 2619 MHz"
"""


def test_the_gpu_as_nvidia_smi_tells_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.gpu() is None, "there is no nvidia-smi"
    (tmp_path / "nvidia-smi").write_text(NVIDIA_SMI)
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert machine.gpu()["name"] == "Some GPU"
    assert machine.gpu()["clocks.sm"] == "1980 MHz"


# ---- how it is printed ----------------------------------------------------------------------------------------


def product(kernel, density, pattern="unstructured", **changes):
    speedup = {"median": 2.0, "low": 1.5, "high": 2.5, "pairs": 20}
    row = {
        "name": "lenet fc1", "shapes": [[300, 784]], "rows": 128, "density": density, "kernel": kernel,
        "pattern": pattern, "precision": "float32", "median": 0.001, "best_dense": "jax jit", "speedup": speedup,
    }  # fmt: skip
    return row | changes


def document(**changes):
    some = {
        "cpu": "Some CPU", "cpu_mhz": 2600, "threads": 2, "device": "cpu", "gpu": None, "commit": None,
        "packages": {"torch": "2"}, "sparsebench": "0", "python": "3", "started": "now",
    }  # fmt: skip
    empty = {"steps": [], "products": [], "missing": [], "cut": []}
    return {"machine": some, "settings": {"repeats": 20}} | empty | changes


def printed(capsys, **changes):
    benched.show(document(**changes))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    return lines


def test_speedups_as_printed(capsys):
    unclear = {"median": 1.1, "low": 0.9, "high": 1.2, "pairs": 20}
    few = {"median": 9.0, "low": None, "high": None, "pairs": 3}
    rows = [
        product("jax jit", 0.1, "dense"), product("jax jit", 0.5, "dense"),
        product("CSR", 0.1), product("CSR", 0.5, speedup=unclear),
        product("BSR", 0.1, speedup=few),
    ]  # fmt: skip
    lines = printed(capsys, products=rows)
    assert "lenet fc1: 300 × 784, 128 rows" in lines
    cells = {" ".join(line.split()) for line in lines}
    assert "best dense jax jit 1 ms jax jit 1 ms" in cells
    assert "CSR 2.00 [1.50, 2.50] none shown" in cells
    assert "BSR none shown missing" in cells
    assert "in theory 10× 2×" in cells


def test_what_is_missing_is_told_by_reason(capsys):
    missing = [{"what": what, "reason": "no kernel"} for what in ("torch 2:4", "jax 2:4")]
    lines = printed(capsys, missing=missing, cut=["resnet50 jax: no mask update"])
    assert lines[-4:] == [
        "missing:", "  torch 2:4, jax 2:4: no kernel", "cut for lack of time:", "  resnet50 jax: no mask update",
    ]  # fmt: skip


def test_a_gpu_is_named_or_unknown(capsys):
    cuda = document()["machine"] | {"device": "cuda"}
    assert "GPU unknown" in printed(capsys, machine=cuda)
    named = cuda | {"gpu": {"name": "Some GPU", "driver_version": "1", "clocks.sm": "1980 MHz"}}
    assert "name Some GPU, driver_version 1, clocks.sm 1980 MHz" in printed(capsys, machine=named)
