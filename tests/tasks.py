"""Small tasks for the laws: keyed images, nets whose parameters match in both frameworks."""

import sys
from collections import OrderedDict
from dataclasses import replace
from functools import cache, partial

import numpy as np
import pytest

from sparsebench import plugins
from sparsebench.config import Recipe
from sparsebench.conformance.walks import begin as begin
from sparsebench.conformance.walks import bits as bits
from sparsebench.conformance.walks import update as update
from sparsebench.conformance.walks import walk as walk
from sparsebench.data.source import Dataset, Split, standardising_table
from sparsebench.errors import UserError
from sparsebench.layers import Layer, linear
from sparsebench.models import Model
from sparsebench.trainer import Task

BATCH = 8
CLASSES = 4


def drawn(purpose, shape):
    """Uniform in ±0.5, float32, keyed by the purpose."""
    generator = np.random.Generator(np.random.Philox(key=sum(purpose.encode())))
    return generator.uniform(-0.5, 0.5, shape).astype(np.float32)


@cache
def images(shape=(1, 4, 4), train=64, test=24):
    """A data set of noise; its labels can be learned by heart."""

    def split(name, samples):
        pixels = ((drawn(f"{name} pixels", (samples, *shape)) + 0.5) * 255).astype(np.uint8)
        return Split(pixels, ((drawn(f"{name} labels", samples) + 0.5) * CLASSES).astype(np.int32))

    training = split("train", train)
    return Dataset("noise", CLASSES, training, split("test", test), standardising_table(training.images))


@cache
def task(model, steps=24, dataset=None, **recipe):
    """The model on `images` of its own shape."""
    recipe = Recipe(steps=steps, batch_size=BATCH, **recipe)
    return Task(model, dataset or images(SHAPES[model.name]), recipe, steps)


RECIPES = {
    "sgd": {"momentum": 0.0, "weight_decay": 1e-2},
    "momentum": {"weight_decay": 1e-2},
    "nesterov": {"nesterov": True, "label_smoothing": 0.1},
    "adam": {"optimizer": "adam", "learning_rate": 0.01, "weight_decay": 1e-2},
    "adamw": {"optimizer": "adamw", "learning_rate": 0.01, "weight_decay": 0.1},
}
"""Settings of the first-party optimizers."""


# ---- models ---------------------------------------------------------------------------------------------------


def _gated_layers(input):
    return linear("fc1", 16, 12), linear("gate", 1, 1), linear("fc2", 12, CLASSES)


def _conv_layers(input):
    conv1 = Layer("conv1", (6, 2, 3, 3), "conv", 36 * 6 * 2 * 9)
    return conv1, Layer("conv2", (8, 6, 3, 3), "conv", 9 * 8 * 6 * 9), linear("fc", 8, CLASSES)


def _initial(layers, norms, input, generator):
    arrays = {}
    for layer in layers(input):
        bound = layer.shape[0] / layer.size
        arrays[f"{layer.name}.weight"] = generator.uniform(-1, 1, layer.shape) * bound**0.5
        arrays[f"{layer.name}.bias"] = generator.uniform(-1, 1, layer.shape[:1]) * bound**0.5
    for name, channels in norms.items():
        arrays[f"{name}.weight"] = generator.uniform(0.5, 1.5, channels)
        arrays[f"{name}.bias"] = generator.uniform(-0.5, 0.5, channels)
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def _model(name, layers, norms=None):
    initial = partial(_initial, layers, norms or {})
    builders = {"torch": f"tasks:torch_{name}", "jax": f"tasks:flax_{name}"}
    return Model(name, "a test net", layers, initial, builders)


gated = _model("gated", _gated_layers)
"""A multi-layer perceptron with biases; `gate`, a layer of one weight, is fed the mean of the hidden layer."""
half = _model("half", _gated_layers)
"""`gated` in bfloat16."""
conv = _model("conv", _conv_layers, {"bn1": 6, "bn2": 8})
"""Two convolutions with biases, the second of stride 2, each with batch normalisation; mean pooling; a classifier."""
scripted = _model("scripted", _conv_layers)
"""A net whose weight gradients are `script(layer)` times one number, whatever the batch and the weights."""

SHAPES = {"gated": (1, 4, 4), "half": (1, 4, 4), "conv": (2, 6, 6), "scripted": (1, 1, 1)}


def script(layer):
    """Whole numbers with many ties and zeros, in canonical layout."""
    return np.trunc(drawn(layer.name, layer.shape) * 12)


# ---- nets in torch --------------------------------------------------------------------------------------------


def torch_gated(input):
    import torch
    from torch import nn

    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.gate, self.fc2 = nn.Linear(16, 12), nn.Linear(1, 1), nn.Linear(12, CLASSES)

        def forward(self, images):
            hidden = torch.relu(self.fc1(images.flatten(1).to(self.fc1.weight.dtype)))
            return self.fc2(hidden) + self.gate(hidden.mean(1, keepdim=True))

    return Gated()


def torch_half(input):
    import torch

    return torch_gated(input).to(torch.bfloat16)


def torch_conv(input):
    from torch import nn

    layers = {
        "conv1": nn.Conv2d(2, 6, 3, padding=1), "bn1": nn.BatchNorm2d(6), "relu1": nn.ReLU(),
        "conv2": nn.Conv2d(6, 8, 3, 2, padding=1), "bn2": nn.BatchNorm2d(8), "relu2": nn.ReLU(),
        "pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "fc": nn.Linear(8, CLASSES),
    }  # fmt: skip
    return nn.Sequential(OrderedDict(layers))


def torch_scripted(input):
    import torch
    from torch import nn

    class Scripted(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2, self.fc = nn.Conv2d(2, 6, 3), nn.Conv2d(6, 8, 3), nn.Linear(8, CLASSES)
            for layer in _conv_layers(None):
                self.register_buffer(f"{layer.name}_script", torch.from_numpy(script(layer)), persistent=False)

        def forward(self, images):
            read = [(getattr(self, layer.name), getattr(self, f"{layer.name}_script")) for layer in _conv_layers(None)]
            total = sum((module.weight * given).sum() + 0 * module.bias.sum() for module, given in read)
            return nn.functional.pad((total / 64).expand(len(images), 1), (0, CLASSES - 1))

    return Scripted()


# ---- nets in Flax ---------------------------------------------------------------------------------------------


def flax_gated(input, dtype="float32"):
    import jax.numpy as jnp
    from flax import nnx

    class Gated(nnx.Module):
        def __init__(self):
            linear = partial(nnx.Linear, dtype=jnp.dtype(dtype), param_dtype=jnp.dtype(dtype), rngs=nnx.Rngs(0))
            self.fc1, self.gate, self.fc2 = linear(16, 12), linear(1, 1), linear(12, CLASSES)

        def __call__(self, images):
            hidden = nnx.relu(self.fc1(images.reshape(len(images), -1)))
            return self.fc2(hidden) + self.gate(hidden.mean(1, keepdims=True))

    return Gated()


flax_half = partial(flax_gated, dtype="bfloat16")


def flax_conv(input):
    from flax import nnx

    class Conv(nnx.Module):
        def __init__(self):
            rngs = nnx.Rngs(0)
            self.conv1 = nnx.Conv(2, 6, (3, 3), padding=1, rngs=rngs)
            self.conv2 = nnx.Conv(6, 8, (3, 3), 2, padding=1, rngs=rngs)
            self.bn1, self.bn2 = (nnx.BatchNorm(c, momentum=0.9, epsilon=1e-5, rngs=rngs) for c in (6, 8))
            self.fc = nnx.Linear(8, CLASSES, rngs=rngs)

        def __call__(self, images):
            hidden = nnx.relu(self.bn1(self.conv1(images.transpose(0, 2, 3, 1))))
            return self.fc(nnx.relu(self.bn2(self.conv2(hidden))).mean((1, 2)))

    return Conv()


def flax_scripted(input):
    import jax.numpy as jnp
    from flax import nnx

    class Scripted(nnx.Module):
        def __init__(self):
            rngs = nnx.Rngs(0)
            self.conv1, self.conv2 = nnx.Conv(2, 6, (3, 3), rngs=rngs), nnx.Conv(6, 8, (3, 3), rngs=rngs)
            self.fc = nnx.Linear(8, CLASSES, rngs=rngs)

        def __call__(self, images):
            kernels = [getattr(self, layer.name).kernel for layer in _conv_layers(None)]
            given = [script(layer).T if layer.kind == "linear" else script(layer).transpose(2, 3, 1, 0)
                     for layer in _conv_layers(None)]  # fmt: skip
            total = sum((kernel * script).sum() for kernel, script in zip(kernels, given, strict=True))
            return jnp.pad(jnp.full((len(images), 1), total / 64), ((0, 0), (0, CLASSES - 1)))

    return Scripted()


# ---- trainers -------------------------------------------------------------------------------------------------


@cache
def trainer_on(backend, build=None):
    """A backend's trainer, kept with what it has compiled; a first-party one with an optimizer of one's own."""
    try:
        trainer = plugins.load("backends", backend).trainer("cpu")
    except UserError as error:
        pytest.skip(str(error))
    one_thread()
    return trainer if build is None else type(trainer)(optimizer=build)


def one_thread():
    """In torch: on nets this small threads cost more than they give, on a busy machine a hundred times more."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


# ---- a run ----------------------------------------------------------------------------------------------------


def short(method, **changes):
    """The method with a clock that fits a run of a few steps."""
    return replace(method, **{"delta_t": 3, "begin": 0.2, "end": 0.9} | changes)
