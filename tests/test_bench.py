"""`sparsebench bench`, end to end on little, and what it refuses. No time is asserted."""

import json
from pathlib import Path

import pytest

import hardware_fixture as fixture
from hardware_fixture import product
from sparsebench import plugins
from sparsebench.cli import benched
from sparsebench.cli.options import RUNS
from sparsebench.errors import UserError
from sparsebench.hardware import documents, machine, suite
from sparsebench.hardware.floors import floor
from sparsebench.hardware.schema import Ceilings
from sparsebench_board import hardware
from sparsebench_board.mirror import Outcome

pytest_plugins = ("command_line",)

LITTLE = ["bench", "--model", "lenet-300-100", "--repeats", "2"]


def installed(name):
    try:
        plugins.load("backends", name)
    except UserError as error:
        pytest.skip(str(error))
    return name


@pytest.fixture
def mirrored(monkeypatch):
    """What is mirrored, instead of mirroring it: (paths, URI)."""
    given = []

    def mirror(paths, uri, artifacts):
        given.append((paths, uri))
        return Outcome(new=len(paths))

    monkeypatch.setattr(hardware, "mirror", mirror)
    return given


def test_a_little_benchmark_end_to_end(command, backend, mirrored):
    code, out, err = command(
        *LITTLE, "--seconds", "30", "--backend", backend.name, "--to", "found.json", "--format", "json"
    )
    (path,) = documents.paths(RUNS)
    assert (code, err[:2], err[-1]) == (0, ["measuring ceilings", "measuring sparse kernels"], f"document: {path}")
    assert json.loads("\n".join(out)) == json.loads(Path("found.json").read_text()) == json.loads(path.read_text())
    assert [paths for paths, _ in mirrored] == [[path]]
    check_document(documents.read(path), backend.name)


def check_document(document, backend):
    assert not document.failed
    assert document.settings.model_dump() == {
        "device": "cpu", "workloads": ({"model": "lenet-300-100", "batch": 128, "size": 28},),
        "backends": (backend,), "precisions": ("float32", "bfloat16"), "repeats": 2, "seconds": 30,
    }  # fmt: skip
    ceilings = document.machine.ceilings
    assert ceilings.memory.rate > 1e8
    assert {"float32", "bfloat16"} <= ceilings.products.keys()
    for row in document.steps:
        check_step(row, 1 if backend == "jax" else 5)
    for row in document.products:
        assert len(row.seconds) == 2
        assert row.theory == 1 if row.pattern == "dense" else row.theory >= 1
    assert [each for each in document.missing if not each.reason] == []
    assert any("2:4" in each.what for each in document.missing)
    told = " ".join(document.cut)
    measured = {row.precision for row in document.steps}
    assert all(precision in measured or precision in told for precision in ("float32", "bfloat16")), "or it was told"


def check_step(row, bytes_a_weight):
    assert (row.model, row.batch, row.size, row.sparsity) == ("lenet-300-100", 128, 28, 0.9)
    assert (row.parameters, row.prunable, row.flops) == (266_610, 266_200, 3 * 2 * 266_200 * 128)
    assert (len(row.seconds.masked), len(row.seconds.dense)) == (2, 2)
    assert row.masked_to_dense.low is None, "two pairs bound nothing"
    assert min(row.images_per_second.masked, row.images_per_second.dense) > 0
    memory = row.memory
    assert sum(memory.masks.values()) == bytes_a_weight * 266_200
    assert memory.dense > 3 * 4 * 266_610, "weights, gradients and momentum"
    assert memory.masked - memory.dense == pytest.approx(bytes_a_weight * 266_200, rel=1e-3), "nothing but masks"
    assert memory.peak > memory.masked


def test_a_backend_without_kernels_is_measured_and_told(command, mirrored):
    code, out, err = command(*LITTLE, "--backend", "toy", "--precision", "float32", "--seconds", "60", "--no-mlflow")
    (path,) = documents.paths(RUNS)
    measured = ["measuring ceilings", "measuring sparse kernels", "measuring lenet-300-100 toy float32"]
    assert (code, err) == (0, [*measured, f"document: {path}"])
    assert any(line.split()[:4] == ["lenet-300-100", "toy", "128", "28"] for line in out)
    assert "2 repeats" in " ".join(out)
    assert out[out.index("missing:") + 1 :] == ["  toy kernels: the backend names none"]
    assert mirrored == []


def test_what_there_is_no_time_for_is_told(command, mirrored):
    code, out, err = command(*LITTLE, "--backend", "toy", "--seconds", "1e-9", "--records", "there")
    assert code == 0
    cut = ["ceilings", "sparse kernels", "lenet-300-100 toy float32", "lenet-300-100 toy bfloat16"]
    assert out[out.index("cut for lack of time:") + 1 :] == [f"  {what}: all of it" for what in cut]
    assert err == [f"document: {path}" for path in documents.paths(Path("there"))]
    assert mirrored[0][1].endswith("there/mlflow.db")


def test_an_earlier_document_is_printed_again(command, tmp_path):
    path = documents.write(fixture.document(steps=[fixture.step()]), tmp_path)
    code, out, err = command("bench", "--show", path)
    assert (code, err) == (0, [])
    assert any(line.split()[:2] == ["lenet-300-100", "torch"] for line in out)
    assert command("bench", "--show", path, "--format", "json")[1] == path.read_text().splitlines()
    assert not RUNS.exists(), "nothing was measured"
    code, out, err = command("bench", "--show", path, "--model", "resnet50")
    assert (code, out, len(err)) == (2, [], 1)
    assert command("bench", "--show", "absent.json")[2] == [
        "error: no hardware document at absent.json: `sparsebench bench` writes some"
    ]


def broken(seconds):
    print("a framework says why")
    raise RuntimeError("the driver\nis too old")


def fine(seconds):
    return {"products": [fixture.product()], "missing": [], "cut": []}


def test_a_part_that_fails_costs_itself(command, monkeypatch):
    parts = [suite.Part("broken", broken), suite.Part("fine", fine)]
    monkeypatch.setattr(suite, "_parts", lambda plan: iter(parts))
    monkeypatch.setattr("tempfile.tempdir", str(Path.cwd()))
    code, out, err = command(*LITTLE, "--backend", "toy", "--format", "json", "--no-mlflow")
    document = json.loads("\n".join(out))
    assert code == 1
    assert document["missing"] == [{"what": "broken", "reason": "RuntimeError: the driver is too old"}]
    assert document["products"] == [fixture.product()]
    (log,) = Path.cwd().glob("sparsebench-bench-*/log")
    assert "a framework says why" in log.read_text()
    assert err[-2] == f"error: something failed, see `missing`; what its process printed is in {log}"


REFUSED = {
    "model": (["--model", "lenet-300"], "unknown model 'lenet-300': did you mean 'lenet-300-100'?"),
    "backend": (["--backend", "torhc"], "unknown backend 'torhc': did you mean 'torch'?"),
    "missing packages": (["--backend", "needy"], "pip install 'sparsebench[needy]'"),
    "no builder": (["--backend", "toy", "--model", "resnet50"], "backend 'toy' cannot build model 'resnet50'"),
    "no device": (["--backend", "toy", "--model", "lenet-300-100", "--device", "cuda"], "the toy sees none: use"),
    "repeats": (["--repeats", "0"], "--repeats"),
    "seconds": (["--seconds", "0"], "--seconds"),
    "format": (["--format", "md"], "md"),
    "precision": (["--precision", "float16"], "float16"),
    "unwritable records": (
        ["--backend", "toy", "--model", "lenet-300-100", "--records", "toys.toml/x"],
        "--records toys.toml/x: cannot",
    ),
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


def printed(capsys, **changes):
    benched.show(fixture.document(**changes))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    return lines


def test_speedups_as_printed(capsys):
    unclear = {"median": 1.1, "low": 0.9, "high": 1.2, "pairs": 20}
    few = {"median": 9.0, "low": None, "high": None, "pairs": 3}
    rows = [
        product("jax jit", 0.1, "dense"), product("jax jit", 0.5, "dense"), product("CSR", 0.1),
        product("CSR", 0.5, speedup=unclear), product("BSR", 0.1, speedup=few),
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
    assert "GPU unknown" in printed(capsys, machine={"device": "cuda"})
    named = {"device": "cuda", "gpu": {"name": "Some GPU", "driver_version": "1", "clocks.sm": "1980 MHz"}}
    assert "name Some GPU, driver_version 1, clocks.sm 1980 MHz" in printed(capsys, machine=named)


def test_steps_and_memory_as_printed(capsys):
    many = [
        fixture.step(model="resnet50", backend=backend, precision=precision, memory=memory(masks))
        for precision in ("float32", "bfloat16")
        for backend, masks in (("torch", {"bool": 25_500_000, "float32": 102_000_000}), ("jax", {}))
    ]
    lines = [" ".join(line.split()) for line in printed(capsys, steps=many)]
    assert "at most: memory 20.0 GB/s (torch), float32 100 GFLOP/s (torch), bfloat16 200 GFLOP/s (torch)" in lines
    assert lines.count("resnet50 torch 128 28 2 1 1.02 1.020 [1.010, 1.030] 125,490") == 1
    assert lines.count("resnet50 torch 128 28 1 1 1.02 1.020 [1.010, 1.030] 125,490") == 1, "a floor of its own"
    assert "resnet50 torch float32 26 bool + 102 float32 4.7 6.0 1.3 unknown" in lines
    assert "resnet50 jax bfloat16 none 4.7 6.0 1.3 unknown" in lines


def memory(masks):
    return fixture.step()["memory"] | {"masks": masks, "peak": None}


def test_floors():
    ceilings = fixture.document().machine.ceilings
    (small, large) = fixture.document(steps=[fixture.step(flops=2e8), fixture.step(flops=1e3)]).steps
    assert floor(small, ceilings) == 2e8 / 1e11
    assert floor(large, ceilings) == 8 * 4 * 266_610 / 2e10, "memory holds it up"
    coarse = ceilings.model_copy(update={"products": ceilings.products | {"tf32": ceilings.products["bfloat16"]}})
    assert floor(small, coarse) == 2e8 / 2e11
    unknown = small.model_copy(update={"flops": None})
    assert floor(unknown, ceilings) == floor(large, ceilings)
    assert floor(unknown, Ceilings()) is None
