"""The small convolutional network in Flax NNX."""

import jax
from flax import nnx

from sparsebench.models import Input
from sparsebench_models.parts_flax import BatchNorm, channels_last, conv, linear
from sparsebench_models.small_conv import layers


class SmallConv(nnx.Module):
    """A module from (batch, channels, height, width) to logits (batch, classes)."""

    def __init__(self, input: Input) -> None:
        first, second, classifier = layers(input)
        self.conv1, self.bn1 = conv(first), BatchNorm(first.shape[0])
        self.conv2, self.bn2 = conv(second), BatchNorm(second.shape[0])
        self.fc = linear(classifier)

    def __call__(self, images: jax.Array) -> jax.Array:
        """Logits of a batch."""
        hidden = nnx.relu(self.bn1(self.conv1(channels_last(images))))
        hidden = nnx.relu(self.bn2(self.conv2(hidden)))
        return self.fc(hidden.mean((1, 2)))


def build(input: Input) -> nnx.Module:
    """The module; its kernels are 0 until it is given a state."""
    return SmallConv(input)
