"""LeNet-300-100 in Flax NNX."""

import jax
from flax import nnx

from sparsebench.models import Input
from sparsebench_models.lenet import layers


class LeNet(nnx.Module):
    """A module from (batch, channels, height, width) to logits (batch, classes)."""

    def __init__(self, input: Input, rngs: nnx.Rngs) -> None:
        self.fc1, self.fc2, self.fc3 = (
            nnx.Linear(layer.shape[1], layer.shape[0], rngs=rngs) for layer in layers(input)
        )

    def __call__(self, images: jax.Array) -> jax.Array:
        """Logits of a batch."""
        hidden = nnx.relu(self.fc1(images.reshape(images.shape[0], -1)))
        return self.fc3(nnx.relu(self.fc2(hidden)))


def build(input: Input) -> nnx.Module:
    """The module; its own initial weights are replaced by the specification's."""
    return LeNet(input, nnx.Rngs(0))
