"""Batch normalisation by the statistics of the whole batch, where replicas see a share of it each.

torch's SyncBatchNorm is for GPUs alone. This is one function for every device, so that what is tested on CPUs is what
runs on GPUs; and modules stay as they are, timm's with their activations too: `batch_norm` itself is another one while
one of them normalises.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.functional import batch_norm
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode


def normalised_together(module: nn.Module, replicas: int) -> None:
    """From here on, batch normalisation in training sees the whole batch: the shares of all replicas, equally large."""
    together = _Together(replicas)

    def enter(part: nn.Module, given: Any) -> None:
        together.__enter__()

    def leave(part: nn.Module, given: Any, output: Any) -> None:
        together.__exit__(None, None, None)

    for part in module.modules():
        if isinstance(part, _BatchNorm):
            part.register_forward_pre_hook(enter)
            part.register_forward_hook(leave, always_call=True)


class _Together(TorchFunctionMode):
    """In here `batch_norm` is ours."""

    def __init__(self, replicas: int) -> None:
        super().__init__()
        self.replicas = replicas

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is batch_norm:
            return self.normalised(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def normalised(
        self, x: Tensor, running_mean: Tensor | None, running_var: Tensor | None, weight: Tensor | None = None,
        bias: Tensor | None = None, training: bool = False, momentum: float = 0.1, eps: float = 1e-5,
    ) -> Tensor:  # fmt: skip
        """torch.nn.functional.batch_norm of the whole batch, of which x (samples, channels, …) is a share."""
        if not training:
            return batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
        mean, variance = _statistics(x, self.replicas)
        count = x.numel() // x.shape[1] * self.replicas
        if running_mean is not None and running_var is not None:
            with torch.no_grad():
                running_mean.lerp_(mean.to(running_mean.dtype), momentum)
                running_var.lerp_((variance * (count / (count - 1))).to(running_var.dtype), momentum)
        return _Normalised.apply(x, weight, bias, mean, variance, eps, self.replicas)  # pyright: ignore[reportReturnType]


@torch.no_grad()
def _statistics(x: Tensor, replicas: int) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of each channel over all shares, float32 at least; the same to the bit on all replicas.

    Source: Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances" (1979),
    for parts of equal size: no difference of large sums is taken.
    """
    variance, mean = torch.var_mean(_wide(x), _others(x), correction=0)
    found = torch.stack([mean, variance])
    every = [torch.empty_like(found) for _ in range(replicas)]
    dist.all_gather(every, found)
    means, variances = torch.stack(every).unbind(1)
    mean = means.mean(0)
    return mean, (variances + (means - mean).square()).mean(0)


class _Normalised(torch.autograd.Function):
    """y = (x − mean) / √(variance + eps) · weight + bias; its gradient knows that the statistics follow from x."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor, variance: Tensor, eps: float,
        replicas: int,
    ) -> Tensor:  # fmt: skip
        ctx.save_for_backward(x, weight, mean, variance)
        ctx.eps, ctx.replicas = eps, replicas
        return batch_norm(x, mean, variance, weight, bias, False, 0.0, eps)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Of the sum of all replicas' losses with respect to x; of this one's with respect to weight and bias.

        So the mean over replicas, which DistributedDataParallel takes, is the gradient of the mean loss.
        """
        x, weight, mean, variance = ctx.saved_tensors
        (dy,), others = gradients, _others(ctx.saved_tensors[0])
        inverse = (variance + ctx.eps).rsqrt()
        centred, wide = _wide(x) - _along(mean, x), _wide(dy)
        total, product = wide.sum(others), (wide * centred).sum(others)
        sums = torch.stack([total, product])
        dist.all_reduce(sums)
        count = x.numel() // x.shape[1] * ctx.replicas
        level, slope = sums[0] / count, sums[1] / count * inverse.square()
        scale = inverse if weight is None else inverse * weight
        dx = (wide - _along(level, x) - centred * _along(slope, x)) * _along(scale, x)
        return dx.to(x.dtype), *((None, None) if weight is None else (product * inverse, total)), None, None, None, None


def _wide(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def _others(x: Tensor) -> list[int]:
    return [k for k in range(x.ndim) if k != 1]


def _along(channels: Tensor, x: Tensor) -> Tensor:
    return channels.view(-1, *[1] * (x.ndim - 2))
