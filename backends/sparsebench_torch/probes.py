"""What torch does at most on a device: a copy, and products of square matrices in each precision."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from sparsebench.hardware.ceilings import BYTES, SIDE, operations
from sparsebench.hardware.kernels import Probe

Work = Callable[[], object]
TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
ON_CUDA = {"tf32": torch.float32, "float16": torch.float16}
"""What is worth a look there only; TF32 is what convolutions of float32 arrays are computed in."""


def probes(device: str) -> list[Probe]:
    """Of the installed torch on this device."""
    types = TYPES | (ON_CUDA if device == "cuda" else {})
    products = [Probe("torch matmul", name, partial(_product, device, name, kind)) for name, kind in types.items()]
    return [Probe("torch copy", "memory", partial(_copy, device)), *products]


def _copy(device: str) -> tuple[Work, float]:
    source, target = torch.ones(BYTES // 4, device=device), torch.zeros(BYTES // 4, device=device)
    return partial(_done, device, lambda: target.copy_(source)), 2.0 * BYTES


def _product(device: str, name: str, kind: torch.dtype) -> tuple[Work, float]:
    side = SIDE[device]
    left, right = torch.randn(2, side, side, device=device).to(kind)
    result = torch.empty(side, side, device=device, dtype=kind)

    def multiply() -> None:
        torch.mm(left, right, out=result)

    def coarsely() -> None:
        matmul = torch.backends.cuda.matmul
        before, matmul.fp32_precision = matmul.fp32_precision, "tf32"
        try:
            multiply()
        finally:
            matmul.fp32_precision = before

    return partial(_done, device, coarsely if name == "tf32" else multiply), operations(side)


def _done(device: str, work: Work) -> None:
    work()
    if device == "cuda":
        torch.cuda.synchronize()
