"""Modules in Flax NNX, made from the layer table; they do what torch's do, on images with channels last."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from sparsebench import noise
from sparsebench.layers import Layer

MOMENTUM = 0.1
EPSILON = 1e-5
"""Both as torch means them and sets them."""


def conv(layer: Layer) -> nnx.Conv:
    """Without bias and padded by k // 2, wherever the stride leaves the window."""
    outputs, inputs, kernel, _ = layer.shape
    groups = outputs if layer.role == "depthwise" else 1
    return nnx.Conv(
        inputs * groups, outputs, (kernel, kernel), layer.stride, padding=kernel // 2, use_bias=False,
        feature_group_count=groups, kernel_init=nnx.initializers.zeros, rngs=nnx.Rngs(0),
    )  # fmt: skip


def linear(layer: Layer) -> nnx.Linear:
    """A classifier."""
    return nnx.Linear(layer.shape[1], layer.shape[0], kernel_init=nnx.initializers.zeros, rngs=nnx.Rngs(0))


def channels_last(images: jax.Array) -> jax.Array:
    """(batch, channels, height, width) as (batch, height, width, channels)."""
    return images.transpose(0, 2, 3, 1)


def max_pool(x: jax.Array) -> jax.Array:
    """The largest of 3 × 3 values, channels last, with stride 2 and padded by 1."""
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), ((0, 0), (1, 1), (1, 1), (0, 0)))


class BatchNorm(nnx.Module):
    """Torch's: normalises by the biased variance of a batch and keeps the unbiased one, statistics in float32 or more.

    Flax's own keeps the biased variance.
    """

    def __init__(self, channels: int) -> None:
        self.scale, self.bias = nnx.Param(jnp.ones(channels)), nnx.Param(jnp.zeros(channels))
        self.running_mean = nnx.BatchStat(jnp.zeros(channels))
        self.running_var = nnx.BatchStat(jnp.ones(channels))
        self.use_running_average = False

    def __call__(self, x: jax.Array) -> jax.Array:
        """The same shape and type, normalised over all axes but the last."""
        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        mean, variance = self._stored() if self.use_running_average else self._observed(wide)
        factor = jax.lax.rsqrt(variance + EPSILON) * self.scale[...]
        return ((wide - mean) * factor + self.bias[...]).astype(x.dtype)

    def _stored(self) -> tuple[jax.Array, jax.Array]:
        return self.running_mean[...], self.running_var[...]

    def _observed(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Mean and biased variance of this batch, which the running ones move towards."""
        axes, count = tuple(range(x.ndim - 1)), x.size // x.shape[-1]
        mean = x.mean(axes)
        variance = jnp.square(x - mean).mean(axes)
        unbiased = variance * (count / max(count - 1, 1))
        self.running_mean[...] = _moved(self.running_mean[...], mean)
        self.running_var[...] = _moved(self.running_var[...], unbiased)
        return mean, variance


def _moved(running: jax.Array, value: jax.Array) -> jax.Array:
    return ((1 - MOMENTUM) * running + MOMENTUM * jax.lax.stop_gradient(value)).astype(running.dtype)


class Dropout(nnx.Module):
    """Zeroes entries at this rate while training, keyed by a counter that is part of the state.

    So a run that continues from a snapshot drops what it would have dropped. The other framework draws other entries.
    """

    def __init__(self, rate: float, name: str) -> None:
        self.rate, self.key = rate, noise.key(0, 0, name)[0] % 2**31
        self.count = nnx.Variable(jnp.zeros((), jnp.int32)) if rate else None
        self.deterministic = False

    def __call__(self, x: jax.Array) -> jax.Array:
        """The same shape; what is kept grows by 1 / (1 − rate)."""
        if self.count is None or self.deterministic:
            return x
        key = jax.random.fold_in(jax.random.key(self.key), self.count[...])
        self.count[...] += 1
        kept = jax.random.bernoulli(key, 1 - self.rate, x.shape)
        return jnp.where(kept, x / (1 - self.rate), 0)
