"""MobileNet-v1 (Howard et al., 2017), named as in timm's `mobilenetv1_100`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from sparsebench.distributions import DISTRIBUTIONS
from sparsebench.layers import Layer, conv, convolved, depthwise, linear
from sparsebench.models import Input, Model
from sparsebench.policy import Policy
from sparsebench_models.widths import Channels, as_they_are, times_in_eights

STAGES = ((1, 1, 64), (2, 2, 128), (2, 2, 256), (6, 2, 512), (2, 2, 1024))
"""(blocks, stride of the first, channels)."""

BIG = 1.98


def layers(input: Input, channels: Channels = as_they_are) -> tuple[Layer, ...]:
    """The stem, 13 pairs of a depthwise and a pointwise convolution, and the classifier: 28 layers."""
    return tuple(_layers(input, channels))


def _layers(input: Input, channels: Channels) -> Iterator[Layer]:
    image = input.image
    inputs = channels(32)
    yield conv("conv_stem", input.shape[0], inputs, 3, image, stride=2, role="stem", padded_apart=1)
    image = convolved(image, 3, 2)
    for stage, (blocks, first, width) in enumerate(STAGES):
        for block in range(blocks):
            name, stride, outputs = f"blocks.{stage}.{block}", 1 if block else first, channels(width)
            apart = 1 if stride == 2 else 0
            yield depthwise(f"{name}.conv_dw", inputs, 3, image, stride=stride, padded_apart=apart)
            image = convolved(image, 3, stride)
            yield conv(f"{name}.conv_pw", inputs, outputs, 1, image)
            inputs = outputs
    yield linear("classifier", inputs, input.classes, role="classifier")


KEPT_DENSE = dict.fromkeys(DISTRIBUTIONS, Policy(stem="dense", depthwise="dense"))
"""Source: Evci et al., Rigging the Lottery, ICML 2020, section 4.1.2."""

mobilenetv1 = Model(
    name="mobilenetv1",
    summary="MobileNet-v1 for ImageNet (Howard et al., 2017); a layer table, not trainable yet",
    layers=layers,
    input=Input((3, 224, 224), 1000),
    policy=KEPT_DENSE,
)

mobilenetv1_big = Model(
    name="mobilenetv1-big",
    summary=f"MobileNet-v1, {BIG} times as wide: at sparsity 0.75 about as costly as the dense one; a layer table",
    layers=partial(layers, channels=times_in_eights(BIG)),
    input=mobilenetv1.input,
    policy=KEPT_DENSE,
    reference=mobilenetv1.name,
)
