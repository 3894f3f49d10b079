"""torch's ways of computing linear layers, dense and sparse, for `sparsebench bench`.

Sparse formats are on the left of a product, so their networks keep (features, rows) throughout; the dense engine is
offered in both layouts, that the best one may win.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from sparsebench.hardware.kernels import Array, Bound, Hardware, Kernel, Linears, Missing, Precision
from sparsebench_torch.memory import mask_bytes, step_bytes
from sparsebench_torch.probes import probes

Convert = Callable[[Tensor], Tensor]
TYPES: dict[Precision, torch.dtype] = {"float32": torch.float32, "float16": torch.float16}


def hardware(device: str) -> Hardware:
    """Kernels of the installed torch on this device, and what it lacks there."""
    on = partial(torch.device, device)
    kernels = [
        Kernel("torch linear", "dense", partial(_rows_first, on(), "float32", _same)),
        Kernel("torch matmul", "dense", partial(_features_first, on(), lambda weight, side: weight)),
        Kernel(
            "torch CSR", "unstructured", partial(_features_first, on(), lambda weight, side: weight.to_sparse_csr())
        ),
        Kernel("torch BSR", "block", partial(_features_first, on(), _bsr)),
    ]
    missing = [Missing("torch.compile", "not tried: it compiles for half a minute")]
    if device != "cuda":
        missing.append(Missing("torch 2:4", "torch has semi-structured kernels for CUDA only"))
        return Hardware(kernels, missing, mask_bytes=mask_bytes, step_bytes=step_bytes, probes=probes(device))
    half = [
        Kernel("torch linear fp16", "dense", partial(_rows_first, on(), "float16", _same), "float16"),
        Kernel("torch 2:4 fp16", "2:4", partial(_rows_first, on(), "float16", _semi_structured), "float16"),
    ]
    return Hardware(
        [*kernels, *half], missing, lambda state: torch.cuda.synchronize(), torch.cuda.max_memory_allocated,
        mask_bytes, step_bytes, probes(device),
    )  # fmt: skip


def _same(weight: Tensor) -> Tensor:
    return weight


def _bsr(weight: Tensor, side: int) -> Tensor:
    return weight.to_sparse_bsr((side, side))


def _semi_structured(weight: Tensor) -> Tensor:
    return torch.sparse.to_sparse_semi_structured(weight)


def _rows_first(device: torch.device, precision: Precision, convert: Convert, layers: Linears, inputs: Array) -> Bound:
    """x ← x·Wᵀ + b, on (rows, features)."""
    kind = TYPES[precision]
    weights = [convert(torch.from_numpy(weight).to(device, kind)) for weight in layers.weights]
    biases = [torch.from_numpy(bias).to(device, kind) for bias in layers.biases]
    first = torch.from_numpy(inputs).to(device, kind)

    def forward() -> Tensor:
        hidden = torch.nn.functional.linear(first, weights[0], biases[0])
        for weight, bias in zip(weights[1:], biases[1:], strict=True):
            hidden = torch.nn.functional.linear(hidden.relu_(), weight, bias)
        return hidden

    return Bound(partial(_run, forward, device), lambda made: made.float().cpu().numpy())


def _features_first(
    device: torch.device, convert: Callable[[Tensor, int], Tensor], layers: Linears, inputs: Array
) -> Bound:
    """x ← W·x + b, on (features, rows)."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse", UserWarning)  # that these formats are in beta
        weights = [convert(torch.from_numpy(weight).to(device), layers.block) for weight in layers.weights]
    biases = [torch.from_numpy(bias).to(device)[:, None] for bias in layers.biases]
    first = torch.from_numpy(inputs).to(device).T.contiguous()

    def forward() -> Tensor:
        hidden = (weights[0] @ first).add_(biases[0])
        for weight, bias in zip(weights[1:], biases[1:], strict=True):
            hidden = (weight @ hidden.relu_()).add_(bias)
        return hidden

    return Bound(partial(_run, forward, device), lambda made: made.T.cpu().numpy())


@torch.inference_mode()
def _run(forward: Callable[[], Tensor], device: torch.device) -> Tensor:
    made = forward()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return made
