"""Models with one mistake each, as differences of the small convolutional one."""

from dataclasses import replace

from sparsebench.layers import Layer
from sparsebench_models import small_conv as sound
from sparsebench_models.small_conv import small_conv


def same_padding(input):
    """In Flax: "SAME" pads a stride of 2 by (0, 1), where torch pads by (1, 1)."""
    from flax import nnx

    from sparsebench_models.small_conv_flax import SmallConv

    module = SmallConv(input)
    inputs, outputs = module.conv2.in_features, module.conv2.out_features
    module.conv2 = nnx.Conv(inputs, outputs, (3, 3), 2, padding="SAME", use_bias=False, rngs=nnx.Rngs(0))
    return module


def fast_statistics(input):
    """In Flax: running statistics that move ten times as fast as torch's."""

    from sparsebench_models.small_conv_flax import SmallConv

    class Fast(SmallConv):
        def __call__(self, images):
            before = self.bn1.running_mean[...]
            logits = super().__call__(images)
            self.bn1.running_mean[...] = before + 10 * (self.bn1.running_mean[...] - before)
            return logits

    return Fast(input)


def without_second(input):
    """A table that forgets the second convolution."""
    first, _, classifier = sound.layers(input)
    return first, classifier


def as_if_of_stride_1(input):
    """A table whose second convolution is counted at the size of its input."""
    first, second, classifier = sound.layers(input)
    return first, replace(second, macs=4 * second.macs), classifier


def with_bias(input):
    """A table with a bias for a layer."""
    *table, classifier = sound.layers(input)
    return *table, classifier, Layer("bn1", (table[0].shape[0],), "linear", table[0].shape[0])


def half_counted(input):
    first, second, classifier = sound.layers(input)
    return first, replace(second, macs=second.macs // 2, input=None), classifier


def drawn_once(input, generator):
    """Initial weights that do not follow from the seed."""
    import numpy as np

    return sound.initial(input, np.random.default_rng(0))


def turned(input):
    """In Flax: the first kernel is used upside down."""

    from sparsebench_models.small_conv_flax import SmallConv

    class Turned(SmallConv):
        def __call__(self, images):
            return super().__call__(images[:, :, ::-1])

    return Turned(input)


def flax(build):
    """The sound model with another network in Flax."""
    return replace(small_conv, builders={**small_conv.builders, "jax": build})
