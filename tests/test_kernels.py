"""Every backend's kernels, on the CPU: each gives what NumPy gives, and one that does not is found out."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsebench import plugins
from sparsebench.hardware import ceilings, patterns, products
from sparsebench.hardware.kernels import Bound, Hardware, Kernel, Probe
from sparsebench.hardware.products import Product, bind, compare, reference, wrong
from sparsebench.methods.dense import dense
from sparsebench.methods.static import static
from sparsebench_models.lenet import lenet_300_100
from tasks import begin, images, task, trainer_on

sides = st.integers(1, 6).map(lambda n: 2 * n)


@st.composite
def problems(draw):
    widths = draw(st.lists(sides, min_size=2, max_size=4))
    shapes = tuple((out, n_in) for n_in, out in itertools.pairwise(widths))
    return Product("network", shapes, draw(st.integers(1, 5)))


@pytest.fixture(scope="session")
def hardware(backend):
    return backend.hardware("cpu")


@settings(max_examples=25)
@given(problems(), st.sampled_from([0.1, 0.5, 1.0]))
def test_kernels_equal_dense(hardware, product, density):
    cases, missing = bind(product, density, hardware.kernels)
    assert missing == []
    assert {case.kernel.name for case in cases} == {kernel.name for kernel in hardware.kernels}
    inputs = np.random.default_rng(1).standard_normal((product.rows, product.shapes[0][1]), np.float32)
    for case in cases:
        made = case.bound.result(case.bound.run())
        assert made.shape == (product.rows, product.shapes[-1][0])
        assert made.dtype == np.float32
        np.testing.assert_allclose(made, reference(case.layers, inputs)[0], rtol=1e-4, atol=1e-4)


def test_every_pattern_is_there_or_missing(hardware):
    told = {kernel.pattern for kernel in hardware.kernels}
    missing = " ".join(each.what for each in hardware.missing)
    assert "dense" in told
    assert "unstructured" in told
    assert "block" in told or "block" in missing
    assert "2:4" in missing
    assert all(each.reason for each in hardware.missing)
    assert hardware.peak_memory() is None, "on the CPU it is the process that holds memory"


def plain(layers, inputs):
    """NumPy in float32, as a kernel."""

    def run():
        hidden = inputs
        for i, (weight, bias) in enumerate(zip(layers.weights, layers.biases, strict=True)):
            hidden = (hidden if i == 0 else np.maximum(hidden, 0)) @ weight.T + bias
        return hidden

    return Bound(run, lambda made: made)


def off_by_a_weight(layers, inputs):
    weights = [weight.copy() for weight in layers.weights]
    weights[0][0, 0] += 0.1
    return plain(replace(layers, weights=weights), inputs)


def refusing(layers, inputs):
    raise RuntimeError("not built with it\nC++ stack trace")


# ---- what only the framework can tell ------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_masked_step_holds_its_masks_more_and_nothing_else(backend, hardware, precision):
    """An array is there or not: torch is watched at work, XLA says what it planned."""
    trainer, told = trainer_on(backend.name), {}
    job = task(lenet_300_100, 4, images((1, 28, 28)), precision=precision)
    for method in (dense, static):
        state, _ = trainer.train(begin(trainer, job, method, 0.9), method, job.feed(0), 0, 1)
        told[method] = hardware.step_bytes(trainer, state, method, job.feed(0)), hardware.mask_bytes(state)
    prunable = sum(layer.size for layer in job.prunable)
    (plain, none), (masked, kinds) = told[dense], told[static]
    assert sum(none.values()) == 0
    assert kinds["bool"] == prunable
    assert kinds.keys() <= {"bool", "float32"}
    assert masked - plain == pytest.approx(sum(kinds.values()), abs=16 * len(job.prunable)), "arrays are aligned"
    assert 3 * 4 * prunable < plain < 5 * 4 * prunable, "weights, gradients, momentum, and what is in between"


def test_probes_do_what_they_say(backend, hardware, monkeypatch):
    for module in (f"sparsebench_{backend.name}.probes", "sparsebench.hardware.ceilings"):
        monkeypatch.setattr(f"{module}.BYTES", 4096)
        monkeypatch.setattr(f"{module}.SIDE", {"cpu": 8})
    bound = {probe.of: probe.bind() for probe in hardware.probes}
    assert {of: amount for of, (_, amount) in bound.items()} == {"memory": 8192, "float32": 1024, "bfloat16": 1024}
    found = ceilings.measure([backend.name], "cpu", 1)["ceilings"]
    assert {found["memory"]["by"], found["products"]["float32"]["by"]} <= {
        f"{backend.name} copy", f"{backend.name} matmul", "numpy copy", "numpy matmul",
    }  # fmt: skip
    assert found["products"]["bfloat16"]["by"] == f"{backend.name} matmul"
    assert min(found["memory"]["rate"], *(each["rate"] for each in found["products"].values())) > 0


def test_a_probe_that_the_device_lacks_is_missing(monkeypatch):
    def refuse():
        raise RuntimeError("no such\nprecision")

    probes = [Probe("some matmul", "float8", refuse), Probe("some copy", "memory", lambda: (list, 8.0))]
    monkeypatch.setattr(
        plugins, "load", lambda kind, name: type("B", (), {"hardware": lambda d: Hardware(probes=probes)})
    )
    found = ceilings.measure(["some"], "cuda", 1)
    assert found["missing"] == [{"what": "some matmul float8", "reason": "no such precision"}]
    assert (found["ceilings"]["memory"]["by"], found["ceilings"]["products"]) == ("some copy", {})


# ---- kernels that are wrong ----------------------------------------------------------------------------------------

PRODUCT = Product("square", ((64, 64),), 32)


def test_a_wrong_or_refusing_kernel_is_missing_and_told():
    kernels = [
        Kernel("plain", "dense", plain),
        Kernel("wrong", "unstructured", off_by_a_weight),
        Kernel("refusing", "block", refusing),
        Kernel("half", "2:4", plain),
    ]
    cases, missing = bind(PRODUCT, 0.1, kernels)
    assert [case.name for case in cases] == ["plain"], "2:4 has its own density"
    assert [each.what for each in missing] == ["wrong: square at 0.1", "refusing: square at 0.1"]
    assert missing[0].reason.startswith("its result is wrong: ")
    assert missing[1].reason == "not built with it"
    assert [case.name for case in bind(PRODUCT, 0.5, kernels)[0]] == ["plain", "half"]


def test_nan_is_wrong():
    (case,), _ = bind(PRODUCT, 0.1, [Kernel("plain", "dense", plain)])
    inputs = np.random.default_rng(1).standard_normal((32, 64), np.float32)
    assert wrong(case, inputs) == ""
    broken = replace(case, bound=Bound(case.bound.run, lambda made: made * np.nan))
    assert wrong(broken, inputs) != ""


def test_the_yardstick_is_the_fastest_dense_engine_of_the_precision(monkeypatch):
    kernels = [
        Kernel("slow", "dense", plain),
        Kernel("fast", "dense", plain),
        Kernel("sparse", "unstructured", plain),
        Kernel("alone", "unstructured", plain, "float16"),
    ]
    cases, _ = bind(PRODUCT, 0.2, kernels)
    seconds = {"slow": [8.0] * 9, "fast": [4.0] * 9, "sparse": [1.0] * 9, "alone": [1.0] * 9}
    monkeypatch.setattr(products, "in_a_row", lambda work, seconds: 1)
    monkeypatch.setattr(products, "interleaved", lambda *_, **__: {k: np.array(v) for k, v in seconds.items()})
    rows = {row["kernel"]: row for row in compare(PRODUCT, 0.2, cases, 9, 0)}
    assert rows["sparse"]["best_dense"] == "fast"
    assert rows["sparse"]["speedup"] == {"median": 4.0, "low": 4.0, "high": 4.0, "pairs": 9}
    assert rows["sparse"]["theory"] == pytest.approx(5, rel=0.01)
    assert rows["alone"]["speedup"] is None


def test_a_backend_that_says_nothing_has_no_kernels(backend):
    silent = type(backend)("silent", "says nothing", backend.trainer)
    assert silent.hardware("cpu") == Hardware()


def test_patterns_are_the_same_for_all():
    one, other = (patterns.linears(((8, 8), (4, 8)), "unstructured", 0.5) for _ in range(2))
    for a, b in zip((*one.weights, *one.biases), (*other.weights, *other.biases), strict=True):
        np.testing.assert_array_equal(a, b)
